# shellcheck shell=bash
# To be sourced by `cluster`: everything that the cluster runs is in the cgroup /caudal-cluster of every hierarchy, containers
# and their shims too. That is how its processes are found again, whoever started them and whatever they are called.

hierarchies() {
    if [ -e /sys/fs/cgroup/cgroup.procs ]; then
        echo /sys/fs/cgroup
    else
        ls -d /sys/fs/cgroup/*/
    fi
}

# NAME: makes /caudal-cluster/NAME
make_cgroup() {
    local top key folder
    for top in $(hierarchies); do
        top=${top%/}
        mkdir -p "$top/$cgroup/$1"
        # In version 1 nothing can be put into a cpuset that has no processors.
        for key in cpuset.cpus cpuset.mems; do
            [ -e "$top/tasks" ] && [ -e "$top/$key" ] || continue
            for folder in "$top/$cgroup" "$top/$cgroup/$1"; do
                cat "$top/$key" >"$folder/$key"
            done
        done
    done
}

# Puts the shell that calls it into the daemons' cgroup.
join_daemons() {
    local top
    for top in $(hierarchies); do
        case ${top%/} in
        */pids | */systemd | /sys/fs/cgroup) echo "$BASHPID" >"${top%/}/$cgroup/daemons/cgroup.procs" ;;
        esac
    done
}

cluster_processes() {
    local top
    for top in $(hierarchies); do
        [ -d "$top/$cgroup" ] || continue
        find "$top/$cgroup" -name cgroup.procs -exec cat {} + 2>/dev/null || true
    done | sort -u
}

# OF-WHAT LISTER…: kills what the lister names, until it names nothing.
end_processes() {
    local what=$1 pids
    shift
    for _ in $(seq 100); do
        pids=$("$@")
        [ -n "$pids" ] || return 0
        # shellcheck disable=SC2086  # several ids
        kill -9 $pids 2>/dev/null || true
        sleep 0.1
    done
    fail "these processes of $what do not end: ${pids//$'\n'/ }"
}

remove_cgroups() {
    local top
    for top in $(hierarchies); do
        for _ in $(seq 50); do
            [ -d "$top/$cgroup" ] || break
            # A killed process can hold its cgroup for a moment longer.
            find "$top/$cgroup" -depth -type d -exec rmdir {} + 2>/dev/null || sleep 0.1
        done
    done
}

cgroup=caudal-cluster
