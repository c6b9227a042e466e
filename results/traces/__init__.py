"""Power recorded elsewhere and brought to a run after the fact: logs of wall analysers, of training nodes, plain CSV.

A reader of each format gives the same :class:`perwatt.results.traces.trace.Trace`; ``align`` finds where it lies on the
run's clock, ``attach`` turns it into energies of the run's windows, ``calibrate`` judges a sensor by it.
"""
