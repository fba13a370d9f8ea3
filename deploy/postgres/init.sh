#!/bin/sh
# The image of PostgreSQL runs this once, when its data folder is new. It creates the roles and sets
# their passwords. The passwords come from the environment, because a list of arguments can be read by
# other users.
set -eu
folder=${FORNADA_FOLDER:-/fornada}
sql() {
  psql --quiet --no-psqlrc --set ON_ERROR_STOP=1 --username "$POSTGRES_USER" --dbname "$POSTGRES_DB" "$@"
}
sql --file "$folder/roles.sql"
# After a rotation of passwords, workers and clients may have another login than that of their role.
login() { FORNADA_PASSWORD=$3 sql --set role="$1" --set login="$2" --file "$folder/login.sql"; }
login fornada_owner fornada_owner "$POSTGRES_OWNER_PASSWORD"
login fornada_worker "${POSTGRES_WORKER_LOGIN:-fornada_worker}" "$POSTGRES_WORKER_PASSWORD"
login fornada_client "${POSTGRES_CLIENT_LOGIN:-fornada_client}" "$POSTGRES_CLIENT_PASSWORD"
# Locks and temporary tables of any database fill the one table of locks that the server has.
sql --command 'REVOKE CONNECT, TEMPORARY ON DATABASE postgres, template1 FROM PUBLIC'
