#!/usr/bin/env bash
# Sets up, lints, and runs every test that needs no network and no GPU. Arguments go to pytest.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
. scripts/setup.sh

# The report's page is tested in a browser; where there is none, those tests are skipped.
browser() {
    if ! command -v chromium chromium-browser google-chrome >/dev/null && command -v apt-get >/dev/null &&
        [ "$(id -u)" = 0 ]; then
        export DEBIAN_FRONTEND=noninteractive
        { apt-get -qq update && apt-get -qq install -y --no-install-recommends chromium; } >/dev/null 2>&1 ||
            echo "No Chromium could be installed: the tests of the report's page in a browser are skipped"
    fi
}

# It comes while the packages do.
browser &
setup harness,data,plots,gguf,tracking,ray,dev
wait

ruff check .
ruff format --check .
export HF_HUB_OFFLINE=1 OMP_NUM_THREADS=1 TOKENIZERS_PARALLELISM=false
# Neighbours stay together, and with them what a file sets up once.
python -m pytest -n "${TEST_WORKERS:-auto}" --dist worksteal "$@"
