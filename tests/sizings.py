"""A made-up sizing with everything that a report can meet: 191 nodes in Copenhagen, with figures that agree."""

from __future__ import annotations

import math
from typing import Any

from perwatt.results.size.parameter import Kind
from perwatt.results.size.sizing import Driver, Flow, Line, Section, Series, Sizing, Stage

UNITS, PER_RACK, RACKS_PER_ROW = 191, 4, 8
NAMEPLATE_W, VENDOR_W, P50_W, P99_W, P999_W, MAX_W = 12_000.0, 10_200.0, 7_180.0, 8_420.0, 8_560.0, 8_690.0
COINCIDENCE, MARGIN, GROWTH = 0.98, 0.10, 0.0
DISTRIBUTION, UPS, TRANSFORMER = 0.99, 0.962, 0.9942
COOLING, OTHER = 0.068, 0.01
CURRENT_A = 48_000 / (math.sqrt(3) * 400 * 0.98)
YEAR_S = 8760 * 3600.0
CHAIN_W = P999_W * UNITS * COINCIDENCE * (1 + MARGIN)
UPS_OUT_W = CHAIN_W / DISTRIBUTION
UPS_IN_W = UPS_OUT_W / UPS
COOLING_W, OTHER_W = COOLING * CHAIN_W, OTHER * CHAIN_W
LOW_SIDE_W = UPS_IN_W + COOLING_W + OTHER_W
SITE_W = LOW_SIDE_W / TRANSFORMER
BUSY, IDLE_W, PUE = 0.92, 2_000.0, 1.094
IT_MEAN_W = UNITS * (BUSY * P50_W + (1 - BUSY) * IDLE_W)
IT_J = IT_MEAN_W * YEAR_S
EIT_J = IT_J / DISTRIBUTION
EDC_J = PUE * EIT_J


def line(
    key: str,
    value: float | None,
    unit: str,
    kind: Kind = "modelled",
    basis: str = "formula",
    label: str = "",
    band: float = 0.0,
    section: Section | None = None,
) -> Line:
    parts = key.split(".")
    first: Any = parts[0]
    level = parts[-2] if first == "power" else ""
    low, high = (value * (1 - band), value * (1 + band)) if value is not None and band else (None, None)
    return Line(
        key,
        section or first,
        level,
        label or key.replace(".", " ").replace("_", " "),
        value,
        unit,
        kind,
        basis,
        low,
        high,
    )


def power_lines() -> list[Line]:
    counts = {"gpu": 1 / 8, "unit": 1, "rack": PER_RACK, "row": PER_RACK * RACKS_PER_ROW, "ups": UNITS}
    run = "run 20261120-h100-train, meter pdu, boundary node_ac, 3 repetitions"
    lines = []
    for level, n in counts.items():
        above = 1 / DISTRIBUTION if level == "ups" else 1.0
        for column, watts, kind in (
            ("nameplate", NAMEPLATE_W, "published"),
            ("vendor_max", VENDOR_W, "published"),
            ("p50", P50_W, "measured"),
            ("p99", P99_W, "measured"),
            ("max", MAX_W, "measured"),
        ):
            if level == "gpu" and column in ("nameplate", "p50", "p99", "max"):
                value = None if column == "nameplate" else watts * n * 0.72
            else:
                value = watts * n * above
            basis = "DGX H100 user guide" if kind == "published" else run
            lines.append(line(f"power.{level}.{column}", value, "W", kind, basis, f"{level}: {column}"))  # type: ignore[arg-type]
        wanted = NAMEPLATE_W * PER_RACK if level == "rack" else P999_W * n * COINCIDENCE * (1 + MARGIN) * above
        wanted = NAMEPLATE_W if level == "unit" else wanted
        basis = "nameplate: no enforced cap is proven" if level in ("unit", "rack") else "p99.9 of 10 s, +10 % margin"
        lines.append(line(f"power.{level}.recommended", wanted, "W", "modelled", basis, f"{level}: recommended", 0.04))
    for level, site, low in (("transformer", LOW_SIDE_W, 0.05), ("site", SITE_W, 0.06)):
        lines.append(line(f"power.{level}.nameplate", NAMEPLATE_W / P999_W * site, "W", "published", "nameplates"))
        lines.append(line(f"power.{level}.vendor_max", VENDOR_W / P999_W * site, "W", "published", "vendor's maximum"))
        lines.append(
            line(f"power.{level}.recommended", site, "W", "modelled", "15 min maximum at the design hour", "", low)
        )
    return lines


def other_lines() -> list[Line]:
    loss_ups, loss_transformer = EIT_J / 0.96 - IT_J, 0.006 * EIT_J
    plant_j = EDC_J - IT_J - loss_ups - loss_transformer - OTHER * IT_J
    return [
        line("fleet.units", UNITS, "", "given", "the request", "DGX H100"),
        line("fleet.racks", math.ceil(UNITS / PER_RACK), "", "modelled", "4 nodes in a rack", "racks"),
        line("fleet.gpus", UNITS * 8.0, "", "published", "8 GPUs in a node", "GPUs"),
        line("feeds.rack.load", 48_000.0, "W", "modelled", "sized on the nameplate", "rack: load of a path"),
        line("feeds.rack.circuits", 1, "", "modelled", "one of 2 paths carries all", "rack: circuits a path"),
        line("feeds.rack.rating", 125.0, "A", "modelled", "smallest that carries it x 0.8", "rack: breaker"),
        line("feeds.rack.failover", CURRENT_A, "A", "modelled", "P/(sqrt3 U pf), A lost", "rack: one path left"),
        line("redundancy.ups.count", 3, "", "modelled", "1 MW modules, N+1", "UPS modules"),
        line("redundancy.ups.normal", UPS_OUT_W / 3e6, "1", "modelled", "of each in normal service", "UPS load", 0.05),
        line("redundancy.transformer.count", 2, "", "modelled", "2.5 MVA, 2N", "transformers"),
        line("cooling.liquid_flow", None, "m3/s", "modelled", "air-cooled: no liquid loop"),
        line(
            "cooling.air_flow", 42.1, "m3/s", "modelled", "rho 1.18, cp 1006, 16.5 K rise", "air through the hall", 0.1
        ),
        line(
            "cooling.pue_peak",
            1.142,
            "1",
            "modelled",
            "31.0 degC dry bulb + 1.5 K warming + 2.5 K recirculation",
            "",
            0.02,
        ),
        line("cooling.ride_through", None, "s", "modelled", "no thermal mass is stated for air-cooled racks"),
        line("cooling.pump_head", 250_000.0, "Pa", "assumed", "hardest path, 200 to 350 kPa", "pump head"),
        line("cooling.pipe", 0.15, "m", "modelled", "DN 150 at 1.5 m/s", "pipe"),
        line(
            "year.edc",
            EDC_J,
            "J",
            "modelled",
            "before the transfer switchgear",
            "energy from the grid (EDC)",
            0.05,
        ),
        line("year.it_power", IT_MEAN_W, "W", "modelled", "working and idle", "mean IT power"),
        line("year.loss_ups", loss_ups, "J", "modelled", "at part load", "losses of UPS and distribution"),
        line("year.loss_transformer", loss_transformer, "J", "modelled", "at part load", "losses of transformers"),
        line("year.other", OTHER * IT_J, "J", "modelled", "1.0 % of IT", "light, offices, controls"),
        line("year.fans", 0.8 * plant_j, "J", "modelled", "by bin", "fans"),
        line("year.pumps", 0.2 * plant_j, "J", "modelled", "by bin", "pumps"),
        line("year.compressors", 0.0, "J", "modelled", "by bin", "compressors"),
        line("year.free_hours", 8711.0, "h", "modelled", "compressor off", "hours without a compressor", 0.004),
        line("year.eit", EIT_J, "J", "modelled", "at the outputs of the UPS", "energy at the UPS (EIT)", 0.05),
        line(
            "year.water",
            0.105 * EIT_J / 3.6e9,
            "m3",
            "modelled",
            "what evaporates and is blown down",
            "water (WIN)",
            0.3,
        ),
        line(
            "kpi.co2",
            114.4e-3 * EDC_J / 3.6e6,
            "kg",
            "modelled",
            "114.4 g/kWh, Denmark 2025, life cycle",
            "CO2 of the year",
            0.2,
        ),
        line(
            "transients.ramp_up_1s", 0.31, "1", "measured", "run 20261120-h100-train", "steepest rise in 1 s, of peak"
        ),
        line("transients.ramp_up_01s", None, "W/s", "measured", "not observable: sampled every 1 s"),
        line("transients.storage", 4.1e6, "J", "modelled", "to hold 0.1 MW/s", "storage for the ramp limit", 0.2),
        line("kpi.pue", PUE, "1", "modelled", "EDC/EIT, EN 50600-4-2 category 1", "PUE", 0.011),
        line("kpi.wue", 0.105, "m3/MWh", "modelled", "WIN/EIT, EN 50600-4-9", "WUE", 0.3),
        line("kpi.erf", 0.0, "1", "given", "EREUSE/EDC: nothing is handed over", "ERF"),
        line("kpi.heat.available", 0.5 * IT_J, "J", "modelled", "what leaves with the coolant", "heat in the liquid"),
        line("kpi.heat.handed_over", 0.0, "J", "given", "nothing is handed over", "heat handed over (EREUSE)"),
        line("kpi.cue", 114.4e-3 * PUE, "kg/kWh", "modelled", "CO2/EIT, EN 50600-4-8", "CUE", 0.2),
        line("kpi.ref", 0.81, "1", "assumed", "ERES-TOT/EDC", "REF", 0.1),
        line(
            "work.flop_per_joule",
            5.1e11,
            "FLOP/J",
            "measured",
            "matmul bf16 8192 of the run over the PUE",
            "work",
            0.03,
        ),
        line(
            "savings.site",
            NAMEPLATE_W / P999_W * SITE_W - SITE_W,
            "W",
            "modelled",
            "nameplate less recommended",
            "not to be built",
        ),
        line("savings.fleet.power", NAMEPLATE_W * UNITS - CHAIN_W, "W", "modelled", "at the racks", "below nameplate"),
        line("savings.fleet.units", 76, "", "modelled", "from the nameplates' power", "more units"),
        line(
            "savings.fleet.racks",
            19,
            "",
            "modelled",
            "at the same grid connection",
            "racks more at the same connection",
        ),
    ]


def stages() -> tuple[Stage, ...]:
    return (
        Stage("site", "Grid connection", SITE_W, SITE_W, 1, "", "10 kV, Copenhagen"),
        Stage("transformer", "Transformers", SITE_W, LOW_SIDE_W, 2, "2N", "2.5 MVA each, 99.4 % at this load"),
        Stage(
            "cooling", "Cooling plant", COOLING_W, COOLING_W, 5, "N+1", "dry coolers at 31.0 \u00b0C, fans and pumps"
        ),
        Stage("other", "Light, offices, controls", OTHER_W, OTHER_W, 1, "", "1.0 % of the IT load"),
        Stage("ups", "UPS", UPS_IN_W, UPS_OUT_W, 3, "N+1", "1.0 MW modules, double conversion, loaded to 64 %"),
        Stage("row", "Rows", UPS_OUT_W, CHAIN_W, 6, "", "8 racks each, busway 1000 A"),
        Stage("rack", "Racks", CHAIN_W, CHAIN_W, 48, "2N", "4 nodes each, feeds A and B, 125 A 400 V"),
        Stage("unit", "DGX H100", CHAIN_W, CHAIN_W * 0.945, UNITS, "", "4+2 power supplies, 94.5 % at this load"),
    )


def flows() -> tuple[Flow, ...]:
    it = P50_W * UNITS * YEAR_S * 0.92
    return (
        Flow("Grid", "Transformers", it * 1.094),
        Flow("Transformers", "UPS", it * 1.045),
        Flow("Transformers", "Cooling", it * 0.037),
        Flow("Transformers", "Other", it * 0.006),
        Flow("Transformers", "Losses", it * 0.006),
        Flow("UPS", "Racks", it),
        Flow("UPS", "UPS and distribution losses", it * 0.045),
        Flow("Racks", "Chips", it * 0.72),
        Flow("Racks", "Host, fans", it * 0.22),
        Flow("Racks", "Losses", it * 0.06),
        Flow("Chips", "Heat to air", it * 0.72),
        Flow("Host, fans", "Heat to air", it * 0.22),
    )


def series() -> tuple[Series, ...]:
    hours = tuple(float(h) for h in range(0, 8761, 73))
    duration = tuple(1e6 * (1.72 - 0.5 * (h / 8760) ** 1.6 - (0.55 if h > 8100 else 0)) for h in hours)
    low = tuple(1.09 * v - 2e4 for v in duration)
    bins = tuple(float(b) for b in range(-10, 28))
    bell = tuple(round(520 * math.exp(-(((b - 8) / 8.4) ** 2))) * 1.0 for b in bins)
    pue = tuple(1.085 if b < 17 else 1.085 + 0.004 * (b - 17) for b in bins)
    freq = tuple(0.01 * 1.35**i for i in range(14))
    windows = (1.0, 5.0, 10.0, 60.0)
    t = tuple(0.5 * i for i in range(240))
    swing = tuple(8_300.0 - (3_100 if (s % 16) > 12 else 0) + 90 * math.sin(3 * s) for s in t)
    return (
        Series("load_duration", "hours of the year", "power in W", hours, {"IT": duration, "site": low}),
        Series(
            "year_bins", "dry bulb, degrees C", "by bin", bins, {"hours": bell, "PUE": pue}, "IWEC Copenhagen, +1.5 K"
        ),
        Series(
            "ramps",
            "window in s",
            "change as a fraction of peak",
            windows,
            {"up": (0.31, 0.38, 0.4, 0.42), "down": (0.35, 0.41, 0.42, 0.42)},
        ),
        Series(
            "spectrum",
            "frequency in Hz",
            "power in W/sqrt(Hz)",
            freq,
            {"node": tuple(3000 / (1 + (f / 0.06) ** 2) + (900 if 0.05 < f < 0.09 else 0) + 4 for f in freq)},
            "not observable above 0.5 Hz: sampled every 1 s",
        ),
        Series(
            "trace",
            "time in s",
            "power in W",
            t,
            {"one node": swing, "with a floor": tuple(max(v, 7_000.0) for v in swing)},
        ),
    )


def drivers() -> dict[str, tuple[Driver, ...]]:
    site = (
        Driver("site.electrical.margin", 0.06, 0.14, SITE_W * 0.965, SITE_W * 1.036, 0.44),
        Driver("site.electrical.coincidence", 0.972, 0.996, SITE_W * 0.991, SITE_W * 1.016, 0.19),
        Driver("site.electrical.ups_efficiency", 0.92, 0.985, SITE_W * 1.044, SITE_W * 0.977, 0.28),
        Driver("site.cooling.dry_fan", 0.012, 0.035, SITE_W * 0.993, SITE_W * 1.012, 0.07),
        Driver("site.cooling.warming_k", 0.6, 2.4, SITE_W * 0.999, SITE_W * 1.002, 0.01),
    )
    pue = (
        Driver("site.electrical.ups_efficiency", 0.92, 0.985, 1.109, 1.083, 0.61),
        Driver("site.cooling.dry_fan", 0.012, 0.035, 1.087, 1.107, 0.31),
        Driver("site.cooling.air_approach_k", 4.1, 7.8, 1.092, 1.098, 0.05),
    )
    return {"power.site.recommended": site, "kpi.pue": pue}


def inputs() -> tuple[tuple[str, float, float, float, str, str, str], ...]:
    lbnl = "LBNL 2024 Table 4.3: hyperscale and AI 0.90 to 0.99"
    return (
        (
            "fleet.dgx_h100.nameplate_w",
            12_000,
            12_000,
            12_000,
            "W",
            "published",
            "DGX H100 user guide: 6 x 3.3 kW, 4 needed",
        ),
        ("fleet.dgx_h100.vendor_max_w", 10_200, 10_200, 10_200, "W", "published", "DGX H100 user guide"),
        ("fleet.dgx_h100.load", 0.99, 1.0, 1.01, "1", "measured", "run 20261120-h100-train"),
        ("fleet.dgx_h100.utilisation", 0.6, BUSY, 0.97, "1", "assumed", "share of the year at work"),
        ("fleet.dgx_h100.idle_w", 1600, IDLE_W, 3000, "W", "assumed", "processors, fans, idle GPUs"),
        ("site.electrical.other", 0.0, OTHER, 0.02, "1", "assumed", "light, offices, controls"),
        ("site.electrical.transformer_no_load_share", 0.05, 0.1, 0.25, "1", "assumed", "IEC 60076-1"),
        ("site.electrical.feed.voltage_v", 400, 400, 400, "V", "given", "the request"),
        ("site.electrical.feed.power_factor", 0.95, 0.98, 1.0, "1", "published", "Reg. (EU) 2019/424 Annex II"),
        (
            "site.electrical.feed.continuous_factor",
            0.8,
            0.8,
            1.0,
            "1",
            "assumed",
            "policy of many houses; IEC allows 1.0",
        ),
        (
            "site.electrical.feed.temperature_factor",
            1.0,
            1.0,
            1.0,
            "1",
            "assumed",
            "breaker at its reference temperature",
        ),
        ("site.electrical.coincidence", 0.97, 0.98, 1.0, "1", "assumed", "one synchronous job: 0.97 to 1.0"),
        ("site.electrical.margin", 0.05, 0.10, 0.15, "1", "assumed", "workload that was not tested"),
        ("site.electrical.growth", 0.0, 0.0, 0.0, "1", "given", "the request"),
        ("site.electrical.distribution_loss", 0.0, 0.01, 0.02, "1", "published", "Lei and Masanet Table 3"),
        ("site.electrical.ups_efficiency", 0.90, 0.97, 0.99, "1", "published", lbnl),
        ("site.electrical.ups_module_w", 1e6, 1e6, 1e6, "W", "given", "the request"),
        ("site.electrical.transformer_va", 2.5e6, 2.5e6, 2.5e6, "VA", "given", "the request"),
        ("site.electrical.transformer_efficiency", 0.995, 0.995, 0.997, "1", "assumed", "trade estimate"),
        ("site.cooling.dry_fan", 0.01, 0.02, 0.04, "1", "assumed", "kW per kW of heat"),
        ("site.grid.carbon_g_kwh", 90, 114.4, 131.8, "g/kWh", "published", "Denmark 2025, life cycle"),
        ("site.grid.renewable", 0.7, 0.81, 0.9, "1", "assumed", "guarantees of origin"),
        ("site.reuse.fraction", 0.0, 0.0, 0.0, "1", "given", "the request"),
    )


def whole() -> Sizing:
    """The sizing of 191 nodes in Copenhagen."""
    return Sizing(
        schema=1,
        title="191 x DGX H100 in Copenhagen",
        request={
            "site": "Copenhagen",
            "site_note": "what a site says of itself may be long: it does not belong at the top of the page",
            "station": "Copenhagen 061800 IWEC",
            "plant": "dry",
            "fleet": [{"name": "dgx_h100", "system": "DGX H100", "units": UNITS, "per_rack": PER_RACK}],
        },
        lines=(*power_lines(), *other_lines()),
        stages=stages(),
        flows=flows(),
        series=series(),
        drivers=drivers(),
        inputs=inputs(),
        warnings=("feeds: a rack of 48.0 kW does not fit a 63 A feed at factor 0.8: 12.6 kW too much; 125 A is next",),
        draws=10_000,
        seed=0,
    )


def bare() -> Sizing:
    """The least that a sizing can be: one line, no band, nothing to draw."""
    only = Line("power.site.recommended", "power", "site", "site", 1e6, "W", "given", "the request")
    return Sizing(1, "bare", {}, (only,), (), (), (), {}, ())
