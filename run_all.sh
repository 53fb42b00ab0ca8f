#!/usr/bin/env bash
# Sets up, runs a suite (default: quick), rebuilds its tables and figures, and prints a summary.
#   ./run_all.sh [SUITE] [any option of `python -m benchmarks sweep`]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
. scripts/setup.sh
setup harness,data,plots,tracking

suite=quick
if [ $# -gt 0 ] && [ "${1#-}" = "$1" ]; then
    suite=$1
    shift
fi
status=0
python -m benchmarks sweep "$suite" "$@" || status=$?
# A failed run is shown in the tables; a wrong command or Ctrl-C ends here.
[ "$status" -le 1 ] || exit "$status"
case " $* " in *" --dry-run "*) exit 0 ;; esac
# Rows of another budget than the suite's own lie in a folder of their own.
rows=$suite
previous=
for word in "$@"; do
    [ "$previous" != --budget ] || rows=$suite.${word/=/-}
    previous=$word
done
python -m benchmarks report "$rows"
exit "$status"
