"""The best epoch up to each epoch of a job, computed from the metrics of the epochs themselves.

A job's document has only the best epoch of all. Several epochs may have ended since the last look,
and the best before the latest of them is not recorded.
"""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fornada.db.answers import EpochAnswer, JobAnswer, Number


@dataclass(frozen=True)
class BestEpoch:
    """An epoch, and its value of the monitor."""

    epoch: int
    value: "Number"


class BestSoFar:
    """Follows the epochs of one job. Call it with the new epochs of each look, in order."""

    def __init__(self) -> None:
        # Each epoch that was better than all before it, with its value.
        self._improvements: list[tuple[int, float]] = []

    def __call__(
        self, job: "JobAnswer", epochs: "Iterable[EpochAnswer]"
    ) -> "Iterator[tuple[EpochAnswer, BestEpoch | None]]":
        """Each epoch with the best one up to it; None as long as no epoch has a finite value.

        Args:
            job: the document of the job, which names the monitor and its mode.
            epochs: the new epochs. After a new attempt, epochs that were trained again come again.
        """
        recorded = job["best"]
        for epoch in epochs:
            # An epoch that is trained again replaces itself and those after it.
            while self._improvements and self._improvements[-1][0] >= epoch["epoch"]:
                self._improvements.pop()
            value = epoch["metrics"].get(job["monitor"])
            if isinstance(value, int | float) and math.isfinite(value):
                sign = 1 if job["monitor_mode"] == "max" else -1
                if not self._improvements or sign * value > sign * self._improvements[-1][1]:
                    self._improvements.append((epoch["epoch"], value))
            best = BestEpoch(*self._improvements[-1]) if self._improvements else None
            if recorded and recorded["epoch"] <= epoch["epoch"]:
                # The best of all epochs is also the best of those up to this one. The record knows
                # more: an epoch whose weights are not finite is not the best, whatever its value.
                best = BestEpoch(recorded["epoch"], recorded["value"])
            yield epoch, best
