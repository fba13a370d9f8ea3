"""Keeps the last, smallest and largest value of each metric up to date as epochs are recorded."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass

from sqlalchemy import Connection, bindparam, delete, select

from fornada.db.store.tables import Epoch, MetricSummary
from fornada.db.store.upsert import upsert

# (epoch number, metrics). A value is a number or one of the strings of `fornada.db.json_values`.
Recorded = tuple[int, Mapping[str, float | str]]


@dataclass
class Summary:
    """Summary of one metric over a job's epochs. Among equal values the first epoch counts."""

    last: float | None = None
    last_epoch: int = 0
    min: float | None = None
    min_epoch: int | None = None
    max: float | None = None
    max_epoch: int | None = None

    def take(self, epoch: int, value: float) -> None:
        """Add the value of one epoch. Adding the same value again changes nothing."""
        if epoch >= self.last_epoch:
            self.last, self.last_epoch = value, epoch
        if math.isnan(value):
            return
        if self.min is None or value < self.min:
            self.min, self.min_epoch = value, epoch
        if self.max is None or value > self.max:
            self.max, self.max_epoch = value, epoch


# Built only once: see `fornada.db.queue.fences`.
_COLUMNS = (MetricSummary.c[name] for name in ("name", *Summary.__dataclass_fields__))
_SUMMARIES = select(*_COLUMNS).where(MetricSummary.c.job_id == bindparam("of_job"))


def add(connection: Connection, job_id: int, epochs: Iterable[Recorded]) -> None:
    """Add epochs to a job's summaries. The caller has checked the fence."""
    summaries = _stored(connection, job_id)
    for number, metrics in epochs:
        for name, value in metrics.items():
            summaries.setdefault(name, Summary()).take(number, float(value))
    rows = [
        {"job_id": job_id, "name": name} | asdict(summary) for name, summary in summaries.items()
    ]
    upsert(connection, MetricSummary, rows, key=("job_id", "name"))


def rebuild(connection: Connection, job_id: int) -> None:
    """Compute a job's summaries again from its epochs, after epochs were deleted."""
    connection.execute(delete(MetricSummary).where(MetricSummary.c.job_id == job_id))
    left = (
        select(Epoch.c.number, Epoch.c.metrics)
        .where(Epoch.c.job_id == job_id)
        .order_by(Epoch.c.number)
    )
    add(connection, job_id, [(row.number, row.metrics) for row in connection.execute(left)])


def _stored(connection: Connection, job_id: int) -> dict[str, Summary]:
    """The summaries in the database, by metric."""
    rows = connection.execute(_SUMMARIES, {"of_job": job_id}).mappings()
    return {row["name"]: Summary(**{k: v for k, v in row.items() if k != "name"}) for row in rows}
