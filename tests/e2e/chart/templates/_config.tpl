{{- /* The queue of a standalone: what the values say, but from 5.0.0 on the one that a running Deployment is marked with, or rocksmq where it has no mark. */}}
{{- define "milvus.queue" -}}
{{- $queue := .Values.standalone.messageQueue | default "rocksmq" }}
{{- if and (semverCompare ">=5.0.0-0" .Chart.Version) (eq $queue "woodpecker") (ne (int .Release.Revision) 1) }}
{{- with lookup "apps/v1" "Deployment" .Release.Namespace (printf "%s-standalone" (include "fullname" .)) }}
{{- $queue = index (.metadata.annotations | default dict) "milvus.io/message-queue" | default "rocksmq" }}
{{- end }}
{{- end }}
{{- $queue }}
{{- end }}

{{- /* The part of Milvus' configuration that tells where its data lies. */}}
{{- define "milvus.config" -}}
{{- $v := omit .Values "global" }}
{{- $queue := "" }}
{{- $address := "" }}
{{- if dig "externalPulsar" "enabled" false $v }}{{ $queue = "pulsar" }}{{ $address = $v.externalPulsar.host }}
{{- else if dig "pulsar" "enabled" false $v }}{{ $queue = "pulsar" }}{{ $address = printf "%s-pulsar-proxy" .Release.Name }}
{{- else if dig "woodpecker" "enabled" false $v }}{{ $queue = "woodpecker" }}
{{- else if and (semverCompare ">=4.2.21-0" .Chart.Version) .Values.pulsarv3.enabled }}{{ $queue = "pulsar" }}{{ $address = printf "%s-pulsarv3-proxy" .Release.Name }}{{ end }}
{{- if dig "externalKafka" "enabled" false $v }}{{ $queue = "kafka" }}{{ $address = $v.externalKafka.brokerList }}
{{- else if dig "kafka" "enabled" false $v }}{{ $queue = "kafka" }}{{ $address = printf "%s-kafka" .Release.Name }}{{ end }}
{{- if not $v.cluster.enabled }}
{{- $own := include "milvus.queue" . }}
{{- if has $own (list "rocksmq" "natsmq" "woodpecker") }}{{ $queue = $own }}{{ $address = "" }}{{ end }}
{{- end }}
{{- if and (not $queue) (semverCompare ">=5.0.0-0" .Chart.Version) }}{{ $queue = "woodpecker" }}{{ end -}}
etcd:
  endpoints: [{{ if dig "externalEtcd" "enabled" false $v }}{{ $v.externalEtcd.endpoints | join ", " }}{{ else }}{{ .Release.Name }}-etcd:2379{{ end }}]
minio:
  address: {{ if dig "externalS3" "enabled" false $v }}{{ $v.externalS3.host }}{{ else }}{{ .Release.Name }}-minio{{ end }}
  accessKeyID: {{ if dig "externalS3" "enabled" false $v }}{{ $v.externalS3.accessKey }}{{ else }}{{ $v.minio.accessKey }}{{ end }}
  secretAccessKey: {{ if dig "externalS3" "enabled" false $v }}{{ $v.externalS3.secretKey }}{{ else }}{{ $v.minio.secretKey }}{{ end }}
  bucketName: {{ if dig "externalS3" "enabled" false $v }}{{ $v.externalS3.bucketName }}{{ else }}{{ $v.minio.bucketName }}{{ end }}
  rootPath: {{ if dig "externalS3" "enabled" false $v }}{{ $v.externalS3.rootPath }}{{ else }}{{ $v.minio.rootPath }}{{ end }}
mq:
  type: {{ $queue }}
messageQueue: {{ $queue }}
{{- with $address }}
{{ $queue }}:
  address: {{ . }}
{{- end }}
{{- $mixed := and (dig "mixCoordinator" "enabled" false $v) (dig "mixCoordinator" "activeStandby" "enabled" false $v) }}
{{- range $part, $key := dict "rootCoord" "rootCoordinator" "queryCoord" "queryCoordinator" "indexCoord" "indexCoordinator" "dataCoord" "dataCoordinator" }}
{{ $part }}:
  enableActiveStandby: {{ or $mixed (dig $key "activeStandby" "enabled" false $v) }}
{{- end }}
log:
  level: {{ $v.log.level }}
{{- end }}
