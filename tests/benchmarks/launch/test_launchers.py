"""What each launcher would start: pure command lines, as their man pages have the options."""

from __future__ import annotations

from pathlib import Path

import pytest

from perwatt.benchmarks.launch.identity import adopt
from perwatt.benchmarks.launch.job import Job, Launcher
from perwatt.benchmarks.launch.mpi import Mpi
from perwatt.benchmarks.launch.slurm import Slurm
from perwatt.benchmarks.launch.ssh import Ssh
from perwatt.results.fleet.nodesets import expand

MAX_ARG_STRLEN = 32 * 4096  # Linux: bytes of one argument, include/uapi/linux/binfmts.h
HOSTS = ("n1", "n2", "n7")
LOGS = Path("/runs/a/logs")


def group(ranks: int = 24) -> Job:
    return Job(ranks, LOGS, {"PERWATT_CHANNEL": "/runs/a/s"}, "/env/python", HOSTS, 23456)


def alone() -> Job:
    return Job(3, LOGS, {}, "/env/python", HOSTS, group=False, module="some.node", arguments=("/runs/a b",))


def test_slurm_spreads_a_group_in_blocks_over_the_nodes_that_are_named() -> None:
    command = Slurm(step_options=["--gres=gpu:8"]).command(group())
    assert command.argv[0] == "srun"
    assert {"--nodes=3", "--ntasks=24", "--ntasks-per-node=8", "--nodelist=n1,n2,n7"} <= set(command.argv)
    assert command.argv[-4:] == ["--gres=gpu:8", "/env/python", "-m", "perwatt.benchmarks.worker"]
    assert command.environment == {"PERWATT_CHANNEL": "/runs/a/s", "MASTER_ADDR": "n1", "MASTER_PORT": "23456"}
    assert command.logs[23] == "/runs/a/logs/23.log"


def test_a_node_that_dies_does_not_end_the_others_step() -> None:
    assert {"--no-kill", "--kill-on-bad-exit=0", "--overlap"} <= set(Slurm().command(alone()).argv)


@pytest.mark.parametrize("launcher", [Slurm(), Ssh(hosts="n[1-2,7]"), Mpi(hosts=HOSTS)])
def test_alone_is_one_process_a_host_without_a_group(launcher: Launcher) -> None:
    command = launcher.command(alone())
    text = " ".join(command.argv)
    assert "some.node" in text
    assert "torch.distributed.run" not in text
    assert "MASTER_ADDR" not in command.environment


def test_ssh_numbers_the_hosts_in_the_order_in_which_they_are_given_to_clush() -> None:
    launcher = Ssh(hosts=["n7", "n[1-2]"], options=["-F", "my config"])
    assert launcher.hosts() == HOSTS
    command = launcher.command(group())
    assert command.argv[:3] == ["/env/python", "-m", "ClusterShell.CLI.Clush"]
    assert command.argv[command.argv.index("-w") + 1] == "n1,n2,n7"
    assert command.argv[command.argv.index("-f") + 1] == "3"  # all at once: they wait for each other
    remote = command.argv[-1]
    assert remote.startswith("ssh ")
    assert "'my config'" in remote
    assert "--node-rank=%rank" in remote
    assert "--nnodes=3" in remote
    assert "--nproc-per-node=8" in remote
    assert "--master-addr=n1" in remote
    assert "PERWATT_HOST=%host" in remote
    assert command.logs[9] == "/runs/a/logs/1/*/attempt_*/1/std*.log"


@pytest.mark.parametrize("launcher", [Slurm(), Ssh("x")])
def test_so_many_hosts_that_no_argument_would_hold_them_are_folded(launcher: Launcher) -> None:
    hosts = tuple(f"accelerated-compute-node-of-ours-{i:04}" for i in range(4000))
    assert len(",".join(hosts)) > MAX_ARG_STRLEN
    argv = launcher.command(Job(4000, Path("logs"), hosts=hosts, group=False)).argv
    assert max(map(len, argv)) < MAX_ARG_STRLEN
    (folded,) = [a.removeprefix("--nodelist=") for a in argv if a.removeprefix("--nodelist=").startswith("accelerated")]
    assert expand(folded) == hosts


def test_mpi_speaks_the_options_of_either_kind() -> None:
    openmpi, mpich = Mpi(hosts=HOSTS).command(group()), Mpi(hosts=HOSTS, flavour="mpich").command(group())
    assert openmpi.argv[openmpi.argv.index("--host") + 1] == "n1:8,n2:8,n7:8"
    assert "ppr:8:node" in openmpi.argv
    exported = [openmpi.argv[i + 1] for i, part in enumerate(openmpi.argv) if part == "-x"]
    assert exported == ["PERWATT_CHANNEL", "MASTER_ADDR", "MASTER_PORT"]
    assert mpich.argv[mpich.argv.index("-ppn") + 1] == "8"
    assert mpich.argv[mpich.argv.index("-hosts") + 1] == "n1,n2,n7"


@pytest.mark.parametrize("launcher", [Slurm(), Ssh(hosts="n[1-2,7]"), Mpi(hosts=HOSTS)])
def test_ranks_that_do_not_divide_are_refused(launcher: Launcher) -> None:
    with pytest.raises(ValueError, match=r"launcher\.ranks: 23 cannot be spread evenly over 3 hosts"):
        launcher.command(group(23))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Slurm(nodes=0), r"launcher\.nodes: 0 is not a positive"),
        (lambda: Slurm(options="--exclusive"), r"launcher\.options: '--exclusive' is not a list"),
        (lambda: Slurm(step_options=["gres=gpu:8"]), r"launcher\.step_options: .* each with its dash"),
        (lambda: Ssh(hosts="n[1-").hosts(), r"launcher\.hosts: 'n\[1-'"),
        (lambda: Ssh().hosts(), r"launcher\.hosts: found none"),
        (lambda: Mpi(hosts="n1").hosts(), r"launcher\.hosts: found 'n1'"),
        (lambda: Mpi().hosts(), r"launcher\.hosts: found none"),
        (lambda: Mpi(hosts=["n1"], flavour="lam"), r"launcher\.flavour: found 'lam'; allowed openmpi, mpich"),
        (lambda: Slurm().submission(["perwatt"], LOGS), r"launcher\.nodes: found null outside an allocation"),
    ],
)
def test_a_wrong_launcher_is_refused_by_key(make: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()  # type: ignore[operator]


def test_a_submission_asks_for_whole_nodes_and_a_signal_before_the_limit() -> None:
    argv = Slurm(nodes=64, partition="gpu", time="2:00:00", options=["--qos=high"]).submission(
        ["/env/python", "-m", "perwatt", "run", "resume=/runs/a b"], Path("/runs/a b/slurm.log")
    )
    assert {"sbatch", "--parsable", "--nodes=64", "--exclusive", "--partition=gpu", "--time=2:00:00"} <= set(argv)
    assert {"--signal=B:TERM@60", "--no-kill", "--qos=high", "--output=/runs/a b/slurm.log"} <= set(argv)
    assert argv[-1] == "--wrap=exec /env/python -m perwatt run 'resume=/runs/a b'"


@pytest.mark.parametrize(
    "told",
    [
        {"SLURM_PROCID": "9", "SLURM_NTASKS": "24", "SLURM_LOCALID": "1"},
        {"OMPI_COMM_WORLD_RANK": "9", "OMPI_COMM_WORLD_SIZE": "24", "OMPI_COMM_WORLD_LOCAL_RANK": "1"},
        {"PMI_RANK": "9", "PMI_SIZE": "24", "MPI_LOCALRANKID": "1"},
    ],
)
def test_a_rank_learns_who_it_is_from_any_launcher(told: dict[str, str]) -> None:
    environment = dict(told)
    adopt(environment)
    assert (environment["RANK"], environment["WORLD_SIZE"], environment["LOCAL_RANK"]) == ("9", "24", "1")


def test_torchruns_own_word_goes_before_that_of_the_batch_system_round_it() -> None:
    environment = {"RANK": "0", "SLURM_PROCID": "9", "SLURM_NTASKS": "24", "SLURM_LOCALID": "1"}
    adopt(environment)
    assert environment["RANK"] == "0"
    assert "WORLD_SIZE" not in environment


def test_a_process_that_nobody_told_is_refused() -> None:
    with pytest.raises(ValueError, match="no launcher told this process which rank it is"):
        adopt({})
