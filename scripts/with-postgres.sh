#!/usr/bin/env bash
# Runs a command with a PostgreSQL of its own: scripts/with-postgres.sh COMMAND [ARGUMENT…]
#
# Makes a throw-away cluster from Debian's binaries, exports DATABASE_URL, and removes everything when the command ends or
# this script is told to stop. The exit status is the command's.
set -euo pipefail

if [ $# -eq 0 ]; then
    echo "usage: $0 COMMAND [ARGUMENT...]" >&2
    exit 64
fi

# The newest version that is installed; Debian keeps these off the PATH.
bin=$(find /usr/lib/postgresql -mindepth 2 -maxdepth 2 -type d -name bin 2>/dev/null | sort -t/ -k5 -V | tail -n 1)
if [ -z "$bin" ] || [ ! -x "$bin/initdb" ]; then
    echo "PostgreSQL is missing; on Debian: apt-get install postgresql" >&2
    exit 69
fi

# PostgreSQL refuses to run as root.
as_owner=()
if [ "$(id -u)" -eq 0 ]; then
    as_owner=(runuser -u postgres --)
fi

# Short, because a unix socket's path may have 107 bytes only, and TMPDIR may be long.
folder=$(mktemp -d /tmp/caudal-pg.XXXXXX)
command_pid=
clean_up() {
    trap '' INT TERM HUP
    if [ -n "$command_pid" ] && kill -0 "$command_pid" 2>/dev/null; then
        kill -TERM "$command_pid" 2>/dev/null || true
        wait "$command_pid" 2>/dev/null || true
    fi
    # `immediate` because nothing in there is worth a checkpoint.
    if [ -e "$folder/data/postmaster.pid" ]; then
        "${as_owner[@]}" "$bin/pg_ctl" -D "$folder/data" -m immediate -w -t 20 stop >/dev/null 2>&1 || true
    fi
    rm -rf "$folder"
}
trap clean_up EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM

chmod 700 "$folder"
password=$(od -An -tx1 -N16 /dev/urandom | tr -d ' \n')
(umask 077 && printf '%s\n' "$password" >"$folder/password")
if [ ${#as_owner[@]} -gt 0 ]; then
    chown -R postgres "$folder"
fi

cd /
if ! "${as_owner[@]}" "$bin/initdb" --pgdata="$folder/data" --username=caudal --pwfile="$folder/password" \
    --auth=scram-sha-256 --encoding=UTF8 --locale=C --no-sync >"$folder/initdb.log" 2>&1; then
    cat "$folder/initdb.log" >&2
    exit 70
fi

# PostgreSQL cannot choose a free port itself: a taken one is another try.
started=
for _ in 1 2 3 4 5 6 7 8 9 10; do
    port=$((20000 + RANDOM % 12000))
    if "${as_owner[@]}" "$bin/pg_ctl" -D "$folder/data" -l "$folder/log" -w -t 30 -o "-p $port -k $folder \
        -c listen_addresses=127.0.0.1 -c max_connections=200 \
        -c fsync=off -c synchronous_commit=off -c full_page_writes=off" start >/dev/null 2>&1; then
        started=yes
        break
    fi
done
if [ -z "$started" ]; then
    tail -n 20 "$folder/log" >&2 || true
    echo "PostgreSQL did not start" >&2
    exit 70
fi
cd "$OLDPWD"

PGPASSWORD=$password "$bin/createdb" -h 127.0.0.1 -p "$port" -U caudal caudal
export DATABASE_URL="postgresql://caudal:$password@127.0.0.1:$port/caudal"
# So that a script can tell this database from one that matters.
export THROWAWAY_DATABASE=$DATABASE_URL

# In the background, so that a signal to this script is handled at once and not only when the command has ended.
"$@" <&0 &
command_pid=$!
status=0
wait "$command_pid" || status=$?
command_pid=
exit "$status"
