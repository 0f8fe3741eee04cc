{{/*
What values.schema.json cannot say: rules between values, and of values that have no default. Each message names the value, the reason, and
what to write instead. All that apply are said at once.
*/}}
{{- define "caudal.refusals" -}}
{{- $refusals := list -}}
{{- range list "image" "release" "urls" "storage" "mail" "billing" "doors" "routes" "workerPool" "autoscaling" "env" "networkPolicies" -}}
{{- $refusals = concat $refusals (include (printf "caudal.refusals.%s" .) $ | splitList "\n" | compact) -}}
{{- end -}}
{{- with $refusals -}}
{{- fail (printf "\nThese values cannot work:\n* %s\n" (join "\n* " .)) -}}
{{- end -}}
{{- end -}}

{{/* Each of these gives a line for what it refuses. */}}
{{- define "caudal.refusals.image" -}}
{{- if not .Values.image.repository }}
image.repository is empty, and no public image of Caudal is offered yet: build one (podman build --tag registry.example.org/caudal:{{ .Chart.AppVersion }} .), push it, and write image.repository: registry.example.org/caudal
{{- else if not (regexMatch "^([A-Za-z0-9.-]+(:[0-9]+)?/)?[a-z0-9]([a-z0-9._/-]*[a-z0-9])?$" .Values.image.repository) }}
image.repository is {{ .Values.image.repository }}: write a registry and a name alone, as in registry.example.org/caudal; a tag or a digest goes to image.tag
{{- end }}
{{- end -}}

{{- define "caudal.refusals.release" -}}
{{- /* A Service's name begins with a letter and has no dot. A pod of the StatefulSet RELEASE-postgresql bears a label with a hash behind
that name, of 63 characters at most. */ -}}
{{- if not (regexMatch "^[a-z]([-a-z0-9]{0,38}[a-z0-9])?$" .Release.Name) }}
the release's name, {{ .Release.Name }}, is part of the names of Services and of labels: take one of at most 40 small letters, digits and hyphens that begins with a letter
{{- end }}
{{- end -}}

{{- define "caudal.refusals.urls" -}}
{{- $host := "([^/\\s?#@:\\[\\]]+|\\[[0-9a-fA-F:.]+\\])(:[1-9][0-9]{0,4})?" -}}
{{- with .Values.urls }}
{{- range $name, $url := dict "web" .web "hls" .hls }}
{{- if not (regexMatch (printf "^https?://%s$" $host) $url) }}
urls.{{ $name }} is {{ $url }}: write https:// or http:// and a host, with a port where it needs one, and nothing behind it, not even a slash, as in https://live.example.org
{{- end }}
{{- end }}
{{- if not (regexMatch (printf "^rtmps?://%s/live$" $host) .rtmp) }}
urls.rtmp is {{ .rtmp }}: write rtmp:// or rtmps://, a host, with a port where it needs one, and /live, as in rtmp://rtmp.example.org/live
{{- end }}
{{- if and (hasPrefix "https:" .web) (hasPrefix "http:" .hls) }}
urls.hls is {{ .hls }}, which browsers do not load from pages at {{ .web }}: write https:// there too, or http:// for urls.web
{{- end }}
{{- if hasPrefix "rtmps:" .rtmp }}
{{- $service := $.Values.rtmp.service }}
{{- /* A load balancer may end TLS itself, as its annotations say; behind a ClusterIP is somebody else's. */ -}}
{{- $elsewhere := or (eq $service.type "ClusterIP") (regexMatch "(?i)(ssl|tls|cert)" (keys ($service.annotations | default dict) | join " ")) }}
{{- if and (not $.Values.rtmp.tls.secret) (not $elsewhere) }}
urls.rtmp is {{ .rtmp }}, but without rtmp.tls.secret nobody speaks RTMPS: name a Secret of type kubernetes.io/tls there, or write rtmp://
{{- end }}
{{- if and (not $.Values.rtmp.tls.secret) (eq $service.type "LoadBalancer") $elsewhere (not (hasSuffix ":1935/live" .rtmp)) }}
urls.rtmp is {{ .rtmp }}, but where the load balancer ends TLS itself, as rtmp.service.annotations say, it does so at port 1935, the Service's only one: write {{ regexReplaceAll "(:[0-9]+)?/live$" .rtmp "" }}:1935/live
{{- end }}
{{- if and $.Values.rtmp.tls.secret (eq $service.type "LoadBalancer") (not (regexMatch ":[0-9]+/live$" .rtmp)) }}
urls.rtmp is {{ .rtmp }}, which encoders take for port 443: RTMPS is at port 1936 of the load balancer, so write {{ trimSuffix "/live" .rtmp }}:1936/live
{{- end }}
{{- end }}
{{- end }}
{{- end -}}

{{- define "caudal.refusals.storage" -}}
{{- with .Values.storage }}
{{- if .s3.bucket }}
{{- range $name := list "region" "secret" }}
{{- if not (index $.Values.storage.s3 $name) }}
storage.s3.{{ $name }} is empty, but there is storage.s3.bucket: write {{ eq $name "region" | ternary "its region, or any word for a server that has none (us-east-1)" "the name of a Secret with AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY" }}
{{- end }}
{{- end }}
{{- with .volume.existingClaim }}
storage.s3.bucket and storage.volume.existingClaim ({{ . }}) are both set, and segments go to one of them: leave the other one empty
{{- end }}
{{- else if .sts.roleArn }}
storage.sts.roleArn needs storage.s3.bucket: a volume has no sessions
{{- end }}
{{- with .sts }}
{{- $seconds := mul (trimAll "smh" .duration) (index (dict "s" 1 "m" 60 "h" 3600) (regexFind "[smh]$" .duration)) }}
{{- if or (lt $seconds 900) (gt $seconds 43200) }}
storage.sts.duration is {{ .duration }}: write from 15m to 12h
{{- end }}
{{- end }}
{{- end }}
{{- end -}}

{{- define "caudal.refusals.mail" -}}
{{- with .Values.mail }}
{{- if and .existingSecret (not .from) }}
mail.from is empty, but there is mail.existingSecret: write whom mails are from, as in Caudal <no-reply@live.example.org>
{{- else if and .from (not .existingSecret) }}
mail.from is {{ .from }}, but no server sends mails: name a Secret in mail.existingSecret whose key {{ .key }} is as in smtps://user:password@mail.example.org
{{- end }}
{{- end }}
{{- end -}}

{{- define "caudal.refusals.billing" -}}
{{- with .Values.billing }}
{{- if and .existingSecret (not $.Values.mail.existingSecret) }}
billing.existingSecret is {{ .existingSecret }}, but no server sends mails, and nothing is sold without: name a Secret in mail.existingSecret
{{- end }}
{{- end }}
{{- end -}}

{{/* Services and their ports. */}}
{{- define "caudal.refusals.doors" -}}
{{- $ports := dict }}
{{- range list (list "rtmp.service.nodePort" .Values.rtmp.service "nodePort") (list "rtmp.service.tlsNodePort" .Values.rtmp.service "tlsNodePort")
    (list "hlsEdge.service.nodePort" .Values.hlsEdge.service "nodePort") (list "api.service.nodePort" .Values.api.service "nodePort") }}
{{- $name := index . 0 }}
{{- $service := index . 1 }}
{{- with get $service (index . 2) }}
{{- if eq $service.type "ClusterIP" }}
{{ $name }} is {{ . }}, but a Service of type ClusterIP has no port on nodes: write NodePort for its type, or leave the port out
{{- end }}
{{- with get $ports (toString .) }}
{{ $name }} is the port of {{ . }} too: each needs its own
{{- end }}
{{- $_ := set $ports (toString .) $name }}
{{- end }}
{{- end }}
{{- with .Values.rtmp }}
{{- range .proxies }}
{{- if hasSuffix "/0" . }}
rtmp.proxies has {{ . }}, so everybody could name any address as theirs, and whoever names none would be turned away: write the load balancer's addresses, as in [10.0.0.0/16]
{{- end }}
{{- end }}
{{- if and .service.tlsNodePort (not .tls.secret) }}
rtmp.service.tlsNodePort needs rtmp.tls.secret: without a certificate nobody speaks RTMPS
{{- end }}
{{- end }}
{{- range $name, $service := dict "rtmp" .Values.rtmp.service "hlsEdge" .Values.hlsEdge.service "api" .Values.api.service }}
{{- if and $service.loadBalancerSourceRanges (ne $service.type "LoadBalancer") }}
{{ $name }}.service.loadBalancerSourceRanges holds for type LoadBalancer alone: with {{ $service.type }} everybody would get in, so limit that by other means and leave it empty
{{- end }}
{{- end }}
{{- end -}}

{{/* Ingress and Gateway, which go by names. */}}
{{- define "caudal.refusals.routes" -}}
{{- range $kind, $other := dict "ingress" "gateway" "gateway" "ingress" }}
{{- $proxies := (index $.Values $kind).trustedProxies }}
{{- range $proxies }}
{{- if hasSuffix "/0" . }}
{{ $kind }}.trustedProxies has {{ . }}, so everybody could name any address as theirs, and no limit would hold: write the addresses that requests come from, as in [10.0.0.0/8]
{{- end }}
{{- end }}
{{- if and $proxies (not (index $.Values $kind).enabled) }}
{{- if (index $.Values $other).enabled }}
{{ $kind }}.trustedProxies holds where {{ $kind }}.enabled is true alone: write these addresses into {{ $other }}.trustedProxies
{{- else }}
{{ $kind }}.trustedProxies holds where {{ $kind }}.enabled is true alone: for {{ eq $kind "ingress" | ternary "an Ingress" "a Gateway" }} of your own, write api.env.CAUDAL_TRUSTED_PROXIES and hlsEdge.env.CAUDAL_TRUSTED_PROXIES: {{ join "," $proxies | quote }}
{{- end }}
{{- end }}
{{- if (index $.Values $kind).enabled }}
{{- range $role := list "api" "hlsEdge" }}
{{- $service := (index $.Values $role).service }}
{{- if and (ne $service.type "ClusterIP") (eq (include "caudal.externalTrafficPolicy" $service) "Cluster") }}
{{ $role }}.service.type is {{ $service.type }}, by which visitors come past {{ $kind }} with a node's address, which it may trust: write ClusterIP, or {{ $role }}.service.externalTrafficPolicy: Local, which keeps their own
{{- end }}
{{- end }}
{{- if not (index $.Values $kind).trustedProxies }}
{{ $kind }}.trustedProxies is empty, so all visitors would share the limits of one: write the addresses that requests come from, as in [10.0.0.0/8] (those of the pods, or of the nodes where the controller runs on their network)
{{- end }}
{{- range $name := list "web" "hls" }}
{{- $host := get (urlParse (index $.Values.urls $name)) "hostname" }}
{{- if or (regexMatch "^[0-9.]+$" $host) (not (regexMatch "^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$" $host)) }}
urls.{{ $name }} has the host {{ $host }}, but {{ $kind }}.enabled needs a name of the DNS, in small letters; an address is reached by {{ eq $name "web" | ternary "api" "hlsEdge" }}.service.type NodePort or LoadBalancer
{{- end }}
{{- end }}
{{- end }}
{{- end }}
{{- if and .Values.gateway.enabled (not .Values.gateway.parentRefs) }}
gateway.enabled needs gateway.parentRefs: the Gateway that is to lead to pages and players, as in [{ name: public, namespace: gateways }]
{{- end }}
{{- end -}}

{{- define "caudal.refusals.workerPool" -}}
{{- with .Values.workerPool }}
{{- if gt (int .warm.min) (int .warm.max) }}
workerPool.warm.min is {{ .warm.min }}, more than workerPool.warm.max, {{ .warm.max }}: raise the one or lower the other
{{- end }}
{{- /* 0 closes a pool for a while, whatever is to wait in it. */ -}}
{{- if and .maxWorkers (gt (int .warm.min) (int .maxWorkers)) }}
workerPool.warm.min is {{ .warm.min }}, but the pool has {{ .maxWorkers }} workers at most, those that wait among them (workerPool.maxWorkers): raise the one or lower the other
{{- end }}
{{- $names := list }}
{{- range .ladder }}
{{- if has .name $names }}
workerPool.ladder has two rungs that are called {{ .name }}: each needs a name of its own
{{- end }}
{{- $names = append $names .name }}
{{- end }}
{{- end }}
{{- end -}}

{{- define "caudal.refusals.autoscaling" -}}
{{- range $role := list "hlsEdge" "api" }}
{{- with index $.Values $role }}
{{- if .autoscaling.enabled }}
{{- if gt (int .autoscaling.minReplicas) (int .autoscaling.maxReplicas) }}
{{ $role }}.autoscaling.minReplicas is {{ .autoscaling.minReplicas }}, more than {{ $role }}.autoscaling.maxReplicas, {{ .autoscaling.maxReplicas }}: raise the one or lower the other
{{- end }}
{{- /* Kubernetes takes the limit for the request where there is no other. */ -}}
{{- $resources := .resources | default dict }}
{{- if not (or (hasKey ($resources.requests | default dict) "cpu") (hasKey ($resources.limits | default dict) "cpu")) }}
{{ $role }}.autoscaling.targetCPUPercent is a part of {{ $role }}.resources.requests.cpu, which is not set: set it, or switch {{ $role }}.autoscaling.enabled off
{{- end }}
{{- end }}
{{- end }}
{{- end }}
{{- end -}}

{{/* Of two variables of one name Kubernetes takes either, by how it is told of them. LOG_FORMAT may be another one. */}}
{{- define "caudal.refusals.env" -}}
{{- range $role, $template := dict "operator" "caudal.operatorEnv" "ingestRouter" "caudal.routerEnv" "hlsEdge" "caudal.edgeEnv" "api" "caudal.apiEnv" }}
{{- $taken := list "PORT" "RTMP_PORT" "RTMPS_PORT" "HLS_PORT" "CAUDAL_INTERNAL_PORT" "CAUDAL_ADMIN_PORT" "CAUDAL_INTERNAL_BIND" "CAUDAL_KEYS" "CAUDAL_SECRET" "CAUDAL_SECRET_FILE" "CAUDAL_TLS_CERT" "CAUDAL_TLS_KEY" }}
{{- range concat (fromYamlArray (include $template $)) (has $role (list "operator" "hlsEdge") | ternary (fromYamlArray (include "caudal.storageEnv" $)) list) }}
{{- $taken = append $taken .name }}
{{- end }}
{{- range $name, $_ := (index $.Values $role).env }}
{{- if has $name $taken }}
{{ $role }}.env.{{ $name }} is what the chart itself decides, by its other values and the keys' Secrets: leave it out
{{- end }}
{{- end }}
{{- end }}
{{- end -}}

{{- define "caudal.refusals.networkPolicies" -}}
{{- with .Values.networkPolicies }}
{{- if .enabled }}
{{- range .apiServer.cidrs }}
{{- if hasSuffix "/0" . }}
networkPolicies.apiServer.cidrs has {{ . }}, which limits nothing: write the API server's addresses (kubectl -n default get endpoints kubernetes), or nothing
{{- end }}
{{- end }}
{{- if $.Values.storage.s3.bucket }}
{{- include "caudal.refusals.port" (dict "url" $.Values.storage.s3.endpoint "value" "storage.s3.endpoint" "policy" .s3 "name" "s3") }}
{{- include "caudal.refusals.private" (dict "url" $.Values.storage.s3.endpoint "value" "storage.s3.endpoint" "policy" .s3 "name" "s3") }}
{{- if $.Values.storage.sts.roleArn }}
{{- include "caudal.refusals.port" (dict "url" $.Values.storage.sts.endpoint "value" "storage.sts.endpoint" "policy" .sts "name" "sts") }}
{{- include "caudal.refusals.private" (dict "url" $.Values.storage.sts.endpoint "value" "storage.sts.endpoint" "policy" .sts "name" "sts") }}
{{- end }}
{{- end }}
{{- if and $.Values.traces.endpoint (not .traces.cidrs) (not .traces.peers) }}
traces.endpoint is cut off: networkPolicies.traces names neither peers nor cidrs of the collector
{{- end }}
{{- include "caudal.refusals.port" (dict "url" $.Values.traces.endpoint "value" "traces.endpoint" "policy" .traces "name" "traces") }}
{{- end }}
{{- end }}
{{- end -}}

{{/* An endpoint that the policies would cut off. A Service's pods may have another port than its address, so peers say nothing of it. */}}
{{- define "caudal.refusals.port" -}}
{{- if and .url (not .policy.peers) }}
{{- $url := urlParse .url }}
{{- $port := regexFind "[0-9]+$" (regexFind ":[0-9]+$" $url.host) | default (eq $url.scheme "http" | ternary "80" "443") }}
{{- if not (has $port (toStrings .policy.ports)) }}
{{ .value }} is at port {{ $port }}, which networkPolicies.{{ .name }}.ports does not let through: write [{{ $port }}] there
{{- end }}
{{- end }}
{{- end -}}

{{/* An endpoint in the cluster or beside it. Without cidrs and peers a policy lets everywhere but to private addresses. */}}
{{- define "caudal.refusals.private" -}}
{{- if and .url (not .policy.peers) (not .policy.cidrs) }}
{{- $host := get (urlParse .url) "hostname" }}
{{- $v6 := contains ":" $host }}
{{- $private := regexMatch "^(10|127|169[.]254|172[.](1[6-9]|2[0-9]|3[01])|192[.]168|100[.](6[4-9]|[7-9][0-9]|1[01][0-9]|12[0-7]))[.][0-9.]+$" $host | or (and $v6 (regexMatch "^(?i)(f[cd]|fe[89ab])" $host)) }}
{{- /* minio, minio.storage and minio.storage.svc.cluster.local are Services; two labels may be a name of the DNS too, but hardly of one without TLS. */ -}}
{{- $service := and (not $v6) (or (regexMatch "^[^.]+$|[.]svc([.]|$)|[.]cluster[.]local$" $host) (and (hasPrefix "http:" .url) (regexMatch "^[^.]+[.][^.]+$" $host))) }}
{{- if or $private $service }}
{{ .value }} is {{ .url }}, at a private address, which networkPolicies.{{ .name }} does not let through: write {{ $private | ternary (printf "networkPolicies.%s.cidrs: [%s/%s]" .name $host (ternary "128" "32" $v6)) (printf "the server's pods as networkPolicies.%s.peers, as in [{ namespaceSelector: { matchLabels: { kubernetes.io/metadata.name: minio } } }], and their port; or its address as networkPolicies.%s.cidrs where it is outside the cluster" .name .name) }}
{{- end }}
{{- end }}
{{- end -}}
