#!/bin/sh
# The image of PostgreSQL runs this once, when its data folder is new. It creates the roles and sets
# their passwords. The passwords come from the environment, because a list of arguments can be read by
# other users.
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
