# Sourced by the other scripts: what they need beside a Rust toolchain, installed by name and said aloud.
# shellcheck shell=bash

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

say() { printf '== %s\n' "$*"; }

need_root() {
    [ "$(id -u)" = 0 ] || { echo "run me as root: containers, networks and cgroups need it" >&2; exit 1; }
}

# Installs the Debian packages that are not there yet.
packages() {
    local missing=()
    for package in "$@"; do
        dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing+=("$package")
    done
    [ ${#missing[@]} = 0 ] && return
    say "installing Debian packages: ${missing[*]}"
    # Services of the packages must not start: a running Docker would change the host's firewall.
    local policy=/usr/sbin/policy-rc.d made=no
    if [ ! -e $policy ]; then printf '#!/bin/sh\nexit 101\n' >$policy && chmod +x $policy && made=yes; fi
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
    if [ $made = yes ]; then rm -f $policy; fi
}

need_rust() {
    command -v cargo >/dev/null || { echo "no cargo: install a Rust toolchain first (rustup.rs)" >&2; exit 1; }
    packages gcc libc6-dev
}

# A cargo tool, once, into target/tools.
cargo_tool() {
    local name=$1 version=$2
    export PATH="$PWD/target/tools/bin:$PATH"
    if [ "$(cat "target/tools/$name.version" 2>/dev/null)" != "$version" ]; then
        say "installing $name $version from crates.io into target/tools"
        # Out of the tree: this workspace's static flags are not for tools.
        (cd / && cargo install --quiet --locked --root "$OLDPWD/target/tools" --target-dir "$OLDPWD/target/tools/build" "$name@$version")
        rm -rf target/tools/build
        echo "$version" >"target/tools/$name.version"
    fi
}

# Python with the AWS SDK and CLI, pinned, in target/venv.
need_python() {
    packages python3 python3-venv
    local want="boto3==1.43.11 awscli==1.45.11"
    export PYTHON="$PWD/target/venv/bin/python3" AWS="$PWD/target/venv/bin/aws"
    if [ "$(cat target/venv/cove-has 2>/dev/null)" != "$want" ]; then
        say "installing from PyPI into target/venv: $want"
        mkdir -p target
        python3 -m venv --clear target/venv
        # shellcheck disable=SC2086
        target/venv/bin/pip install --quiet --disable-pip-version-check $want
        echo "$want" >target/venv/cove-has
    fi
}

# Builds the binary and says where it is in $COVE.
build() {
    local profile=$1
    say "building the binary (profile $profile)"
    COVE=$(cargo build --profile "$profile" --bin cove --message-format=json-render-diagnostics |
        python3 -c 'import json,sys
for line in sys.stdin:
    message = json.loads(line)
    if message.get("executable") and message["target"]["name"] == "cove": print(message["executable"])')
    export COVE
}
