#!/bin/sh
# Tries an api by its OpenAPI document: `schemathesis` from PyPI in a cached virtual environment.
#
#   scripts/schemathesis.sh install        make the environment, once (safe to repeat and to run twice at once)
#   scripts/schemathesis.sh check          fail when it is not there
#   scripts/schemathesis.sh run ARGUMENT…  schemathesis itself, with the hooks of e2e/schemathesis, which name the variables that they need
set -eu

folder=$(cd "$(dirname "$0")/../e2e/schemathesis" && pwd)
# Whatever is pinned there is what this environment has.
version=$(sha256sum "$folder/requirements.txt" | cut -c 1-16)
cache="${XDG_CACHE_HOME:-$HOME/.cache}/caudal/schemathesis-$version"

install() {
    [ -x "$cache/bin/schemathesis" ] && return
    mkdir -p "${cache%/*}"
    # Built beside its place and renamed, so that a half-made environment is never taken for a whole one. A virtual
    # environment knows its own path only in its scripts' first lines, which are rewritten.
    fresh="$cache.$$"
    trap 'rm -rf "$fresh"' EXIT
    python3 -m venv "$fresh" >&2
    "$fresh/bin/pip" install --disable-pip-version-check --require-hashes -r "$folder/requirements.txt" >&2
    sed -i "1s|$fresh|$cache|" "$fresh/bin/schemathesis"
    mv -T "$fresh" "$cache" 2>/dev/null || [ -x "$cache/bin/schemathesis" ]
}

check() {
    if [ ! -x "$cache/bin/schemathesis" ]; then
        echo "schemathesis, which tries the api by its document, is not installed; run: scripts/setup test" >&2
        exit 69
    fi
}

case "${1:-}" in
install) install ;;
check) check ;;
run)
    check
    shift
    # Nothing is written into the clone.
    export SCHEMATHESIS_HOOKS=hooks PYTHONPATH="$folder" PYTHONDONTWRITEBYTECODE=1
    exec "$cache/bin/python3" "$cache/bin/schemathesis" run "$@"
    ;;
*)
    sed -n '2,/^[^#]/s/^# \{0,1\}//p' "$0" >&2
    exit 2
    ;;
esac
