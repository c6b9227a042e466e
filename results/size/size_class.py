"""Of whose halls the defaults of a site are: losses and cooling differ more by the size of a hall than by its weather.

LBNL-2001637, Fig. 4.4: the median PUE behind dry coolers is 1.09 in large halls cooled by liquid and 1.59 in midsize
ones. So PUE always says which class it stands for, and hyperscale figures of a small site are told.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from perwatt.results.size.site import Site
from perwatt.results.size.sizing import Line

HYPERSCALE = "hyperscale"
STANDS_FOR = ("kpi.pue", "year.pue_it", "cooling.pue_peak")  # the lines that say which class they are of


def marked(lines: Iterable[Line], site: Site) -> tuple[Line, ...]:
    """``lines``, the PUE's with the size class of the defaults in their basis."""
    said = f"; defaults of size class {site.size_class}" if site.size_class else "; the site states all figures itself"
    return tuple(
        msgspec.structs.replace(line, basis=line.basis + said) if line.key in STANDS_FOR else line for line in lines
    )


def doubted(site: Site, installed_w: float, pue: float) -> tuple[str, ...]:
    """One line where the figures are those of hyperscale halls and the machines' nameplates, ``installed_w`` in W, are
    below what such a hall has; ``pue`` is what they come to."""
    least = site.hyperscale_from_w
    if site.size_class != HYPERSCALE or least is None or installed_w >= least.mode:
        return ()
    return (
        f"size class: PUE {pue:.3f} stands for a hyperscale hall, {least.mode / 1e6:g} MW and more; of "
        f"{installed_w / 1e6:.3g} MW few are built so: size_class=midsize has the losses and the cooling of others",
    )
