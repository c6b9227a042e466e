"""What ``perwatt --help`` and ``perwatt COMMAND --help`` say. Texts alone: nothing is imported for them."""

from __future__ import annotations

PERWATT = """\
perwatt: throughput per watt of AI-factory hardware.

  perwatt run suite=smoke            measure what is here: GPUs, or the CPU     (about a minute)
  perwatt report run=latest          the results of a run again, in any format
  perwatt merge run=RUN              what many nodes wrote made one: tables, and who is missing
  perwatt launch show launcher=slurm what would be started on each node; for launcher=k8s the manifest
  perwatt doctor                     what can be measured here, and how to enable the rest

  perwatt accept criteria=NAME       a run or a fleet held against criteria: PASS, FAIL, INCONCLUSIVE, MISSING
  perwatt baseline make out=FILE     criteria made of a fleet's own values, to be reviewed and used later
  perwatt dossier criteria=NAME      the same as a sealed folder to hand over, signed if you like; perwatt verify DIR
  perwatt compare runs=[A,B]         runs case by case: ratios with their intervals, BETTER, WORSE, SAME or AMBIGUOUS

  perwatt import file=FILE           what another tool measured, as a run: nccl-tests, mamf-finder, MLPerf, power

  perwatt meter list                 the power meters: what each says now, how well, and what reading it costs

  perwatt size preset=gefion         breakers, cooling, PUE, water of a site, from measured power or published facts

  perwatt kernels inspect            what the Triton kernels compile to, for GPUs that need not be here
  perwatt tune                       look for faster configurations of them on the GPU that is

  perwatt run --help                 suites, profiles, how to choose and change what is measured
  perwatt COMMAND --help             the same for the others
  perwatt --version

A run leaves a folder under results/runs/ with its configuration, environment, records (one JSON line a case),
telemetry (every sample) and report.html. The last line on stdout is one line of JSON.

exit codes: 0 done   1 a case failed, or a gate   2 the request was wrong   3 nothing could be measured   4 not decided
            130 interrupted
"""

RUN = """\
perwatt run [suite=NAME] [KEY=VALUE ...] [--dry-run]: measure, and leave a run folder.

what     suite=smoke        a minute: does everything work, roughly how fast       (the default)
         suite=quick        a wide sweep, 5 x 10 s a case
         suite=standard     5 x 60 s a case: throughput per watt that may be quoted
         suite=acceptance   what a delivered node must show; at most 4 hours
         suite=maf | taf    the best of 64 shapes, and ten fixed ones: scores to compare vendors by
         suite=triton       our own kernels beside the vendor's library
         suite=burnin duration=24h   round after round until so long was measured (90s, 30m); outputs checked again
         suite=power        what it draws: at rest, each pipe alone, memory, all at once, in a period
         suite=matmul | attention | memory | collectives      one kind of kernel, to be bent to your wish
         suite=step         a user's day: training, prefill and decoding on layers of published models
         suite=communication   algorithms asked for, symmetric memory, overlap with a product, experts' tokens
         only=matmul        only the cases that match (a pattern or a list: kernel, entry or 'kernel label')
         profile.recheck=1  after every window each output is compared with its fixed reference again, collectives by
                            all ranks in step; 1 in standard, acceptance and burnin
change   kernels.matmul.dtype=[fp32,bf16] kernels.matmul.m=[1024,4096]       a list is an axis
         kernels.matmul.init=zeros      profile=quick      stopping=stdrel stopping.max_noise=0.01
where    device=cpu | cuda | xpu       devices=first | all | [0,3]       launcher.ranks=4
nodes    launcher=slurm launcher.nodes=64 (a job of its own; or inside salloc --no-kill)
         launcher=ssh launcher.hosts='n[001-064]'   launcher=mpi launcher.hosts=[a,b]   each node alone first, in
         RUN/nodes/HOST; then collectives over those that passed, each leaf and rack of a topology=slurm | mine, and
         pairs (groups.pairs=false: none): RUN/groups.json, passing_nodes.txt, failing_nodes.txt, drain.sh.
         Clocks are compared, and all begin at once: clocks.limit_s, clocks.beyond=warn, clocks.start_wait_s=60
         remote=mine: PDUs and controllers that the leader reads, with the nodes behind each (--config-dir)
meters   meter=auto | none | rapl | nvml | ...      several side by side: meter=[nvml,redfish]      `perwatt meter list`
target   target=auto | h100_sxm | ...  datasheet peaks to lay the results beside
caps     sweep=power_cap allow_settings=true [sweep.caps_w=[300,400]]    every case at each power limit of its devices,
         put back however the run ends; needs the right to set it, and without allow_settings=true only says what it
         would do. Over several machines each node sets its own, and groups are measured at what was set before

--dry-run                        print the cases, how long they will take and what would be started; start nothing
perwatt run resume=RUN           finish a run that was interrupted or killed, with its own configuration
perwatt run --cfg job            print the composed configuration
perwatt run --multirun profile.window_s=0.5,2     several runs, in one folder under results/runs/
perwatt run --config-dir DIR     add your own YAML: DIR/suite/mine.yaml is then suite=mine
allow_failed=true                exit 0 although a case failed
Ctrl-C (or SIGTERM) stops after the current sample and reports what there is; a second Ctrl-C stops at once.
"""

REPORT = """\
perwatt report run=RUN [format=FORMAT]: show a run's results again.

run      a run folder, an id under results/runs, or latest
format   console (default), html (writes report.html into the run folder), markdown, csv, json
"""

MERGE = """\
perwatt merge run=RUN | runs=[A,B]: the records of all nodes of a fleet made one, in RUN/merged.

run      a run folder of several nodes, an id under results/runs, or latest
runs     the same fleet's folders from several allocations, merged into the first one's; of a case the latest counts,
         of a burn-in all rounds
meter    whose power is summed (the meter that most nodes have); power is of the first folder's nodes
step_s   over how many seconds power is averaged before it is summed (the slowest meter's period)

index.parquet     a row a record, with the file and the byte where it lies; of a burn-in (round) each, the newest (last)
                  counts in the other tables
cases.parquet     each test over all devices: count, median, MAD, percentiles, and the devices at both ends
devices.parquet   each device: cases measured, failed, skipped, missing
merged.json       MISSING hosts and devices and DAMAGED lines, which are also printed; neither stops the merge. And what
                  was read: `perwatt accept` asks to merge again where records are not those any more
device_power.parquet  each device's power: exact percentiles, and the greatest mean over any second
power.parquet     all devices' power together over time, on the leader's clock, with how many devices on how many nodes
                  are in it at each moment, and the least and the greatest node's. A node that was killed counts until
                  its last reading
power.json        its highest and mean, coincidence (highest sum over the sum of the highest), ramps over 0.1 to 60 s,
                  and who has no part in it and why: NO POWER lines say so too, and nobody counts as 0 W
report.html       of the run, made again: it draws the power of the fleet
remote.json       each meter that the leader read (remote=mine) beside its nodes: its delay at the start of the load, by
                  the one that `perwatt meter characterise` found, and whom it follows: METER lines say LATE, EARLY,
                  DOES NOT FOLLOW, FOLLOWS ANOTHER, UNDECIDED
start.json        when each node's first window began after the moment that all agreed on: START lines give the skew

Repeat it at will: the same records give the same files. In Python: perwatt.results.fleet.merge.load(RUN)
"""

LAUNCH = """\
perwatt launch show launcher=NAME [KEY=VALUE ...]: what `perwatt run` with the same keys would start, as lines of a
shell. Nothing is started; `perwatt run ... --dry-run` prints the cases and their time as well.

launcher=inline | torchrun                         the processes of this machine
launcher=slurm                                     in an allocation: srun; outside, with launcher.nodes=N: sbatch
launcher=ssh launcher.hosts='n[001-064]'           ClusterShell's clush, one ssh a host
launcher=mpi launcher.hosts=[a,b]                  mpirun; launcher.flavour=openmpi | mpich
launcher=k8s launcher.nodes=N launcher.image=IMAGE the documents for Kubernetes (1.33 or newer) and nothing else:
         perwatt launch show suite=acceptance launcher=k8s launcher.nodes=4 launcher.image=REGISTRY/IMAGE |
           kubectl apply -f -
         An indexed Job of one pod a node with its headless Service. Its first pod leads, over ssh, once the others
         answer. Before: a claim that all pods may write (launcher.claim) and a key (launcher.secret):
           ssh-keygen -t ed25519 -N '' -f id
           kubectl create secret generic perwatt-ssh --from-file=id --from-file=id.pub
         launcher.gpu=amd.com/gpu launcher.gpus=8 '+launcher.resources={rdma/ib: 1}' launcher.namespace=NAME
         +launcher.environment.NCCL_SOCKET_IFNAME=eth0 +launcher.node_selector.pool=gpu
config_dir=DIR                                     your own YAML: DIR/launcher/mine.yaml is then launcher=mine
"""

ACCEPT = """\
perwatt accept [run=RUN] criteria=NAME | criteria=FILE.yaml: hold a run, or a merged fleet, against criteria. Reads
records only, and needs no GPU.

run        a run folder, an id under results/runs, or latest; of several nodes after `perwatt merge`
criteria   a100 h100 h200 b200 mi300x mi355x: starting points from published measured values, to be made your own;
           health_nvidia health_amd: XIDs, ECC, remapped rows, links, RAS, wrong outputs; of any run, also suite=burnin
           burnin: no case slower at the end of a burn-in than at its beginning, from ten rounds on (metric rate_fall)
           fleet: any hardware against the rest of its own fleet; or a file (conf/criteria shows how they look)
before     an earlier run, or several as [A,B], the oldest first: what was tested again is judged by its newest values,
           the others by what they had; old and new verdicts and values side by side (again.csv, verdict.html)
topology   which hosts share a leaf or a rack (DIR/topology/mine.yaml, or a file), if the run itself was not told: then
           racks, switches and slots are compared, and told from devices that are bad
out        where verdict.json, devices.csv, findings.csv, summary.md and junit.xml go (RUN/accept)

Every device, node and group gets PASS, FAIL, INCONCLUSIVE (the uncertainty reaches over the limit, the window was not
valid, nothing was metered) or MISSING, with numbers, limit, source, the plausible cause and what to do next. What
is too good to be true fails. Of a burn-in the last round's rates count, the worst heat and health of all rounds, how
far its rates fell (rate_fall), and a case that failed in one has failed. Waivers are part of the criteria, and shown.

The verdicts of a run's own group tests count whatever the criteria speak of (criterion `group tests`, for waivers): a
node that was slow or failed with good partners is FAIL, a bad link is its pair's and no node's, what could not be
tested again is INCONCLUSIVE. In criteria, `same: [{name: versions, of: [driver, vbios, firmware, kernel, packages],
severity: fail}]` holds nodes of the same devices against what more than half of them run; the sets that ship only warn.

exit codes: 0 all passed   1 FAIL   2 the request was wrong   4 INCONCLUSIVE or MISSING, and no FAIL
"""

BASELINE = """\
perwatt baseline make [run=RUN] out=FILE.yaml: criteria made of a fleet's own values. Reads records only.

run        a run folder, an id under results/runs, or latest; of several nodes after `perwatt merge`
out        a new file: of each case the rate, work per joule and power (nodes: bus bandwidth) that good devices have,
           less what they differ by or what matters, with centre, spread and count

Review it, and use it: perwatt accept run=OTHER criteria=FILE.yaml. A fleet of fewer than 16 devices, or of which more
than 20 % are off, does not say what is usual and is refused; DIR/baseline/fleet.yaml with config_dir=DIR changes that.
"""

DOSSIER = """\
perwatt dossier [run=RUN] criteria=NAME | criteria=FILE.yaml [out=DIR]: an acceptance as one folder to hand over: the
verdict as a page, on paper and for programs, the criteria, and everything that was measured, sealed.

run, before, criteria, topology    as for `perwatt accept`, whose verdict and exit code it has
out             the folder, which must not exist (./RUN-dossier)
sign=KEY        sign it with a key of OpenSSH: ~/.ssh/id_ed25519, or the .pub of a key that an agent or a token holds
telemetry=false leave out every sample of every meter, which is most of its size; energies stay in the records
pdf=false       without report.pdf, which needs perwatt[sizing]

Nothing in it needs perwatt to be checked: SHA256SUMS is for `sha256sum -c`, its signature for `ssh-keygen -Y verify`.
README.txt in it says how.
"""

VERIFY = """\
perwatt verify DIR [signers=FILE]: whether a dossier is as it was sealed. A file or a record that was changed, removed
or added is named, records by their line.

signers    whose signatures count: ALLOWED SIGNERS of ssh-keygen(1), a line as `who@example.org ssh-ed25519 AAAA...`;
           with it, a dossier that nobody of them signed is broken. Without it, it is only told which key signed

exit codes: 0 whole   1 broken   2 the request was wrong
"""

COMPARE = """\
perwatt compare runs=[A,B,...] [KEY=VALUE ...]: runs against the first of them, case by case, like with like. Reads
records only, and needs no GPU.

runs         run folders, or ids under results/runs; the first is the reference, or reference=RUN
effect=1     the least effect that matters, in per cent (conf/compare/effects.yaml)
boundary     gpu, node_ac, ...: the only boundary to take energies at; else the nearest to the device that both have
run=RUN baseline=RUN | baseline=store     a regression: the run against a baseline of the same kind of machine, or the
             newest one in store=DIR; keep=true puts the run there, for this kind of machine (devices, processor; not
             host names). With three stored runs or more their scatter counts. What changed in software is told
fail_on=worse     exit 1 if anything is WORSE, 4 if something is AMBIGUOUS or a case of the baseline is not compared
export=pytest-benchmark     each run also in that tool's JSON, for `pytest-benchmark compare`
limit_kw=500 pue=1.2 rest_w=400     at a fixed power of the facility: how many units of which run at which power cap
             fit, and do the most work. Runs hold the same cases at several caps (each record the limit that was
             enforced in all its windows); pue: what the facility adds; rest_w: what each unit needs beside what was
             metered. One run is enough
prices=FILE.yaml  work per euro: currency, electricity (EUR/kWh), pue, at_work (part of the time), and systems: a list
             of device (pattern of its name), price, devices (that the price is of), lifetime (year), rest_w (W beside
             each device); every figure {mode: , min: , max: , unit: , kind: , source: }
across=boundary   energies at boundaries or of meter classes that differ: shown beside each other, without a ratio
out          where a new folder with report.html, comparison.json, ratios.csv, not_compared.csv, summary.md goes
             (results/comparisons); out=none: only what is printed

Cases are alike if kernel, shape, dtype, input data, ranks and cache agree; energies if boundary and meter class do.
What is not alike is not compared, and listed with what differs. Rates, power, energy per work and rate per watt come as
ratios with 95 % intervals: the scatter of the repetitions and the uncertainty of the meters, of which the gain cancels
where both runs were metered by the same instrument. BETTER or WORSE: by more than the least effect, the whole interval;
SAME: within it; else AMBIGUOUS.

exit codes: 0 compared   2 the request was wrong, or nothing could be compared   with fail_on=worse: 1 WORSE
            4 not decided
"""

DOCTOR = """\
perwatt doctor [--measure-peaks]: devices, meters and launchers found here, why each missing one is missing, and what
would enable it.

--measure-peaks   also measure what this CPU's registers can do (fused multiply-add, all cores): the limit that CPU
                  results are laid beside. Needs a C compiler; takes some seconds.
KEY=VALUE         as for `perwatt run`: doctor meter=rapl meter.rapl.root=/mnt/powercap
"""

IMPORT = """\
perwatt import file=FILE [format=FORMAT] [KEY=VALUE ...]: what another tool measured, as a run folder that `perwatt
report` and `perwatt accept` read. Its records say `source: imported`, with the file and line of each. What the file
does not say is absent; a line that cannot be read is told with its number, and the others are imported.

perwatt import file=all_reduce.txt                what nccl-tests or rccl-tests printed, out of place and in place
                                                  [kernel=all_reduce] [ranks=N]: only where the file does not say
perwatt import file=all_reduce.json               the JSON of nccl-tests -J; with -I 1 each iteration is a sample
perwatt import file=mm.out                        the report of mamf-finder [dtype=bf16]
perwatt import file=SYSTEM/resnet50/Offline/performance/run_1
                                                  a result of MLPerf inference (Offline, Server), with the power of
                                                  spl.txt over exactly the test [boundary=node_ac] [timezone=+02:00 if
                                                  PTDaemon ran by such a clock] [label=resnet50: elsewhere than in a
                                                  submission's folders]
perwatt import file=results-summary.jsonl         SuperBench: kernel is its benchmark, label its metric; in criteria
                                                  cases: "gemm-flops fp16_tc_flops"
perwatt import file=power.csv                     nvidia-smi --query-gpu=timestamp,index,power.draw --format=csv -l 1
perwatt import file=dmon.txt                      nvidia-smi dmon -o DT [timezone=Europe/Copenhagen]
perwatt import file=dcgmi.txt period_s=1          dcgmi dmon -e 155, which prints no times [start=2026-01-31T12:00:00Z]
perwatt import file=metrics.txt [period_s=30]     scrapes of dcgm-exporter one after another
perwatt import run=RUN file=spl.txt format=spec boundary=node_ac
                                                  a power log for a run of perwatt: `perwatt meter --help`

format   nccl, nccl_json, mamf, mlperf, superbench, smi, dcgm: told by what is in the file unless given
host     where the file names none: host=NAME
runs_dir where the folder goes (results/runs)

exit codes: 0 all read   1 a line could not be read, or a case had failed   2 wrong request   3 nothing could be read
"""

METER = """\
perwatt meter list|watch|characterise|import: the power meters.

list [format=json]        each configured meter: what it encloses, how often it is renewed, its class and accuracy, what
                          a reading costs, what it says now; or why it is missing and what would enable it
watch [seconds=N] [interval_s=1]      power now, least, mean and most, live; Ctrl-C ends it
characterise [quick=true] [reference=METER]
                          switch a load on this device and find the sensor's period, delay, rise, averaging, the part
                          of the time in which it looks, and counter against poll on steady load, steps and waves; of
                          a meter behind a network, how late it is. Kept for this board and used from then on (in
                          $PERWATT_METERS_DIR or ~/.config/perwatt/meters). With a better meter open beside it
                          (reference=modbus_power meter=[nvml,modbus_sdm630]) the sensor's gain is calibrated too
import run=RUN file=LOG format=spec|mlperf|csv boundary=node_ac [offset_s=S] [align=auto]
                          add a wall meter's own log to a run: PTDaemon's spl.txt, an MLPerf node log, or a CSV with
                          time and power_w; placed by the clocks, checked against the run's own power

KEY=VALUE chooses the meters as for `perwatt run`: meter=nvml, meter=[rapl,redfish], meter.rapl.root=/mnt/powercap
"""

KERNELS = """\
perwatt kernels inspect [target=NAME] [suite=triton] [KEY=VALUE ...]: compile Triton kernels for GPUs that need not be
here, and show registers, spills, shared memory, warps, occupancy, the instructions of the main loop and which floor
binds it: tensor cores, issue slots or memory. Needs perwatt[triton], and no GPU.

target=h100_sxm | mi300x | ...   for one target, with its memory floor
architecture=[sm_90,gfx942]      for architectures; all of them if neither is given (some minutes)
suite=NAME only=PATTERN          the cases, as for `perwatt run`; kernels.matmul.m=[4096,16384]: a list is an axis
config_dir=DIR                   tables of your own: DIR/triton/sm_90.yaml, DIR/tuned/h100_sxm.yaml
format=table | json              json: everything, every loop
jobs=N                           processes side by side; one a core unless given
"""

TUNE = """\
perwatt tune [suite=triton] [only=PATTERN] [KEY=VALUE ...]: look for faster configurations of the Triton kernels on the
GPU at hand, and write what was found to conf/tuned/TARGET.yaml. Without it the shipped tables hold; nothing is ever
tuned unasked.

only='matmul bf16*'              the cases, as for `perwatt run`; the configuration holds for exactly their shapes
objective=rate | per_watt        what is better: less time, or less energy (then windows are longer)
candidates=60                    the most that are tried for one case; each is checked against float64, then timed
out=DIR                          where tuned/TARGET.yaml goes (conf); use it by `perwatt run --config-dir DIR`
config_dir=DIR                   begin from tables of your own
"""

SIZE = """\
perwatt size system=NAME nodes=N site=NAME [run=RUN | trace=FILE] [KEY=VALUE ...]: from measured power to what an
electrical and a mechanical engineer need: power level by level, breakers, redundancy, cooling, the year's PUE and
water, transients, EU key figures, each with its band and what it rests on. Needs perwatt[sizing], and no GPU.

perwatt size preset=gefion | gigafactory | aarhus     whole cases on published facts: nothing measured, and marked so
perwatt size system=dgx_b200 nodes=64 site=copenhagen run=latest            power from a run of `perwatt run`
perwatt size system=sr780a_b200 nodes=64 trace=node_0.txt                   or from a trace: CSV, Parquet, MLPerf node
                                                                            logs, spl.txt, Prometheus
perwatt size limit_mw=20 site=copenhagen systems=[dgx_h100,dgx_b200]        the other way round: most work in 20 MW

system   dgx_a100 dgx_h100 dgx_h200 dgx_b200 dgx_b300 hgx_* gb200_nvl72 gb300_nvl72 mi300x_node mi355x_node gaudi3_node
         sr780a_b200; DIR/system/mine.yaml with --config-dir DIR adds one
site     copenhagen billund odum karup helsinki stockholm granada phoenix; site.climate=FILE.epw takes any other weather
class    size_class=midsize: losses and cooling of colocation and midsize halls beneath the site; else hyperscale's
fleet    fleet=[{system: dgx_h100, units: 100, mix: training}, {system: dgx_b200, units: 50, mix: inference}]
growth   phases=[{name: first, units: {dgx_h100: 64}}, {name: whole, units: {dgx_h100: 191}}]
change   site.electrical.ups_topology=2N site.electrical.ups_efficiency=0.96 site.cooling.plant=tower per_rack=2
         every figure may be one number (exact) or {mode: , min: , max: , unit: , source: }; changed in part and
         without a source of its own it is yours: "given", source "the request"
cap      cap_w=8000 of a unit: below its nameplate only if the trace or run shows that it was reached and held
trace    columns='{time: t_s, power: node_w, unit: t_s, start: 2026-01-31}'       what a table does not say itself
         gaps=leave_out takes one whose clock jumps ahead, by more than 3 readings and 5 s, and leaves that out
beside   compare_site=phoenix compare_changes='{cooling: {plant: tower}}'
draws    draws=10000 seed=0: every range at once; bands are 5 to 95 %. draws=0: the likeliest values alone
out      out=results/sizings: a new folder there with report.html, report.pdf, sizing.xlsx, sizing.json, lines.csv,
         inputs.csv, series.csv, flows.csv, beside.csv, eed.csv (the EU's form); out=null: only what is printed

exit codes: 0 sized   2 wrong request, or a site that cannot hold it: one line on stderr says what, or which level, by
how much, and the key to change (the report of such a site is written all the same)
"""
