#!/usr/bin/env bash
# Installs the tools that the checks need under .tools/, at pinned versions; skips what is there; touches nothing else.
# tools.sh [buf] [grpcurl] [cargo-deny] [python] ...: those named, or all.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
tools=$PWD/.tools
bin=$tools/bin

BUF=1.75.0
GRPCURL=v1.9.4
CARGO_DENY=0.20.2
PROTOC_GEN_GO=v1.36.12
PROTOC_GEN_GO_GRPC=v1.6.2
PROTOC_GEN_ES=2.17.0

# have NAME VERSION: true where this version was installed before.
have() { [ "$(cat "$tools/versions/$1" 2>/dev/null)" = "$2" ]; }
installed() { printf '%s\n' "$2" >"$tools/versions/$1"; }

install_go() { # name, module path, version
    have "$1" "$3" && return
    GOBIN=$bin GOFLAGS=-mod=mod go install "$2@$3"
    installed "$1" "$3"
}

install_npm() { # name, package, version
    have "$1" "$3" && return
    npm install --silent --no-audit --no-fund --prefix "$tools/npm" "$2@$3"
    ln -sf "$tools/npm/node_modules/.bin/$1" "$bin/$1"
    installed "$1" "$3"
}

install_cargo_deny() {
    have cargo-deny "$CARGO_DENY" && return
    # Unoptimised: it runs for seconds, and building it so takes a third of the time.
    CARGO_TARGET_DIR=$tools/build cargo install --quiet --locked --profile dev --root "$tools" "cargo-deny@$CARGO_DENY"
    rm -rf "$tools/build"
    installed cargo-deny "$CARGO_DENY"
}

install_python() {
    [ -x "$tools/venv/bin/python" ] && return
    python3 -m venv "$tools/venv"
}

install() {
    case $1 in
        buf) install_npm buf @bufbuild/buf "$BUF" ;;
        grpcurl) install_go grpcurl github.com/fullstorydev/grpcurl/cmd/grpcurl "$GRPCURL" ;;
        cargo-deny) install_cargo_deny ;;
        python) install_python ;;
        protoc-gen-go) install_go protoc-gen-go google.golang.org/protobuf/cmd/protoc-gen-go "$PROTOC_GEN_GO" ;;
        protoc-gen-go-grpc) install_go protoc-gen-go-grpc google.golang.org/grpc/cmd/protoc-gen-go-grpc "$PROTOC_GEN_GO_GRPC" ;;
        protoc-gen-es) install_npm protoc-gen-es @bufbuild/protoc-gen-es "$PROTOC_GEN_ES" ;;
        *) echo "tools.sh: $1 is unknown" >&2; exit 2 ;;
    esac
}

mkdir -p "$bin" "$tools/versions"
[ $# -gt 0 ] || set -- buf grpcurl cargo-deny python
for tool in "$@"; do
    install "$tool"
done
