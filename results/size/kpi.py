"""The indicators that a data centre is judged by, each from annual energies and by the text that defines it.

Delegated Regulation (EU) 2024/1364 defines four (Annex III) from figures whose points of measurement it lays down too
(Annex II): EDC, all energy at the input of the centre before the supply transfer switchgear, fuels and energy bought
for cooling included; EIT, the energy at the output of every UPS that feeds IT equipment (category 1 of EN 50600-4-2;
at the PDU where there is no UPS); WIN, all water across the boundary; EREUSE, heat handed over at the boundary;
ERES-TOT, renewable energy consumed. The other indicators are those of ISO/IEC 30134 and EN 50600-4, whose parts bear
the same numbers, and ERE of The Green Grid (white paper 29).

A node's AC input, which is what perwatt measures, lies behind the distribution: EIT is larger by its losses, and a PUE
must say which of the two it divides by. Everything works element by element on
numbers or on one value a draw; energies in J, water in m3. What has no value is None.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from perwatt.results.size.elementwise import plain, positive, within
from perwatt.results.size.indicator import INDICATORS
from perwatt.results.size.parameter import Floats, Values

J_PER_KWH = 3.6e6
J_PER_MWH = 3.6e9
G_PER_KG = 1e3
ROUNDING = 1e-9  # a part may exceed its whole by this much of it, as sums of floats do


@dataclass(frozen=True)
class Annual:
    """One year of a centre. ``edc_j`` and ``eit_j`` as the module says; the others None where nobody knows them.
    ``heat_removed_j`` by the cooling system, which took ``cooling_j`` of electricity (fans, pumps, compressors)."""

    edc_j: Values
    eit_j: Values
    win_m3: Values | None = None
    ereuse_j: Values | None = None
    eres_tot_j: Values | None = None
    co2_kg: Values | None = None
    heat_removed_j: Values | None = None
    cooling_j: Values | None = None


def indicators(year: Annual) -> dict[str, Values | None]:
    """Every indicator of the table :data:`INDICATORS` by its key, in the unit named there; None where a term of it is
    None.

    Raises ValueError for terms that contradict each other (see the single functions).
    """
    known: dict[str, Values | None] = dict.fromkeys(item.key for item in INDICATORS)
    known["pue"] = pue(year.edc_j, year.eit_j)
    if year.win_m3 is not None:
        known["wue"] = wue_m3_mwh(year.win_m3, year.eit_j)
    if year.ereuse_j is not None:
        known["erf"] = erf(year.ereuse_j, year.edc_j)
        known["ere"] = ere(year.edc_j, year.ereuse_j, year.eit_j)
    if year.eres_tot_j is not None:
        known["ref"] = ref(year.eres_tot_j, year.edc_j)
    if year.co2_kg is not None:
        known["cue"] = cue_kg_kwh(year.co2_kg, year.eit_j)
    if year.heat_removed_j is not None and year.cooling_j is not None:
        known["cer"] = cer(year.heat_removed_j, year.cooling_j)
    return known


def pue(edc_j: Values, eit_j: Values) -> Values:
    """EDC / EIT. Raises ValueError for an EIT of 0 or less, and for one above EDC, which contains it."""
    _part("eit_j", eit_j, "edc_j", edc_j)
    return edc_j / positive("eit_j", eit_j)


def wue_m3_mwh(win_m3: Values, eit_j: Values) -> Values:
    """WIN / EIT in m3/MWh, which is L/kWh. Raises ValueError for negative water and for an EIT of 0 or less."""
    return within("win_m3", win_m3, 0) / (positive("eit_j", eit_j) / J_PER_MWH)


def erf(ereuse_j: Values, edc_j: Values) -> Values:
    """EREUSE / EDC. Raises ValueError for more heat handed over than energy came in: the electricity of a heat pump
    inside the boundary belongs into EDC."""
    _part("ereuse_j", ereuse_j, "edc_j", edc_j)
    return ereuse_j / positive("edc_j", edc_j)


def ref(eres_tot_j: Values, edc_j: Values) -> Values:
    """ERES-TOT / EDC. Raises ValueError for more renewable energy consumed than energy consumed."""
    _part("eres_tot_j", eres_tot_j, "edc_j", edc_j)
    return eres_tot_j / positive("edc_j", edc_j)


def eres_tot_j(goo_j: Values, ppa_j: Values, on_site_j: Values) -> Values:
    """ERES-GOO + ERES-PPA + ERES-OS (Annex II, 1(o)), each counted once: guarantees of origin that a purchase agreement
    or an own plant creates are no ERES-GOO, and must be retired by the centre. Raises ValueError below 0."""
    return within("eres_goo_j", goo_j, 0) + within("eres_ppa_j", ppa_j, 0) + within("eres_os_j", on_site_j, 0)


def co2_kg(energy_j: Values, carbon_g_kwh: Values) -> Values:
    """Of energy from the grid at the grid's own factor (location-based), in kg. Raises ValueError below 0."""
    return within("energy_j", energy_j, 0) / J_PER_KWH * within("carbon_g_kwh", carbon_g_kwh, 0) / G_PER_KG


def cue_kg_kwh(co2_total_kg: Values, eit_j: Values) -> Values:
    """CO2 / EIT in kg/kWh. Raises ValueError for negative CO2 and for an EIT of 0 or less."""
    return within("co2_kg", co2_total_kg, 0) / (positive("eit_j", eit_j) / J_PER_KWH)


def ere(edc_j: Values, ereuse_j: Values, eit_j: Values) -> Values:
    """(EDC - EREUSE) / EIT. Raises ValueError as :func:`pue` and :func:`erf` do."""
    return pue(edc_j, eit_j) * (1 - erf(ereuse_j, edc_j))


def cer(heat_removed_j: Values, cooling_j: Values) -> Values:
    """Heat removed over the electricity of the cooling. Raises ValueError below 0 and for cooling that takes none."""
    return within("heat_removed_j", heat_removed_j, 0) / positive("cooling_j", cooling_j)


def cdd(daily_mean_c: npt.ArrayLike, base_c: float, threshold_c: float) -> Values:
    """Cooling degree days in K d: over the last axis (days), the sum of mean - ``base_c`` of the days whose mean is at
    least ``threshold_c``.

    The Regulation asks for the method of Eurostat and the Joint Research Centre with a base of 21 C (Annex II, 1(n)).
    Eurostat counts the days of 24 C and more, by what they exceed 21 C: ``cdd(t, 21, 24)``. Read as a base alone every
    day above 21 C counts: ``cdd(t, 21, 21)``, which is larger. A report says which. Raises ValueError for a threshold
    below the base and for means that are not finite.
    """
    mean = np.asarray(daily_mean_c, dtype=np.float64)
    if not np.all(np.isfinite(mean)):
        raise ValueError("daily_mean_c: found a day without a mean; allowed finite temperatures in C")
    if threshold_c < base_c:
        raise ValueError(f"threshold_c: found {threshold_c:g}; allowed {base_c:g} (the base) or more")
    found: Floats = np.sum(np.where(mean >= threshold_c, mean - base_c, 0.0), axis=-1)
    return plain(found)


def work_rates(work: Values | None, edc_j: Values, win_m3: Values | None) -> dict[str, Values | None]:
    """A year's ``work`` (FLOP, token) per joule, per MWh and per m3 of the whole centre (its EDC and WIN): keys
    ``per_joule``, ``per_mwh``, ``per_m3``. None without work; per m3 also where no draw uses water, nan in those that
    use none. Raises ValueError for negative work or water and for an EDC of 0 or less."""
    if work is None:
        return {"per_joule": None, "per_mwh": None, "per_m3": None}
    per_joule = within("work", work, 0) / positive("edc_j", edc_j)
    per_m3: Values | None = None
    if win_m3 is not None and np.any(np.asarray(within("win_m3", win_m3, 0)) > 0):
        amount, water = np.broadcast_arrays(np.asarray(work, np.float64), np.asarray(win_m3, np.float64))
        share = np.divide(amount, water, out=np.full(water.shape, np.nan), where=water > 0)
        per_m3 = plain(share)
    return {"per_joule": per_joule, "per_mwh": per_joule * J_PER_MWH, "per_m3": per_m3}


def _part(part_name: str, part: Values, whole_name: str, whole: Values) -> None:
    """Refuse a part that is larger than its whole."""
    over = np.asarray(within(part_name, part, 0)) > np.asarray(within(whole_name, whole, 0)) * (1 + ROUNDING)
    if np.any(over):
        found = np.extract(over, np.broadcast_to(part, over.shape))[0]
        most = np.extract(over, np.broadcast_to(whole, over.shape))[0]
        raise ValueError(f"{part_name}: found {found:g}; allowed {most:g} at most, which {whole_name} is")
