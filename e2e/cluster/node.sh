# shellcheck shell=bash
# To be sourced by `cluster`: one node, which is a containerd, a kubelet, a kube-proxy and a NetworkPolicy agent.

# NODE
start_node() {
    local n=$1 namespace=caudal-node-$1 folder=$work/node-$1 run=$state/node-$1
    mkdir -p "$folder"/{cni,kubelet,logs,plugins}
    echo "nameserver $host_address" >"$folder/resolv.conf"
    write_cni_configuration "$n" >"$folder/cni/10-pods.conflist"
    write_containerd_configuration "$folder" "$run" >"$folder/containerd.toml"
    write_kubelet_configuration "$n" >"$folder/kubelet.yaml"
    write_proxy_configuration "$n" >"$folder/proxy.yaml"
    make_cgroup "node-$n"
    start "containerd-$n" "$namespace" containerd --config "$folder/containerd.toml"
    start "kubelet-$n" "$namespace" "$programs/kubelet" --config "$folder/kubelet.yaml" --kubeconfig "$work/pki/node-$n.kubeconfig" \
        --root-dir "$folder/kubelet" --cert-dir "$folder/kubelet/pki" --hostname-override "node-$n" --node-ip "$(node_address "$n")"
    start "kube-proxy-$n" "$namespace" "$programs/kube-proxy" --config "$folder/proxy.yaml"
    start "network-policy-$n" "$namespace" "$programs/network-policy" --kubeconfig "$work/pki/admin.kubeconfig" \
        --node "node-$n" --services "$service_range"
}

# NODE: takes its power away. The network first, so that no connection is closed: nobody is told anything.
stop_node() {
    local n=$1
    ip link set "caudal-n$n" down
    end_processes "node $n" node_processes "$n"
}

# Its daemons, the shells that would start these again, and all that its pods run. Not who looks into the node from outside.
node_processes() {
    local n=$1 top pid
    for pid in $(ip netns pids "caudal-node-$n"); do
        echo "$pid"
        sed -n 's/^PPid:\t//p' "/proc/$pid/status" 2>/dev/null || true
    done | grep -xF -f <(cluster_processes) | sort -u
    for top in $(hierarchies); do
        find "${top%/}/$cgroup/node-$n" -name cgroup.procs -exec cat {} + 2>/dev/null || true
    done | sort -u
}

# The plugin `ptp` and not `bridge`: it routes every packet, so that kube-proxy sees all of them without br_netfilter.
write_cni_configuration() {
    cat <<END
{"cniVersion": "1.0.0", "name": "pods", "plugins": [
  {"type": "ptp", "mtu": 1500, "ipam": {"type": "host-local", "dataDir": "$work/node-$1/ipam",
    "ranges": [[{"subnet": "$(pod_range "$1")"}]], "routes": [{"dst": "0.0.0.0/0"}]}},
  {"type": "portmap", "capabilities": {"portMappings": true}}]}
END
}

# restrict_oom_score_adj: without CAP_SYS_RESOURCE, as in a container, every sandbox would fail to start otherwise.
write_containerd_configuration() {
    local folder=$1 run=$2
    cat <<END
version = 2
root = "$folder/containerd"
state = "$run/containerd"
disabled_plugins = [
  "io.containerd.internal.v1.opt",
  "io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.btrfs",
  "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.zfs",
]
[grpc]
  address = "$run/containerd.sock"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "$registry/pause:1"
  netns_mounts_under_state_dir = true
  disable_apparmor = true
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "$cni_plugins"
    conf_dir = "$folder/cni"
  [plugins."io.containerd.grpc.v1.cri".registry]
    config_path = "$work/certs.d"
END
}

# Every registry's name leads to ours, so that a chart's image names work as they are.
write_registry_configuration() {
    cat <<END
server = "http://$registry"
[host."http://$registry"]
  capabilities = ["pull", "resolve"]
END
}

write_kubelet_configuration() {
    local n=$1 folder=$work/node-$1
    cat <<END
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
address: $(node_address "$n")
authentication: {anonymous: {enabled: false}, webhook: {enabled: true}, x509: {clientCAFile: $work/pki/ca.crt}}
authorization: {mode: Webhook}
cgroupDriver: cgroupfs
cgroupRoot: /$cgroup/node-$n
clusterDNS: [$host_address]
clusterDomain: cluster.local
containerRuntimeEndpoint: unix://$state/node-$n/containerd.sock
evictionHard: {memory.available: 100Mi, nodefs.available: 1%, imagefs.available: 1%, nodefs.inodesFree: 1%}
failSwapOn: false
imageGCHighThresholdPercent: 100
maxPods: 110
podLogsDir: $folder/logs
resolvConf: $folder/resolv.conf
volumePluginDir: $folder/plugins
END
}

# nftables, which has tables of its own: the NetworkPolicy agent rewrites the whole filter table of iptables, and would undo
# what kube-proxy changed there in between. Limits on connections cannot be set in a network namespace.
write_proxy_configuration() {
    cat <<END
apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
mode: nftables
clientConnection: {kubeconfig: $work/pki/kube-proxy.kubeconfig}
clusterCIDR: $all_pods
hostnameOverride: node-$1
conntrack: {maxPerCore: 0, min: 0, tcpEstablishedTimeout: 0s, tcpCloseWaitTimeout: 0s}
END
}

cni_plugins=/usr/lib/cni
