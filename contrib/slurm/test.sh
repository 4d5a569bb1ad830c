#!/usr/bin/env bash
# A real Slurm on one machine: an array of shards, one task killed and requeued, one requeued while it runs, the merged result
# equal to a single run. See README.md. Debian or Ubuntu, as root.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
say() { printf '\n== %s\n' "$*"; }
die() { echo "FAILED: $*"; tail -n 20 "$work"/*.log 2>/dev/null; exit 1; }
[ "$(id -u)" = 0 ] || { echo "run this as root: it starts Slurm's daemons"; exit 2; }

if ! command -v slurmctld slurmd munged >/dev/null; then
  say "installing slurm-wlm and munge"
  apt-get update -q
  DEBIAN_FRONTEND=noninteractive apt-get install -yq --no-install-recommends slurm-wlm munge
fi

if [ -z "${GDCERT:-}" ]; then
  say "building gdcert"
  (cd "$here/../.." && cargo build --release --locked)
  GDCERT="$here/../../target/release/gdcert"
fi
export GDCERT

work=$(mktemp -d)
daemons=()
finish() {
  scancel --user root 2>/dev/null || true
  for pid in "${daemons[@]}"; do kill "$pid" 2>/dev/null || true; done
  wait
  rm -rf "$work"
}
trap finish EXIT

say "a cluster of one node in $work"
host=$(hostname -s)
cores=$(nproc)
export SLURM_CONF="$work/slurm.conf"
mkdir -p "$work/state" "$work/spool"
dd if=/dev/urandom of="$work/munge.key" bs=128 count=1 status=none
chmod 400 "$work/munge.key"
cat >"$SLURM_CONF" <<CONF
ClusterName=gdcert
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=16817
SlurmdPort=16818
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket=$work/munge.sock,cred_expire=5
StateSaveLocation=$work/state
SlurmdSpoolDir=$work/spool
SlurmctldPidFile=$work/slurmctld.pid
SlurmdPidFile=$work/slurmd.pid
SlurmctldLogFile=$work/slurmctld.log
SlurmdLogFile=$work/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
MpiDefault=none
ReturnToService=2
KillWait=2
JobRequeue=1
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
NodeName=$host NodeAddr=127.0.0.1 CPUs=$cores State=UNKNOWN
PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP
CONF
daemon() { "$@" >"$work/$(basename "$1").out.log" 2>&1 & daemons+=($!); }
daemon munged --foreground --force --socket="$work/munge.sock" --key-file="$work/munge.key" \
  --pid-file="$work/munged.pid" --log-file="$work/munged.log" --seed-file="$work/munge.seed"
for _ in $(seq 50); do [ -S "$work/munge.sock" ] && break; sleep 0.1; done
daemon slurmctld -D
daemon slurmd -D
for _ in $(seq 60); do
  [ "$(sinfo --noheader --format=%T 2>/dev/null)" = idle ] && break
  sleep 0.5
done
sinfo
[ "$(sinfo --noheader --format=%T)" = idle ] || die "the node does not come up"

cat >"$work/sweep.toml" <<'TOML'
N = [1, 2]
n = [2, 4]
D = 8
d = 4
H = [1, 2, 3]
kernel = ["softmax", "gaussian"]
init = ["lecun", "lazy"]
seeds = { from = 0, to = 49 }
steps = 2000
stop_at_floor = false
certify = false
TOML

say "the single run"
(cd "$work" && "$GDCERT" sweep sweep.toml --out single && "$GDCERT" summarize single --out single) | tail -n 3

say "an array of four shards"
cd "$work"
job=$(sbatch --parsable --array=1-4 --cpus-per-task=1 --mem=0 "$here/sweep.sbatch" sweep.toml shared)
state() { scontrol --oneliner show job "${job}_$1" 2>/dev/null | grep -o 'JobState=[A-Z]*' | cut -d= -f2; }
rows() { wc -l 2>/dev/null <"shared/trials-$1-of-4.csv" || echo 0; }
whole=$(($(wc -l <single/trials-1-of-1.csv) / 4))
begun() {
  for _ in $(seq 600); do
    [ "$(state "$1")" = RUNNING ] && [ "$(rows "$1")" -gt 10 ] && return
    sleep 0.1
  done
  die "task $1 does not start"
}

say "task 1: killed with SIGKILL in the middle, then requeued"
begun 1
pkill -KILL -f -- "--shard 1/4 .*--out shared" || die "no process of task 1"
for _ in $(seq 100); do [ "$(state 1)" != RUNNING ] && [ "$(state 1)" != COMPLETING ] && break; sleep 0.1; done
echo "task 1 is $(state 1) with $(rows 1) of about $whole rows"
[ "$(state 1)" = FAILED ] || die "task 1 should have failed"
[ "$(rows 1)" -lt "$whole" ] || die "task 1 was killed too late"
if "$GDCERT" summarize shared --out half 2>half.err; then die "summarize took a half sweep"; fi
cat half.err
scontrol requeue "${job}_1"

say "task 2: requeued while it runs"
begun 2
scontrol requeue "${job}_2"
echo "task 2 had $(rows 2) rows"

say "waiting for all of them"
for _ in $(seq 600); do [ -z "$(squeue --noheader --job "$job")" ] && break; sleep 0.5; done
[ -z "$(squeue --noheader --job "$job")" ] || die "the array does not end"
for task in 1 2 3 4; do
  echo "task $task: $(state "$task"), restarts $(scontrol --oneliner show job "${job}_$task" | grep -o 'Restarts=[0-9]*' | cut -d= -f2), $(rows "$task") lines"
  [ "$(state "$task")" = COMPLETED ] || die "task $task did not complete"
done

say "merged, and beside the single run"
"$GDCERT" summarize shared --out merged | tail -n 3
cmp merged/trials.csv single/trials.csv || die "the merged rows differ from the single run"
sha256sum merged/trials.csv single/trials.csv
echo "the same, byte for byte: $(($(wc -l <single/trials.csv) - 1)) trials"

say "seeds of a training run as an array, one task requeued while it runs"
mkdir -p texts
for part in train test; do
  { echo text,label; for i in $(seq 60); do echo "\"review $i is $([ $((i % 2)) = 1 ] && echo good || echo bad)\",$((i % 2))"; done; } >"texts/$part.csv"
done
train=(--data texts --task imdb --length 24 --steps 400 --batch 8 --optimizer adam --lr 1e-3 --checkpoint-every 20 --eval-every 200)
"$GDCERT" train "${train[@]}" --seeds 0,1,2 --out together --threads 1 | head -n 1
job=$(sbatch --parsable --array=0-2 --cpus-per-task=1 --mem=0 --time=10 "$here/train.sbatch" trained "${train[@]}")
for _ in $(seq 600); do [ -e trained/seed-1/checkpoint-1.safetensors ] && break; sleep 0.05; done
scontrol requeue "${job}_1" || echo "task 1 was done already"
for _ in $(seq 600); do [ -z "$(squeue --noheader --job "$job")" ] && break; sleep 0.5; done
final() { grep -h ',final,\|^[0-9]*,final' "$@" | cut -d, -f1-4 | sort; }
final together/metrics.csv >together.final
final trained/seed-*/metrics.csv >trained.final
cmp together.final trained.final || die "the seeds differ from those of a single run"
"$GDCERT" train --table trained/seed-0 trained/seed-1 trained/seed-2 | tee table.txt
grep -q ' 3 ' table.txt || die "the table does not pool the seeds"
