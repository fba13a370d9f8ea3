-- Gives each role of roles.sql its rights on the tables. Run it as fornada_owner after each
-- `fornada db upgrade`. It removes all earlier rights first.

BEGIN;

REVOKE ALL ON ALL TABLES IN SCHEMA public FROM PUBLIC, fornada_worker, fornada_client, fornada_reader;
REVOKE ALL ON ALL SEQUENCES IN SCHEMA public FROM PUBLIC, fornada_worker, fornada_client, fornada_reader;

GRANT SELECT ON ALL TABLES IN SCHEMA public TO fornada_worker, fornada_client, fornada_reader;

-- Workers may write everything, but not delete jobs and not change what people decide.
GRANT INSERT, UPDATE ON job, attempt, metric_summary, artifact, epoch, worker, upkeep TO fornada_worker;
GRANT INSERT ON job_tag, dependency, event, dataset, log_chunk TO fornada_worker;
-- An attempt that starts from the beginning deletes the epochs and states of the attempt before it. A log is
-- deleted here when it has been written to a file.
GRANT DELETE ON epoch, metric_summary, artifact, log_chunk TO fornada_worker;
-- A worker locks the row while it counts the running jobs. PostgreSQL allows the lock only to a role that may
-- update a column.
GRANT UPDATE (changed_at) ON queue TO fornada_worker;
GRANT USAGE ON SEQUENCE job_id_seq, event_id_seq TO fornada_worker;

-- Clients may add a job and write what people ask for. They may not write results: not the spec of an
-- accepted job, no epoch, no best model, no lease.
GRANT INSERT (
    uid, key, name, state, queue, priority, gpus, spec, spec_hash, seed, "user", time_limit_s,
    retry_attempts, continues_id, submitted_at, not_before, held_by, attempt, tries, resume_after,
    epochs_run, monitor, monitor_mode
) ON job TO fornada_client;
GRANT UPDATE (
    -- cancel, hold, release
    state, held_by, finished_at, stop_reason,
    cancel_requested_at, cancel_requested_by, cancel_reason, cancel_grace_s,
    -- move
    queue, priority,
    -- retry
    failure_code, failure_message, tries, not_before, avoid_host, resume_after, started_at,
    duration_s, worker, slot
) ON job TO fornada_client;
-- INSERT, and UPDATE of columns, do not let a client lock a whole table (LOCK TABLE). UPDATE or DELETE on
-- the table would.
GRANT INSERT ON job_tag, dependency, event, queue TO fornada_client;
-- Clients of 0.3.0 delete the dependencies of a job that they retry. This goes in the next version, because who
-- may delete from a table may also lock it.
GRANT DELETE ON dependency TO fornada_client;
GRANT UPDATE (paused, max_running, changed_at, changed_by) ON queue TO fornada_client;
GRANT UPDATE (drain_requested_at, drain_requested_by) ON worker TO fornada_client;
GRANT USAGE ON SEQUENCE job_id_seq, event_id_seq TO fornada_client;

-- Deletes dependencies of a job that is retried. The triggers check it as they check the login itself.
CREATE OR REPLACE FUNCTION fornada_waive_dependencies(waiting bigint, needed bigint[]) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    DELETE FROM public.dependency WHERE job_id = waiting AND needs_id = ANY (needed)
$$;
REVOKE ALL ON FUNCTION fornada_waive_dependencies(bigint, bigint[]) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION fornada_waive_dependencies(bigint, bigint[]) TO fornada_client;

-- Without this function a client's transaction may keep rows locked for ever. And one login without a limit
-- can take all connections; then nobody else gets in.
DO $$
DECLARE
    found record;
BEGIN
    IF to_regprocedure('public.fornada_end_long_transactions(double precision)') IS NULL THEN
        RAISE WARNING 'workers cannot end sessions that hold them up: run roles.sql again, as a superuser';
    END IF;
    FOR found IN
        SELECT rolname FROM pg_roles
        WHERE rolcanlogin AND NOT rolsuper AND rolconnlimit = -1 AND (
            pg_has_role(oid, 'fornada_client', 'MEMBER') OR pg_has_role(oid, 'fornada_reader', 'MEMBER')
        )
    LOOP
        RAISE WARNING 'the login % has no limit of connections: ALTER ROLE % CONNECTION LIMIT 10',
            found.rolname, quote_ident(found.rolname);
    END LOOP;
END
$$;

-- Logins that people share do not say who somebody is. A role and its second login take turns when a
-- password is rotated, so both are shared.
CREATE OR REPLACE FUNCTION fornada_shared_login() RETURNS boolean
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT session_user IN (
        'fornada_client', 'fornada_client_b', 'fornada_worker', 'fornada_worker_b', 'fornada_owner'
    )
$$;

-- Whether a JSON document can be read by every function of PostgreSQL and by Python. Lists that show jobs cast
-- the spec to jsonb, and one row that cannot be cast would fail the statement for everybody.
-- These functions are replaced here and not in a revision: a revision that changes a function counts as one
-- that earlier workers and clients may not survive, and these refuse only what no client of Fornada writes.
CREATE OR REPLACE FUNCTION fornada_readable(document json, longest integer) RETURNS boolean
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF document IS NULL THEN
        RETURN true;
    END IF;
    IF json_typeof(document) <> 'object'
        OR octet_length(document::text) > longest
        OR document::text ~ '[0-9]{200}'
        OR document::text ~ '([[{][^]}]*){64}'
    THEN
        RETURN false;
    END IF;
    PERFORM document::jsonb;
    RETURN true;
EXCEPTION
    -- \u0000, half a surrogate pair, 1e200000; or too deep or too long for jsonb.
    WHEN data_exception OR program_limit_exceeded THEN
        RETURN false;
END
$$;

-- Whoever cancels a job that has run and waits again also writes how long it ran. The guard of revision 0004
-- refused that. Only two of its lines change, so its text is not repeated here.
DO $patch$
DECLARE
    guard text := pg_get_functiondef('public.fornada_check_changed_job()'::regprocedure);
    columns constant text := $old$'priority', 'finished_at', 'stop_reason'$old$;
    states constant text := 'IF NEW.state <> ALL (next_states)';
BEGIN
    IF position('''duration_s''' IN split_part(guard, 'retried constant', 1)) > 0 THEN
        RETURN;
    END IF;
    IF position(columns IN guard) = 0 OR position(states IN guard) = 0 THEN
        RAISE EXCEPTION 'the guard of changed jobs is not that of revision 0004';
    END IF;
    guard := replace(guard, columns, columns || $new$, 'duration_s'$new$);
    guard := replace(guard, states, states || $new$
        OR (OLD.state IN ('queued', 'held') AND NEW.duration_s IS DISTINCT FROM OLD.duration_s
            AND NOT coalesce(NEW.state = 'cancelled' AND NEW.duration_s >= 0
                AND NEW.duration_s < 'infinity', false))$new$);
    EXECUTE guard;
END
$patch$;

COMMIT;
