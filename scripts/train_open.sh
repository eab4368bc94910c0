#!/usr/bin/env bash
# Train the open default: its encoder alone, stages 1, 2 and 3; take the mean of the weights of these
# three; then train stage 3 without the relative metric loss, to compare.
#
#   bash scripts/train_open.sh MINUTES OUT [KEY=VALUE ...]
#
# MINUTES of training in all (start-up of each stage not counted): 30 % of them the encoder, 50 %
# stage 1, 8 % stage 2, the rest stage 3; then another 12 % for stage 3 plain, when the mean is there.
# Every GPU takes part; one with less than 80 GB wants a smaller data.kept_scenes, 4096 for 24 GB.
# Without a GPU two processes share the cores like two GPUs. After each stage its weights go to OUT as
# float16.
# Called again after an interruption it goes on with the stage that was interrupted, from its start;
# one that was done is only exported. runs/open_* are of one training: move them away before another.
#
# KEY=VALUE are for all stages; PYTHON names the interpreter, CONFIGS another folder of open_*.yaml.
set -euo pipefail

if [ $# -lt 2 ]; then
    sed -n '2,15s/^# \{0,1\}//p' "$0" >&2
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
stages=(open_{0,1,2,3,3_plain})
for name in "${stages[@]}"; do # before a log says that they are of this training
    if [ -f "runs/$name/weights.safetensors" ] && [ ! -f "$out/$name.log" ] &&
        [ ! -f "$out/$name.safetensors" ]; then
        echo "error: runs/$name holds another training's weights; move it away, or name that" \
            "training's OUT" >&2
        exit 2
    fi
done
python=${PYTHON:-python3}
export PYTHONPATH=.${PYTHONPATH:+:$PYTHONPATH}
if ! gpus=$("$python" -c 'import torch; print(torch.cuda.device_count())'); then
    echo "error: $python has no working torch; name the interpreter, PYTHON=.venv/bin/python" >&2
    exit 2
fi

config_of() { # NAME of a stage
    echo "${CONFIGS:+$CONFIGS/}$1${CONFIGS:+.yaml}"
}

configs=()
for name in "${stages[@]}"; do
    configs+=("$(config_of "$name")")
done
check='
import sys
from mahmr_model.errors import UserError
from training.config import load_config
try:
    for name in sys.argv[1:6]:
        load_config(name, sys.argv[6:]).check_training()
except UserError as error:
    sys.exit(f"error: {error}")'
# Before a launcher wraps what is wrong in words of its own.
"$python" -c "$check" "${configs[@]}" "training.minutes=$minutes" "${overrides[@]}" >&2 || exit 2

exports=()

stage() { # NAME SHARE of the minutes: train unless done, then export beside what follows
    local name=$1 time
    if [ -f "$out/$name.safetensors" ]; then
        return
    fi
    if ! grep -qs 'done after' "$out/$name.log"; then
        if [ -f "$out/$name.log" ]; then # it was interrupted
            rm -f "runs/$name/weights.safetensors"
        fi
        time=$("$python" -c "print($minutes * $2)")
        echo "$name: $time minutes from $(date +%T)"
        "${launcher[@]}" training/main.py --mode train --cfg "$(config_of "$name")" \
            "training.minutes=$time" "${overrides[@]}" 2>&1 | tee -a "$out/$name.log"
    fi
    "$python" -m training.export "runs/$name" "$out/$name.safetensors" &
    exports+=($!)
}

exported() { # wait for what is being exported; fails where that did
    local one
    for one in "${exports[@]}"; do
        wait "$one"
    done
    exports=()
}

if [ "$gpus" -gt 0 ]; then
    devices=$gpus
else # a process takes some 4.5 GB, 3 of them for scenes
    devices=2 cores=$(nproc)
    export OMP_NUM_THREADS=$((cores > 1 ? cores / 2 : 1))
    overrides=(training.batch_size=8 data.workers=0 data.kept_scenes=1200 training.log_every=5 \
        "${overrides[@]}")
fi

launcher=("$python")
if [ "$devices" -gt 1 ]; then
    launcher+=(-m torch.distributed.run --standalone --nproc_per_node "$devices")
fi
stage open_0 0.30
stage open_1 0.50
stage open_2 0.08
stage open_3 0.12
exported
"$python" -m training.export "$out"/open_{1,2,3}.safetensors "$out/open.safetensors"
stage open_3_plain 0.12
exported
ls -l "$out"
