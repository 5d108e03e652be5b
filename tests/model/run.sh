#!/bin/sh
# Checks share.pml with spin: every claim must hold, the model must reach every kind of end, and each seeded
# bug must be caught by the claim that is there for it. Exit 77: spin is not installed.
# Usage: run.sh PRINT-PROMELA SHARE.PML
set -eu

command -v spin >/dev/null || { echo "spin is not installed"; exit 77; }
print=$(realpath "$1")
model=$(realpath "$2")
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
"$print" > lifecycle.pml

build() { # build NAME [-DBUG]
        name=$1
        shift
        mkdir "$name"
        cp lifecycle.pml "$name"
        cp "$model" "$name/share.pml"
        (
                cd "$name"
                spin "$@" -a share.pml > spin.log 2>&1 || { cat spin.log; exit 1; }
                ${CC:-cc} -O2 -w -DSAFETY -DNOFAIR -DMEMLIM=2000 -o pan pan.c
        )
}

check() { # check NAME CLAIM: prints the number of errors; the search must have been complete
        (cd "$1" && ./pan -m400000 -N "$2") > log 2>&1 || { cat log >&2; exit 1; }
        if grep -q 'errors: 0' log && grep -q 'depth too small\|Search not completed' log; then
                cat log >&2
                exit 1
        fi
        sed -n 's/.*errors: \([0-9]*\).*/\1/p' log
}

failed=0
build right
for claim in once conf budget cancel absorb noexp shut; do
        errors=$(check right $claim)
        states=$(sed -n 's/ *\([0-9]*\) states, stored.*/\1/p' log)
        echo "claim $claim: $errors errors, $states states"
        [ "$errors" = 0 ] && [ "$states" -gt 10000 ] || failed=1
done

# A model in which nothing happens keeps every promise: each of these must be refuted.
for reach in S_COMPLETED S_DECLINED S_DISOWNED S_CANCELLED S_EXPIRED S_LOCKED S_FAILED; do
        number=$(sed -n "s/#define $reach //p" lifecycle.pml)
        claims="$(cat right/share.pml)"
        claims="$claims
ltl never_$reach { [] (st != $number) }"
        printf '%s\n' "$claims" > right/share.pml
done
(cd right && spin -a share.pml > spin.log 2>&1 && ${CC:-cc} -O2 -w -DSAFETY -DNOFAIR -DMEMLIM=2000 -o pan pan.c)
for reach in S_COMPLETED S_DECLINED S_DISOWNED S_CANCELLED S_EXPIRED S_LOCKED S_FAILED; do
        errors=$(check right never_$reach)
        echo "reaches $reach: $errors"
        [ "$errors" = 1 ] || failed=1
done

while read -r bug claim; do
        build "$bug" "-D$bug"
        errors=$(check "$bug" "$claim")
        echo "bug $bug: caught $errors times by $claim"
        [ "$errors" = 1 ] || failed=1
done <<END
BUG_CANCEL cancel
BUG_VOLATILE once
BUG_COUNT budget
END
exit $failed
