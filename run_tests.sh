#!/usr/bin/env bash
# Sets up, lints, and runs every test that needs no network and no GPU. Arguments go to pytest.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
. scripts/setup.sh
setup harness,data,plots,gguf,tracking,ray,dev

ruff check .
ruff format --check .
export HF_HUB_OFFLINE=1 OMP_NUM_THREADS=1 TOKENIZERS_PARALLELISM=false
python -m pytest -n "${TEST_WORKERS:-auto}" "$@"
