{{/* Redises that fleets may name, without their secrets, as YAML. */}}
{{- define "mediafleet.redises" -}}
{{- $endpoints := list }}
{{- range .Values.egress.redis }}
{{- $namespaces := .namespaces | default (list $.Release.Namespace) }}
{{- $endpoint := omit . "passwordSecret" "sentinelPasswordSecret" "caSecret" }}
{{- $endpoints = append $endpoints (merge (dict "namespaces" $namespaces) $endpoint) }}
{{- end }}
{{- dict "endpoints" $endpoints | toYaml }}
{{- end }}

{{- define "mediafleet.redisConfigMap" -}}
{{ include "mediafleet.fullname" . }}-redis
{{- end }}

{{/* Arguments by which operator and desk learn which Redis a fleet may use, as a JSON list. */}}
{{- define "mediafleet.redisArgs" -}}
{{- $allow := eq .Values.rbac.scope "namespace" }}
{{- if not (kindIs "invalid" .Values.egress.allowUndeclaredRedis) }}
{{- $allow = .Values.egress.allowUndeclaredRedis }}
{{- end }}
{{- list "--redis-endpoints" "/mediafleet/redis-endpoints/redis.yaml" (ternary "--allow-undeclared-redis" "--no-allow-undeclared-redis" $allow) | toJson }}
{{- end }}

{{- define "mediafleet.redisVolume" -}}
{{- dict "name" "redis-endpoints" "configMap" (dict "name" (include "mediafleet.redisConfigMap" .)) | toJson }}
{{- end }}

{{- define "mediafleet.redisMount" -}}
{{- dict "name" "redis-endpoints" "mountPath" "/mediafleet/redis-endpoints" "readOnly" true | toJson }}
{{- end }}

{{/* Arguments by which desk and broker tell a reporter of work, as a JSON list; of community.origins. */}}
{{- define "mediafleet.originsArgs" -}}
{{- $args := list }}
{{- if .redis }}
{{- $args = list "--origins-redis" .redis "--origins-pool" .pool }}
{{- if .passwordSecret }}
{{- $args = concat $args (list "--origins-redis-password-file" "/mediafleet/origins/password") }}
{{- end }}
{{- range .ownNetworks }}
{{- $args = concat $args (list "--own-network" .) }}
{{- end }}
{{- end }}
{{- $args | toJson }}
{{- end }}

{{- define "mediafleet.originsVolume" -}}
{{- $items := list (dict "key" .passwordSecret.key "path" "password") }}
{{- dict "name" "origins" "secret" (dict "secretName" .passwordSecret.name "items" $items "defaultMode" 288) | toJson }}
{{- end }}

{{- define "mediafleet.originsMount" -}}
{{- dict "name" "origins" "mountPath" "/mediafleet/origins" "readOnly" true | toJson }}
{{- end }}
