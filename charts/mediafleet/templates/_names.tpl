{{/* Names and labels. Functions of a component take (dict "root" $ "component" "operator"). */}}

{{- define "mediafleet.name" -}}
{{ default .Chart.Name .Values.nameOverride | trunc 50 | trimSuffix "-" }}
{{- end }}

{{- define "mediafleet.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{ .Values.fullnameOverride | trunc 50 | trimSuffix "-" }}
{{- else if contains (include "mediafleet.name" .) .Release.Name -}}
{{ .Release.Name | trunc 50 | trimSuffix "-" }}
{{- else -}}
{{ printf "%s-%s" .Release.Name (include "mediafleet.name" .) | trunc 50 | trimSuffix "-" }}
{{- end -}}
{{- end }}

{{- define "mediafleet.componentName" -}}
{{ include "mediafleet.fullname" .root }}-{{ .component }}
{{- end }}

{{- define "mediafleet.serviceAccountName" -}}
{{- with (index .root.Values .component).serviceAccount -}}
{{ .name | default (ternary (include "mediafleet.componentName" $) "default" .create) }}
{{- end -}}
{{- end }}

{{- define "mediafleet.selector" -}}
app.kubernetes.io/name: {{ include "mediafleet.name" .root }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end }}

{{- define "mediafleet.commonLabels" -}}
app.kubernetes.io/part-of: mediafleet
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end }}

{{- define "mediafleet.labels" -}}
{{ include "mediafleet.selector" . }}
{{ include "mediafleet.commonLabels" .root }}
{{- end }}

{{- define "mediafleet.sharedLabels" -}}
app.kubernetes.io/name: {{ include "mediafleet.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{ include "mediafleet.commonLabels" . }}
{{- end }}

{{- define "mediafleet.image" -}}
{{- with .Values.image -}}
{{ with .registry }}{{ . }}/{{ end }}{{ .repository }}
{{- if .digest }}@{{ .digest }}{{ else }}:{{ .tag | default $.Chart.AppVersion }}{{ end }}
{{- end -}}
{{- end }}

{{/* ServiceAccounts that may read what desks report, and of which namespaces, as a JSON list. */}}
{{- define "mediafleet.reportAccounts" -}}
{{- $operator := include "mediafleet.serviceAccountName" (dict "root" . "component" "operator") -}}
{{ prepend .Values.reports.accounts (printf "%s/%s=*" .Release.Namespace $operator) | uniq | toJson }}
{{- end }}

{{/* Namespaces that we serve, as a JSON list; empty means all of them. */}}
{{- define "mediafleet.namespaces" -}}
{{- if .Values.watchNamespaces -}}
{{ .Values.watchNamespaces | uniq | toJson }}
{{- else if eq .Values.rbac.scope "namespace" -}}
{{ list .Release.Namespace | toJson }}
{{- else -}}
[]
{{- end -}}
{{- end }}
