"""The same step on every rank: data-parallel training with its gradients synchronised, or replicas that serve at once.

Every rank has the whole of the layers and inputs of its own. Work, tokens and rates are those of all ranks together, as
their energy is; a footprint is that of one.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, ClassVar

from perwatt.kernels import data
from perwatt.kernels.collectives import agree
from perwatt.kernels.step import Step
from perwatt.kernels.step_operands import Operands, launcher
from perwatt.kernels.step_sync import KINDS, Sync, launches
from perwatt.kernels.workload import Check, Place, Prepared, Work, choice, rotation


@dataclass(frozen=True)
class StepParallel(Step):
    """A :class:`~perwatt.kernels.step.Step` on all ranks; ``sync`` says what becomes of the gradients."""

    name: ClassVar[str] = "step_parallel"
    collective: ClassVar[bool] = True

    sync: str = "all_reduce"

    def __post_init__(self) -> None:
        super().__post_init__()
        choice(self.name, "sync", self.sync, KINDS)
        if self.sync != "none" and self.mode != "train":
            raise ValueError(f"{self.name}.sync: {self.sync}, but {self.mode} has no gradients: none")

    def work(self, ranks: int = 1) -> Work:
        """That of all ranks; synchronised gradients and gathered parameters are once more read and written."""
        alone, parameters = super().work(ranks), self.load.parameters() * self.load.itemsize
        moved = {"none": 0, "all_reduce": 2 * parameters, "reduce_scatter": 2 * parameters + 2 * parameters // ranks}
        traffic = ranks * (alone.bytes + moved[self.sync])
        return dataclasses.replace(alone, flops=ranks * alone.flops, bytes=traffic, tokens=ranks * alone.tokens)

    def footprint_bytes(self, ranks: int = 1) -> int:
        """As of one device, and the share of the gradients."""
        shared = self.load.parameters() * self.load.itemsize // ranks if self.sync == "reduce_scatter" else 0
        return super().footprint_bytes(ranks) + shared

    def _words(self, size: str) -> str:
        return super()._words(size) + (f", {self.sync}" if self.sync != "none" else "")

    def prepare(self, place: Place) -> Prepared:
        """As on one device, on every rank; then compare synchronised gradients with the mean over ranks."""
        agree.require_group(place)
        check = agree.together(place, lambda: self.checked(place))
        # as many sets on every rank, or they would meet in different ones
        count = agree.least(rotation(self.footprint_bytes(place.ranks), place), place)
        maker = self.maker(place)
        sets = agree.together(place, lambda: [maker.operands(index) for index in range(count)])
        syncs: list[Sync] = []
        if self.sync == "none":
            calls: list[Any] = [launcher(ops) for ops in sets]
        else:
            syncs, calls = launches(self.sync, sets, place)
            # one after the other: a rank that finds the first wrong must not leave the others in the second
            agree.together(place, lambda: syncs[0].check_gradients(self.dtype))
            agree.together(place, syncs[0].check_gathered)
        agree.together(place, lambda: self._launched(sets, calls))
        notes = [*self.notes(maker, count, place), self._synchronised(place)]
        launch = data.keeping(data.rotating(calls), count)
        told = "; ".join(filter(None, notes))
        return Prepared(launch, self._with(check), count, told, verify=lambda: self._again(launch, syncs, place))

    def _again(self, launch: Any, syncs: list[Sync], place: Place) -> Check:
        """As on one device, on every rank; then the exchange on the first set, which is left as it was."""
        if not syncs:
            return agree.together(place, lambda: self.again(launch(), place))
        first = syncs[0]
        check = agree.together(place, lambda: self.again((first.launch(), *first.gradients), place))
        agree.together(place, lambda: first.check_gradients(self.dtype))
        agree.together(place, first.check_gathered)
        return self._with(check)

    def _launched(self, sets: list[Operands], calls: list[Any]) -> None:
        for ops, call in zip(sets, calls, strict=True):
            results = call()
            if self.sync != "none":
                results = (results, *(p.grad for p in ops.parameters()))
            self.require_right(results)

    def _with(self, check: Check) -> Check:
        if self.sync == "none":
            return check
        return dataclasses.replace(check, reference=f"{check.reference}; synchronised gradients, the mean over ranks")

    def _synchronised(self, place: Place) -> str:
        import torch.distributed as dist

        how = {
            "none": "replicas, nothing is exchanged",
            "all_reduce": "gradients all-reduced layer by layer during the backward pass",
            "reduce_scatter": "gradients reduce-scattered layer by layer during the backward pass, parameters gathered "
            "after it",
        }[self.sync]
        return f"{how}; over {dist.get_backend()}" + (
            "; a single rank: nothing is exchanged" if place.ranks == 1 else ""
        )
