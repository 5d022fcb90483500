{{/* Names. A release called tradewind makes tradewind-operator; any other, such as desk, desk-tradewind-operator. */}}
{{- define "tradewind.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 40 | trimSuffix "-" -}}
{{- end -}}

{{- define "tradewind.fullname" -}}
{{- $name := include "tradewind.name" . -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- else if contains $name .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "tradewind.operator" -}}
{{- printf "%s-operator" (include "tradewind.fullname" .) -}}
{{- end -}}

{{- define "tradewind.serviceAccount" -}}
{{- default (include "tradewind.operator" .) .Values.operator.serviceAccount.name -}}
{{- end -}}

{{/* What selects the operator's pods: never more than this, it cannot change later. */}}
{{- define "tradewind.selector" -}}
app.kubernetes.io/name: {{ include "tradewind.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: operator
{{- end -}}

{{- define "tradewind.labels" -}}
app.kubernetes.io/name: {{ include "tradewind.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/part-of: tradewind
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* metadata of an object of the chart: (dict "root" $ "name" NAME "namespace" NAMESPACE-or-empty) */}}
{{- define "tradewind.metadata" -}}
name: {{ .name }}
{{- with .namespace }}
namespace: {{ . }}
{{- end }}
labels:
  {{- include "tradewind.labels" .root | nindent 2 }}
  {{- with .labels }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- with .root.Values.commonAnnotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* An image: (dict "image" VALUES "root" $) */}}
{{- define "tradewind.image" -}}
{{- if .image.digest -}}
{{- printf "%s@%s" .image.repository .image.digest -}}
{{- else -}}
{{- printf "%s:%s" .image.repository (default .root.Chart.AppVersion .image.tag) -}}
{{- end -}}
{{- end -}}

{{/* Limits the admission policies to the namespaces the operator acts on. */}}
{{- define "tradewind.namespaceSelector" -}}
{{- with .Values.watchNamespaces }}
namespaceSelector:
  matchExpressions:
  - key: kubernetes.io/metadata.name
    operator: In
    values:
    {{- toYaml . | nindent 4 }}
{{- end }}
{{- end -}}

{{/* What operator/src/settings.rs reads, all of it text. */}}
{{- define "tradewind.settings" -}}
{{- $worker := .Values.worker -}}
{{- $annotations := list -}}
{{- range $name, $value := $worker.serviceAccountAnnotations -}}
{{- $annotations = append $annotations (printf "%s=%s" $name $value) -}}
{{- end -}}
TRADEWIND_API_SERVER_CIDRS: {{ join "," .Values.apiServer.cidrs | quote }}
TRADEWIND_API_SERVER_PORTS: {{ join "," .Values.apiServer.ports | quote }}
TRADEWIND_CONCURRENCY: {{ .Values.operator.concurrency | toString | quote }}
TRADEWIND_EXTRA_EGRESS: {{ join "," .Values.networkPolicy.workersExtraEgress | quote }}
TRADEWIND_LEADER_LEASE: {{ include "tradewind.operator" . | quote }}
TRADEWIND_LEADER_SECONDS: {{ .Values.operator.leaderSeconds | toString | quote }}
TRADEWIND_LOG: {{ .Values.operator.log | quote }}
TRADEWIND_NAMESPACES: {{ join "," .Values.watchNamespaces | quote }}
TRADEWIND_NETWORK_POLICIES: {{ .Values.networkPolicy.workers | toString | quote }}
TRADEWIND_RECONCILE_SECONDS: {{ .Values.operator.reconcileSeconds | toString | quote }}
TRADEWIND_WORKER_CPU_LIMIT: {{ dig "limits" "cpu" "" $worker.resources | toString | quote }}
TRADEWIND_WORKER_CPU_REQUEST: {{ dig "requests" "cpu" "50m" $worker.resources | toString | quote }}
TRADEWIND_WORKER_IMAGE: {{ include "tradewind.image" (dict "image" $worker.image "root" .) | quote }}
TRADEWIND_WORKER_IMAGE_PULL_POLICY: {{ $worker.image.pullPolicy | quote }}
TRADEWIND_WORKER_IMAGE_PULL_SECRETS: {{ join "," $worker.imagePullSecrets | quote }}
TRADEWIND_WORKER_LOG: {{ $worker.log | quote }}
TRADEWIND_WORKER_MEMORY_LIMIT: {{ dig "limits" "memory" "512Mi" $worker.resources | toString | quote }}
TRADEWIND_WORKER_MEMORY_REQUEST: {{ dig "requests" "memory" "64Mi" $worker.resources | toString | quote }}
TRADEWIND_WORKER_PRIORITY_CLASS: {{ $worker.priorityClassName | quote }}
TRADEWIND_WORKER_SERVICE_ACCOUNT_ANNOTATIONS: {{ join "," $annotations | quote }}
{{- end -}}
