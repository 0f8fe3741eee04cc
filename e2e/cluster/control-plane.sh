# shellcheck shell=bash
# To be sourced after certificates.sh: what the API server is like, alike for the cluster and for scripts/with-kubernetes.sh.
# Keys and certificates are in the current folder, in which the programs are started too.

# control_plane_certificates SERVER SUBJECT-ALTERNATIVE-NAMES: SERVER is the API server's address, as clients write it
control_plane_certificates() {
    local server=$1 names=$2
    authority ca
    certificate kube-apiserver /CN=kube-apiserver ca "$names"
    certificate admin /O=system:masters/CN=admin
    certificate kube-controller-manager /CN=system:kube-controller-manager
    openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out service-accounts.key 2>/dev/null
    openssl pkey -in service-accounts.key -pubout -out service-accounts.pub
    kubeconfig admin "$server"
    kubeconfig kube-controller-manager "$server"
}

# A test's data need not outlive the machine. The socket is a file in a private folder: nothing to collide with, and no other
# user of the machine gets past the API server. Members look for each other at the other addresses, but this one is alone; it
# takes addresses of TCP only.
etcd_flags() { # FOLDER
    printf '%s\n' --data-dir "$1/etcd" --unsafe-no-fsync --log-level warn \
        --listen-client-urls "unix://$1/etcd-clients" --advertise-client-urls http://127.0.0.1:2379 \
        --listen-peer-urls http://127.0.0.1:0 --initial-advertise-peer-urls http://127.0.0.1:2380 \
        --initial-cluster default=http://127.0.0.1:2380
}

api_server_flags=(
    --service-cluster-ip-range 10.96.0.0/24
    --tls-cert-file kube-apiserver.crt --tls-private-key-file kube-apiserver.key --client-ca-file ca.crt
    --service-account-issuer https://kubernetes.default.svc.cluster.local
    --service-account-key-file service-accounts.pub --service-account-signing-key-file service-accounts.key
    --authorization-mode Node,RBAC --enable-admission-plugins NodeRestriction --allow-privileged
)

# The default of 20 requests a second is what limits a cluster of a thousand pods.
controller_manager_flags=(
    --kubeconfig kube-controller-manager.kubeconfig --leader-elect=false
    --use-service-account-credentials --service-account-private-key-file service-accounts.key --root-ca-file ca.crt
    --kube-api-qps 200 --kube-api-burst 400
)
