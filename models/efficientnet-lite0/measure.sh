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
table=$work/measured.md
: > "$table"
# Measures under a name and a title, and adds the report's table to all tables: measure MODEL NAME TITLE OPTION...
measure() {
    local model=$1 name=$2 title=$3
    shift 3
    "$lcam_host" evaluate "$model" --json "$work/$name.json" --output "$work/$name" "$@" | tee "$work/$name.txt"
    printf '\n## %s\n\n    evaluate %s\n\n' "$title" "${*//$work\//}" >> "$table"
    cat "$work/$name/table.md" >> "$table"
}
measure "$model" composites "400 held-out composites" --images "$held_out/images" --masks --limit 400 \
    --methods lcam,cam,grad-cam,grad-cam++,layer-cam,recipro-cam,random --sanity --pairs "$held_out/pairs"
measure "$model" photographs "253 photographs" --images "$work/photographs" \
    --methods lcam,cam,grad-cam,grad-cam++,recipro-cam --metrics faithfulness,fills,curves,sparseness

# What quantisation costs: the same pictures, 653 of both kinds, before and after it.
if [ ! -d "$work/mixed" ]; then
    mkdir -p "$work/mixed.partial"
    cp -r "$work/photographs" "$work/mixed.partial/photographs"
    mkdir "$work/mixed.partial/composites"
    find "$held_out/images" -type f | sort | awk 'NR % 2' | head -n 400 | xargs cp -t "$work/mixed.partial/composites"
    mv "$work/mixed.partial" "$work/mixed"
fi
for form in float int8; do
    file=$model
    [ "$form" = int8 ] || file=$work/float.onnx
    measure "$file" "mixed-$form" "653 pictures of both kinds, $form" --images "$work/mixed" --methods lcam --metrics faithfulness
done
cargo build --release -p lcam-device
python tests/python/check_quantized.py "$work/float.onnx" "$model" "$work/mixed" \
    --device "${CARGO_TARGET_DIR:-target}/release/lcam-device" | tee "$work/agreement.txt"

measure "$model" many-passes "Beside methods of thousands of passes, on 40 composites" --images "$held_out/images" --masks \
    --limit 40 --methods lcam,score-cam,rise,cam,grad-cam
