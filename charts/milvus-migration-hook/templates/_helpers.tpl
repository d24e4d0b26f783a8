{{- /* Named after the release, so that two releases of a namespace do not meet. */}}
{{- define "milvusMigration.name" -}}
{{- printf "%s-milvus-migration" (trunc 46 .Release.Name | trimSuffix "-") -}}
{{- end }}

{{- /* Cluster-wide names tell the namespace, too. */}}
{{- define "milvusMigration.clusterName" -}}
{{- printf "%s:%s" .Release.Namespace (include "milvusMigration.name" .) -}}
{{- end }}

{{- define "milvusMigration.labels" -}}
app.kubernetes.io/name: milvus-migration-hook
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "milvus-migration-hook-%s" .Chart.Version }}
{{- end }}

{{- define "milvusMigration.image" -}}
{{- if .Values.image.digest -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end -}}
{{- end }}

{{- define "milvusMigration.hook" -}}
{{- $root := index . 0 -}}
helm.sh/hook: {{ join "," $root.Values.hooks }}
helm.sh/hook-weight: {{ index . 1 | quote }}
helm.sh/hook-delete-policy: {{ index . 2 }}
{{- end }}
