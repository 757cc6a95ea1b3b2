{{/* What a part may do, of the table in rights.yaml. Takes (dict "root" $ "component" NAME). */}}
{{- define "mediafleet.rules" -}}
{{- range index (tpl (.root.Files.Get "rights.yaml") .root | fromYaml) .component }}
- apiGroups: {{ toJson .apiGroups }}
  resources: {{ toJson .resources }}
  {{- with .resourceNames }}
  resourceNames: {{ toJson . }}
  {{- end }}
  verbs: {{ keys .verbs | sortAlpha | toJson }}
{{- end }}
{{- end }}

{{/*
Grants a component its rules: everywhere, or in each namespace that we serve.
Takes (dict "root" $ "component" NAME).
*/}}
{{- define "mediafleet.grant" -}}
{{- $root := .root }}
{{- $name := include "mediafleet.componentName" . }}
{{- $labels := include "mediafleet.labels" . }}
{{- $rules := include "mediafleet.rules" . }}
{{- $account := dict "kind" "ServiceAccount" "name" (include "mediafleet.serviceAccountName" .) "namespace" $root.Release.Namespace }}
{{- if eq $root.Values.rbac.scope "cluster" }}
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata:
  name: {{ $root.Release.Namespace }}-{{ $name }}
  labels: {{- $labels | nindent 4 }}
rules:
  {{- $rules | nindent 2 }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata:
  name: {{ $root.Release.Namespace }}-{{ $name }}
  labels: {{- $labels | nindent 4 }}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: {{ $root.Release.Namespace }}-{{ $name }}}
subjects:
  - {{ $account | toJson }}
{{- else }}
{{- range $index, $namespace := include "mediafleet.namespaces" $root | fromJsonArray }}
{{- if $index }}
---
{{- end }}
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata:
  name: {{ $name }}
  namespace: {{ $namespace }}
  labels: {{- $labels | nindent 4 }}
rules:
  {{- $rules | nindent 2 }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata:
  name: {{ $name }}
  namespace: {{ $namespace }}
  labels: {{- $labels | nindent 4 }}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: {{ $name }}}
subjects:
  - {{ $account | toJson }}
{{- end }}
{{- end }}
{{- end }}
