"""Guards, and why an attempt began anew.

The database itself refuses what only a worker may say, and what no row may be.

On PostgreSQL, triggers check the statements of logins that are neither the owner's nor a worker's.
What clients of earlier versions do passes them. On SQLite everybody who can write owns the file, so
only values that would mislead a worker are refused.
"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

# Whether a login may say what a worker says. `session_user` stays the same after SET ROLE.
_TRUSTED = """
CREATE FUNCTION fornada_trusted(relation oid) RETURNS boolean
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT pg_has_role(session_user, relowner, 'MEMBER')
        OR EXISTS (
            SELECT FROM pg_roles
            WHERE rolname = 'fornada_worker' AND pg_has_role(session_user, oid, 'MEMBER')
        )
    FROM pg_class WHERE oid = relation
$$
"""

# Whether a login is one that people share, so that it does not say who somebody is.
_SHARED = """
CREATE FUNCTION fornada_shared_login() RETURNS boolean
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT session_user IN ('fornada_client', 'fornada_worker', 'fornada_owner')
$$
"""

# Who does something, as it is recorded: the login of a person and the host that the client states.
# "job 41" says that the end of job 41 in this transaction did it.
_ACTOR = """
CREATE FUNCTION fornada_actor(stated text) RETURNS text
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    ended text := substring(stated from '^job ([0-9]{1,18})$');
BEGIN
    IF octet_length(stated) > 2000 OR stated ~ '[[:cntrl:]]' THEN
        RAISE check_violation USING MESSAGE = 'who does something is one line of 2,000 bytes';
    END IF;
    IF ended IS NOT NULL AND EXISTS (
        SELECT FROM job WHERE id = ended::bigint AND finished_at = now()
    ) THEN
        RETURN stated;
    END IF;
    IF stated IS NULL OR (fornada_shared_login() AND ended IS NULL) THEN
        RETURN stated;
    END IF;
    RETURN session_user || coalesce(substring(stated from '@[^@]*$'), '');
END
$$
"""

# Whether a JSON document can be read by every function of PostgreSQL and by Python.
_READABLE = """
CREATE FUNCTION fornada_readable(document json, longest integer) RETURNS boolean
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT document IS NULL OR (
        json_typeof(document) = 'object'
        AND octet_length(document::text) <= longest
        AND position('\\u0000' IN document::text) = 0
        AND document::text !~ '[0-9]{200}'
        AND document::text !~ '(\\[[^]]*){64}'
    )
$$
"""

# A uid names a folder, so it is a UUID, with or without dashes. A running job without a lease would
# run forever. Written as a trigger, because a CHECK would have to read all rows, or make SQLAlchemy
# 2.1 fail when it reflects a constraint that is NOT VALID.
_ANY_JOB = """
CREATE FUNCTION fornada_check_any_job() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF (TG_OP = 'INSERT' OR NEW.uid <> OLD.uid) AND NEW.uid !~ '^[0-9a-f-]{32,36}$' THEN
        RAISE check_violation USING MESSAGE = 'the uid of a job is a UUID';
    END IF;
    IF NEW.state = 'running' AND NEW.lease_until IS NULL THEN
        RAISE check_violation USING MESSAGE = 'a running job has a lease';
    END IF;
    RETURN NEW;
END
$$
"""

_INSERT_JOB = """
CREATE FUNCTION fornada_check_new_job() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    IF fornada_trusted(TG_RELID) THEN
        RETURN NEW;
    END IF;
    -- Nothing has happened to a new job.
    NEW.attempt := 0;
    NEW.tries := 0;
    NEW.resume_after := 0;
    NEW.epochs_run := 0;
    NEW.submitted_at := now();
    IF NOT fornada_shared_login() THEN
        NEW."user" := session_user;
    END IF;
    IF NEW.state NOT IN ('queued', 'held') THEN
        RAISE insufficient_privilege USING MESSAGE = 'a new job is queued or held';
    END IF;
    IF NOT fornada_readable(NEW.spec, 1048576) THEN
        RAISE check_violation USING MESSAGE = 'spec is a plain JSON object of at most 1 MiB';
    END IF;
    IF NEW.priority NOT BETWEEN -1000000 AND 1000000 THEN
        RAISE check_violation USING MESSAGE = 'priority is from -1,000,000 to 1,000,000';
    END IF;
    NEW.held_by := fornada_actor(NEW.held_by);
    IF NEW.gpus NOT IN ('auto', '0', '1') OR NEW.monitor_mode NOT IN ('min', 'max') THEN
        RAISE check_violation USING MESSAGE = 'gpus or monitor_mode has an unknown value';
    END IF;
    IF NEW.retry_attempts NOT BETWEEN 1 AND 100 THEN
        RAISE check_violation USING MESSAGE = 'retry_attempts is from 1 to 100';
    END IF;
    IF NOT coalesce(NEW.time_limit_s > 0 AND NEW.time_limit_s < 'infinity', true) THEN
        RAISE check_violation USING MESSAGE = 'time_limit_s is above 0 and finite';
    END IF;
    IF NOT coalesce(NEW.not_before < now() + interval '100 years', true)
        OR NOT coalesce(NEW.not_before > now() - interval '100 years', true)
    THEN
        RAISE check_violation USING MESSAGE = 'not_before is more than 100 years away';
    END IF;
    IF greatest(
        octet_length(NEW.name), octet_length(NEW.key), octet_length(NEW.queue),
        octet_length(NEW."user"), octet_length(NEW.held_by), octet_length(NEW.spec_hash),
        octet_length(NEW.monitor)
    ) > 2000 THEN
        RAISE check_violation USING MESSAGE = 'a text of the job is longer than 2,000 bytes';
    END IF;
    RETURN NEW;
END
$$
"""

_UPDATE_JOB = """
CREATE FUNCTION fornada_check_changed_job() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    -- What a client may change, by the state of the job before.
    cancel constant text[] := ARRAY[
        'cancel_requested_at', 'cancel_requested_by', 'cancel_reason', 'cancel_grace_s'
    ];
    waiting constant text[] := cancel || ARRAY[
        'state', 'held_by', 'queue', 'priority', 'finished_at', 'stop_reason'
    ];
    retried constant text[] := waiting || ARRAY[
        'tries', 'resume_after', 'failure_code', 'failure_message', 'not_before', 'avoid_host',
        'started_at', 'duration_s', 'worker', 'slot'
    ];
    changeable text[];
    next_states text[];
BEGIN
    IF fornada_trusted(TG_RELID) OR OLD *= NEW THEN
        RETURN NEW;
    END IF;
    CASE OLD.state
        WHEN 'running' THEN
            changeable := cancel;
            next_states := ARRAY['running'];
        WHEN 'queued', 'held' THEN
            changeable := waiting;
            next_states := ARRAY['queued', 'held', 'cancelled'];
        WHEN 'failed', 'cancelled' THEN
            changeable := retried;
            next_states := ARRAY['queued'];
        ELSE
            changeable := ARRAY[]::text[];
            next_states := ARRAY[OLD.state];
    END CASE;
    IF NEW.state <> ALL (next_states)
        OR (to_jsonb(NEW) - changeable) <> (to_jsonb(OLD) - changeable)
    THEN
        RAISE insufficient_privilege USING MESSAGE = format(
            'only a worker may make this change of a job that is %s', OLD.state
        );
    END IF;
    IF OLD.state IN ('failed', 'cancelled') AND (
        NEW.tries <> 0
        OR NEW.resume_after NOT IN (OLD.resume_after, OLD.attempt)
        -- A retried job looks as if it had never ended.
        OR num_nonnulls(
            NEW.failure_code, NEW.failure_message, NEW.stop_reason, NEW.not_before,
            NEW.avoid_host, NEW.started_at, NEW.finished_at, NEW.duration_s, NEW.worker, NEW.slot,
            NEW.cancel_requested_at, NEW.cancel_requested_by, NEW.cancel_reason, NEW.cancel_grace_s
        ) > 0
    ) THEN
        RAISE insufficient_privilege USING MESSAGE = 'a retry clears what the last attempt left';
    END IF;
    -- What happens now has the time of now, and a request to stop cannot be taken back.
    IF coalesce(NEW.finished_at, now()) NOT IN (now(), coalesce(OLD.finished_at, now()))
        OR coalesce(NEW.cancel_requested_at, now())
            NOT IN (now(), coalesce(OLD.cancel_requested_at, now()))
        OR (OLD.state = 'running' AND OLD.cancel_requested_at IS NOT NULL
            AND NEW.cancel_requested_at IS DISTINCT FROM OLD.cancel_requested_at)
    THEN
        RAISE insufficient_privilege USING MESSAGE = 'a job is stopped once, now';
    END IF;
    IF coalesce(NEW.stop_reason, 'cancelled') <> 'cancelled'
        AND NEW.stop_reason IS DISTINCT FROM OLD.stop_reason
    THEN
        RAISE insufficient_privilege USING MESSAGE = 'only a worker says why training stopped';
    END IF;
    IF NEW.priority NOT BETWEEN -1000000 AND 1000000 AND NEW.priority <> OLD.priority THEN
        RAISE check_violation USING MESSAGE = 'priority is from -1,000,000 to 1,000,000';
    END IF;
    IF octet_length(NEW.queue) > 2000 OR octet_length(NEW.cancel_reason) > 4000 THEN
        RAISE check_violation USING MESSAGE = 'a text of the job is too long';
    END IF;
    IF NEW.held_by IS DISTINCT FROM OLD.held_by THEN
        NEW.held_by := fornada_actor(NEW.held_by);
    END IF;
    IF NEW.cancel_requested_by IS DISTINCT FROM OLD.cancel_requested_by THEN
        NEW.cancel_requested_by := fornada_actor(NEW.cancel_requested_by);
    END IF;
    IF NOT coalesce(NEW.cancel_grace_s >= 0 AND NEW.cancel_grace_s < 'infinity', true) THEN
        RAISE check_violation USING MESSAGE = 'cancel_grace_s is 0 or more, and finite';
    END IF;
    RETURN NEW;
END
$$
"""

# Runs at the end of the transaction: our own code writes the event after the change.
_MOVE_HAS_EVENT = """
CREATE FUNCTION fornada_require_event() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    IF NOT fornada_trusted(TG_RELID)
        AND NOT EXISTS (SELECT FROM event WHERE job_id = NEW.id AND at = now())
    THEN
        RAISE insufficient_privilege USING MESSAGE =
            'a job changes its state or its place only with an event in the same transaction';
    END IF;
    RETURN NULL;
END
$$
"""

_INSERT_EVENT = """
CREATE FUNCTION fornada_check_event() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    IF fornada_trusted(TG_RELID) THEN
        RETURN NEW;
    END IF;
    IF NEW.kind NOT IN (
        'submitted', 'held', 'released', 'moved', 'retried', 'cancel_requested', 'cancelled'
    ) THEN
        RAISE insufficient_privilege USING MESSAGE = format('only a worker may say: %s', NEW.kind);
    END IF;
    IF NOT fornada_readable(NEW.detail, 65536) THEN
        RAISE check_violation USING MESSAGE = 'detail is a plain JSON object of at most 64 KiB';
    END IF;
    NEW.at := now();
    NEW.actor := fornada_actor(NEW.actor);
    RETURN NEW;
END
$$
"""

# Tags and dependencies are part of a submission; a retry removes the dependencies that failed.
_OF_NEW_JOB = """
CREATE FUNCTION fornada_check_part_of_job() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    found record;
BEGIN
    IF fornada_trusted(TG_RELID) THEN
        RETURN coalesce(NEW, OLD);
    END IF;
    IF TG_OP = 'DELETE' THEN
        SELECT state INTO found FROM job WHERE id = OLD.job_id;
        IF found.state NOT IN ('failed', 'cancelled') THEN
            RAISE insufficient_privilege USING MESSAGE =
                'the dependencies of a waiting job cannot be removed';
        END IF;
        RETURN OLD;
    END IF;
    SELECT submitted_at INTO found FROM job WHERE id = NEW.job_id;
    IF found.submitted_at IS DISTINCT FROM now() THEN
        RAISE insufficient_privilege USING MESSAGE =
            'tags and dependencies are given when a job is submitted';
    END IF;
    IF octet_length(to_jsonb(NEW)::text) > 4000 THEN
        RAISE check_violation USING MESSAGE = 'a tag is longer than 2,000 bytes';
    END IF;
    RETURN NEW;
END
$$
"""

_QUEUE = """
CREATE FUNCTION fornada_check_queue() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    IF fornada_trusted(TG_RELID) THEN
        RETURN NEW;
    END IF;
    IF octet_length(NEW.name) > 2000 OR NEW.name ~ '[[:cntrl:]]' OR NEW.max_running < 0 THEN
        RAISE check_violation USING MESSAGE = 'a queue has a name of one line, and a limit from 0';
    END IF;
    NEW.changed_at := now();
    NEW.changed_by := fornada_actor(NEW.changed_by);
    RETURN NEW;
END
$$
"""

# Clients may only ask a worker to drain.
_WORKER = """
CREATE FUNCTION fornada_check_worker() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    IF fornada_trusted(TG_RELID) THEN
        RETURN NEW;
    END IF;
    NEW.drain_requested_at := now();
    NEW.drain_requested_by := fornada_actor(NEW.drain_requested_by);
    RETURN NEW;
END
$$
"""

_TRIGGERS = (
    # PostgreSQL runs the triggers of a table in the order of their names.
    "CREATE TRIGGER any_job BEFORE INSERT OR UPDATE OF uid, state, lease_until ON job "
    "FOR EACH ROW EXECUTE FUNCTION fornada_check_any_job()",
    "CREATE TRIGGER new_job BEFORE INSERT ON job "
    "FOR EACH ROW EXECUTE FUNCTION fornada_check_new_job()",
    "CREATE TRIGGER changed_job BEFORE UPDATE ON job "
    "FOR EACH ROW EXECUTE FUNCTION fornada_check_changed_job()",
    "CREATE CONSTRAINT TRIGGER move_has_event "
    "AFTER INSERT OR UPDATE OF state, queue, priority, cancel_requested_at ON job "
    "DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION fornada_require_event()",
    "CREATE TRIGGER new_event BEFORE INSERT ON event "
    "FOR EACH ROW EXECUTE FUNCTION fornada_check_event()",
    "CREATE TRIGGER part_of_job BEFORE INSERT ON job_tag "
    "FOR EACH ROW EXECUTE FUNCTION fornada_check_part_of_job()",
    "CREATE TRIGGER part_of_job BEFORE INSERT OR DELETE ON dependency "
    "FOR EACH ROW EXECUTE FUNCTION fornada_check_part_of_job()",
    "CREATE TRIGGER changed_queue BEFORE INSERT OR UPDATE ON queue "
    "FOR EACH ROW EXECUTE FUNCTION fornada_check_queue()",
    "CREATE TRIGGER changed_worker BEFORE UPDATE ON worker "
    "FOR EACH ROW EXECUTE FUNCTION fornada_check_worker()",
)
_FUNCTIONS = {
    "fornada_trusted": _TRUSTED,
    "fornada_shared_login": _SHARED,
    "fornada_actor": _ACTOR,
    "fornada_readable": _READABLE,
    "fornada_check_queue": _QUEUE,
    "fornada_check_worker": _WORKER,
    "fornada_check_any_job": _ANY_JOB,
    "fornada_check_new_job": _INSERT_JOB,
    "fornada_check_changed_job": _UPDATE_JOB,
    "fornada_require_event": _MOVE_HAS_EVENT,
    "fornada_check_event": _INSERT_EVENT,
    "fornada_check_part_of_job": _OF_NEW_JOB,
}
# By the name of the trigger: the columns that it looks at, and what it refuses.
_SQLITE = {
    "job_uid": ("uid", "length(NEW.uid) NOT BETWEEN 32 AND 36 OR NEW.uid GLOB '*[^0-9a-f-]*'"),
    "job_lease": ("state, lease_until", "NEW.state = 'running' AND NEW.lease_until IS NULL"),
}


def upgrade() -> None:
    op.add_column("attempt", sa.Column("anew", sa.Text(), nullable=True))
    if op.get_bind().dialect.name == "sqlite":
        for name, (columns, wrong) in _SQLITE.items():
            for kind, change in (("insert", "INSERT"), ("update", f"UPDATE OF {columns}")):
                op.execute(
                    f"CREATE TRIGGER {name}_{kind} BEFORE {change} ON job WHEN {wrong} "
                    f"BEGIN SELECT RAISE(ABORT, 'CHECK constraint {name}'); END"
                )
        return
    for statement in (*_FUNCTIONS.values(), *_TRIGGERS):
        op.execute(statement)


def downgrade() -> None:
    op.drop_column("attempt", "anew")
    if op.get_bind().dialect.name == "sqlite":
        for name in _SQLITE:
            op.execute(f"DROP TRIGGER {name}_insert")
            op.execute(f"DROP TRIGGER {name}_update")
        return
    for name in reversed(_FUNCTIONS):
        # A trigger goes with its function.
        op.execute(f"DROP FUNCTION {name} CASCADE")
