{{/*
A component's ServiceAccount, Service, Deployment and PodDisruptionBudget.
Takes (dict "root" $ "component" NAME "args" LIST "volumes" LIST "mounts" LIST), and "ports", a LIST
of (dict "name" NAME "port" NUMBER) beside http; "env", a LIST of variables.
*/}}
{{- define "mediafleet.workload" -}}
{{- $root := .root }}
{{- $own := index $root.Values .component }}
{{- $name := include "mediafleet.componentName" . }}
{{- $here := dict "root" $root "component" .component }}
{{- if $own.serviceAccount.create }}
apiVersion: v1
kind: ServiceAccount
metadata:
  name: {{ include "mediafleet.serviceAccountName" $here }}
  namespace: {{ $root.Release.Namespace }}
  labels: {{- include "mediafleet.labels" $here | nindent 4 }}
  {{- with $own.serviceAccount.annotations }}
  annotations: {{- toYaml . | nindent 4 }}
  {{- end }}
automountServiceAccountToken: false
---
{{- end }}
apiVersion: v1
kind: Service
metadata:
  name: {{ $name }}
  namespace: {{ $root.Release.Namespace }}
  labels: {{- include "mediafleet.labels" $here | nindent 4 }}
spec:
  selector: {{- include "mediafleet.selector" $here | nindent 4 }}
  ports:
    - {name: http, port: 8080, targetPort: http, protocol: TCP}
    {{- range .ports }}
    - {name: {{ .name }}, port: {{ .port }}, targetPort: {{ .name }}, protocol: TCP}
    {{- end }}
---
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {{ $name }}
  namespace: {{ $root.Release.Namespace }}
  labels: {{- include "mediafleet.labels" $here | nindent 4 }}
spec:
  replicas: {{ $own.replicas }}
  selector:
    matchLabels: {{- include "mediafleet.selector" $here | nindent 6 }}
  strategy:
    rollingUpdate: {maxSurge: 1, maxUnavailable: 0}
  template:
    metadata:
      labels: {{- merge (include "mediafleet.labels" $here | fromYaml) $own.podLabels | toYaml | nindent 8 }}
      annotations:
        # Declared Redises are read at the start.
        mediafleet.dev/redises: {{ include "mediafleet.redises" $root | sha256sum | trunc 16 }}
        {{- with $own.podAnnotations }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
    spec:
      serviceAccountName: {{ include "mediafleet.serviceAccountName" $here }}
      automountServiceAccountToken: true
      {{- include "mediafleet.podSecurity" $root | nindent 6 }}
      {{- with $own.priorityClassName }}
      priorityClassName: {{ . }}
      {{- end }}
      {{- with $own.nodeSelector }}
      nodeSelector: {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with $own.tolerations }}
      tolerations: {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with $own.affinity }}
      affinity: {{- toYaml . | nindent 8 }}
      {{- end }}
      topologySpreadConstraints:
        {{- if $own.topologySpreadConstraints }}
        {{- toYaml $own.topologySpreadConstraints | nindent 8 }}
        {{- else }}
        - maxSkew: 1
          topologyKey: kubernetes.io/hostname
          whenUnsatisfiable: ScheduleAnyway
          labelSelector:
            matchLabels: {{- include "mediafleet.selector" $here | nindent 14 }}
        {{- end }}
      containers:
        - name: {{ .component }}
          image: {{ include "mediafleet.image" $root }}
          imagePullPolicy: {{ $root.Values.image.pullPolicy }}
          args:
            {{- $logs := concat (list "--log-level" $root.Values.logs.level) (ternary (list "--log-json") list $root.Values.logs.json) }}
            {{- range concat .args $logs $own.extraArgs }}
            - {{ . | quote }}
            {{- end }}
          env:
            - name: POD_NAMESPACE
              valueFrom: {fieldRef: {fieldPath: metadata.namespace}}
            - name: POD_NAME
              valueFrom: {fieldRef: {fieldPath: metadata.name}}
            {{- with concat (.env | default list) $own.extraEnv }}
            {{- toYaml . | nindent 12 }}
            {{- end }}
          {{- with $own.extraEnvFrom }}
          envFrom: {{- toYaml . | nindent 12 }}
          {{- end }}
          ports:
            - {name: http, containerPort: 8080, protocol: TCP}
            {{- range .ports }}
            - {name: {{ .name }}, containerPort: {{ .port }}, protocol: TCP}
            {{- end }}
          startupProbe:
            httpGet: {path: /healthz, port: http}
            periodSeconds: 2
            timeoutSeconds: 5
            failureThreshold: 45
          livenessProbe:
            httpGet: {path: /healthz, port: http}
            periodSeconds: 10
            timeoutSeconds: 5
            failureThreshold: 3
          readinessProbe:
            httpGet: {path: /readyz, port: http}
            periodSeconds: 2
            timeoutSeconds: 5
            failureThreshold: 3
          {{- if ne .component "operator" }}
          lifecycle:
            # Callers are sent here until every node has taken the address off the Service.
            preStop: {sleep: {seconds: 5}}
          {{- end }}
          resources: {{- toYaml $own.resources | nindent 12 }}
          {{- include "mediafleet.containerSecurity" $root | nindent 10 }}
          volumeMounts:
            - {name: tmp, mountPath: /tmp}
            {{- with concat .mounts $own.extraVolumeMounts }}
            {{- toYaml . | nindent 12 }}
            {{- end }}
      volumes:
        - name: tmp
          emptyDir: {sizeLimit: 64Mi}
        {{- with concat .volumes $own.extraVolumes }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
{{- if $own.podDisruptionBudget.enabled }}
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata:
  name: {{ $name }}
  namespace: {{ $root.Release.Namespace }}
  labels: {{- include "mediafleet.labels" $here | nindent 4 }}
spec:
  maxUnavailable: {{ $own.podDisruptionBudget.maxUnavailable }}
  unhealthyPodEvictionPolicy: {{ $own.podDisruptionBudget.unhealthyPodEvictionPolicy }}
  selector:
    matchLabels: {{- include "mediafleet.selector" $here | nindent 6 }}
{{- end }}
{{- end }}

{{/* What the restricted Pod Security level asks of a pod, and of a container. */}}
{{- define "mediafleet.podSecurity" -}}
{{- with .Values.imagePullSecrets -}}
imagePullSecrets: {{- toYaml . | nindent 2 }}
{{ end -}}
securityContext:
  runAsNonRoot: true
  runAsUser: 65532
  runAsGroup: 65532
  fsGroup: 65532
  seccompProfile: {type: RuntimeDefault}
{{- end }}

{{- define "mediafleet.containerSecurity" -}}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: {drop: [ALL]}
{{- end }}
