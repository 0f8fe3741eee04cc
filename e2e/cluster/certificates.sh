# shellcheck shell=bash
# To be sourced: certificates and kubeconfigs, written to the current folder.

# authority NAME
authority() {
    openssl req -x509 "${new_key[@]}" -days 3650 -keyout "$1.key" -out "$1.crt" -subj "/CN=$1" 2>/dev/null
}

# certificate NAME SUBJECT [AUTHORITY] [SUBJECT-ALTERNATIVE-NAMES]: for servers and clients alike
certificate() {
    local name=$1 subject=$2 authority=${3:-ca} names=${4:-}
    openssl req -new "${new_key[@]}" -keyout "$name.key" -subj "$subject" -out "$name.csr" 2>/dev/null
    openssl x509 -req -in "$name.csr" -CA "$authority.crt" -CAkey "$authority.key" -CAcreateserial -days 3650 -out "$name.crt" \
        -extfile <(echo "extendedKeyUsage=serverAuth,clientAuth" && echo "${names:+subjectAltName=$names}") 2>/dev/null
}

# kubeconfig NAME SERVER: NAME.kubeconfig, for whoever has the certificate NAME
kubeconfig() {
    local name=$1 server=$2
    cat >"$name.kubeconfig" <<END
apiVersion: v1
kind: Config
current-context: caudal-test
clusters: [{name: caudal-test, cluster: {server: "$server", certificate-authority-data: $(base64 -w0 ca.crt)}}]
users: [{name: $name, user: {client-certificate-data: $(base64 -w0 "$name.crt"), client-key-data: $(base64 -w0 "$name.key")}}]
contexts: [{name: caudal-test, context: {cluster: caudal-test, user: $name}}]
END
}

# Made in milliseconds, unlike RSA keys.
new_key=(-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes)
