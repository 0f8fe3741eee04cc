#!/usr/bin/env bash
# Runs a command with a Kubernetes API server of its own: scripts/with-kubernetes.sh COMMAND [ARGUMENT…]
#
# A real API server with its etcd on 127.0.0.1, and those controllers that need no nodes: garbage collection, namespaces, service
# accounts, quotas, disruption budgets, policy checks. Nothing runs pods; for that there is e2e/cluster. Needs no root. Exports
# KUBECONFIG (an administrator's), and removes everything when the command ends or this script is told to stop. The exit status
# is the command's.
set -euo pipefail

if [ $# -eq 0 ]; then
    echo "usage: $0 COMMAND [ARGUMENT...]" >&2
    exit 64
fi

cluster=$(cd "$(dirname "$0")/../e2e/cluster" && pwd)
# shellcheck source=e2e/cluster/certificates.sh
. "$cluster/certificates.sh"
# shellcheck source=e2e/cluster/control-plane.sh
. "$cluster/control-plane.sh"
"$cluster/build" check || exit 69
if ! command -v openssl >/dev/null; then
    echo "openssl is missing; on Debian: apt-get install openssl" >&2
    exit 69
fi
programs=$("$cluster/build" path)

# Short, because a unix socket's path may have 107 bytes only, and TMPDIR may be long.
folder=$(mktemp -d /tmp/caudal-kube.XXXXXX)
command_pid=
daemons=()
clean_up() {
    trap '' INT TERM HUP
    if [ -n "$command_pid" ] && kill -0 "$command_pid" 2>/dev/null; then
        kill -TERM "$command_pid" 2>/dev/null || true
        wait "$command_pid" 2>/dev/null || true
    fi
    # Nothing in there is worth a graceful end.
    for pid in "${daemons[@]}"; do
        kill -KILL "$pid" 2>/dev/null || true
        wait "$pid" 2>/dev/null || true
    done
    rm -rf "$folder"
}
trap clean_up EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM

# start NAME ARGUMENT…: one of the programs in the background. The kernel ends it if this script is killed.
start() {
    local name=$1
    shift
    setpriv --pdeathsig KILL "$programs/$name" "$@" >"$folder/$name.log" 2>&1 </dev/null &
    daemons+=($!)
}

controllers=garbage-collector-controller,namespace-controller,serviceaccount-controller,resourcequota-controller
controllers+=,disruption-controller,validatingadmissionpolicy-status-controller

cd "$folder"
mapfile -t etcd < <(etcd_flags "$folder")
start etcd "${etcd[@]}"

# The API server cannot choose a free port itself: a taken one is another try.
SECONDS=0
ready=
for _ in 1 2 3 4 5 6 7 8 9 10; do
    port=$((20000 + RANDOM % 12000))
    # With keys of its own each time, so that nobody else's API server on that port is taken for this one.
    control_plane_certificates "https://127.0.0.1:$port" "IP:127.0.0.1,DNS:localhost"
    start kube-apiserver "${api_server_flags[@]}" --etcd-servers "unix://$folder/etcd-clients" --bind-address 127.0.0.1 --secure-port "$port" \
        --advertise-address 127.0.0.1 --endpoint-reconciler-type none
    while kill -0 "${daemons[-1]}" 2>/dev/null; do
        if "$programs/kubectl" --kubeconfig admin.kubeconfig --request-timeout=2s get --raw /readyz >/dev/null 2>&1; then
            ready=yes
            break 2
        fi
        if ((SECONDS > 60)); then
            break 2
        fi
        sleep 0.1
    done
    grep -q 'address already in use' kube-apiserver.log || break
    unset 'daemons[-1]'
done
if [ -z "$ready" ]; then
    tail -n 20 etcd.log kube-apiserver.log >&2
    echo "the Kubernetes API server did not start" >&2
    exit 70
fi
# It answers nobody, so it needs no port.
start kube-controller-manager "${controller_manager_flags[@]}" --secure-port 0 --controllers "$controllers"
cd "$OLDPWD"
export KUBECONFIG=$folder/admin.kubeconfig

# In the background, so that a signal to this script is handled at once and not only when the command has ended.
"$@" <&0 &
command_pid=$!
status=0
wait "$command_pid" || status=$?
command_pid=
exit "$status"
