#!/bin/sh
# docker-compose.yml from end to end, on any Docker engine: up, a job from the cli container, three
# workers, six jobs at once on all of them, history, down. Prints what a person would see.
set -eu
cd "$(dirname "$0")/../.."

passwords=$(mktemp)
trap 'status=$?; compose down --volumes --timeout 90; rm -f "$passwords"; exit $status' EXIT
trap 'exit 130' INT TERM
for name in $(grep -o '^[A-Z_]*PASSWORD' .env.example); do
  echo "$name=$(openssl rand -hex 24)"
done >"$passwords"
# A project of its own: nothing of a stack that runs already is touched.
compose() { docker compose --env-file "$passwords" --project-name fornada-test "$@"; }
cli() { compose run --rm --no-TTY cli "$@" </dev/null; }
fail() { echo "FAILED: $*" >&2; compose logs --no-color --tail 50 >&2; exit 1; }
say() { printf '\n== %s\n' "$*"; }

say "up"
compose --profile cli build
compose up --detach --wait --wait-timeout 180 || fail "the stack did not come up"

say "one job"
cli submit --wait specs/digits.yaml || fail "the first job did not succeed"
cli show @last

say "six jobs on three workers"
compose up --detach --wait --wait-timeout 180 --scale worker=3 || fail "three workers did not come up"
# Fixed epochs, so that six jobs take three workers some time.
ids=$(cli submit -q --name six --set fit.epochs=8 --set callbacks.EarlyStopping.patience=8 \
  specs/digits.yaml specs/digits.yaml specs/digits.yaml specs/digits.yaml specs/digits.yaml specs/digits.yaml)
[ "$(echo "$ids" | wc -l)" -eq 6 ] || fail "six specs gave these ids: $ids"
# shellcheck disable=SC2086 # one word an id
cli wait $ids || fail "not all of the six jobs succeeded"
cli ls --name six
cli worker ls

hosts=$(for id in $ids; do cli show "$id" --json; done | grep -o '"host": *"[^"]*"' | sort -u)
[ "$(echo "$hosts" | wc -l)" -eq 3 ] || fail "three workers should have run them, not: $hosts"

say "the best model is where the record says"
compose run --rm --no-TTY --entrypoint python cli -c '
import hashlib, pathlib
from fornada import Client
best = Client().show("@last")["best"]
content = pathlib.Path(best["path"]).read_bytes()
assert hashlib.sha256(content).hexdigest() == best["sha256"], best
print(best["path"], len(content), "bytes, sha256 as recorded")
' </dev/null || fail "the recorded best model is not there"

say "each service has its own user, and no more rights than it needs"
sql() { compose run --rm --no-TTY --entrypoint python cli -c '
import os, sys, psycopg
url = os.environ["FORNADA_DATABASE_URL"].replace("+psycopg", "")
with psycopg.connect(url) as connection:
    connection.execute(sys.argv[1])
' "$1" </dev/null 2>&1; }
sql "UPDATE job SET best_value = 0" | grep -q "permission denied" || fail "a client may write a result"
sql "DELETE FROM job" | grep -q "permission denied" || fail "a client may delete jobs"
redis() { compose exec --no-TTY redis sh -c 'REDISCLI_AUTH=$REDIS_CLIENT_PASSWORD redis-cli --user fornada-client '"$1" </dev/null 2>&1; }
redis "rpop fornada:0:default" | grep -q NOPERM || fail "a client may take wake-ups"
redis "flushall" | grep -q NOPERM || fail "a client may empty Redis"

say "no password in any log"
logs=$(compose logs --no-color)
while IFS='=' read -r _ password; do
  case $logs in *"$password"*) fail "a password stands in the logs" ;; esac
done <"$passwords"

say "down"
compose stop --timeout 90
for service in worker; do
  compose ps --all --format '{{.Service}} {{.ExitCode}}' "$service"
done
echo "passed"
