{{/* Parts of the NetworkPolicies. */}}
{{- define "caudal.peer" -}}
- podSelector:
    matchLabels:
      {{- include "caudal.selector" . | nindent 6 }}
{{- end -}}

{{- define "caudal.policyHead" -}}
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: {{ include "caudal.name" . }}
  labels:
    {{- include "caudal.labels" . | nindent 4 }}
spec:
  podSelector:
    matchLabels:
      {{- include "caudal.selector" . | nindent 6 }}
{{- end -}}

{{- define "caudal.scraper" -}}
- from:
    - namespaceSelector:
        matchLabels: { kubernetes.io/metadata.name: {{ .root.Values.networkPolicies.monitoringNamespace }} }
  ports: [{ port: {{ .port }} }]
{{- end -}}

{{- define "caudal.names" -}}
# Name servers, wherever they are.
- ports: [{ port: 53, protocol: UDP }, { port: 53, protocol: TCP }]
{{- end -}}

{{- define "caudal.bucketEgress" -}}
{{- include "caudal.outside" (dict "root" . "policy" .Values.networkPolicies.s3) -}}
{{- end -}}

{{/* To the STS, where it is not where the bucket is. */}}
{{- define "caudal.stsEgress" -}}
{{- $sts := .Values.storage.sts -}}
{{- if and .Values.storage.s3.bucket $sts.roleArn (or $sts.endpoint (not .Values.storage.s3.endpoint)) -}}
{{- include "caudal.outside" (dict "root" . "policy" .Values.networkPolicies.sts) -}}
{{- end -}}
{{- end -}}

{{/* Called with a dict: root, and policy, which says where something is that may be anywhere. */}}
{{- define "caudal.outside" -}}
{{- $ := .root -}}
{{- with .policy -}}
- to:
    {{- range .cidrs }}
    - ipBlock: { cidr: {{ quote . }} }
    {{- end }}
    {{- with .peers }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
    {{- if not (or .cidrs .peers) }}
    {{- $v4 := list "10.0.0.0/8" "172.16.0.0/12" "192.168.0.0/16" "169.254.0.0/16" "100.64.0.0/10" }}
    {{- $v6 := list "fc00::/7" "fe80::/10" }}
    {{- range $.Values.networkPolicies.apiServer.cidrs }}
    {{- if contains ":" . }}{{ $v6 = append $v6 . }}{{ else }}{{ $v4 = append $v4 . }}{{ end }}
    {{- end }}
    # Its addresses change; neither the cluster's own nor the cloud's metadata service are among them.
    - ipBlock: { cidr: 0.0.0.0/0, except: {{ toJson $v4 }} }
    - ipBlock: { cidr: "::/0", except: {{ toJson $v6 }} }
    {{- end }}
  ports:
    {{- range .ports }}
    - port: {{ . }}
    {{- end }}
{{- end }}
{{- end -}}

{{- define "caudal.apiServerEgress" -}}
- to:
    {{- range .Values.networkPolicies.apiServer.cidrs }}
    - ipBlock: { cidr: {{ quote . }} }
    {{- end }}
  ports: [{ port: {{ .Values.networkPolicies.apiServer.port }} }, { port: 443 }]
{{- end -}}

{{/* To the Redis that replicas share; none without one. Where an own one is, only its Secret says. */}}
{{- define "caudal.redisEgress" -}}
{{- if .Values.redis.existingSecret -}}
{{- with .Values.networkPolicies.redis -}}
- ports:
    {{- range .ports }}
    - port: {{ . }}
    {{- end }}
  {{- if or .cidrs .peers }}
  to:
    {{- range .cidrs }}
    - ipBlock: { cidr: {{ quote . }} }
    {{- end }}
    {{- with .peers }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  {{- end }}
{{- end }}
{{- else if .Values.redis.builtIn.enabled -}}
- to:
    {{- include "caudal.peer" (dict "root" . "component" "redis") | nindent 4 }}
  ports: [{ port: 6379 }]
{{- end }}
{{- end -}}

{{/* To the collector of traces; none without one. */}}
{{- define "caudal.tracesEgress" -}}
{{- if .Values.traces.endpoint -}}
{{- with .Values.networkPolicies.traces -}}
- to:
    {{- range .cidrs }}
    - ipBlock: { cidr: {{ quote . }} }
    {{- end }}
    {{- with .peers }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  ports:
    {{- range .ports }}
    - port: {{ . }}
    {{- end }}
{{- end }}
{{- end }}
{{- end -}}
