#!/usr/bin/env bash
# Writes .sqlx, what sqlx knows of every query, from a real database; with --check fails when the committed data is stale.
#
# Run it after changing a query or a migration. The database is one of scripts/with-postgres.sh, never the one of a
# DATABASE_URL that happens to be set: migrations are tried on it.
set -euo pipefail
cd "$(dirname "$0")/.."

if [ "${THROWAWAY_DATABASE:-}" != "${DATABASE_URL:-none}" ]; then
    exec scripts/with-postgres.sh "$0" "$@"
fi

for migration in api/migrations/*.sql; do
    # Into a database that is thrown away; the api applies them itself, with their history.
    PGOPTIONS='--client-min-messages=warning' psql "$DATABASE_URL" -v ON_ERROR_STOP=1 -X -q -1 -f "$migration"
done

fresh=$(mktemp -d)
trap 'rm -rf "$fresh"' EXIT
# The data is written when the macros expand, so the crate must be compiled anew.
touch api/src/lib.rs api/tests/it/main.rs
SQLX_OFFLINE=false SQLX_OFFLINE_DIR="$fresh" cargo check --quiet --workspace --tests

if [ "${1:-}" = --check ]; then
    if ! diff -rq "$fresh" .sqlx; then
        echo "the query data in .sqlx is stale; run scripts/sqlx-prepare.sh and commit it" >&2
        exit 1
    fi
else
    rm -rf .sqlx
    mkdir .sqlx
    cp "$fresh"/*.json .sqlx/
    echo "wrote $(find .sqlx -name '*.json' | wc -l) queries to .sqlx"
fi
