-- The roles of PostgreSQL. Run this once in Fornada's database as a superuser; to run it again does no
-- harm. Then run `fornada db upgrade` as fornada_owner, and grants.sql after each upgrade.
--
--   fornada_owner   owns the tables and changes the schema; only `fornada db upgrade` uses it
--   fornada_worker  claims jobs and writes their results
--   fornada_client  submits and steers jobs, and reads everything; cannot write results
--   fornada_reader  reads everything and writes nothing, for dashboards and notebooks
--   fornada_guard   owns one function, with which workers end sessions of clients; nobody logs in as it
--
-- None of them can log in yet. Give a role a password, as init.sh does for docker-compose.yml, or give
-- people logins of their own, with login.sql.

DO $$
DECLARE
    wanted text;
    found record;
BEGIN
    FOREACH wanted IN ARRAY ARRAY[
        'fornada_owner', 'fornada_worker', 'fornada_client', 'fornada_reader', 'fornada_guard'
    ]
    LOOP
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = wanted) THEN
            EXECUTE format('CREATE ROLE %I', wanted);
        END IF;
    END LOOP;

    EXECUTE format('ALTER DATABASE %I OWNER TO fornada_owner', current_database());
    -- By default every role may connect, and before PostgreSQL 15 also create tables.
    EXECUTE format('REVOKE ALL ON DATABASE %I FROM PUBLIC', current_database());
    EXECUTE format(
        'GRANT CONNECT ON DATABASE %I TO fornada_worker, fornada_client, fornada_reader',
        current_database()
    );
    ALTER SCHEMA public OWNER TO fornada_owner;
    REVOKE ALL ON SCHEMA public FROM PUBLIC;
    GRANT USAGE ON SCHEMA public TO fornada_worker, fornada_client, fornada_reader;

    -- Whoever has these logins shares their connections. One may not take all that the server has. A limit
    -- that was set by hand stays.
    FOR found IN
        SELECT name, most FROM (VALUES ('fornada_client', 40), ('fornada_reader', 20)) AS wanted (name, most)
        JOIN pg_roles ON rolname = name WHERE rolconnlimit = -1
    LOOP
        EXECUTE format('ALTER ROLE %I CONNECTION LIMIT %s', found.name, found.most);
    END LOOP;
    -- From version 16 on, PostgreSQL keeps as many connections for workers as reserved_connections says.
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'pg_use_reserved_connections') THEN
        GRANT pg_use_reserved_connections TO fornada_worker;
    END IF;

    GRANT pg_signal_backend, pg_read_all_stats TO fornada_guard;

    -- In an older database another role may own the tables. Each sequence follows its table.
    FOR found IN SELECT tablename FROM pg_tables WHERE schemaname = 'public'
    LOOP
        EXECUTE format('ALTER TABLE public.%I OWNER TO fornada_owner', found.tablename);
    END LOOP;
END
$$;

-- The roles can read new tables of later revisions at once. grants.sql gives the rights to write.
ALTER DEFAULT PRIVILEGES FOR ROLE fornada_owner IN SCHEMA public
    GRANT SELECT ON TABLES TO fornada_worker, fornada_client, fornada_reader;

-- `fornada db upgrade` names the sessions that hold what it has to lock, and since when.
GRANT pg_read_all_stats TO fornada_owner;

-- Large objects are files of the database, which nobody here needs.
REVOKE EXECUTE ON FUNCTION
    lo_create(oid), lo_creat(integer), lo_from_bytea(oid, bytea), lo_import(text), lo_import(text, oid)
    FROM PUBLIC;

-- A client may lock jobs, queues and workers, because it may update them, and a login may set its own
-- timeouts to 0. So workers end the session of a client whose transaction has been open for longer than
-- longest_s seconds, if it has written or locked a row, asks for a lock on a whole table, or idles. A
-- client's statement that only reads may take as long as it likes.
CREATE OR REPLACE FUNCTION public.fornada_end_long_transactions(longest_s double precision)
RETURNS TABLE (pid integer, login text, open_s double precision)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    found record;
    latest constant timestamptz := clock_timestamp() - make_interval(secs => longest_s);
BEGIN
    -- A loop and not one query: a query may call pg_terminate_backend before it checks the rest.
    FOR found IN
        SELECT session.pid, session.usename, session.xact_start
        FROM pg_stat_activity AS session JOIN pg_roles AS role ON role.oid = session.usesysid
        WHERE session.datname = current_database()
            AND session.backend_type = 'client backend'
            AND session.xact_start < latest
            AND NOT role.rolsuper
            AND (pg_has_role(role.oid, 'fornada_client', 'MEMBER')
                OR pg_has_role(role.oid, 'fornada_reader', 'MEMBER'))
            AND NOT pg_has_role(role.oid, 'fornada_owner', 'MEMBER')
            AND NOT pg_has_role(role.oid, 'fornada_worker', 'MEMBER')
            AND (
                -- To lock a row gives a transaction an id, as to write one does.
                session.backend_xid IS NOT NULL
                OR (session.state LIKE 'idle in transaction%' AND session.state_change < latest)
                -- A lock that is only asked for already stops those behind it.
                OR EXISTS (
                    SELECT FROM pg_locks AS held
                    WHERE held.pid = session.pid AND held.locktype = 'relation'
                        AND held.mode NOT IN ('AccessShareLock', 'RowShareLock', 'RowExclusiveLock')
                )
            )
    LOOP
        IF pg_terminate_backend(found.pid) THEN
            pid := found.pid;
            login := found.usename;
            open_s := extract(epoch FROM clock_timestamp() - found.xact_start);
            RETURN NEXT;
        END IF;
    END LOOP;
END
$$;
ALTER FUNCTION public.fornada_end_long_transactions(double precision) OWNER TO fornada_guard;
REVOKE ALL ON FUNCTION public.fornada_end_long_transactions(double precision) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION public.fornada_end_long_transactions(double precision)
    TO fornada_worker, fornada_owner;

-- The locks of these functions need no right and no transaction, and share one table in memory with all
-- other locks: a login could fill it. Fornada uses one of them, in `db upgrade`.
DO $$
DECLARE
    found record;
BEGIN
    FOR found IN
        SELECT oid::regprocedure AS signature FROM pg_proc
        WHERE pronamespace = 'pg_catalog'::regnamespace AND proname ~ '^pg_(try_)?advisory_.*lock'
    LOOP
        EXECUTE format('REVOKE EXECUTE ON FUNCTION %s FROM PUBLIC', found.signature);
    END LOOP;
    GRANT EXECUTE ON FUNCTION pg_advisory_xact_lock(bigint) TO fornada_owner;
END
$$;

-- CREATE RULE and CREATE TRIGGER wait for the lock of a whole table before PostgreSQL
-- checks who owns it, and whoever comes after waits behind them. So a login that changes no schema is refused
-- before that. session_user stays the same after SET ROLE.
CREATE OR REPLACE FUNCTION public.fornada_refuse_ddl() RETURNS event_trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF NOT EXISTS (
        SELECT FROM pg_roles WHERE rolname = session_user AND rolsuper
    ) AND NOT EXISTS (
        SELECT FROM pg_roles WHERE rolname = 'fornada_owner' AND pg_has_role(session_user, oid, 'MEMBER')
    ) THEN
        RAISE insufficient_privilege USING MESSAGE = format('only fornada_owner may run %s', tg_tag);
    END IF;
END
$$;
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_event_trigger WHERE evtname = 'fornada_refuse_ddl') THEN
        CREATE EVENT TRIGGER fornada_refuse_ddl ON ddl_command_start
            EXECUTE FUNCTION public.fornada_refuse_ddl();
    END IF;
END
$$;

-- A member of a role that may SET ROLE may also change the role's password and settings. From version 16 on,
-- a membership can leave that out. login.sql makes it so; here it is taken from earlier logins.
DO $$
DECLARE
    found record;
BEGIN
    IF current_setting('server_version_num')::integer < 160000 THEN
        RETURN;
    END IF;
    FOR found IN EXECUTE $find$
        SELECT DISTINCT roleid::regrole AS role, member::regrole AS login FROM pg_auth_members
        WHERE set_option AND roleid IN (
            SELECT oid FROM pg_roles WHERE rolname IN ('fornada_worker', 'fornada_client', 'fornada_reader')
        )
    $find$
    LOOP
        EXECUTE format('GRANT %s TO %s WITH INHERIT TRUE, SET FALSE', found.role, found.login);
    END LOOP;
END
$$;
