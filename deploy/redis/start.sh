#!/bin/sh
# Starts Redis with the users of users.acl. Their passwords come from the environment
# (REDIS_CLIENT_PASSWORD, REDIS_WORKER_PASSWORD), because a list of arguments can be read by other users.
# While a password is rotated, the one before is valid too (REDIS_CLIENT_PASSWORD_OLD, …).
# The arguments of this script are passed to redis-server, for example: start.sh --port 6380
set -eu
umask 077
hash() { printf %s "$1" | sha256sum | cut -d ' ' -f 1; }
client=$(hash "${REDIS_CLIENT_PASSWORD:?set it}")
worker=$(hash "${REDIS_WORKER_PASSWORD:?set it}")
# What stands in users.acl after the # of the first password may be followed by more passwords.
[ -z "${REDIS_CLIENT_PASSWORD_OLD:-}" ] || client="$client #$(hash "$REDIS_CLIENT_PASSWORD_OLD")"
[ -z "${REDIS_WORKER_PASSWORD_OLD:-}" ] || worker="$worker #$(hash "$REDIS_WORKER_PASSWORD_OLD")"
unset REDIS_CLIENT_PASSWORD REDIS_WORKER_PASSWORD REDIS_CLIENT_PASSWORD_OLD REDIS_WORKER_PASSWORD_OLD

users=$(mktemp)
# Redis accepts no comments in an ACL file, so only the users are copied.
while read -r line; do
  case $line in
    'user fornada-client '*) printf '%s%s%s\n' "${line%%CLIENT_PASSWORD_SHA256*}" "$client" "${line#*CLIENT_PASSWORD_SHA256}" ;;
    'user fornada-worker '*) printf '%s%s%s\n' "${line%%WORKER_PASSWORD_SHA256*}" "$worker" "${line#*WORKER_PASSWORD_SHA256}" ;;
    'user '*) printf '%s\n' "$line" ;;
  esac
done <"$(dirname "$0")/users.acl" >"$users"
# Redis saves nothing to disk: the jobs are in SQL, and upkeep publishes wake-ups that are missing. A
# wake-up has a few kilobytes, so elements of more than a megabyte are refused.
exec redis-server --aclfile "$users" --save "" --appendonly no --maxmemory-policy noeviction \
  --proto-max-bulk-len 1mb "$@"
