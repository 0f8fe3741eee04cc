{{/* What each service account may change, in CEL. */}}
{{- define "caudal.policy" -}}
{{- $name := printf "%s-%s" (include "caudal.clusterName" .root) .policy -}}
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata:
  name: {{ $name }}
  labels:
    {{- include "caudal.labels" (dict "root" .root "component" "policy") | nindent 4 }}
spec:
  failurePolicy: Fail
  matchConstraints:
    resourceRules:
      - {{ .rule }}
  {{- .expressions | nindent 2 }}
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata:
  name: {{ $name }}
  labels:
    {{- include "caudal.labels" (dict "root" .root "component" "policy") | nindent 4 }}
spec:
  policyName: {{ $name }}
  validationActions: [Deny]
  matchResources:
    namespaceSelector:
      matchLabels: { kubernetes.io/metadata.name: {{ .root.Release.Namespace }} }
{{- end -}}

{{- define "caudal.account" -}}
system:serviceaccount:{{ .Release.Namespace }}:{{ .Release.Name }}
{{- end -}}

{{/* The variables that what follows needs. */}}
{{- define "caudal.liveStreamMetadata" }}
  - name: metadata
    expression: dyn(object.metadata)
  - name: metadataBefore
    expression: "oldObject == null ? dyn({}) : dyn(oldObject.metadata)"
{{- end }}

{{/* For everybody who writes LiveStreams: the garbage collector ends a broadcast whose owner is not there. */}}
{{- define "caudal.liveStreamOwner" }}
  - expression: >-
      variables.metadata.?ownerReferences.orValue([]) == variables.metadataBefore.?ownerReferences.orValue([]) &&
      variables.metadata.?labels.orValue({}) == variables.metadataBefore.?labels.orValue({})
    message: a LiveStream has no owner, and its labels are for people
{{- end }}

{{/* For those who begin one with the operator's finalizer, and change none. */}}
{{- define "caudal.liveStreamFinalizers" }}
  - expression: >-
      oldObject == null ? variables.metadata.?finalizers.orValue([]).all(finalizer, finalizer == 'caudal.dev/end') :
      variables.metadata.?finalizers.orValue([]) == variables.metadataBefore.?finalizers.orValue([])
    message: {{ . }} changes no finalizer of a LiveStream
{{- end }}

{{/* Its annotations are people's orders, as to move it. */}}
{{- define "caudal.liveStreamAnnotations" }}
  - expression: "variables.metadata.?annotations.orValue({}) == variables.metadataBefore.?annotations.orValue({})"
    message: {{ . }} changes no annotation of a LiveStream
{{- end }}

{{- define "caudal.routerSpec" -}}
matchConditions:
  - name: router
    expression: request.userInfo.username == '{{ include "caudal.account" . }}-ingest-router'
variables:
  - name: spec
    expression: dyn(object.spec)
  - name: before
    expression: "oldObject == null ? dyn({}) : dyn(oldObject.spec)"
  - name: orders
    expression: "['endReason', 'drop']"
{{- include "caudal.liveStreamMetadata" . }}
validations:
{{- include "caudal.liveStreamOwner" . }}
{{- include "caudal.liveStreamFinalizers" "a router" }}
{{- include "caudal.liveStreamAnnotations" "a router" }}
  - expression: >-
      oldObject == null || (variables.spec.all(field, field == 'ingest' || (field in variables.before && variables.spec[field] ==
      variables.before[field])) && variables.before.all(field, field == 'ingest' || field in variables.spec))
    message: a router changes nothing of a LiveStream's spec but ingest
  - expression: >-
      oldObject != null || (variables.spec.desiredState == 'Live' && !variables.orders.exists(field, field in variables.spec &&
      variables.spec[field] != null))
    message: a router begins broadcasts; it orders no end
{{- end }}

{{- define "caudal.routerStatus" -}}
matchConditions:
  - name: router
    expression: request.userInfo.username == '{{ include "caudal.account" . }}-ingest-router'
variables:
  - name: status
    expression: "has(object.status) ? dyn(object.status) : dyn({})"
  - name: before
    expression: "has(oldObject.status) ? dyn(oldObject.status) : dyn({})"
  # What the schema adds by itself, when the router's is a resource's first status.
  - name: defaults
    expression: "{'phase': dyn('Pending'), 'epoch': dyn(0)}"
validations:
  - expression: >-
      variables.status.all(field, field == 'media' || (field in variables.before ? variables.status[field] == variables.before[field] :
      field in variables.defaults && variables.status[field] == variables.defaults[field])) &&
      variables.before.all(field, field == 'media' || field in variables.status)
    message: a router changes nothing of a LiveStream's status but media
{{- end }}

{{- define "caudal.apiSpec" -}}
matchConditions:
  - name: api
    expression: request.userInfo.username == '{{ include "caudal.account" . }}-api'
variables:
  - name: spec
    expression: dyn(object.spec)
  - name: before
    expression: "oldObject == null ? dyn({}) : dyn(oldObject.spec)"
  - name: own
    expression: "['title', 'access', 'desiredState', 'endReason', 'drop', 'keyRevoked']"
{{- include "caudal.liveStreamMetadata" . }}
validations:
{{- include "caudal.liveStreamOwner" . }}
{{- include "caudal.liveStreamFinalizers" "the api" }}
{{- include "caudal.liveStreamAnnotations" "the api" }}
  - expression: >-
      oldObject == null || (variables.spec.all(field, field in variables.own || (field in variables.before && variables.spec[field] ==
      variables.before[field])) && variables.before.all(field, field in variables.own || field in variables.spec))
    message: the api changes title, access, desiredState, endReason, drop and keyRevoked of a LiveStream, and nothing else
  - expression: "oldObject != null || (variables.spec.desiredState == 'Ended' && (!('ingest' in variables.spec) || variables.spec.ingest == null))"
    message: the api creates a LiveStream only to end it before its router has created it
{{- end }}

{{- define "caudal.operatorSpec" -}}
matchConditions:
  - name: operator
    expression: request.userInfo.username == '{{ include "caudal.account" . }}-operator'
variables:
  - name: spec
    expression: dyn(object.spec)
  - name: before
    expression: "oldObject == null ? dyn({}) : dyn(oldObject.spec)"
  - name: own
    expression: "['desiredState', 'endReason', 'drop', 'keyRevoked']"
{{- include "caudal.liveStreamMetadata" . }}
validations:
{{- include "caudal.liveStreamOwner" . }}
  - expression: >-
      oldObject == null || (variables.spec.all(field, field in variables.own || (field in variables.before && variables.spec[field] ==
      variables.before[field])) && variables.before.all(field, field in variables.own || field in variables.spec))
    message: the operator changes desiredState, endReason, drop and keyRevoked of a LiveStream's spec, and nothing else
  - expression: oldObject != null || variables.spec.desiredState == 'Ended'
    message: the operator creates a LiveStream only to end it before its router has created it
{{- end }}

{{- define "caudal.lifecycle" -}}
matchConditions:
  - name: anybody-else
    expression: request.userInfo.username != '{{ include "caudal.account" . }}-operator'
variables:
  - name: status
    expression: "has(object.status) ? dyn(object.status) : dyn({})"
  - name: before
    expression: "has(oldObject.status) ? dyn(oldObject.status) : dyn({})"
validations:
  - expression: >-
      ('lifecycle' in variables.status) == ('lifecycle' in variables.before) && (!('lifecycle' in variables.status) ||
      variables.status.lifecycle == variables.before.lifecycle)
    message: status.lifecycle is the operator's alone
{{- end }}

{{- define "caudal.pools" -}}
matchConditions:
  - name: operator-or-uninstall
    expression: request.userInfo.username in ['{{ include "caudal.account" . }}-operator', '{{ include "caudal.account" . }}-uninstall']
variables:
  - name: spec
    expression: dyn(object.spec)
  - name: before
    expression: dyn(oldObject.spec)
  - name: room
    expression: "['maxWorkers', 'warm']"
  # What a pool was like before an uninstall closed it.
  - name: note
    expression: "['caudal.dev/closed-by-uninstall']"
  - name: notes
    expression: object.metadata.?annotations.orValue({})
  - name: notesBefore
    expression: oldObject.metadata.?annotations.orValue({})
validations:
  - expression: >-
      variables.spec.all(field, field in variables.room || (field in variables.before && variables.spec[field] == variables.before[field]))
      && variables.before.all(field, field in variables.room || field in variables.spec)
    message: an uninstall closes a WorkerPool, the operator opens it again, and nothing else of its spec changes
  - expression: >-
      variables.notes.all(note, note in variables.note || variables.notesBefore[?note] == optional.of(variables.notes[note])) &&
      variables.notesBefore.all(note, note in variables.note || note in variables.notes) &&
      object.metadata.?finalizers.orValue([]) == oldObject.metadata.?finalizers.orValue([])
    message: an uninstall and the operator write no annotation of a WorkerPool but what it was like, and no finalizer
{{- end }}

{{- define "caudal.operatorPods" -}}
{{- $secrets := list (printf "%s-transcoder-worker" .Release.Name) -}}
{{- $claims := list -}}
{{- with .Values.storage.s3 -}}
{{- if .bucket -}}
{{- if not $.Values.storage.sts.roleArn -}}
{{- $secrets = append $secrets (.workerSecret | default .secret) -}}
{{- end -}}
{{- else -}}
{{- $claims = append $claims (include "caudal.claim" $) -}}
{{- end -}}
{{- end -}}
{{- $repositories := list .Values.image.repository -}}
{{- with .Values.upgrade.former -}}
{{- $secrets = concat $secrets (.secrets | default list) -}}
{{- $claims = concat $claims (.claims | default list) -}}
{{- $repositories = concat $repositories (.repositories | default list) -}}
{{- end -}}
matchConditions:
  - name: operator
    expression: request.userInfo.username == '{{ include "caudal.account" . }}-operator'
variables:
  # The labels by which everything else knows a worker, the NetworkPolicies above all.
  - name: known
    expression: {{ printf "{'app.kubernetes.io/name': 'caudal', 'app.kubernetes.io/instance': '%s', 'app.kubernetes.io/component': 'transcoder-worker'}" .Release.Name | quote }}
  - name: secrets
    expression: {{ printf "['%s']" (join "', '" $secrets) | quote }}
  - name: claims
    expression: {{ (empty $claims | ternary "[]" (printf "['%s']" (join "', '" $claims))) | quote }}
  - name: containers
    expression: object.spec.containers + object.spec.?initContainers.orValue([])
validations:
  - expression: "oldObject == null || variables.known.all(label, oldObject.metadata.?labels[?label].orValue('') == variables.known[label])"
    message: the operator changes and deletes workers only
  - expression: "object == null || variables.known.all(label, object.metadata.?labels[?label].orValue('') == variables.known[label])"
    message: the operator makes workers only, and takes no label off that they are known by
  # It claims a worker by labels, annotations and an owner.
  - expression: object == null || oldObject == null || object.spec == oldObject.spec
    message: the operator changes nothing of what a worker runs
  # Whoever may create pods could otherwise run one as any service account of the namespace.
  - expression: >-
      oldObject != null || object.spec.?automountServiceAccountToken.orValue(true) == false &&
      object.spec.?serviceAccountName.orValue('default') == 'default'
    message: the operator creates pods without a service account's token only
  # Or one that is given another role's keys, the database's volume, or a token by a projected one.
  - expression: >-
      oldObject != null || object.spec.?volumes.orValue([]).all(volume, has(volume.emptyDir) ||
      has(volume.secret) && volume.secret.?secretName.orValue('') in variables.secrets ||
      has(volume.persistentVolumeClaim) && volume.persistentVolumeClaim.claimName in variables.claims)
    message: the operator gives a worker no volume but scratch space and its storage, with no other Secret than the workers'
  - expression: >-
      oldObject != null || variables.containers.all(container, container.?envFrom.orValue([]).size() == 0 &&
      container.?env.orValue([]).all(variable, variable.?valueFrom.?secretKeyRef.?name.orValue(variables.secrets[0]) in variables.secrets))
    message: the operator gives a worker no environment out of another Secret than the workers'
  # By its repository: while an upgrade rolls, operators of two versions run.
  - expression: oldObject != null || variables.containers.all(container, ['{{ join "', '" $repositories }}'].exists(repository, container.image.startsWith(repository + ':')))
    message: the operator runs no image but the chart's
  - expression: >-
      oldObject != null || !object.spec.?hostNetwork.orValue(false) && !object.spec.?hostPID.orValue(false) &&
      !object.spec.?hostIPC.orValue(false) && variables.containers.all(container, !container.?securityContext.?privileged.orValue(false))
    message: the operator gives a worker nothing of its node
{{- end }}
