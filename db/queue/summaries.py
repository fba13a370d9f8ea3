"""Last, smallest and largest value of each metric, kept up as epochs are recorded."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass

from sqlalchemy import Connection, bindparam, delete, select

from fornada.db.store.tables import Epoch, MetricSummary
from fornada.db.store.upsert import upsert

# (number, metrics); values are numbers, or the strings of `fornada.db.json_values`.
Recorded = tuple[int, Mapping[str, float | str]]


@dataclass
class Summary:
    """One metric over a job's epochs; of equal values the first counts."""

    last: float | None = None
    last_epoch: int = 0
    min: float | None = None
    min_epoch: int | None = None
    max: float | None = None
    max_epoch: int | None = None

    def take(self, epoch: int, value: float) -> None:
        """Count one more value; the same again changes nothing."""
        if epoch >= self.last_epoch:
            self.last, self.last_epoch = value, epoch
        if math.isnan(value):
            return
        if self.min is None or value < self.min:
            self.min, self.min_epoch = value, epoch
        if self.max is None or value > self.max:
            self.max, self.max_epoch = value, epoch


# Built once, as the statements of `fornada.db.queue.fences` are.
_COLUMNS = (MetricSummary.__table__.c[name] for name in ("name", *Summary.__dataclass_fields__))
_OF_JOB = select(*_COLUMNS).where(MetricSummary.job_id == bindparam("of_job"))


def add(connection: Connection, job_id: int, epochs: Iterable[Recorded]) -> None:
    """Count in some epochs, under a fence that holds."""
    summaries = _known(connection, job_id)
    for number, metrics in epochs:
        for name, value in metrics.items():
            summaries.setdefault(name, Summary()).take(number, float(value))
    rows = [{"job_id": job_id, "name": name} | asdict(one) for name, one in summaries.items()]
    upsert(connection, MetricSummary, rows, key=("job_id", "name"))


def rebuild(connection: Connection, job_id: int) -> None:
    """Count again what is left after epochs were deleted."""
    connection.execute(delete(MetricSummary).where(MetricSummary.job_id == job_id))
    left = select(Epoch.number, Epoch.metrics).where(Epoch.job_id == job_id).order_by(Epoch.number)
    add(connection, job_id, [(row.number, row.metrics) for row in connection.execute(left)])


def _known(connection: Connection, job_id: int) -> dict[str, Summary]:
    rows = connection.execute(_OF_JOB, {"of_job": job_id}).mappings()
    return {row["name"]: Summary(**{k: v for k, v in row.items() if k != "name"}) for row in rows}
