-- Gives somebody a login of a role: with a limit of connections, and with the password that stands in
-- FORNADA_PASSWORD, if it is set. Run it with psql 15 or newer, as a superuser, in Fornada's database. To run it
-- again changes the limit or the password.
--
--   psql -d fornada -v login=ana -f login.sql
--   psql -d fornada -v login=ana -v connections=5 -v role=fornada_reader -f login.sql
--
-- A role's own login, and its second one with _b, get the limit of the role; every other login may open 10
-- connections. PostgreSQL does not pass on the limit of a role to its members.

\set ON_ERROR_STOP on
\if :{?role}
\else
    \set role fornada_client
\endif
\if :{?connections}
\else
    SELECT CASE
        WHEN :'login' IN (:'role', :'role' || '_b')
            THEN (SELECT rolconnlimit FROM pg_roles WHERE rolname = :'role')
        ELSE 10
    END AS connections
    \gset
\endif

SELECT format('CREATE ROLE %I', :'login') WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = :'login')
\gexec
ALTER ROLE :"login" LOGIN CONNECTION LIMIT :connections;
-- Who may SET ROLE may change the role's password and settings, so from PostgreSQL 16 on nobody may but the
-- owner's other login, whose tables belong to fornada_owner.
SELECT format('GRANT %I TO %I', :'role', :'login') || CASE
    WHEN current_setting('server_version_num')::integer >= 160000 AND :'role' <> 'fornada_owner'
        THEN ' WITH INHERIT TRUE, SET FALSE'
    ELSE ''
END
WHERE :'login' <> :'role'
\gexec

-- For psql and other programs; Fornada's own set both. A login may change them for itself.
SELECT format('ALTER ROLE %I IN DATABASE %I SET %s = %L', :'login', current_database(), name, '10s')
FROM unnest(ARRAY['idle_in_transaction_session_timeout', 'lock_timeout']) AS name
WHERE :'role' IN ('fornada_client', 'fornada_reader')
\gexec

\getenv password FORNADA_PASSWORD
\if :{?password}
    -- Whatever the server logs otherwise, this password it must not.
    SET log_statement = 'none';
    SET log_min_duration_statement = -1;
    SET log_min_error_statement = 'panic';
    ALTER ROLE :"login" PASSWORD :'password';
\endif
