"""Guards, and why an attempt began anew.

The database itself refuses what only a worker may say, and what no row may be.

On PostgreSQL, triggers check the statements of logins that are neither the owner's nor a worker's.
The statements of clients of earlier versions pass them. On SQLite everybody who can write owns the
file, so only values that would mislead a worker are refused.
"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

LOCKS = {
    "attempt": "all",
    "dependency": "writes",
    "event": "writes",
    "job": "writes",
    "job_tag": "writes",
    "queue": "writes",
    "worker": "writes",
}
SECONDS = {"postgresql": 0.0, "sqlite": 0.0}

# Whether a login may say what a worker says. `session_user` stays the same after SET ROLE. It is in
# plpgsql and with full names, because it is asked for each row that anybody writes.
_TRUSTED = """
CREATE FUNCTION fornada_trusted() RETURNS boolean
LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN pg_catalog.pg_has_role(
        session_user,
        (
            SELECT relowner FROM pg_catalog.pg_class
            WHERE oid OPERATOR(pg_catalog.=) '{schema}.job'::pg_catalog.regclass
        ),
        'MEMBER'
    ) OR EXISTS (
        SELECT FROM pg_catalog.pg_roles
        WHERE rolname OPERATOR(pg_catalog.=) 'fornada_worker'
            AND pg_catalog.pg_has_role(session_user, oid, 'MEMBER')
    );
END
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

# Refuses a row, with the trigger's argument as the reason.
_REFUSE = """
CREATE FUNCTION fornada_refuse() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    RAISE check_violation USING MESSAGE = TG_ARGV[0];
END
$$
"""

_INSERT_JOB = """
CREATE FUNCTION fornada_check_new_job() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
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
    IF OLD *= NEW THEN
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
    IF NOT EXISTS (SELECT FROM event WHERE job_id = NEW.id AND at = now()) THEN
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
    NEW.drain_requested_at := now();
    NEW.drain_requested_by := fornada_actor(NEW.drain_requested_by);
    RETURN NEW;
END
$$
"""

# Triggers for every login, then those for logins that are not trusted. A uid names a folder, so it
# is a UUID, with or without dashes. A running job without a lease would run for ever. Not CHECKs,
# which would have to read all rows, or make SQLAlchemy 2.1 fail when it reflects a NOT VALID one.
_TRIGGERS = (
    "CREATE TRIGGER job_uid BEFORE INSERT OR UPDATE OF uid ON job FOR EACH ROW "
    "WHEN (NEW.uid !~ '^[0-9a-f-]{32,36}$') "
    "EXECUTE FUNCTION fornada_refuse('the uid of a job is a UUID')",
    "CREATE TRIGGER job_lease BEFORE INSERT OR UPDATE OF state, lease_until ON job FOR EACH ROW "
    "WHEN (NEW.state = 'running' AND NEW.lease_until IS NULL) "
    "EXECUTE FUNCTION fornada_refuse('a running job has a lease')",
    "CREATE CONSTRAINT TRIGGER move_has_event "
    "AFTER INSERT OR UPDATE OF state, queue, priority, cancel_requested_at ON job "
    "DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN (NOT fornada_trusted()) "
    "EXECUTE FUNCTION fornada_require_event()",
    *(
        f"CREATE TRIGGER {name} BEFORE {when} FOR EACH ROW WHEN (NOT fornada_trusted()) "
        f"EXECUTE FUNCTION {function}()"
        for name, when, function in (
            ("new_job", "INSERT ON job", "fornada_check_new_job"),
            ("changed_job", "UPDATE ON job", "fornada_check_changed_job"),
            ("new_event", "INSERT ON event", "fornada_check_event"),
            ("part_of_job", "INSERT ON job_tag", "fornada_check_part_of_job"),
            ("part_of_job", "INSERT OR DELETE ON dependency", "fornada_check_part_of_job"),
            ("changed_queue", "INSERT OR UPDATE ON queue", "fornada_check_queue"),
            ("changed_worker", "UPDATE ON worker", "fornada_check_worker"),
        )
    ),
)
_FUNCTIONS = {
    "fornada_trusted": _TRUSTED,
    "fornada_shared_login": _SHARED,
    "fornada_actor": _ACTOR,
    "fornada_readable": _READABLE,
    "fornada_check_queue": _QUEUE,
    "fornada_check_worker": _WORKER,
    "fornada_refuse": _REFUSE,
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
    schema = op.get_bind().scalar(sa.text("SELECT quote_ident(current_schema())"))
    for statement in (*_FUNCTIONS.values(), *_TRIGGERS):
        op.execute(statement.replace("{schema}", str(schema)))


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
