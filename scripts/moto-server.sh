#!/bin/sh
# A server that speaks S3, for tests: `moto` from PyPI in a cached virtual environment.
#
#   scripts/moto-server.sh install     make the environment, once (safe to repeat and to run twice at once)
#   scripts/moto-server.sh check       fail when it is not there
#   scripts/moto-server.sh run [port]  run the server on 127.0.0.1 in this very process; port 0 picks one
set -eu

version=5.1.22
cache="${XDG_CACHE_HOME:-$HOME/.cache}/caudal/moto-$version"

install() {
    [ -x "$cache/bin/moto_server" ] && return
    mkdir -p "${cache%/*}"
    # Built beside its place and renamed, so that a half-made environment is never taken for a whole one. A virtual
    # environment knows its own path only in its scripts' first lines, which are rewritten.
    fresh="$cache.$$"
    trap 'rm -rf "$fresh"' EXIT
    python3 -m venv "$fresh" >&2
    "$fresh/bin/pip" install --disable-pip-version-check "moto[s3,server]==$version" >&2
    sed -i "1s|$fresh|$cache|" "$fresh/bin/moto_server"
    mv -T "$fresh" "$cache" 2>/dev/null || [ -x "$cache/bin/moto_server" ]
}

check() {
    if [ ! -x "$cache/bin/moto_server" ]; then
        echo "moto $version, the S3 server of the tests, is not installed; run: scripts/setup test" >&2
        exit 69
    fi
}

case "${1:-}" in
install) install ;;
check) check ;;
run)
    check
    # moto prints the chosen port (`Running on http://127.0.0.1:PORT`) on standard error.
    exec "$cache/bin/python3" "$cache/bin/moto_server" -H 127.0.0.1 -p "${2:-0}"
    ;;
*)
    sed -n '2,/^[^#]/s/^# \{0,1\}//p' "$0" >&2
    exit 2
    ;;
esac
