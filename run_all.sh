#!/usr/bin/env bash
# Set up, run a suite (default: quick), and write its tables, figures, and report page.
#   ./run_all.sh [SUITE] [any options of `python -m benchmarks sweep`]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
. scripts/setup.sh
setup harness,data,plots,gguf,tracking

suite=quick
if [ $# -gt 0 ] && [ "${1#-}" = "$1" ]; then
    suite=$1
    shift
fi
exec python -m benchmarks sweep "$suite" --report "$@"
