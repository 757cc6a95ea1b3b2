{{/* KEDA's scaler in the egress desk: names, certificates. */}}

{{- define "mediafleet.scalerName" -}}
{{ include "mediafleet.fullname" . }}-scaler
{{- end }}

{{/* Host names of the desk's Service, as a JSON list. */}}
{{- define "mediafleet.scalerHosts" -}}
{{- $service := include "mediafleet.componentName" (dict "root" . "component" "egress") -}}
{{- $here := printf "%s.%s" $service .Release.Namespace -}}
{{ list (printf "%s.svc" $here) (printf "%s.svc.cluster.local" $here) $here $service | toJson }}
{{- end }}

{{/* Secret with the desk's certificate, its key, and who signs KEDA's. */}}
{{- define "mediafleet.scalerServerSecret" -}}
{{- with .Values.egress.scaler.tls -}}
{{ ternary .serverSecret (include "mediafleet.scalerName" $) (eq .mode "secret") }}
{{- end -}}
{{- end }}

{{/* Secret with KEDA's certificate, its key, and who signs the desk's. */}}
{{- define "mediafleet.scalerClientSecret" -}}
{{- with .Values.egress.scaler.tls -}}
{{ ternary .clientSecret (printf "%s-client" (include "mediafleet.scalerName" $)) (eq .mode "secret") }}
{{- end -}}
{{- end }}

{{/* Secret, in the namespace of a pool, by which its advertiser answers KEDA. */}}
{{- define "mediafleet.scalerPoolSecret" -}}
{{ include "mediafleet.scalerName" . }}-pools
{{- end }}

{{/*
The data of all Secrets, as JSON, and when they were made: what an earlier release made, as long as
each is there and not too old, else new ones under a new authority, whose key is kept nowhere.
*/}}
{{- define "mediafleet.scalerCertificates" -}}
{{- $server := lookup "v1" "Secret" .Release.Namespace (include "mediafleet.scalerServerSecret" .) -}}
{{- $client := lookup "v1" "Secret" .Release.Namespace (include "mediafleet.scalerClientSecret" .) -}}
{{- $kept := and $server $client -}}
{{- $made := now | unixEpoch -}}
{{- if $kept -}}
{{- /* Those of releases that did not note it are as old as their Secret. */ -}}
{{- $written := toDate "2006-01-02T15:04:05Z" $server.metadata.creationTimestamp | unixEpoch -}}
{{- $made = dig "annotations" "mediafleet.dev/made" $written $server.metadata -}}
{{- $age := sub (now | unixEpoch) (int64 $made) -}}
{{- if ge $age (mul 86400 (default 365 .Values.egress.scaler.tls.renewAfterDays)) -}}
{{- $kept = false -}}
{{- $made = now | unixEpoch -}}
{{- end -}}
{{- end -}}
{{- $pools := dict -}}
{{- range .Values.keda.poolNamespaces -}}
{{- $one := lookup "v1" "Secret" . (include "mediafleet.scalerPoolSecret" $) -}}
{{- if not $one }}{{ $kept = false }}{{ else }}{{ $_ := set $pools . $one.data }}{{ end -}}
{{- end -}}
{{- if $kept -}}
{{ dict "made" $made "server" $server.data "client" $client.data "pools" $pools | toJson }}
{{- else -}}
{{- $ca := genCA (include "mediafleet.scalerName" .) 3650 -}}
{{- $authority := b64enc $ca.Cert -}}
{{- $hosts := include "mediafleet.scalerHosts" . | fromJsonArray -}}
{{- $desk := genSignedCert (first $hosts) nil $hosts 3650 $ca -}}
{{- $keda := genSignedCert "keda" nil (list "keda") 3650 $ca -}}
{{- $ofServer := dict "ca.crt" $authority "tls.crt" (b64enc $desk.Cert) "tls.key" (b64enc $desk.Key) -}}
{{- $ofClient := dict "ca.crt" $authority "tls.crt" (b64enc $keda.Cert) "tls.key" (b64enc $keda.Key) -}}
{{- range .Values.keda.poolNamespaces -}}
{{- $name := printf "*.%s.svc" . -}}
{{- $pair := genSignedCert $name nil (list $name) 3650 $ca -}}
{{- $_ := set $pools . (dict "ca.crt" $authority "tls.crt" (b64enc $pair.Cert) "tls.key" (b64enc $pair.Key)) -}}
{{- end -}}
{{ dict "made" (now | unixEpoch) "server" $ofServer "client" $ofClient "pools" $pools | toJson }}
{{- end -}}
{{- end }}

{{/* Namespaces that hold KEDA's certificate, as a JSON list: ours, and KEDA's own where it is told. */}}
{{- define "mediafleet.scalerClientNamespaces" -}}
{{ list .Release.Namespace .Values.keda.namespace | compact | uniq | toJson }}
{{- end }}

{{/* What a ScaledObject names for its certificate: KIND/NAME. */}}
{{- define "mediafleet.scalerAuthentication" -}}
{{ ternary "Cluster" "" (ne .Values.keda.namespace "") }}TriggerAuthentication/{{ include "mediafleet.fullname" . }}
{{- end }}

{{/* Whether the broker answers KEDA: it uses the Secret of pools in the release's namespace. */}}
{{- define "mediafleet.brokerScaler" -}}
{{- with .Values.egress.scaler -}}
{{- $secure := has $.Release.Namespace $.Values.keda.poolNamespaces -}}
{{- if and $.Values.broker.enabled $.Values.egress.enabled .enabled (or (eq .tls.mode "none") $secure) }}yes{{ end -}}
{{- end -}}
{{- end }}
