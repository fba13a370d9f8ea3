-- Gives a person a login of their own, with a limit of connections. Run it with psql, as a superuser, in
-- Fornada's database. To run it again changes the limit.
--
--   psql -d fornada -v login=ana -f add_login.sql
--   psql -d fornada -v login=ana -v connections=5 -v role=fornada_reader -f add_login.sql
--   psql -d fornada -c '\password ana'
--
-- The password is not given here: it would stand in the server's log. A login that is made a member of
-- fornada_client in another way has no limit: PostgreSQL does not pass on the limit of a role to its members.

\set ON_ERROR_STOP on
\if :{?role}
\else
    \set role fornada_client
\endif
\if :{?connections}
\else
    \set connections 10
\endif
SELECT
    set_config('fornada.login', :'login', false) AS login,
    set_config('fornada.role', :'role', false) AS role,
    set_config('fornada.connections', :'connections', false) AS connections
\gset

DO $$
DECLARE
    login constant name := current_setting('fornada.login');
    wanted constant name := current_setting('fornada.role');
    connections constant integer := current_setting('fornada.connections');
BEGIN
    IF wanted NOT IN ('fornada_client', 'fornada_reader') OR connections < 1 THEN
        RAISE EXCEPTION 'the role is fornada_client or fornada_reader, with 1 connection or more';
    END IF;
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = login) THEN
        EXECUTE format('CREATE ROLE %I', login);
    END IF;
    EXECUTE format('ALTER ROLE %I LOGIN CONNECTION LIMIT %s', login, connections);
    EXECUTE format('GRANT %I TO %I', wanted, login);
    -- For psql and other programs; Fornada's own set both. A login may change them for itself.
    EXECUTE format(
        'ALTER ROLE %I IN DATABASE %I SET idle_in_transaction_session_timeout = %L',
        login, current_database(), '10s'
    );
    EXECUTE format(
        'ALTER ROLE %I IN DATABASE %I SET lock_timeout = %L', login, current_database(), '10s'
    );
END
$$;
