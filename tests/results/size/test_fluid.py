from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from perwatt.results.size import fluid


@pytest.mark.slow
def test_the_core_alone_says_what_the_whole_package_says() -> None:
    pytest.importorskip("CoolProp")
    code = (
        "import sys; from perwatt.results.size import fluid; core = fluid._coolprop()\n"
        "assert 'CoolProp' not in sys.modules\n"
        "import CoolProp; asked = ('D', 'T', 313.15, 'P', 3e5, 'INCOMP::MPG[0.25]')\n"
        "assert core.PropsSI(*asked) == CoolProp.CoolProp.PropsSI(*asked); assert 'Water' in CoolProp.__fluids__"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_glycol_at_40_degrees_is_what_vendors_size_with() -> None:
    rho, cp = fluid.coolant("PG25", 40.0)
    assert rho == pytest.approx(1009.9, abs=0.2)
    assert cp == pytest.approx(3968.6, rel=1e-3)


@pytest.mark.parametrize("name", ["PG25", "water"])
def test_table_is_the_library_between_its_steps(name: fluid.Fluid) -> None:
    props = pytest.importorskip("CoolProp.CoolProp").PropsSI
    code = fluid.COOLANTS[name][0]
    for t in (7.13, 24.77, 45.26, 68.9):
        rho, cp = fluid.coolant(name, t)
        assert rho == pytest.approx(props("D", "T", t + 273.15, "P", fluid.PRESSURE_PA, code), rel=1e-5)
        assert cp == pytest.approx(props("C", "T", t + 273.15, "P", fluid.PRESSURE_PA, code), rel=1e-5)


def test_draws_are_one_call_and_equal_to_single_ones() -> None:
    t = np.linspace(5, 60, 11)
    rho, cp = fluid.coolant("PG25", t)
    assert np.shape(rho) == (11,)
    assert np.asarray(rho)[3] == fluid.coolant("PG25", float(t[3])).rho_kg_m3
    assert np.asarray(cp)[7] == fluid.coolant("PG25", float(t[7])).cp_j_kg_k


def test_air_is_psychrolibs() -> None:
    psychro = fluid.psychrometrics()
    for altitude_m in (0.0, 339.0, 1600.0):
        pressure = psychro.GetStandardAtmPressure(altitude_m)
        rho, _ = fluid.air(27.3, altitude_m)
        assert rho == pytest.approx(psychro.GetDryAirDensity(27.3, pressure), rel=1e-5)


def test_moisture_changes_what_air_carries_by_less_than_half_a_percent() -> None:
    psychro = fluid.psychrometrics()
    humidity = psychro.GetHumRatioFromRelHum(25.0, 0.5, 101325.0)
    moist = (fluid.AIR_CP_J_KG_K + 1860 * humidity) / psychro.GetMoistAirVolume(25.0, humidity, 101325.0)
    rho, cp = fluid.air(25.0, 0.0)
    assert moist == pytest.approx(rho * cp, rel=5e-3)
    assert moist != pytest.approx(rho * cp, rel=1e-4)


def test_air_is_thinner_up_high() -> None:
    assert fluid.air(20.0, 1600.0).rho_kg_m3 / fluid.air(20.0, 0.0).rho_kg_m3 == pytest.approx(0.824, abs=0.005)


@pytest.mark.parametrize("t", [-20.0, 120.0, float("nan")])
def test_a_coolant_that_freezes_or_boils_is_refused(t: float) -> None:
    with pytest.raises(ValueError, match=r"temperature of PG25: found .*; allowed -5 to 95") as caught:
        fluid.coolant("PG25", np.array([40.0, t]))
    assert "\n" not in str(caught.value)


def test_unknown_fluid_is_refused() -> None:
    with pytest.raises(ValueError, match="fluid: found 'oil'; allowed PG25, water"):
        fluid.coolant("oil", 40.0)  # type: ignore[arg-type]


def test_a_missing_library_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "CoolProp", None)
    monkeypatch.setitem(sys.modules, "CoolProp.CoolProp", None)
    fluid._coolant_table.cache_clear()
    with pytest.raises(ValueError, match=r"CoolProp is not installed: pip install 'perwatt\[sizing\]'"):
        fluid.coolant("water", 20.0)
