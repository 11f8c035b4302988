{{/*
The keys of the backends as JSON: the given ones, else those that the cluster has already, else new ones. They are made
once a rendering, because every template that reads them must see the same.
*/}}
{{- define "backends.credentials" -}}
{{- if not (hasKey .Release "credentials") }}
{{- $kept := (lookup "v1" "Secret" .Release.Namespace "cloudscale-backends-keys").data | default dict }}
{{- $servicebus := .Values.servicebus.sharedAccessKey | default (get $kept "servicebus" | b64dec) | default (randAlphaNum 43) }}
{{- $cosmos := .Values.cosmos.accountKey | default (get $kept "cosmos" | b64dec) | default (randAlphaNum 64 | b64enc) }}
{{- $redis := .Values.redis.password | default (get $kept "redis" | b64dec) | default (randAlphaNum 32) }}
{{- $_ := set .Release "credentials" (dict "servicebus" $servicebus "cosmos" $cosmos "redis" $redis) }}
{{- end }}
{{- toJson .Release.credentials }}
{{- end }}

{{/* What each role of a pipeline may do with the queues, as JSON. */}}
{{- define "backends.queueRights" -}}
{"ingestion": "Send", "worker": "Listen,Send", "dashboard": "Listen,Send,EntityRead", "operator": "EntityRead"}
{{- end }}

{{/*
A key with less rights. It is made from the one with all, so that it changes with that one; nobody finds the way back.
Takes (dict "root" $ "key" "servicebus" "role" "worker").
*/}}
{{- define "backends.roleKey" -}}
{{- printf "%s %s" .role (get (include "backends.credentials" .root | fromJson) .key) | sha256sum }}
{{- end }}
