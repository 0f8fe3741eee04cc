{{/* What Kubernetes' own tools know the parts by. Called with (dict "root" $ "component" "api"). */}}
{{- define "caudal.selector" -}}
app.kubernetes.io/name: caudal
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end }}

{{- define "caudal.labels" -}}
{{ include "caudal.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version }}
{{- end }}

{{/* RELEASE-ROLE, as `caudal keys --secrets RELEASE` names the roles' Secrets. */}}
{{- define "caudal.name" -}}
{{ printf "%s-%s" .root.Release.Name .component }}
{{- end }}

{{- define "caudal.image" -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end }}

{{/* What is cluster-wide needs the namespace in its name too. */}}
{{- define "caudal.clusterName" -}}
{{ printf "%s-%s" .Release.Namespace .Release.Name }}
{{- end }}

{{/* With its value, which nobody can change: another value is another class. */}}
{{- define "caudal.priorityClass" -}}
{{ printf "%s-%d" (include "caudal.clusterName" .) (int64 .Values.priorityClass.value) }}
{{- end }}

{{- define "caudal.claim" -}}
{{ .Values.storage.volume.existingClaim | default (printf "%s-media" .Release.Name) }}
{{- end }}

{{/* The Secret of the built-in PostgreSQL, as `caudal keys --secrets RELEASE --database HOST` names it. */}}
{{- define "caudal.builtInDatabase" -}}
{{ printf "%s-database" .Release.Name }}
{{- end }}

{{/* As the restricted Pod Security Standard wants it; 10001 is the image's user. */}}
{{- define "caudal.podSecurity" -}}
runAsNonRoot: true
runAsUser: 10001
runAsGroup: 10001
fsGroup: 10001
# Not all files of a big shared volume again for each pod.
fsGroupChangePolicy: OnRootMismatch
seccompProfile: { type: RuntimeDefault }
{{- end }}

{{/* Where a pod may run, and what its image is pulled with. Called with a dict: root, values (that have a nodeSelector and tolerations).
Begins with a line break where it says anything, so callers indent it by replacing these. */}}
{{- define "caudal.placement" -}}
{{- with .root.Values.image.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
{{- with .values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* As caudal.placement. */}}
{{- define "caudal.resources" -}}
{{- with . }}
resources:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- define "caudal.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: { drop: [ALL] }
{{- end }}

{{/* Where segments are, for the roles of the chart. */}}
{{- define "caudal.storageEnv" -}}
{{- with .Values.storage }}
{{- if .s3.bucket }}
- { name: AWS_S3_BUCKET, value: {{ .s3.bucket | quote }} }
- { name: AWS_REGION, value: {{ .s3.region | quote }} }
{{- if .s3.endpoint }}
- { name: AWS_ENDPOINT_URL, value: {{ .s3.endpoint | quote }} }
{{- end }}
- { name: AWS_ACCESS_KEY_ID_FILE, value: /etc/caudal/bucket/AWS_ACCESS_KEY_ID }
- { name: AWS_SECRET_ACCESS_KEY_FILE, value: /etc/caudal/bucket/AWS_SECRET_ACCESS_KEY }
{{- else }}
- { name: HLS_PATH, value: /media }
{{- end }}
{{- end }}
{{- end }}

{{- define "caudal.env" -}}
{{- range $name, $value := . }}
- { name: {{ $name }}, value: {{ $value | toString | quote }} }
{{- end }}
{{- end }}

{{/*
A role of the program as a Deployment. Called with a dict: root, component, values (the role's), admin (its admin port), ports (name to
number), env (YAML), and as wanted: storage (true mounts it), readOnlyStorage, bucketSecret (instead of
storage.s3.secret), tls (a Secret), autoscaled, grace (seconds).
*/}}
{{- define "caudal.deployment" -}}
{{- $root := .root -}}
{{- $bucket := $root.Values.storage.s3.bucket -}}
{{- $name := include "caudal.name" . -}}
apiVersion: v1
kind: ServiceAccount
metadata:
  name: {{ $name }}
  labels:
    {{- include "caudal.labels" . | nindent 4 }}
automountServiceAccountToken: false
---
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {{ $name }}
  labels:
    {{- include "caudal.labels" . | nindent 4 }}
spec:
  {{- if not .autoscaled }}
  replicas: {{ .values.replicas }}
  {{- end }}
  selector:
    matchLabels:
      {{- include "caudal.selector" . | nindent 6 }}
  strategy:
    rollingUpdate: { maxSurge: 1, maxUnavailable: 0 }
  template:
    metadata:
      labels:
        {{- include "caudal.labels" . | nindent 8 }}
      {{- with .values.annotations }}
      annotations:
        {{- toYaml . | nindent 8 }}
      {{- end }}
    spec:
      serviceAccountName: {{ $name }}
      # Only these roles have a token; workers have none.
      automountServiceAccountToken: true
      enableServiceLinks: false
      terminationGracePeriodSeconds: {{ .grace | default 40 }}
      {{- if $root.Values.priorityClass.create }}
      priorityClassName: {{ include "caudal.priorityClass" $root }}
      {{- end }}
      {{- include "caudal.placement" . | replace "\n" "\n      " }}
      securityContext:
        {{- include "caudal.podSecurity" . | nindent 8 }}
      topologySpreadConstraints:
        - maxSkew: 1
          topologyKey: kubernetes.io/hostname
          whenUnsatisfiable: ScheduleAnyway
          # Of this version alone: the old one's pods are about to go.
          matchLabelKeys: [pod-template-hash]
          labelSelector:
            matchLabels:
              {{- include "caudal.selector" . | nindent 14 }}
      # Over zones too, but not by a second constraint: the scheduler then heeds neither on nodes that have no zone.
      affinity:
        podAntiAffinity:
          preferredDuringSchedulingIgnoredDuringExecution:
            - weight: 100
              podAffinityTerm:
                topologyKey: topology.kubernetes.io/zone
                matchLabelKeys: [pod-template-hash]
                labelSelector:
                  matchLabels:
                    {{- include "caudal.selector" . | nindent 20 }}
      containers:
        - name: {{ .component }}
          image: {{ include "caudal.image" $root | quote }}
          imagePullPolicy: {{ $root.Values.image.pullPolicy }}
          args: [{{ .component }}]
          env:
            - { name: CAUDAL_INTERNAL_BIND, value: 0.0.0.0 }
            - { name: CAUDAL_KEYS, value: /etc/caudal/keys }
            {{- if not (hasKey (.values.env | default dict) "LOG_FORMAT") }}
            - { name: LOG_FORMAT, value: json }
            {{- end }}
            {{- .env | nindent 12 }}
            {{- if .storage }}
            {{- include "caudal.storageEnv" $root | nindent 12 }}
            {{- end }}
            {{- with .tls }}
            - { name: CAUDAL_TLS_CERT, value: /etc/caudal/tls/tls.crt }
            - { name: CAUDAL_TLS_KEY, value: /etc/caudal/tls/tls.key }
            {{- end }}
            {{- include "caudal.env" .values.env | nindent 12 }}
          ports:
            - { name: admin, containerPort: {{ .admin }} }
            {{- range $name, $port := .ports }}
            - { name: {{ $name }}, containerPort: {{ $port }} }
            {{- end }}
          securityContext:
            {{- include "caudal.containerSecurity" . | nindent 12 }}
          {{- include "caudal.resources" .values.resources | replace "\n" "\n          " }}
          # Started: it listens. Ready: it takes requests. Alive: it answers at all, which takes its time on a busy node.
          startupProbe:
            httpGet: { path: /healthz, port: admin }
            periodSeconds: 1
            failureThreshold: 120
          readinessProbe:
            httpGet: { path: /readyz, port: admin }
            periodSeconds: 3
            timeoutSeconds: 2
          livenessProbe:
            httpGet: { path: /healthz, port: admin }
            periodSeconds: 10
            timeoutSeconds: 2
            failureThreshold: 6
          volumeMounts:
            - { name: keys, mountPath: /etc/caudal/keys, readOnly: true }
            - { name: scratch, mountPath: /tmp }
            {{- if .storage }}
            {{- if $bucket }}
            - { name: bucket, mountPath: /etc/caudal/bucket, readOnly: true }
            {{- else }}
            - { name: media, mountPath: /media, readOnly: {{ .readOnlyStorage | default false }} }
            {{- end }}
            {{- end }}
            {{- if .tls }}
            - { name: tls, mountPath: /etc/caudal/tls, readOnly: true }
            {{- end }}
      volumes:
        - name: keys
          secret: { secretName: {{ $name }}, defaultMode: 0440 }
        - name: scratch
          emptyDir: { sizeLimit: 64Mi }
        {{- if .storage }}
        {{- if $bucket }}
        - name: bucket
          secret: { secretName: {{ .bucketSecret | default $root.Values.storage.s3.secret }}, defaultMode: 0440 }
        {{- else }}
        - name: media
          persistentVolumeClaim: { claimName: {{ include "caudal.claim" $root }} }
        {{- end }}
        {{- end }}
        {{- with .tls }}
        - name: tls
          secret: { secretName: {{ . }}, defaultMode: 0440 }
        {{- end }}
---
# A drained node takes one of them at a time.
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata:
  name: {{ $name }}
  labels:
    {{- include "caudal.labels" . | nindent 4 }}
spec:
  maxUnavailable: 1
  unhealthyPodEvictionPolicy: AlwaysAllow
  selector:
    matchLabels:
      {{- include "caudal.selector" . | nindent 6 }}
{{- if .autoscaled }}
---
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata:
  name: {{ $name }}
  labels:
    {{- include "caudal.labels" . | nindent 4 }}
spec:
  scaleTargetRef: { apiVersion: apps/v1, kind: Deployment, name: {{ $name }} }
  {{- with .values.autoscaling }}
  minReplicas: {{ .minReplicas }}
  maxReplicas: {{ .maxReplicas }}
  metrics:
    - type: Resource
      resource: { name: cpu, target: { type: Utilization, averageUtilization: {{ .targetCPUPercent }} } }
    {{- with .metrics }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  {{- end }}
  behavior:
    # Viewers come back after an advertisement or a lost stream.
    scaleDown: { stabilizationWindowSeconds: 600 }
{{- end }}
{{- end }}

{{/* Of the roles whose replicas share something. */}}
{{- define "caudal.redisEnv" -}}
{{- if .Values.redis.existingSecret }}
{{ include "caudal.secretEnv" (dict "name" "REDIS_URL" "secret" .Values.redis.existingSecret "key" .Values.redis.key) }}
{{- else if .Values.redis.builtIn.enabled }}
- { name: REDIS_URL, value: "redis://{{ .Release.Name }}-redis:6379" }
{{- end }}
{{- end }}

{{/* An object of keys to values as environment variables that come from a Secret. */}}
{{- define "caudal.secretEnv" -}}
- name: {{ .name }}
  valueFrom: { secretKeyRef: { name: {{ .secret }}, key: {{ .key }} } }
{{- end }}

{{- define "caudal.upgradeHook" -}}
helm.sh/hook: pre-upgrade
helm.sh/hook-weight: {{ . | quote }}
helm.sh/hook-delete-policy: before-hook-creation,hook-succeeded
{{- end -}}

{{/* Workers get the same from the operator. */}}
{{- define "caudal.tracesEnv" -}}
{{- with .Values.traces }}
{{- if .endpoint }}
- { name: OTEL_EXPORTER_OTLP_ENDPOINT, value: {{ quote .endpoint }} }
- { name: OTEL_TRACES_SAMPLER_ARG, value: {{ .share | toString | quote }} }
{{- end }}
{{- end }}
{{- end -}}

{{/* How a Service is reached, and by whom. Call with the Service's values. */}}
{{- define "caudal.exposure" -}}
type: {{ .type }}
{{- if ne .type "ClusterIP" }}
externalTrafficPolicy: {{ include "caudal.externalTrafficPolicy" . }}
{{- end }}
{{- if eq .type "LoadBalancer" }}
{{- with .loadBalancerSourceRanges }}
loadBalancerSourceRanges:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}
{{- end }}

{{/*
Local keeps a visitor's address, and lets in by nodes alone that have a pod. Load balancers find these by their health checks; whoever types a
node's address does not. Call with the Service's values.
*/}}
{{- define "caudal.externalTrafficPolicy" -}}
{{ .externalTrafficPolicy | default (eq .type "LoadBalancer" | ternary "Local" "Cluster") }}
{{- end }}

{{/* Whose word for a visitor's address is believed: the proxies of what is enabled. */}}
{{- define "caudal.trustedProxiesEnv" -}}
{{- $proxies := list -}}
{{- range list .Values.ingress .Values.gateway -}}
{{- if .enabled -}}
{{- $proxies = concat $proxies .trustedProxies -}}
{{- end -}}
{{- end -}}
{{- with $proxies }}
- { name: CAUDAL_TRUSTED_PROXIES, value: {{ join "," . | quote }} }
{{- end }}
{{- end }}
