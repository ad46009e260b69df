# shellcheck shell=bash
# Sourced, in the repository's root: programs that work on the project and are no part of it, in target/tools.

PATH=$PWD/target/tools/bin:$PWD/target/tools/python/bin:$PATH

# Installs a program from crates.io where there is none of its name; optimised it would take longer to build than it
# ever runs: need_tool NAME VERSION
need_tool() {
    command -v "$1" > /dev/null && return
    echo "installs $1 $2 into target/tools" >&2
    CARGO_TARGET_DIR=$PWD/target/tools/build cargo install --quiet --locked --debug --root target/tools "$1@$2"
    rm -rf target/tools/build
}
