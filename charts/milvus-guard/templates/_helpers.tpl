{{- define "guard.name" -}}
{{- if contains .Chart.Name .Release.Name }}{{ .Release.Name | trunc 50 | trimSuffix "-" }}{{ else }}{{ printf "%s-%s" .Release.Name .Chart.Name | trunc 50 | trimSuffix "-" }}{{ end }}
{{- end }}

{{- define "guard.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "guard.labels" -}}
{{ include "guard.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end }}

{{- define "guard.controllerName" -}}
{{ include "guard.name" . }}-controller
{{- end }}

{{- /* Other labels than the webhook's: its Service must not reach the controller. */}}
{{- define "guard.controllerSelector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}-controller
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "guard.controllerLabels" -}}
{{ include "guard.controllerSelector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end }}

{{- define "guard.image" -}}
{{- with .Values.image }}{{ .repository }}{{ if .digest }}@{{ .digest }}{{ else }}:{{ .tag | default $.Chart.AppVersion }}{{ end }}{{ end }}
{{- end }}

{{- define "guard.tlsSecret" -}}
{{- if eq .Values.certificates.source "secret" }}{{ required "certificates.secretName is needed with certificates.source=secret" .Values.certificates.secretName }}{{ else }}{{ .Values.certificates.secretName | default (printf "%s-tls" (include "guard.name" .)) }}{{ end }}
{{- end }}

{{- /* Whether a part with enabled: auto is wanted; takes a list of the value and the API that it needs. */}}
{{- define "guard.wanted" -}}
{{- $value := index . 0 -}}{{- $api := index . 1 -}}{{- $root := index . 2 -}}
{{- if or (eq (toString $value) "true") (and (eq (toString $value) "auto") ($root.Capabilities.APIVersions.Has $api)) }}true{{ end }}
{{- end }}

{{- define "guard.podSecurity" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
seccompProfile: {type: RuntimeDefault}
{{- end }}

{{- define "guard.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end }}

{{- /* The handler's budget, if a replica answers before the API server gives up: a schema cannot compare two values. */}}
{{- define "guard.budget" -}}
{{- $budget := .Values.limits.budget -}}
{{- $ms := ternary (trimSuffix "ms" $budget | int) (mul 1000 (trimSuffix "s" $budget | int)) (hasSuffix "ms" $budget) -}}
{{- range $name, $gate := .Values.gates -}}
{{- if and (ne $gate.enabled false) (ge (int $ms) (int (mul 1000 $gate.timeoutSeconds))) -}}
{{- fail (printf "limits.budget (%s) must be below gates.%s.timeoutSeconds (%ds), or the API server gives up before a replica answers" $budget $name (int $gate.timeoutSeconds)) -}}
{{- end -}}
{{- end -}}
{{- $budget -}}
{{- end }}

{{- /* Namespaces of the gates; takes a list of names that are not guarded besides the user's own. */}}
{{- define "guard.namespaces" -}}
{{- $root := index . 0 -}}
{{- $excluded := concat (index . 1) (list $root.Release.Namespace) $root.Values.excludedNamespaces | uniq -}}
{{- $mine := dict "key" "kubernetes.io/metadata.name" "operator" "NotIn" "values" $excluded -}}
{{- $selector := deepCopy $root.Values.namespaceSelector -}}
{{- $_ := set $selector "matchExpressions" (append ($selector.matchExpressions | default list) $mine) -}}
{{- toYaml $selector }}
{{- end }}

{{- define "guard.client" -}}
service:
  name: {{ include "guard.name" (index . 0) }}
  namespace: {{ (index . 0).Release.Namespace }}
  path: {{ index . 1 }}
  port: 443
{{- end }}

{{- /* Requests that are never judged. The controllers of Kubernetes act as users of their own; others in kube-system (the Helm jobs of k3s) are judged. */}}
{{- define "guard.users" -}}
{{- include "guard.usersAnd" (list . (list (printf "system:serviceaccount:%s:%s" .Release.Namespace (include "guard.controllerName" .)))) }}
{{- end }}

{{- /* Who is never judged: what writes for Kubernetes and for us, and the users that are given. */}}
{{- define "guard.usersAnd" -}}
{{- $more := index . 1 -}}{{- with index . 0 -}}
{{- $controllers := list "deployment-controller" "replicaset-controller" "statefulset-controller" "daemon-set-controller" "job-controller" "horizontal-pod-autoscaler" "generic-garbage-collector" "namespace-controller" "disruption-controller" "ttl-after-finished-controller" "pvc-protection-controller" "persistent-volume-binder" "expand-controller" "ephemeral-volume-controller" "resourcequota-controller" "root-ca-cert-publisher" "storage-version-migrator-controller" "legacy-service-account-token-cleaner" -}}
{{- $users := list "system:kube-controller-manager" "system:kube-scheduler" "system:apiserver" -}}
{{- range $controllers }}{{ $users = append $users (printf "system:serviceaccount:kube-system:%s" .) }}{{ end -}}
{{- $users = append $users (printf "system:serviceaccount:%s:%s" .Release.Namespace (include "guard.name" .)) -}}
{{- $users = append $users (printf "system:serviceaccount:%s:%s-cleanup" .Release.Namespace (include "guard.name" .)) -}}
{{- $users = concat $users $more .Values.excludedUsers | uniq -}}
- name: not-a-system-user
  expression: >-
    !(request.userInfo.username in {{ $users | toJson }}) &&
    !('system:nodes' in request.userInfo.groups)
{{- end }}{{- end }}

{{- define "guard.hook" -}}
helm.sh/hook: pre-delete
helm.sh/hook-weight: {{ . | quote }}
helm.sh/hook-delete-policy: before-hook-creation,hook-succeeded
{{- end }}
