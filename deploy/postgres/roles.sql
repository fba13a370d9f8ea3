-- Who may do what in PostgreSQL. Run it in Fornada's database, once, as a superuser; again does no
-- harm. Then, as fornada_owner: `fornada db upgrade`, and grants.sql after each upgrade.
--
--   fornada_owner   owns the tables, changes the schema; for `fornada db upgrade` alone
--   fornada_worker  claims jobs and writes what becomes of them
--   fornada_client  submits and steers jobs, reads everything; can write no result
--   fornada_reader  reads everything, writes nothing: dashboards, notebooks
--
-- None of them can log in yet: give a role a password (init.sh does, for docker-compose.yml), or
-- make people members of one: CREATE ROLE ana LOGIN IN ROLE fornada_client; \password ana

DO $$
DECLARE
    wanted text;
    found record;
BEGIN
    FOREACH wanted IN ARRAY ARRAY['fornada_owner', 'fornada_worker', 'fornada_client', 'fornada_reader']
    LOOP
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = wanted) THEN
            EXECUTE format('CREATE ROLE %I', wanted);
        END IF;
    END LOOP;

    EXECUTE format('ALTER DATABASE %I OWNER TO fornada_owner', current_database());
    -- PostgreSQL lets everybody connect, and before 15 create tables.
    EXECUTE format('REVOKE ALL ON DATABASE %I FROM PUBLIC', current_database());
    EXECUTE format(
        'GRANT CONNECT ON DATABASE %I TO fornada_worker, fornada_client, fornada_reader',
        current_database()
    );
    ALTER SCHEMA public OWNER TO fornada_owner;
    REVOKE ALL ON SCHEMA public FROM PUBLIC;
    GRANT USAGE ON SCHEMA public TO fornada_worker, fornada_client, fornada_reader;

    -- Of a database that one user has had alone; sequences of keys go with their tables.
    FOR found IN SELECT tablename FROM pg_tables WHERE schemaname = 'public'
    LOOP
        EXECUTE format('ALTER TABLE public.%I OWNER TO fornada_owner', found.tablename);
    END LOOP;
END
$$;

-- Tables of later revisions can be read at once. What may be written, grants.sql says.
ALTER DEFAULT PRIVILEGES FOR ROLE fornada_owner IN SCHEMA public
    GRANT SELECT ON TABLES TO fornada_worker, fornada_client, fornada_reader;
