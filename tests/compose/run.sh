#!/bin/sh
# docker-compose.yml from end to end, on any Docker engine: up, a job from the cli container, three
# workers, six jobs at once on all of them, history, the procedures of docs/operations.md, down. Prints
# what a person would see.
set -eu
cd "$(dirname "$0")/../.."

# A copy, because the procedures change .env and the version. A project of its own: nothing of a stack
# that runs already is touched.
stage=$(mktemp -d)
cp -RP .dockerignore .env.example Dockerfile LICENSE NOTICE README.md docker-compose.yml pyproject.toml \
  Data cli db deploy docs fornada lock specs worker "$stage"
cd "$stage"
export COMPOSE_PROJECT_NAME=fornada-test
trap 'status=$?; stop_submitting; docker compose down --volumes --timeout 90; rm -rf "$stage"; exit $status' EXIT
trap 'exit 130' INT TERM

cli() { docker compose run --rm --no-TTY cli "$@" </dev/null; }
fail() { echo "FAILED: $*" >&2; docker compose logs --no-color --tail 50 >&2; exit 1; }
say() { printf '\n== %s\n' "$*"; }
equal() { [ "$1" = "$2" ] || fail "$3: $1 instead of $2"; }
# Runs the commands that stand under a title of the page. `grep` drops those that do not match.
procedure() {
  say "$1${2:+ ($2)}"
  commands=$(awk -v title="### $1" '$0 == title { on = 1; next } /^##/ { on = 0 }
    on && /^    / { print substr($0, 5) }' docs/operations.md | grep -e "${2:-}")
  [ -n "$commands" ] || fail "no procedure $1"
  printf '%s\n' "$commands" | sed 's/^/$ /'
  (set -eu; eval "$commands") </dev/null || fail "$1"
}
# Submits one job after the other in the background, into a queue that nobody serves, and writes after
# each how many there are.
submit_on() {
  mkfifo passed
  exec 3<>passed
  count=0
  while [ ! -e enough ]; do
    cli submit -q --queue nobody --wait-for-worker specs/digits.yaml >>submitted 2>submit.err || { echo refused >&3; break; }
    count=$((count + 1))
    echo "$count" >count
    echo "$count" >&3
  done &
  submitting=$!
}
stop_submitting() { [ -z "${submitting:-}" ] || { touch enough; wait "$submitting"; submitting=; }; }
# Waits until a submit that begins now has passed, so that none that began before is still on its way.
pass_submits() {
  wanted=$(($(cat count 2>/dev/null || echo 0) + 2))
  while read -r passed <&3; do
    [ "$passed" != refused ] || fail "a submit was refused: $(cat submit.err)"
    [ "$passed" -lt "$wanted" ] || break
  done
}
best_is_there() {
  docker compose run --rm --no-TTY --entrypoint python cli -c '
import hashlib, pathlib, sys
from fornada import Client
best = Client().show(sys.argv[1])["best"]
content = pathlib.Path(best["path"]).read_bytes()
assert hashlib.sha256(content).hexdigest() == best["sha256"], best
print(best["path"], len(content), "bytes, sha256 as recorded")
' "$1" </dev/null || fail "the recorded best model of job $1 is not there"
}
state() { cli show "$1" --json | sed -n 's/^  "state": "\(.*\)",$/\1/p'; }
attempts() { cli show "$1" --json | sed -n 's/^  "attempts": \([0-9]*\),$/\1/p'; }
# A job that trains until somebody stops it.
long_job() {
  cli submit -q --name long --set fit.epochs=100000 --set callbacks.EarlyStopping.patience=100000 "$@" specs/digits.yaml
}
# Waits until a job trains in this attempt, or a later one. Each look takes the second that a container
# needs to start; a lost attempt ends with its lease, after one minute.
until_trains() {
  for _ in $(seq 180); do
    case $(state "$1") in queued) ;; running) [ "$(attempts "$1")" -lt "${2:-1}" ] || return 0 ;; *) break ;; esac
  done
  fail "job $1 is $(state "$1")"
}

for name in $(grep -o '^[A-Z_]*PASSWORD' .env.example); do
  echo "$name=$(openssl rand -hex 24)"
done >.env
cp .env passwords

say "up"
docker compose build
docker compose up --detach --wait --wait-timeout 180 || fail "the stack did not come up"

say "one job"
cli submit --wait specs/digits.yaml || fail "the first job did not succeed"
cli show @last
equal "$(cli submit -q --hold specs/digits.yaml 2>&1)" 2 "a submit prints more than the id"

say "six jobs on three workers"
echo WORKERS=3 >>.env
docker compose up --detach --wait --wait-timeout 180 || fail "three workers did not come up"
# Fixed epochs, so that six jobs take three workers some time.
ids=$(cli submit -q --name six --set fit.epochs=8 --set callbacks.EarlyStopping.patience=8 \
  specs/digits.yaml specs/digits.yaml specs/digits.yaml specs/digits.yaml specs/digits.yaml specs/digits.yaml)
equal "$(echo "$ids" | wc -l)" 6 "ids of six specs"
# shellcheck disable=SC2086 # one word an id
cli wait $ids || fail "not all of the six jobs succeeded"
cli ls --name six
cli worker ls

hosts=$(for id in $ids; do cli show "$id" --json; done | grep -o '"host": *"[^"]*"' | sort -u)
equal "$(echo "$hosts" | wc -l)" 3 "workers that have run them"

say "the best model is where the record says"
best_is_there 1

say "each service has its own user, and no more rights than it needs"
sql() { docker compose run --rm --no-TTY --entrypoint python cli -c '
import os, sys, psycopg
url = os.environ["FORNADA_DATABASE_URL"].replace("+psycopg", "")
with psycopg.connect(url) as connection:
    connection.execute(sys.argv[1])
' "$1" </dev/null 2>&1; }
sql "UPDATE job SET best_value = 0" | grep -q "permission denied" || fail "a client may write a result"
sql "DELETE FROM job" | grep -q "permission denied" || fail "a client may delete jobs"
redis() { docker compose exec --no-TTY redis sh -c 'REDISCLI_AUTH=$REDIS_CLIENT_PASSWORD redis-cli --user fornada-client '"$1" </dev/null 2>&1; }
redis "rpop fornada:0:default" | grep -q NOPERM || fail "a client may take wake-ups"
redis "flushall" | grep -q NOPERM || fail "a client may empty Redis"

procedure "Add a queue"
cli wait @last || fail "nobody serves the new queue"

long=$(long_job)
until_trains "$long"
host=$(cli show "$long" --json | sed -n 's/^ *"host": "\([^"]*\)".*/\1/p' | tail -n 1)
procedure "Take a host out"
until_trains "$long" 2
equal "$(docker inspect --format '{{.State.Status}} {{.State.ExitCode}}' "$host")" "exited 0" "the host that was taken out"
docker start "$host"

submit_on
for name in POSTGRES_CLIENT_PASSWORD REDIS_CLIENT_PASSWORD POSTGRES_WORKER_PASSWORD REDIS_WORKER_PASSWORD; do
  before=$(sed -n "s/^$name=//p" .env)
  case $name in *_WORKER_*) attempt=$(($(attempts "$long") + 1)) ;; *) attempt=1 ;; esac
  procedure "Rotate a password" begin
  pass_submits
  procedure "Rotate a password" finish
  pass_submits
  [ "$before" != "$(sed -n "s/^$name=//p" .env)" ] || fail "$name is the old one"
  until_trains "$long" "$attempt"
done
for name in POSTGRES_OWNER_PASSWORD POSTGRES_PASSWORD; do
  procedure "Rotate a password" begin
done
stop_submitting
old=$(sed -n 's/^POSTGRES_WORKER_PASSWORD=//p' passwords)
FORNADA_DATABASE_URL="postgresql://fornada_worker:$old@postgres/fornada" \
  docker compose run --rm --no-TTY --env FORNADA_DATABASE_URL cli ls </dev/null 2>&1 | grep -q "authentication failed" || fail "the old password still works"
cat .env >>passwords

procedure "Give a person a login"
equal "$(cli show @last --json | sed -n 's/^  "user": "\(.*\)",$/\1/p')" ana "the user of the job"
cli wait @last
procedure "Take a login away"

attempt=$(($(attempts "$long") + 1))
procedure "Back up"
say "everything is lost"
docker compose down --volumes --timeout 90
procedure "Restore"
best_is_there 1
until_trains "$long" "$attempt"

say "a new version"
sed -i 's/^version = .*/version = "99.0.0"/' pyproject.toml
sed -i 's/^__version__ = .*/__version__ = "99.0.0"/' fornada/__init__.py
attempt=$(($(attempts "$long") + 1))
procedure "Upgrade"
cli --version | grep -q 99.0.0 || fail "the cli is the old one: $(cli --version)"
docker compose exec --no-TTY worker python -c 'import fornada; assert fornada.__version__ == "99.0.0"' || fail "a worker is the old one"
cli submit --wait specs/digits.yaml || fail "no job succeeded after the upgrade"
until_trains "$long" "$attempt"
cli cancel --force "$long"

say "no password in any log"
logs=$(docker compose logs --no-color)
while IFS='=' read -r variable password; do
  case $variable in *PASSWORD*) case $logs in *"${password:-no password}"*) fail "$variable stands in the logs" ;; esac ;; esac
done <passwords

say "down"
docker compose stop --timeout 90
docker compose ps --all --format '{{.Service}} {{.ExitCode}}' worker
echo "passed"
