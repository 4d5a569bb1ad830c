#!/bin/sh
# Compiles the theory: about a minute on one core, 0.8 GB.
#   apt-get install --no-install-recommends coq libcoq-coquelicot libcoq-interval     # Debian 12: coq 8.16.1, coquelicot 3.2.0, interval 4.6.1
set -e
cd "$(dirname "$0")"
command -v coqc >/dev/null || { echo "coqc is not installed: apt-get install coq libcoq-coquelicot libcoq-interval" >&2; exit 2; }
flags=$(grep '^-Q' _CoqProject)
for file in $(grep '\.v$' _CoqProject); do
  [ "${file}o" -nt "$file" ] && [ "${built:-}" = "" ] && continue
  built=yes # what comes later in the list may depend on it
  coqc -w -all $flags "$file"
done
