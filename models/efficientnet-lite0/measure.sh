#!/usr/bin/env bash
# Measures the shipped model's maps beside those of all other methods, and writes a report of each run.
#
#     models/efficientnet-lite0/measure.sh [FOLDER [MODEL.onnx]]
#
# FOLDER (default target/efficientnet-lite0) is the one that make.sh has filled. About two hours on two cores, of which the
# thousands of passes of Score-CAM and RISE take one.
set -euo pipefail
cd "$(dirname "$0")/../.."
work=$(realpath -m "${1:-target/efficientnet-lite0}")
here=models/efficientnet-lite0
model=$(realpath "${2:-$here/efficientnet-lite0.onnx}")

# shellcheck disable=SC1091
source target/venv/bin/activate
export LIBTORCH_USE_PYTORCH=1
cargo build --release -p lcam-host
lcam_host=${CARGO_TARGET_DIR:-target}/release/lcam-host

# Photographs that no training has seen; README.md tells of their licences. None of them goes into the repository.
if [ ! -d "$work/photographs" ]; then
    mkdir -p "$work/packages" "$work/natural"
    (cd "$work/packages" && apt-get download gcompris-qt-data lomiri-wallpapers-16.04)
    for package in "$work"/packages/gcompris-qt-data_*.deb "$work"/packages/lomiri-wallpapers-16.04_*.deb; do
        dpkg-deb -x "$package" "$work/natural"
    done
    python $here/photographs.py "$work/natural" "$work/photographs.partial"
    mv "$work/photographs.partial" "$work/photographs"
fi

held_out=$work/composites/held-out
one_pass=lcam,cam,grad-cam,grad-cam++,layer-cam,recipro-cam,random
measure() {
    local name=$1
    shift
    echo "== $name"
    "$lcam_host" evaluate "$model" --json "$work/$name.json" --output "$work/$name" "$@" | tee "$work/$name.txt"
}
measure composites --images "$held_out/images" --masks --limit 400 --methods $one_pass \
    --sanity --pairs "$held_out/pairs"
measure photographs --images "$work/photographs" --methods $one_pass
measure many-passes --images "$held_out/images" --masks --limit 40 --methods lcam,score-cam,rise,cam,grad-cam
