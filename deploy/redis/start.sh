#!/bin/sh
# Starts Redis with the users of users.acl. Their passwords come from the environment, and are in
# no list of arguments: REDIS_CLIENT_PASSWORD, REDIS_WORKER_PASSWORD.
# What is given to this script goes to redis-server, as in: start.sh --port 6380
set -eu
umask 077
hash() { printf %s "$1" | sha256sum | cut -d ' ' -f 1; }
client=$(hash "${REDIS_CLIENT_PASSWORD:?set it}")
worker=$(hash "${REDIS_WORKER_PASSWORD:?set it}")
unset REDIS_CLIENT_PASSWORD REDIS_WORKER_PASSWORD

users=$(mktemp)
# An ACL file may hold nothing but users.
while read -r line; do
  case $line in
    'user fornada-client '*) printf '%s%s%s\n' "${line%%CLIENT_PASSWORD_SHA256*}" "$client" "${line#*CLIENT_PASSWORD_SHA256}" ;;
    'user fornada-worker '*) printf '%s%s%s\n' "${line%%WORKER_PASSWORD_SHA256*}" "$worker" "${line#*WORKER_PASSWORD_SHA256}" ;;
    'user '*) printf '%s\n' "$line" ;;
  esac
done <"$(dirname "$0")/users.acl" >"$users"
# Nothing is saved: SQL remembers, and upkeep publishes what is missing. No element may have more
# than a megabyte; a wake-up has some kilobytes.
exec redis-server --aclfile "$users" --save "" --appendonly no --maxmemory-policy noeviction \
  --proto-max-bulk-len 1mb "$@"
