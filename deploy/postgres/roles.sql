-- The roles of PostgreSQL. Run this once in Fornada's database as a superuser; to run it again does no
-- harm. Then run `fornada db upgrade` as fornada_owner, and grants.sql after each upgrade.
--
--   fornada_owner   owns the tables and changes the schema; only `fornada db upgrade` uses it
--   fornada_worker  claims jobs and writes their results
--   fornada_client  submits and steers jobs, and reads everything; cannot write results
--   fornada_reader  reads everything and writes nothing, for dashboards and notebooks
--
-- None of them can log in yet. Give a role a password, as init.sh does for docker-compose.yml, or give
-- people logins of their own, with add_login.sql.

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

-- Large objects are files of the database, which nobody here needs.
REVOKE EXECUTE ON FUNCTION
    lo_create(oid), lo_creat(integer), lo_from_bytea(oid, bytea), lo_import(text), lo_import(text, oid)
    FROM PUBLIC;
