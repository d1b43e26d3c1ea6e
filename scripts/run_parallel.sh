#!/usr/bin/env bash
# main.py over several seeds, one GPU each in turn:
#   bash scripts/run_parallel.sh --dataset ChemProt --model answerdotai/ModernBERT-base [any flag of main.py]
#   --seeds 1,2,3   instead of the list below        --jobs N     runs at a time (default: number of GPUs, else 1)
#   --dry_run       print the plan and stop          --seed N     one seed: the same as main.py
# Lines are prefixed with their seed. One failing seed does not stop the others; the exit code is then 1.
# --save_model DIR becomes DIR/seed=N.
seeds=(42 43 44 45 46)

set -uo pipefail
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"

fail() {
    echo "error: $1" >&2
    exit 2
}

find_python() {
    local candidate
    for candidate in python "$root/.venv/bin/python"; do
        if "$candidate" -c 'import importlib.util as u, sys; sys.exit(not (u.find_spec("transformers") and u.find_spec("seqeval")))' 2>/dev/null; then
            echo "$candidate"
            return
        fi
    done
    return 1
}

list_gpus() {
    if [ -n "${CUDA_VISIBLE_DEVICES+set}" ]; then  # empty: the user wants no GPU
        echo "${CUDA_VISIBLE_DEVICES//,/ }"
    elif command -v nvidia-smi >/dev/null; then
        nvidia-smi --query-gpu=index --format=csv,noheader 2>/dev/null | tr '\n' ' '
    fi
}

jobs_at_once="" dry_run="" dataset="" model="" save_model=""
arguments=()
while [ $# -gt 0 ]; do
    flag="$1" value="${2-}" width=2
    case "$flag" in --*=*) value="${flag#*=}" flag="${flag%%=*}" width=1 ;; esac
    case "$flag" in
        --seeds) IFS=', ' read -r -a seeds <<< "$value" ;;
        --seed) seeds=("$value") ;;
        --jobs) jobs_at_once="$value" ;;
        --dry_run) dry_run=1 width=1 ;;
        --save_model) save_model="$value" ;;
        --dataset) dataset="$value" arguments+=(--dataset "$value") ;;
        --model) model="$value" arguments+=(--model "$value") ;;
        *) arguments+=("$1") width=1 ;;
    esac
    [ $# -ge $width ] || fail "$flag needs a value"
    shift $width
done
[ -n "$dataset" ] || fail "--dataset is required, e.g. --dataset ChemProt"
[ -n "$model" ] || fail "--model is required: a hub id or a folder"
[ ${#seeds[@]} -gt 0 ] || fail "--seeds is empty"
seen=" "
for seed in "${seeds[@]}"; do
    [[ "$seed" =~ ^[0-9]+$ ]] || fail "seed '$seed' is not a whole number"
    [[ "$seen" != *" $seed "* ]] || fail "seed $seed is named twice"
    seen+="$seed "
done
read -r -a gpus <<< "$(list_gpus)"
if [ -z "$jobs_at_once" ]; then
    jobs_at_once=$(( ${#gpus[@]} > 0 ? ${#gpus[@]} : 1 ))
fi
[[ "$jobs_at_once" =~ ^[1-9][0-9]*$ ]] || fail "--jobs '$jobs_at_once' is not a number above zero"
(( jobs_at_once > ${#seeds[@]} )) && jobs_at_once=${#seeds[@]}
python="$(find_python)" || fail "the environment is missing; run: bash scripts/test.sh, or activate one that has bioclinical installed"

# Sets the array `command` for one seed.
command_for() {
    command=("$python" "$root/main.py" "${arguments[@]}" --seed "$1")
    [ -z "$save_model" ] || command+=(--save_model "$save_model/seed=$1")
}

gpu_of() {
    [ ${#gpus[@]} -eq 0 ] || echo "${gpus[$(( $1 % ${#gpus[@]} ))]}"
}

if [ -n "$dry_run" ]; then
    for i in "${!seeds[@]}"; do
        worker=$(( i % jobs_at_once ))
        command_for "${seeds[$i]}"
        gpu="$(gpu_of $worker)"
        echo "worker $worker: ${gpu:+CUDA_VISIBLE_DEVICES=$gpu }$(printf '%q ' "${command[@]}")"
    done
    exit 0
fi

failures="$(mktemp -d)" || fail "no temporary folder can be made; set TMPDIR to one that exists"
workers=()

# One worker runs every jobs_at_once-th seed, one after the other, on its GPU.
work() {
    local worker="$1" i gpu command
    gpu="$(gpu_of "$worker")"
    [ -z "$gpu" ] || export CUDA_VISIBLE_DEVICES="$gpu"
    for (( i = worker; i < ${#seeds[@]}; i += jobs_at_once )); do
        command_for "${seeds[$i]}"
        PYTHONUNBUFFERED=1 "${command[@]}" 2>&1 < /dev/null | while IFS= read -r line; do
            printf '[seed %s] %s\n' "${seeds[$i]}" "$line"
        done
        [ "${PIPESTATUS[0]}" -eq 0 ] || touch "$failures/${seeds[$i]}"
    done
}

stop() {
    trap '' INT TERM HUP
    local pid
    for pid in "${workers[@]}"; do
        kill -TERM -- "-$pid" 2>/dev/null
    done
    wait
    rm -rf "$failures"
    echo "error: stopped; add --resume to continue the seeds that were running" >&2
    exit 130
}

set -m  # every worker is a process group of its own, so that stopping reaches its children
trap stop INT TERM HUP
for (( worker = 0; worker < jobs_at_once; worker++ )); do
    work "$worker" &
    workers+=($!)
done
wait
failed=""
for seed in "${seeds[@]}"; do
    [ ! -e "$failures/$seed" ] || failed+=" $seed"
done
rm -rf "$failures"
if [ -n "$failed" ]; then
    echo "error: failed seeds:$failed (the others finished)" >&2
    exit 1
fi
