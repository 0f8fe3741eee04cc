# shellcheck shell=bash
# To be sourced by `cluster`: the nodes' network and mount namespaces, and how the host reaches pods and services.

# NODE: namespaces, addresses and routes of one node
make_node_namespaces() {
    local n=$1 namespace=caudal-node-$1 run=$state/node-$1
    ip netns add "$namespace"
    ip link add "caudal-n$n" type veth peer name eth0 netns "$namespace"
    ip link set "caudal-n$n" master caudal0 up
    ip -n "$namespace" link set lo up
    ip -n "$namespace" address add "$(node_address "$n")/24" dev eth0
    ip -n "$namespace" link set eth0 up
    ip -n "$namespace" route add default via "$host_address"
    ip netns exec "$namespace" sysctl -qw net.ipv4.ip_forward=1
    ip route add "$(pod_range "$n")" via "$(node_address "$n")"
    mkdir -p "$run"
    touch "$state/ns/$namespace"
    # Two nodes cannot share the folders of containerd, CNI and the kubelet that have fixed names. The kubelet changes some
    # settings of the whole machine, which are not ours to change: in the namespace they are ordinary files.
    nsenter --net="/run/netns/$namespace" unshare --mount="$state/ns/$namespace" --propagation private bash -euc '
        mount --make-rshared /
        for folder in /run/containerd /var/lib/cni /var/lib/kubelet; do
            mkdir -p "$folder"
            mount -t tmpfs tmpfs "$folder"
        done
        for setting in vm/overcommit_memory vm/panic_on_oom kernel/panic kernel/panic_on_oops kernel/keys/root_maxkeys kernel/keys/root_maxbytes; do
            file=$1/${setting//\//.}
            cat "/proc/sys/$setting" >"$file"
            mount --bind "$file" "/proc/sys/$setting"
        done' make-node "$run"
}

make_network() {
    local n m
    mkdir -p "$state/ns"
    mount --bind "$state/ns" "$state/ns"
    # Only in a private mount can a mount namespace be kept.
    mount --make-private "$state/ns"
    ip link add caudal0 type bridge
    ip address add "$host_address/24" dev caudal0
    ip link set caudal0 up
    for n in "${nodes[@]}"; do
        make_node_namespaces "$n"
    done
    for n in "${nodes[@]}"; do
        for m in "${nodes[@]}"; do
            [ "$n" = "$m" ] || ip -n "caudal-node-$n" route add "$(pod_range "$m")" via "$(node_address "$m")"
        done
    done
    # Any node's kube-proxy knows the way to every service.
    ip route add "$service_range" via "$(node_address 1)"
}

remove_network() {
    local link namespace
    # A node's own mounts are in its mount namespace, and go with it.
    for namespace in "$state"/ns/*; do
        umount "$namespace" 2>/dev/null || true
    done
    umount "$state/ns" 2>/dev/null || true
    # The kernel takes a removed namespace's links away some time later, and meanwhile their names are taken.
    for link in /sys/class/net/caudal-n[0-9]* /sys/class/net/caudal0; do
        ip link delete "${link##*/}" 2>/dev/null || true
    done
    for namespace in /run/netns/caudal-node-*; do
        ip netns delete "${namespace##*/}" 2>/dev/null || true
    done
}

node_address() { echo "10.201.0.$((1 + $1))"; }
pod_range() { echo "10.244.$1.0/24"; }

host_address=10.201.0.1
service_range=10.96.0.0/24
all_pods=10.244.0.0/16
