# Sourced by tests/run and tests/campaign, in the repository's root: libtorch, the reference programs and what
# they make. All comes from PyPI into target/venv at the first run (some 5 GB).

venv=target/venv
requirements=(tests/python/requirements{,-alone}.txt)
if ! cat "${requirements[@]}" | cmp -s - "$venv/requirements.txt"; then
    python3 -m venv "$venv"
    "$venv/bin/pip" install --quiet --disable-pip-version-check -r tests/python/requirements.txt
    # What it depends on asks for a display; the other file has that without.
    "$venv/bin/pip" install --quiet --disable-pip-version-check --no-deps -r tests/python/requirements-alone.txt
    cat "${requirements[@]}" > "$venv/requirements.txt"
fi
# shellcheck disable=SC1091
source "$venv/bin/activate"
export LIBTORCH_USE_PYTORCH=1

# The report of an evaluation and the device's page are looked at in a browser, its window on a desktop without a screen;
# the device's results go to a broker.
wanted=()
command -v chromium > /dev/null || wanted+=(chromium)
command -v Xvfb > /dev/null || wanted+=(xvfb)
command -v xdotool > /dev/null || wanted+=(xdotool)
[ -x /usr/sbin/mosquitto ] || wanted+=(mosquitto)
if [ ${#wanted[@]} -gt 0 ] && [ "$(id -u)" = 0 ]; then
    # Another installation may be under way on a machine that has just started.
    wait=(-o DPkg::Lock::Timeout=600)
    apt-get "${wait[@]}" update -qq && apt-get "${wait[@]}" install -y -qq "${wanted[@]}" > /dev/null
    # The tests start a broker of their own.
    systemctl disable --quiet --now mosquitto 2> /dev/null || true
fi

if [ ! -d target/onnx-node-tests ]; then
    python -W ignore tests/python/make_node_tests.py target/onnx-node-tests.partial
    mv target/onnx-node-tests.partial target/onnx-node-tests
fi
if [ ! -f target/efficientnet-lite0-classifier.onnx ]; then
    python -W ignore models/efficientnet-lite0/export.py target/efficientnet-lite0-classifier.onnx
fi

# Makes a folder of networks, and anew when what makes them has changed: make_zoo FOLDER [--subset]
make_zoo() {
    local sources=(tests/python/{make_zoo.py,zoo_nets.py,requirements.txt})
    if ! cat "${sources[@]}" | cmp -s - "$1/made-by"; then
        rm -rf "$1"
    fi
    # Networks that are there are kept, so that an interrupted run goes on.
    mkdir -p "$1"
    cat "${sources[@]}" > "$1/made-by"
    python -W ignore tests/python/make_zoo.py "$@"
}
