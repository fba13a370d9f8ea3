#!/bin/sh
# Gives a person a login of their own in PostgreSQL: sh deploy/add-login.sh PERSON [CONNECTIONS]
# The user of a job and the actor of an event are then this person, whatever the client says. Writes
# PERSON.env, which the person uses beside .env:
#   docker compose --env-file .env --env-file PERSON.env run --rm cli submit specs/digits.yaml
# Run again, it sets a new password. A person may have 10 connections at once, or CONNECTIONS.
set -eu
umask 077
cd "$(dirname "$0")/.."

[ $# -ge 1 ] || { sed -n 2p "$0" | cut -c 3- >&2; exit 2; }
person=$1
case $person in
  *[!a-z0-9_]* | [0-9]* | fornada* | pg_* | postgres | '')
    echo "A login has small letters, digits and _, and begins with a letter. It is not postgres, and does" \
      "not begin with fornada or pg_." >&2
    exit 2
    ;;
esac
password=$(head -c 24 /dev/urandom | od -An -tx1 | tr -d ' \n')
printf '%s\n' "$password" | docker compose exec -T postgres sh -c 'IFS= read -r FORNADA_PASSWORD
  export FORNADA_PASSWORD
  exec psql --quiet --no-psqlrc --set ON_ERROR_STOP=1 --username postgres --dbname fornada \
    --set role=fornada_client --set login="$1" --set connections="$2" --file /fornada/login.sql' sh \
  "$person" "${2:-10}"
printf 'POSTGRES_CLIENT_LOGIN=%s\nPOSTGRES_CLIENT_PASSWORD=%s\n' "$person" "$password" >"$person.env"
echo "$person.env" holds the login and its password >&2
