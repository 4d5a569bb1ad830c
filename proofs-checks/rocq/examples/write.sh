#!/bin/sh
# Writes the examples into a folder (default: here):  examples/write.sh [DIR]. GDCERT names the program.
set -e
gdcert=${GDCERT:-$(cd "$(dirname "$0")/../../.." && pwd)/target/release/gdcert}
cd "${1:-$(dirname "$0")}"
place=$(pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
certify() { # name, exit code, flags
  name=$1 expected=$2
  shift 2
  code=0
  "$gdcert" certify "$@" --rocq "$place/$name.v" --quiet 2>"$work/said" || code=$?
  [ $code = "$expected" ] || { cat "$work/said" >&2; echo "gdcert certify for $name ended with $code" >&2; exit 1; }
  "$gdcert" check gdcert-out/certify --rocq "$place/$name.v" --quiet
}
certify gaussian_q 0 -N 1 -n 2 -D 2 -d 2 -H 2 --kernel gaussian --theorem 2 --init paired --search-scale
certify softmax_qkv 0 -N 1 -n 2 -D 4 -d 2 -H 2 -p 2 --init lazy --search-scale
certify hull 1 -N 1 -n 2 -D 2 -d 2 -H 2 --theorem 2 --init constant-value
certify literal_reading 1 -N 1 -n 1 -D 1 -d 1 -H 2 --kernel gaussian --seed 6 --reading stacked --tail
