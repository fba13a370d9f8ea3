#!/bin/sh
# Run by the image of PostgreSQL when its folder is new: roles, and passwords from the environment,
# which are in no list of arguments.
set -eu
psql --quiet --no-psqlrc --set ON_ERROR_STOP=1 --username "$POSTGRES_USER" --dbname "$POSTGRES_DB" \
  --file "${FORNADA_FOLDER:-/fornada}/roles.sql"
psql --quiet --no-psqlrc --set ON_ERROR_STOP=1 --username "$POSTGRES_USER" --dbname "$POSTGRES_DB" <<'END'
\getenv owner POSTGRES_OWNER_PASSWORD
\getenv worker POSTGRES_WORKER_PASSWORD
\getenv client POSTGRES_CLIENT_PASSWORD
ALTER ROLE fornada_owner LOGIN PASSWORD :'owner';
ALTER ROLE fornada_worker LOGIN PASSWORD :'worker';
ALTER ROLE fornada_client LOGIN PASSWORD :'client';
END
