# Sourced by run_all.sh and run_tests.sh. Defines the function setup, which installs the extras named by its
# argument into the active environment. If no environment is active, setup creates and activates .venv.

setup() {
    local extras=$1 python stamp expected
    if [ -z "${VIRTUAL_ENV:-}" ] && [ -z "${CONDA_PREFIX:-}" ]; then
        python=${PYTHON:-python3}
        "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
            echo "error: this suite requires Python 3.11 or newer: set PYTHON=/path/to/python3" >&2
            exit 2
        }
        [ -x .venv/bin/python ] || "$python" -m venv .venv
        # shellcheck disable=SC1091
        . .venv/bin/activate
    fi
    stamp=$(python -c 'import sys; print(sys.prefix)')/addax-setup-$extras
    expected=$(cat pyproject.toml constraints.txt | sha256sum)
    if [ ! -f "$stamp" ] || [ "$(cat "$stamp")" != "$expected" ]; then
        echo "Setting up $(python -c 'import sys; print(sys.prefix)') (this takes a few minutes, only the first time)"
        # -qq silences pip's own warnings.
        python -m pip install -qq --disable-pip-version-check --no-compile -c constraints.txt -e ".[$extras]"
        # Compile here on all cores, because pip compiles on one. Some packages ship files for other versions of
        # Python; their compile errors are harmless.
        python -m compileall -qq -j 0 -x '/tests?/' "$(python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')" || true
        echo "$expected" >"$stamp"
    fi
}
