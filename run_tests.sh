#!/usr/bin/env bash
# Set up, lint, and run the tests. No test needs a network. Tests that need a GPU or a browser are skipped without one.
#   ./run_tests.sh --fast   about 2 minutes on 2 cores: skips medium, slow, process, and browser tests
#   ./run_tests.sh          at most 10 minutes: skips slow tests
#   ./run_tests.sh --all    at most 20 minutes: skips nothing
# Other arguments are passed to pytest.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
. scripts/setup.sh

lane="not slow"
case "${1:-}" in
--fast) lane="not medium and not slow and not process and not browser" && shift ;;
--all) lane="" && shift ;;
esac

setup harness,data,plots,gguf,tracking,ray,schedule-free,docs,dev
ruff check .
ruff format --check .
export HF_HUB_OFFLINE=1 OMP_NUM_THREADS=1 TOKENIZERS_PARALLELISM=false
# worksteal keeps neighboring tests on one worker, so that they share the fixtures of their module.
python -m pytest -n "${TEST_WORKERS:-auto}" --dist worksteal -m "$lane" "$@"
