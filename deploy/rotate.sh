#!/bin/sh
# Gives a user of docker-compose.yml a new password, without an outage:
#   sh deploy/rotate.sh begin NAME              from now on a new password is used; the old one still works
#   sh deploy/rotate.sh finish NAME [--force]   the old one ends
# NAME is the variable of .env with the password. `finish` refuses while a connection still uses the old
# password; with --force it ends such connections.
#
# PostgreSQL has one password for each login. So a role has two logins that take turns, such as
# fornada_worker and fornada_worker_b, and .env names the one in use. The owner of the tables and the
# superuser have one: nobody stays connected as either, so their `begin` needs no `finish`.
# Redis takes two passwords. It starts again for each step, because its container has them in its
# environment. Jobs are in PostgreSQL and do not notice.
# Workers start again with a new password of theirs: each drains, and its jobs go on from their states.
set -eu
umask 077
cd "$(dirname "$0")/.."

fail() { echo "$*" >&2; exit 1; }
usage() { sed -n '3,4p' "$0" | cut -c 5- >&2; exit 2; }
random() { head -c 24 /dev/urandom | od -An -tx1 | tr -d ' \n'; }
# The value of a variable in .env, else the second argument.
get() { value=$(sed -n "s/^$1=//p" .env | tail -n 1); echo "${value:-${2:-}}"; }
# Writes variables into .env, all at once. Their new values are variables of this shell.
put() {
  cp -p .env .env.new
  names=$(echo "$*" | tr ' ' '|')
  { grep -Ev "^($names)=" .env || :; for each; do eval "printf '%s=%s\n' $each \"\$$each\""; done; } >.env.new
  mv .env.new .env
}
# Sets the password, from stdin, of a login of a role.
set_password() {
  docker compose exec -T postgres sh -c 'IFS= read -r FORNADA_PASSWORD; export FORNADA_PASSWORD
    exec psql --quiet --no-psqlrc --set ON_ERROR_STOP=1 --username postgres --dbname fornada \
      --set role="$1" --set login="$2" --file /fornada/login.sql' sh "$1" "$2"
}
sql() {
  docker compose exec -T postgres psql --quiet --no-psqlrc --set ON_ERROR_STOP=1 --tuples-only --no-align \
    --username postgres --dbname fornada --command "$1" </dev/null
}
# The login of a role that is not in use.
other_login() { [ "$2" = "$1" ] && echo "$1_b" || echo "$1"; }
with_password() { sql "SELECT rolname FROM pg_authid WHERE rolname = '$1' AND rolpassword IS NOT NULL"; }
restart_redis() { docker compose up --detach --no-deps --no-build --wait redis; }
# As many as there are. They drain at the same time.
restart_workers() {
  for service in $(docker compose ps --services | grep '^worker'); do
    count=$(docker compose ps --quiet "$service" | wc -l)
    docker compose up --detach --no-deps --no-build --wait --scale "$service=$((count))" "$service"
  done
}

begin_postgres() {
  role=fornada_$1 login_variable=POSTGRES_$2_LOGIN
  other=$(other_login "$role" "$(get "$login_variable" "$role")")
  [ -z "$(with_password "$other")" ] || fail "$unfinished"
  printf '%s\n' "$new" | set_password "$role" "$other"
  eval "$login_variable=\$other $name=\$new"
  put "$login_variable" "$name"
}

finish_postgres() {
  role=fornada_$1
  other=$(other_login "$role" "$(get "POSTGRES_$2_LOGIN" "$role")")
  used=$(sql "SELECT client_addr || ' ' || application_name FROM pg_stat_activity WHERE usename = '$other'")
  [ -z "$used" ] || [ "$force" ] ||
    fail "These connections still use the old password; restart what opened them, or add --force:
$used"
  [ -z "$(with_password "$other")" ] || sql "ALTER ROLE $other PASSWORD NULL"
  [ -z "$used" ] || sql "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '$other'" >&2
}

begin_redis() {
  old=$(get "${name}_OLD")
  [ -z "$old" ] || fail "$unfinished"
  # Redis first: a value of the environment counts before that of .env.
  eval "${name}_OLD=\$(get $name) $name=\$new"
  export "$name" "${name}_OLD"
  restart_redis
  put "$name" "${name}_OLD"
}

finish_redis() {
  eval "${name}_OLD="
  put "${name}_OLD"
  restart_redis
}

[ $# -ge 2 ] || usage
step=$1 name=$2 force=
case ${3:-} in '') ;; --force) force=yes ;; *) usage ;; esac
[ -f .env ] || fail "There is no .env here: $(pwd)"
new=$(random)
unfinished="The password before still works. End it first: sh deploy/rotate.sh finish $name"
case $step in begin | finish) ;; *) usage ;; esac
case $name in
  POSTGRES_PASSWORD) role=postgres ;;
  POSTGRES_OWNER_PASSWORD) role=fornada_owner ;;
  POSTGRES_WORKER_PASSWORD) "${step}_postgres" worker WORKER ;;
  POSTGRES_CLIENT_PASSWORD) "${step}_postgres" client CLIENT ;;
  REDIS_WORKER_PASSWORD | REDIS_CLIENT_PASSWORD) "${step}_redis" ;;
  *) fail "$name is no password of .env" ;;
esac
case $step$name in
  beginPOSTGRES_PASSWORD | beginPOSTGRES_OWNER_PASSWORD)
    printf '%s\n' "$new" | set_password "$role" "$role"
    eval "$name=\$new"
    put "$name"
    ;;
  begin*_WORKER_PASSWORD) restart_workers ;;
esac
