{{- define "cloudscale.labels" -}}
{{ include "cloudscale.selector" . }}
app.kubernetes.io/part-of: cloudscale
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end }}

{{/* Labels that never change, for selectors. */}}
{{- define "cloudscale.selector" -}}
app.kubernetes.io/name: cloudscale-operator
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "cloudscale.image" -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end }}

{{- define "cloudscale.serviceAccount" -}}
{{- if .Values.serviceAccount.create }}{{ .Values.serviceAccount.name | default "cloudscale-operator" }}
{{- else }}{{ required "serviceAccount.name is needed when serviceAccount.create is false" .Values.serviceAccount.name }}
{{- end }}
{{- end }}

{{/* Who the operator is to the API server. */}}
{{- define "cloudscale.subjects" -}}
- kind: ServiceAccount
  name: {{ include "cloudscale.serviceAccount" . }}
  namespace: {{ .Release.Namespace }}
{{- end }}
