"""The indexes of the tables.

Only migrations import this module. A query does not need it, and SQLAlchemy imports both databases'
dialects for conditions of an index, which would take each command 40 ms.
"""

from typing import Any

from sqlalchemy import ColumnElement, Index, text

from fornada.db.store.tables import METADATA, Event, Job, JobTag, LogChunk, MetricSummary

# Must be the same expression as `fornada.db.queue.fences.queued`, which says why it is so odd.
_IS_QUEUED = "coalesce(state, '') = 'queued'"


def _partial(name: str, *columns: ColumnElement[Any], where: str) -> None:
    """An index of those rows that match a condition."""
    Index(name, *columns, postgresql_where=text(where), sqlite_where=text(where))


_job, _summary = Job.c, MetricSummary.c

# For the claim: it reads the best jobs of each queue and each value of `gpus`, and no other job,
# however many wait.
_partial(
    "job_kind",
    *(_job.queue, _job.gpus, _job.priority.desc(), _job.id),
    where=f"{_IS_QUEUED} AND not_before IS NULL",
)
# Also for the claim: queued jobs by the time at which they may start.
_partial("job_time", _job.queue, _job.not_before, where=f"{_IS_QUEUED} AND not_before IS NOT NULL")
# For readers: all queued jobs in the order in which they will be claimed. Every row of this index
# has the same `state`. The column is there because without it SQLite would use job_state, and sort.
_partial("job_claim", _job.state, _job.priority.desc(), _job.id, where="state = 'queued'")
# For pages of history. Where the index ends with the id, its rows are already in the order of the
# page. job_state also finds the running jobs. No index contains lease_until, so a heartbeat changes
# no index.
Index("job_state", _job.state, _job.id)
Index("job_name", _job.name, _job.id)
Index("job_duration", _job.duration_s, _job.id)
Index("job_submitted", _job.submitted_at)
# No two jobs have the same key.
Index("job_key", _job.key, unique=True)
# Succeeded jobs by spec. It contains the state for the same reason as job_claim.
_partial("job_spec_hash", _job.spec_hash, _job.state, _job.id, where="state = 'succeeded'")

_tag, _event = JobTag.c, Event.c
Index("job_tag_value", _tag.name, _tag.value, _tag.job_id)
Index("metric_summary_min", _summary.name, _summary.min, _summary.job_id)
Index("metric_summary_max", _summary.name, _summary.max, _summary.job_id)
Index("event_job", _event.job_id, _event.id)
# Each round of upkeep looks for old chunks.
Index("log_chunk_at", LogChunk.c.at)

# Tables and indexes: the whole schema.
SCHEMA = METADATA
