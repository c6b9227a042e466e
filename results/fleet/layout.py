"""Where things lie in the run folder of a fleet: agreed between who writes them and who reads them.

RUN/fleet.json       what was asked for: ``hosts``, in order, and where it is known how many ``devices`` each has
RUN/topology.json    where it is known: ``levels`` (rack, leaf, ...), of each the groups, of each its hosts
RUN/nodes/HOST/      what each node measured alone, an ordinary run folder
RUN/nodes/HOST/clock.json   how its clock lay beside the leader's, before, during and after its run
RUN/nodes/HOST/start.json   when its load was to begin by what all nodes agreed on
RUN/nodes/HOST/alive.json   its last sign of life, with both of its clocks
RUN/.try-*           while nodes measure: that this try of their leader goes on
RUN/remote/          meters that the leader read: meters.json, and their telemetry on the leader's clock in ns of UTC
RUN/screening.json   by host: ``status`` (passed, failed, missing), the ``reason`` why it did not pass, and ``by`` what:
                     its machine, its records or its clock
RUN/records.jsonl    what groups of nodes measured
RUN/groups.json      the links between nodes: rates, what is normal, suspects, verdicts; and failed groups, halved
RUN/merged/          all of it made one: derived, and made again at will
RUN/passing_nodes.txt, failing_nodes.txt, drain.sh, inventory.*   once all is tested: what operators use next
"""

from __future__ import annotations

FLEET, NODES, SCREENING, GROUPS, MERGED = "fleet.json", "nodes", "screening.json", "groups.json", "merged"
BY = "what a run of several nodes writes"  # they hold
TOPOLOGY = "topology.json"
CLOCK, START, ALIVE = "clock.json", "start.json", "alive.json"
REMOTE, METERS = "remote", "meters.json"
COPY = ".copy"  # of a node's folder, beside it
