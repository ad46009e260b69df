# shellcheck shell=bash
# Sourced, in the repository's root: what works on the project and is no part of it. Programs are put
# into target/tools.

PATH=$PWD/target/tools/bin:$PWD/target/tools/python/bin:$PATH

# Installs a program from crates.io where there is none of its name; optimised most would take longer to build than they
# ever run: need_tool NAME VERSION [CARGO'S ARGUMENT]...
need_tool() {
    command -v "$1" > /dev/null && return
    echo "installs $1 $2 into target/tools" >&2
    CARGO_TARGET_DIR=$PWD/target/tools/build cargo install --quiet --locked --debug --root target/tools "$1@$2" "${@:3}"
    rm -rf target/tools/build
}

# Prints where Debian's packages come from: LCAM_DEBIAN, or the mirror that this machine's apt uses.
debian_mirror() {
    local mirror=${LCAM_DEBIAN:-}
    [ -n "$mirror" ] || mirror=$(apt-get indextargets --format '$(ORIGIN) $(REPO_URI)' 'Identifier: Packages' \
        | sed -n 's,^Debian \(.*/debian\)/$,\1,p' | head -n 1)
    if [ -z "$mirror" ]; then
        echo "$0: this machine's apt knows no mirror of Debian; name one by LCAM_DEBIAN=URL" >&2
        exit 2
    fi
    echo "$mirror"
}
