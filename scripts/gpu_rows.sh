#!/usr/bin/env bash
# Produce the rows of a GPU, most valuable first, within 30 minutes on one H200.
#   scripts/gpu_rows.sh [--tiny] OUT
# OUT gets the rows (NAME.jsonl), the output of all parts (log.txt), and a line per part that ended (parts.txt).
# Run it again with the same OUT to continue: finished parts are skipped, and parts that failed come last. A kill
# loses at most the rows of the part in progress. To commit the rows: python scripts/merge_rows.py OUT
# --tiny takes the same steps with tiny shapes on the CPU, within a minute.
# MINUTES sets the time for all parts, and PYTHON the interpreter. Nothing is installed or downloaded.
set -uo pipefail

tiny=
if [ "${1:-}" = --tiny ]; then
    tiny=yes
    shift
fi
if [ $# -ne 1 ] || [ "${1#-}" != "$1" ]; then
    echo "usage: scripts/gpu_rows.sh [--tiny] OUT" >&2
    exit 2
fi
mkdir -p "$1" || exit 2
out=$(cd "$1" && pwd)
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 2
python=${PYTHON:-python3}
log=$out/log.txt
parts=$out/parts.txt
deadline=$(($(date +%s) + 60 * ${MINUTES:-30}))
export HF_HUB_OFFLINE=1 TOKENIZERS_PARALLELISM=false PYTHONUNBUFFERED=1
touch "$parts"
before=$(cat "$parts")
child=
trap '[ -z "$child" ] || kill "$child" 2>/dev/null; exit 143' INT TERM

# Run a part unless it is finished or no time is left: part NAME SECONDS COMMAND...
part() {
    local name=$1 limit=$2 left code last
    shift 2
    last=$(grep -F "$name: " <<<"$before" | tail -n 1)
    case "$last" in
    "$name: done") return ;;
    "$name: "*) [ "$pass" = failed ] || return ;;
    *) [ "$pass" = new ] || return ;;
    esac
    left=$((deadline - $(date +%s)))
    if [ "$left" -lt 1 ]; then
        echo "$name: no time left" | tee -a "$log"
        return
    fi
    echo "== $name: $*" | tee -a "$log"
    timeout -k 10 "$((limit < left ? limit : left))" "$@" >>"$log" 2>&1 &
    child=$!
    wait "$child"
    code=$?
    child=
    case "$code" in
    0) echo "$name: done" ;;
    124 | 137) echo "$name: stopped at its time limit" ;;
    *) echo "$name: failed with exit code $code" ;;
    esac | tee -a "$log" "$parts"
}

study() {
    local name=$1 limit=$2
    shift 2
    part "$name" "$limit" "$python" -m benchmarks study "$@" --save-to "$out"
}

speed() {
    local name=$1 limit=$2 shape=$3
    shift 3
    study "$name" "$limit" step-speed --device cuda --dtype bfloat16 --shape "$shape" "$@"
}

memory() {
    study "memory, $2" "$1" memory-validation --device cuda --models "$2"
}

gpu_parts() {
    local zo=(--batch-size 16 --length 400)
    local mixed=(--batch-size 6 --length 400 --fo-batch-size 4 --fo-length 170)
    part tests 300 "$python" -m pytest -q -p no:cacheprovider -m gpu tests/gpu
    speed "opt-13b, zeroth order" 240 opt-13b --parts "zeroth order" "${zo[@]}"
    speed "opt-13b, mixed" 180 opt-13b --parts mixed "${mixed[@]}"
    speed "opt-1.3b, zeroth order" 120 opt-1.3b --parts "zeroth order" "${zo[@]}"
    speed "opt-1.3b, mixed" 120 opt-1.3b --parts mixed "${mixed[@]}"
    speed "host time" 90 opt-125m --parts "host time"
    memory 150 facebook/opt-125m
    memory 150 facebook/opt-1.3b
    memory 240 facebook/opt-13b
    study "watching" 150 swap-speed --device cuda --dtype bfloat16
    memory 120 FacebookAI/roberta-large
    memory 180 meta-llama/Llama-2-7b-hf
    speed "opt-13b, first order" 180 opt-13b --parts "first order" --batch-size 4 --length 170
    memory 180 facebook/opt-6.7b
    memory 240 meta-llama/Llama-2-13b-hf
    memory 120 FacebookAI/roberta-base
}

tiny_parts() {
    local tiny=(step-speed --device cpu --shape nano-opt --repeats 1 --batch-size 2 --length 8)
    part tests 300 "$python" -m pytest -q -p no:cacheprovider -k simulated tests/gpu/test_large_tensor.py
    study "nano-opt, zeroth order" 300 "${tiny[@]}" --parts "zeroth order"
    study "nano-opt, mixed" 300 "${tiny[@]}" --parts mixed --fo-batch-size 1 --fo-length 5
}

for pass in new failed; do
    if [ -n "$tiny" ]; then tiny_parts; else gpu_parts; fi
done
echo "rows: $out; to commit them: python scripts/merge_rows.py $out"
