"""Which rank of how many a process is: every launcher tells it in variables of its own, torch reads torchrun's."""

from __future__ import annotations

from collections.abc import MutableMapping

# rank, ranks, rank on this host: Slurm, Open MPI, and MPICH with its kin (Intel MPI, MVAPICH)
_VARIABLES = (
    ("SLURM_PROCID", "SLURM_NTASKS", "SLURM_LOCALID"),
    ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_LOCAL_RANK"),
    ("PMI_RANK", "PMI_SIZE", "MPI_LOCALRANKID"),
)


def adopt(environment: MutableMapping[str, str]) -> None:
    """Set RANK, WORLD_SIZE and LOCAL_RANK from what the launcher told, unless they are there.

    Raises ValueError where no launcher that is known told it.
    """
    if "RANK" in environment:
        return
    for rank, ranks, local in _VARIABLES:
        if {rank, ranks, local} <= environment.keys():
            told = environment[rank], environment[ranks], environment[local]
            environment["RANK"], environment["WORLD_SIZE"], environment["LOCAL_RANK"] = told
            return
    known = ", ".join(["RANK", *(rank for rank, _, _ in _VARIABLES)])
    raise ValueError(f"no launcher told this process which rank it is: none of {known} is set")
