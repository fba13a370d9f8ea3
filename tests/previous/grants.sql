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
GRANT INSERT ON job_tag, dependency, event TO fornada_client;
GRANT DELETE ON dependency TO fornada_client;
GRANT INSERT, UPDATE ON queue TO fornada_client;
GRANT UPDATE (drain_requested_at, drain_requested_by) ON worker TO fornada_client;
GRANT USAGE ON SEQUENCE job_id_seq, event_id_seq TO fornada_client;

COMMIT;
