#!/usr/bin/env bash
# rpcnet beside bare quinn, rpcnet 0.1, tarpc and tonic, all built and measured on this machine. Arguments go to the
# benchmark: --quick, --only PREFIX, --json, --raw, --rounds NUMBER. What is built and installed is told on stderr.
set -euo pipefail
cd "$(dirname "$0")"

installed() {
    command -v "$1" >/dev/null
}

missing=()
installed cc || missing+=(gcc g++ libc6-dev make)
# rpcnet 0.1 depends on a C library that is built with it.
installed cmake || missing+=(cmake g++ make)
if [[ ${#missing[@]} -gt 0 ]] && installed apt-get; then
    {
        apt-get update && apt-get install --yes --no-install-recommends "${missing[@]}"
    } >&2 || echo "could not install ${missing[*]}" >&2
fi

# Without --locked: rpcnet's own dependencies may have changed since the lock file here was written.
build=(cargo build --release)
if ! installed cmake; then
    echo 'rpcnet 0.1 is skipped: there is no cmake' >&2
    build+=(--no-default-features)
    "${build[@]}" >&2
elif ! "${build[@]}" >&2; then
    echo 'rpcnet 0.1 is skipped: it does not build here' >&2
    "${build[@]}" --no-default-features >&2
fi

# A thousand connections are a thousand sockets where each has its own.
ulimit -Sn "$(ulimit -Hn)" || echo 'the limit of open files stays as it is' >&2

exec "${CARGO_TARGET_DIR:-target}/release/rpcnet-peers" "$@"
