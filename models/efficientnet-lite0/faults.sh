#!/usr/bin/env bash
# Plants faults in pictures of real cut-outs on photographs, and looks whether `lcam-host analyze` finds them; the clean
# twin of each must have none.
#
#     models/efficientnet-lite0/faults.sh [FOLDER [SEED...]]
#
# FOLDER (default target/efficientnet-lite0) is the one that make.sh has filled. About five minutes a seed on two cores.
set -euo pipefail
cd "$(dirname "$0")/../.."
work=$(realpath -m "${1:-target/efficientnet-lite0}")
seeds=("${@:2}")
[ ${#seeds[@]} -gt 0 ] || seeds=(101 102 103)

# shellcheck disable=SC1091
source target/venv/bin/activate
export LIBTORCH_USE_PYTORCH=1
cargo build --release -p lcam-host
lcam_host=$(realpath "${CARGO_TARGET_DIR:-target}/release/lcam-host")

for seed in "${seeds[@]}"; do
    for twin in planted clean; do
        folder=$work/faults/$seed-$twin
        rm -rf "$folder"
        mkdir -p "$work/faults"
        arguments=(--seed "$seed" --count 60)
        [ "$twin" = planted ] || arguments+=(--clean)
        python -W ignore tests/python/plant_faults.py "$work/efficientnet-lite0-classifier.onnx" "$folder" "${arguments[@]}" \
            --objects "$work/objects" --backgrounds "$work/data/usr/share/wallpapers" "$work/data/usr/share/backgrounds/mate/nature"
        (cd "$folder" && "$lcam_host" train classifier.onnx --preprocess tf --labels labels.txt --images train/images \
            --variant fm --epochs 2 --output explained.onnx > train.txt &&
            "$lcam_host" analyze explained.onnx --images held-out/images --truth held-out/labels.csv --masks \
                --output report --json analysis.json)
        python tests/python/check_faults.py "$folder"
    done
done
