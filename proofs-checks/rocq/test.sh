#!/bin/sh
# The theory compiles, rests on the four axioms of the reals, and certificates are accepted or rejected as they should be: those
# in examples/, and those that the program writes now (target/release/gdcert, or what GDCERT names).
# Two minutes on one core. Without coqc it says that it skipped and succeeds.
set -e
cd "$(dirname "$0")"
fail() { echo "FAILED: $*" >&2; exit 1; }

# What the statements name exists and is asked for its assumptions.
for name in $(grep -ohE '[A-Za-z0-9]+\.v::[A-Za-z0-9_]+' ../README.md ../../docs/checked-by-whom.md | grep -v '^FILE' | sort -u); do
  grep -qE "^(Theorem|Lemma|Corollary) ${name#*::}( |\$|:)" "${name%%::*}" || fail "there is no $name"
  grep -q "^Print Assumptions ${name#*::}\.$" Assumptions.v || fail "Assumptions.v does not ask for $name"
done

if ! command -v coqc >/dev/null; then
  echo "skipped: the Rocq proofs (no coqc; apt-get install coq libcoq-coquelicot libcoq-interval)"
  exit 0
fi
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
echo 'From Coquelicot Require Import Coquelicot. From Interval Require Import Xreal.' >"$folder/probe.v"
if ! coqc -w -all "$folder/probe.v" >/dev/null 2>&1; then
  echo "skipped: the Rocq proofs (coqc has no Coquelicot or no Interval; apt-get install libcoq-coquelicot libcoq-interval)"
  exit 0
fi
flags=$(grep '^-Q' _CoqProject)

echo "== the theory"
./build.sh
if grep -nwE 'Admitted|admit|Axiom|Axioms|Parameter|Parameters|Conjecture|bypass_check' ./*.v | grep -v 'Print Assumptions' | grep -v '(\*'; then
  fail "a statement without a proof"
fi

# assumptions FILE: what the theorems printed there rest on, one name a line
assumptions() { grep -E '^[A-Za-z]' "$1" | grep -vE '^(Axioms:|Closed under)' | sed 's/[ :].*//' | sort -u; }
cat >"$folder/allowed" <<X
ClassicalDedekindReals.sig_forall_dec
ClassicalDedekindReals.sig_not_dec
Classical_Prop.classic
FunctionalExtensionality.functional_extensionality_dep
X
within() { # name, output of coqc
  assumptions "$2" >"$folder/found"
  more=$(comm -23 "$folder/found" "$folder/allowed")
  [ -z "$more" ] || fail "$1 rests on more than the axioms of the reals: $more"
}
echo "== assumptions"
cp Assumptions.v "$folder/"
coqc -w -all $flags "$folder/Assumptions.v" >"$folder/out"
asked=$(grep -c '^Print Assumptions' Assumptions.v)
answered=$(grep -cE '^(Axioms:|Closed under)' "$folder/out")
[ "$asked" = "$answered" ] || fail "$asked theorems asked for, $answered answers"
within "the theory" "$folder/out"
echo "$answered theorems, on: $(assumptions "$folder/out" | tr '\n' ' ')"

accept() { # the folder it is in, name
  cp "$1/$2.v" "$folder/$2.v"
  coqc -w -all $flags "$folder/$2.v" >"$folder/out" || fail "$2 was not accepted"
  grep -qE '^(Axioms:|Closed under)' "$folder/out" || fail "$2 does not print its assumptions"
  within "$2" "$folder/out"
  echo "accepted: $2"
}
reject() { # name of the example, what is changed, sed command
  sed "$3" "examples/$1.v" >"$folder/tampered.v"
  cmp -s "examples/$1.v" "$folder/tampered.v" && fail "nothing was changed: $2"
  if coqc -w -all $flags "$folder/tampered.v" >"$folder/out" 2>"$folder/err"; then fail "accepted: $1, $2"; fi
  # rejected because the computation ended in false, not for a slip in the file
  grep -q 'true = true' "$folder/err" || { cat "$folder/err" >&2; fail "$1, $2: another error than a failed check"; }
  echo "rejected: $1, $2"
}
echo "== certificates"
for example in gaussian_q softmax_qkv hull literal_reading; do accept examples $example; done
# a claimed beta, a bound of the certificate, a label of the instance, the loss of an obstruction
reject gaussian_q "beta = 2^60" 's/^  ([^)]*)   (\* beta = .*/  (1,60)/'
reject softmax_qkv "alpha_c" 's/^  (\([0-9]*\),\(-*[0-9]*\))   (\* alpha_c = .*/  (\1\1,\2)/'
reject softmax_qkv "a label" 's/^(\* y   \*) \[\[\[(\(-*[0-9]*\),-*[0-9]*)/(* y   *) [[[(\1,20)/'
reject hull "the bound" 's/^  ([^)]*))%Z\.   (\* .*/  (1,10))%Z./'
reject literal_reading "a later step" 's/^Definition the_eta : dyad := ([0-9]*,/Definition the_eta : dyad := (1,/'

gdcert=${GDCERT:-$(cd ../.. && pwd)/target/release/gdcert}
if [ ! -x "$gdcert" ]; then
  echo "skipped: what the program writes now (no $gdcert; cargo build --release)"
  exit 0
fi
echo "== what the program writes now"
mkdir "$folder/now"
GDCERT=$gdcert examples/write.sh "$folder/now"
for example in gaussian_q softmax_qkv hull literal_reading; do
  # The same files on the same kind of machine.
  if cmp -s "$folder/now/$example.v" "examples/$example.v"; then echo "the same: $example"; else accept "$folder/now" $example; fi
done
"$gdcert" rocq "$folder/theory" --quiet
for file in _CoqProject build.sh $(grep '\.v$' _CoqProject); do
  cmp "$file" "$folder/theory/$file" || fail "gdcert rocq writes another $file"
done
echo "== primitive integers"
"$gdcert" rocq "$folder/theory" --primitive-integers --quiet
sh "$folder/theory/build.sh"
cp examples/gaussian_q.v "$folder/theory/"
(cd "$folder/theory" && coqc -w -all $flags gaussian_q.v) >"$folder/out" || fail "gaussian_q was not accepted"
assumptions "$folder/out" | grep -vE '^(PrimInt63|Uint63)\.' >"$folder/reals"
comm -23 "$folder/reals" "$folder/allowed" | grep . && fail "it rests on more than the reals and primitive integers"
grep -q '^PrimInt63\.' "$folder/out" || fail "these are not primitive integers"
echo "accepted: gaussian_q, on $(assumptions "$folder/out" | grep -cE '^(PrimInt63|Uint63)\.') axioms of primitive integers more"
echo "all as it should be"
