# Sourced by run_all.sh and run_tests.sh: an environment with what the arguments name, made once.
# Uses the active environment, or else makes .venv.

setup() {
    local extras=$1 python stamp wanted
    if [ -z "${VIRTUAL_ENV:-}" ] && [ -z "${CONDA_PREFIX:-}" ]; then
        python=${PYTHON:-python3}
        "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
            echo "error: Python 3.11 or newer is needed; name one with PYTHON=/path/to/python3" >&2
            exit 2
        }
        [ -x .venv/bin/python ] || "$python" -m venv .venv
        # shellcheck disable=SC1091
        . .venv/bin/activate
    fi
    stamp=$(python -c 'import sys; print(sys.prefix)')/addax-setup-$extras
    wanted=$(cat pyproject.toml constraints.txt | sha256sum)
    if [ ! -f "$stamp" ] || [ "$(cat "$stamp")" != "$wanted" ]; then
        echo "Setting up $(python -c 'import sys; print(sys.prefix)') (a few minutes, the first time only)"
        # -qq: pip's warnings about its own configuration are no concern of this suite.
        python -m pip install -qq --disable-pip-version-check --no-compile -c constraints.txt -e ".[$extras]"
        # On all cores, where pip compiles on one, and without packages' own tests; a file that is no Python of
        # this version is none that is imported.
        python -m compileall -qq -j 0 -x '/tests?/' "$(python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')" || true
        echo "$wanted" >"$stamp"
    fi
}
