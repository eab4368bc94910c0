#!/usr/bin/env bash
# Train the open default: its encoder alone, stages 1, 2 and 3, and stage 3 without the relative
# metric loss.
#
#   bash scripts/train_open.sh MINUTES OUT [KEY=VALUE ...]
#
# MINUTES of training in all (start-up of each stage not counted): 40 % of them the encoder, on one
# GPU, 40 % stage 1, 8 % stage 2, the rest stage 3. From stage 1 on every GPU takes part; with two or
# more, stage 3 and stage 3 plain run side by side; with one, stage 3 plain takes another 12 %. Without
# a GPU two processes share the cores like two GPUs, and stages 2 and 3 leave the encoder as it is.
# After each stage its weights go to OUT as float16. Called again after an interruption it goes on
# (the encoder begins again).
#
# KEY=VALUE are for all stages; PYTHON names the interpreter, CONFIGS another folder of open_*.yaml.
set -euo pipefail

if [ $# -lt 2 ]; then
    sed -n '2,14s/^# \{0,1\}//p' "$0" >&2
    exit 2
fi
minutes=$1 out=$2
shift 2
if ! [[ $minutes =~ ^[0-9]+(\.[0-9]+)?$ ]]; then
    echo "error: MINUTES is a number such as 10 or 7.5, not '$minutes'" >&2
    exit 2
fi
overrides=("$@")
cd "$(dirname "$0")/.."
mkdir -p "$out"
out=$(cd "$out" && pwd)
python=${PYTHON:-python3}
export PYTHONPATH=.${PYTHONPATH:+:$PYTHONPATH}
if ! gpus=$("$python" -c 'import torch; print(torch.cuda.device_count())'); then
    echo "error: $python has no working torch; name the interpreter, PYTHON=.venv/bin/python" >&2
    exit 2
fi

exports=() frozen=()

share() { # of the minutes
    "$python" -c "print($minutes * $1)"
}

stage() { # NAME MINUTES LAUNCHER...: train unless done, then export beside what follows
    local name=$1 time=$2 config=$1 resume=()
    shift 2
    if [ -f "$out/$name.safetensors" ]; then
        return
    fi
    if [ -n "${CONFIGS:-}" ]; then
        config=$CONFIGS/$name.yaml
    fi
    if compgen -G "runs/$name/checkpoints/checkpoint_*" >/dev/null; then
        resume=(--resume newest)
    fi
    echo "$name: $time minutes from $(date +%T)"
    "$@" training/main.py --mode train --cfg "$config" "${resume[@]}" \
        "training.minutes=$time" "${overrides[@]}" 2>&1 | tee -a "$out/$name.log"
    "$python" -m training.export "runs/$name" "$out/$name.safetensors" &
    exports+=($!)
}

exported() { # wait for all that this shell exports; fails where one did
    local one
    for one in "${exports[@]}"; do
        wait "$one"
    done
}

if [ "$gpus" -gt 0 ]; then
    devices=$gpus
    IFS=, read -ra cards <<<"${CUDA_VISIBLE_DEVICES:-0,1}"
else # a process keeps some 3 GB of scenes
    devices=2 cards=('' '') cores=$(nproc)
    export OMP_NUM_THREADS=$((cores > 1 ? cores / 2 : 1))
    overrides=(training.batch_size=8 data.workers=0 data.kept_scenes=1200 "${overrides[@]}")
    frozen=(training.frozen_encoder=true training.learning_rate=2e-4 data.rounds=12)
fi
if [ "$devices" -gt 1 ]; then
    all=("$python" -m torch.distributed.run --standalone --nproc_per_node "$devices")
else
    all=("$python")
fi
stage open_0 "$(share 0.40)" env CUDA_VISIBLE_DEVICES="${cards[0]}" "$python"
stage open_1 "$(share 0.40)" "${all[@]}"
overrides=("${frozen[@]}" "${overrides[@]}")
stage open_2 "$(share 0.08)" "${all[@]}"
if [ "$devices" -gt 1 ]; then
    {
        exports=()
        stage open_3_plain "$(share 0.12)" env CUDA_VISIBLE_DEVICES="${cards[1]}" "$python"
        exported
    } &
    plain=$!
    stage open_3 "$(share 0.12)" env CUDA_VISIBLE_DEVICES="${cards[0]}" "$python"
    wait "$plain"
else
    stage open_3 "$(share 0.12)" "${all[@]}"
    stage open_3_plain "$(share 0.12)" "${all[@]}"
fi
exported
ls -l "$out"
