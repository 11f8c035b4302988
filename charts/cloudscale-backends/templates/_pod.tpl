{{/* Labels of everything that belongs to one backend. Takes (dict "root" $ "name" "redis"). */}}
{{- define "backends.labels" -}}
{{ include "backends.selector" . }}
app.kubernetes.io/part-of: cloudscale
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ .root.Chart.Name }}-{{ .root.Chart.Version }}
{{- end }}

{{/* Labels that never change, for selectors. */}}
{{- define "backends.selector" -}}
app.kubernetes.io/name: {{ .name }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
{{- end }}

{{/* CloudScale's own image. Takes the root. */}}
{{- define "backends.image" -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end }}

{{/*
Metadata of a pod. A changed Secret rolls the pods that read it; another version of the chart alone does not. Takes (dict "root" $ "name" "redis").
*/}}
{{- define "backends.podMetadata" -}}
labels:
  {{- include "backends.selector" . | nindent 2 }}
  app.kubernetes.io/part-of: cloudscale
  {{- with .root.Values.podLabels }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
annotations:
  cloudscale.io/credentials: {{ include "backends.credentials" .root | sha256sum | trunc 16 | quote }}
  {{- with .root.Values.podAnnotations }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end }}

{{/* What every pod's specification begins with. Takes (dict "root" $ "user" 999). */}}
{{- define "backends.podSpec" -}}
automountServiceAccountToken: false
enableServiceLinks: false
{{- with .root.Values.imagePullSecrets }}
imagePullSecrets: {{- toYaml . | nindent 2 }}
{{- end }}
securityContext:
  {{- toYaml .root.Values.podSecurityContext | nindent 2 }}
  runAsUser: {{ .user }}
  runAsGroup: {{ .user }}
  fsGroup: {{ .user }}
{{- with .root.Values.nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .root.Values.tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- $affinity := .root.Values.affinity }}
{{- with .root.Values.pinTo }}
{{- $label := splitn "=" 2 . }}
{{- $expression := dict "key" $label._0 "operator" "Exists" }}
{{- if contains "=" . }}
{{- $expression = dict "key" $label._0 "operator" "In" "values" (list $label._1) }}
{{- end }}
{{- $terms := dict "nodeSelectorTerms" (list (dict "matchExpressions" (list $expression))) }}
{{- $affinity = merge (dict "nodeAffinity" (dict "requiredDuringSchedulingIgnoredDuringExecution" $terms)) $affinity }}
{{- end }}
{{- with $affinity }}
affinity: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* The volume named data: a claim that outlives the release, or, without persistence, a folder that dies with its pod. */}}
{{- define "backends.claim" -}}
{{- if .enabled }}
persistentVolumeClaimRetentionPolicy: {whenDeleted: Retain, whenScaled: Retain}
volumeClaimTemplates:
  - metadata:
      name: data
    spec:
      accessModes: [ReadWriteOnce]
      {{- with .storageClass }}
      storageClassName: {{ . }}
      {{- end }}
      resources:
        requests: {storage: {{ .size }}}
{{- end }}
{{- end }}
{{- define "backends.unclaimed" -}}
{{- if not .enabled }}
- name: data
  emptyDir: {sizeLimit: {{ .size }}}
{{- end }}
{{- end }}
