{{/* What each component may do. No wildcards, no exec, and of secrets the right to create one: tests/unit/project/test_charts.py holds us to it. */}}

{{- define "mediafleet.rules.operator" -}}
# Our resources: watched, replicas written once when absent, status written.
- apiGroups: [mediafleet.dev]
  resources: [egressfleets, orchestratorpools, aiworkerpools]
  verbs: [get, list, watch, patch]
- apiGroups: [mediafleet.dev]
  resources: [egressfleets/status, orchestratorpools/status, aiworkerpools/status]
  verbs: [patch]
# Engine builtin of spec.autoscaling writes the number of pods here, and nothing else.
- apiGroups: [mediafleet.dev]
  resources: [egressfleets/scale, orchestratorpools/scale, aiworkerpools/scale]
  verbs: [patch]
# Lets our resources own objects where OwnerReferencesPermissionEnforcement is on.
- apiGroups: [mediafleet.dev]
  resources: [egressfleets/finalizers, orchestratorpools/finalizers, aiworkerpools/finalizers]
  verbs: [update]
# The pods of fleets and pools, which the operator owns itself.
- apiGroups: [""]
  resources: [pods]
  verbs: [get, list, watch, create, patch, delete]
# The readiness gate of pods that have a Service of their own.
- apiGroups: [""]
  resources: [pods/status]
  verbs: [patch]
# Per pool: the advertiser, its Service, and what lets it watch. Nobody can grant by a Role what
# they may not do themselves, so this grants no more than the rules here say. Services of slots
# (address node_port, load_balancer) are also watched for their addresses, and go with the slot.
- apiGroups: [apps]
  resources: [deployments]
  verbs: [get, create, patch, delete]
- apiGroups: [""]
  resources: [services]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [""]
  resources: [serviceaccounts]
  verbs: [get, create, patch]
- apiGroups: [rbac.authorization.k8s.io]
  resources: [roles, rolebindings]
  verbs: [get, create, patch]
# The random -orchSecret of a pool's nodes: made, and never read.
- apiGroups: [""]
  resources: [secrets]
  verbs: [create]
# The claims of slots that own a volume; they are never deleted, since tickets may wait in them.
- apiGroups: [""]
  resources: [persistentvolumeclaims]
  verbs: [get, create, patch]
# Per fleet and per advertiser.
- apiGroups: [policy]
  resources: [poddisruptionbudgets]
  verbs: [get, create, patch]
# Per fleet with engine hpa or keda; deleted when another engine takes over.
- apiGroups: [autoscaling]
  resources: [horizontalpodautoscalers]
  verbs: [get, create, patch, delete]
- apiGroups: [keda.sh]
  resources: [scaledobjects]
  verbs: [get, create, patch, delete]
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create]
{{- end }}

{{- define "mediafleet.rules.egress" -}}
- apiGroups: [mediafleet.dev]
  resources: [egressfleets]
  verbs: [list, watch]
- apiGroups: [""]
  resources: [pods]
  verbs: [list, watch]
# Condition ModeUnsupported of fleets with engine native.
- apiGroups: [mediafleet.dev]
  resources: [egressfleets/status]
  verbs: [patch]
# Of recordings that were lost with their pod.
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create]
{{- end }}

{{- define "mediafleet.rules.broker" -}}
# Whose pod a worker is, and whether it drains.
- apiGroups: [mediafleet.dev]
  resources: [aiworkerpools]
  verbs: [list, watch]
- apiGroups: [""]
  resources: [pods]
  verbs: [list, watch]
{{- end }}

{{/*
Grants a component its rules: everywhere, or in each namespace that we serve.
Takes (dict "root" $ "component" NAME).
*/}}
{{- define "mediafleet.grant" -}}
{{- $root := .root }}
{{- $name := include "mediafleet.componentName" . }}
{{- $labels := include "mediafleet.labels" . }}
{{- $rules := include (printf "mediafleet.rules.%s" .component) $root }}
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
