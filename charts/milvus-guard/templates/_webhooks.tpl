{{- /* The webhooks themselves. A replica puts them into force once it answers; see registration.yaml. */}}

{{- define "guard.validating" -}}
{{- $never := list "kube-system" "kube-node-lease" "kube-public" -}}
{{- $gates := .Values.gates -}}
{{- with $gates.helmStorage }}{{ if .enabled }}
- name: helm-storage.guard.milvus-guard.dev
  admissionReviewVersions: [v1]
  sideEffects: NoneOnDryRun
  matchPolicy: Equivalent
  failurePolicy: {{ .failurePolicy }}
  timeoutSeconds: {{ .timeoutSeconds }}
  clientConfig: {{- include "guard.client" (list $ "/gates/helm-storage") | nindent 4 }}
  namespaceSelector: {{- include "guard.namespaces" (list $ $never) | nindent 4 }}
  objectSelector:
    matchLabels: {owner: helm}
  rules:
    - {apiGroups: [""], apiVersions: [v1], operations: [CREATE], resources: [secrets, configmaps], scope: Namespaced}
  matchConditions:
    {{- include "guard.users" $ | nindent 4 }}
    - name: a-release-before-it-is-applied
      expression: >-
        (request.resource.resource == 'configmaps' || object.?type.orValue('') == 'helm.sh/release.v1') &&
        object.?metadata.labels.status.orValue('pending-').startsWith('pending-')
{{- end }}{{ end }}
{{- with $gates.own }}
- name: own.guard.milvus-guard.dev
  admissionReviewVersions: [v1]
  sideEffects: NoneOnDryRun
  matchPolicy: Equivalent
  failurePolicy: {{ .failurePolicy }}
  timeoutSeconds: {{ .timeoutSeconds }}
  clientConfig: {{- include "guard.client" (list $ "/gates/own") | nindent 4 }}
  namespaceSelector: {{- include "guard.namespaces" (list $ $never) | nindent 4 }}
  rules:
    - apiGroups: [guard.milvus-guard.dev]
      apiVersions: ["*"]
      operations: [CREATE, UPDATE]
      resources: [guardedupgrades, guardedupgrades/status, upgradereceipts]
      scope: Namespaced
  matchConditions:
    {{- include "guard.users" $ | nindent 4 }}
{{- end }}
{{- end }}

{{- define "guard.mutating" -}}
{{- $never := list "kube-system" "kube-node-lease" "kube-public" -}}
{{- $gates := .Values.gates -}}
{{- with $gates.gitops }}{{ if .enabled }}
{{- $common := include "guard.gitopsCommon" (list $ . $never) }}
- name: helmreleases.guard.milvus-guard.dev
  {{- $common | nindent 2 }}
  rules:
    - {apiGroups: [helm.toolkit.fluxcd.io], apiVersions: ["*"], operations: [CREATE, UPDATE], resources: [helmreleases], scope: Namespaced}
  matchConditions:
    # Not without our controller: what it writes is to be judged and completed like what Flux writes.
    {{- include "guard.usersAnd" (list $ list) | nindent 4 }}
    - name: names-milvus
      expression: >-
        [object, oldObject].exists(o, o != null && (
        {{ include "guard.says" "o.metadata.?name" }} ||
        {{ include "guard.says" "o.?spec.releaseName" }} ||
        {{ include "guard.says" "o.?spec.chart.spec.chart" }} ||
        {{ include "guard.says" "o.?spec.chartRef.name" }} ||
        {{ include "guard.keys" "o.?spec.values" }}))
- name: applications.guard.milvus-guard.dev
  {{- $common | nindent 2 }}
  rules:
    - {apiGroups: [argoproj.io], apiVersions: ["*"], operations: [CREATE, UPDATE], resources: [applications], scope: Namespaced}
  matchConditions:
    {{- include "guard.users" $ | nindent 4 }}
    - name: names-milvus
      expression: >-
        [object, oldObject].exists(o, o != null && (
        {{ include "guard.says" "o.metadata.?name" }} ||
        ([o.?spec.source.orValue({})] + {{ include "guard.list" "o.?spec.sources" }}).exists(s,
        {{ include "guard.says" "s.?chart" }} || {{ include "guard.says" "s.?path" }} || {{ include "guard.says" "s.?repoURL" }} ||
        {{ include "guard.says" "s.?helm.releaseName" }} || {{ include "guard.says" "s.?helm.values" }} ||
        {{ include "guard.keys" "s.?helm.valuesObject" }})))
- name: applicationsets.guard.milvus-guard.dev
  {{- $common | nindent 2 }}
  rules:
    - {apiGroups: [argoproj.io], apiVersions: ["*"], operations: [CREATE, UPDATE], resources: [applicationsets], scope: Namespaced}
  matchConditions:
    {{- include "guard.users" $ | nindent 4 }}
    - name: names-milvus
      expression: >-
        [object, oldObject].exists(o, o != null && (
        {{ include "guard.says" "o.metadata.?name" }} ||
        ([o.?spec.template.spec.source.orValue({})] + {{ include "guard.list" "o.?spec.template.spec.sources" }}).exists(s,
        {{ include "guard.says" "s.?chart" }} || {{ include "guard.says" "s.?path" }} || {{ include "guard.says" "s.?repoURL" }} ||
        {{ include "guard.says" "s.?helm.releaseName" }} || {{ include "guard.says" "s.?helm.values" }} ||
        {{ include "guard.keys" "s.?helm.valuesObject" }})))
# k3s keeps these in kube-system, so that is judged here too, and never in the way of its repair.
- name: helmcharts.guard.milvus-guard.dev
  {{- include "guard.gitopsCommon" (list $ (merge (dict "failurePolicy" "Ignore") .) list) | nindent 2 }}
  rules:
    - {apiGroups: [helm.cattle.io], apiVersions: ["*"], operations: [CREATE, UPDATE], resources: [helmcharts], scope: Namespaced}
  matchConditions:
    {{- include "guard.users" $ | nindent 4 }}
    - name: names-milvus
      expression: >-
        [object, oldObject].exists(o, o != null && (
        {{ include "guard.says" "o.metadata.?name" }} ||
        {{ include "guard.says" "o.?spec.chart" }} || {{ include "guard.says" "o.?spec.repo" }} ||
        {{ include "guard.says" "o.?spec.valuesContent" }}))
{{- end }}{{ end }}
{{- with $gates.workloads }}{{ if .enabled }}
{{- $common := include "guard.workloadCommon" (list $ . $never) }}
- name: workloads.guard.milvus-guard.dev
  {{- $common | nindent 2 }}
  rules:
    - {apiGroups: [apps], apiVersions: [v1], operations: [CREATE, UPDATE], resources: [deployments, statefulsets], scope: Namespaced}
  matchConditions:
    {{- include "guard.usersAnd" (list $ list) | nindent 4 }}
    # What the controller writes is decided; but it has what is held judged again once something else is declared or waived.
    - name: not-what-the-controller-decided
      expression: >-
        request.userInfo.username != 'system:serviceaccount:{{ $.Release.Namespace }}:{{ include "guard.controllerName" $ }}' ||
        oldObject != null && object.?metadata.annotations['guard.milvus-guard.dev/judged-for'].orValue('') !=
        oldObject.?metadata.annotations['guard.milvus-guard.dev/judged-for'].orValue('') &&
        object.?metadata.annotations['guard.milvus-guard.dev/hold'].orValue('') != ''
    {{- include "guard.notOperated" $ | nindent 4 }}
    # Labels and images can be written; the selector cannot, and what is held is judged whatever else it says. An alias of the chart and a mirrored image may be called as they like, so whatever
    # selects its pods by a component is asked about: that other software has one, too, the gate tells by what it mounts.
    - name: is-milvus
      expression: >-
        [object, oldObject].exists(o, o != null && (
        o.?metadata.labels['app.kubernetes.io/name'].orValue('') == 'milvus' ||
        o.?spec.selector.matchLabels['app.kubernetes.io/name'].orValue('') == 'milvus' ||
        o.?spec.selector.matchLabels.component.orValue('') in {{ include "guard.components" $ | splitList " " | toJson }} &&
        'app.kubernetes.io/instance' in o.spec.selector.matchLabels ||
        o.?metadata.annotations['guard.milvus-guard.dev/hold'].orValue('') != '' ||
        o.?metadata.labels['helm.sh/chart'].orValue('').startsWith('milvus-') && !o.metadata.labels['helm.sh/chart'].startsWith('milvus-guard-') ||
        o.?spec.template.spec.containers.orValue([]).exists(c, c.?image.orValue('').matches({{ include "guard.imagePattern" $ }}))))
# Milvus's configuration carries no labels; what it says tells it. Where it moves data, what it said before is noted on it.
- name: configurations.guard.milvus-guard.dev
  {{- $common | nindent 2 }}
  rules:
    - {apiGroups: [""], apiVersions: [v1], operations: [CREATE, UPDATE], resources: [configmaps], scope: Namespaced}
  matchConditions:
    {{- include "guard.users" $ | nindent 4 }}
    - name: is-milvus
      expression: >-
        [object, oldObject].exists(o, o != null && (
        ['milvus.yaml', 'default.yaml'].exists(f, o.?data[f].orValue('').contains('etcd:')) ||
        o.?data['user.yaml'].orValue('').matches('(etcd|tikv|metastore|mq|messageQueue|msgChannel|pulsar|kafka|rocksmq|minio|storageType)')))
- name: scale.guard.milvus-guard.dev
  {{- $common | nindent 2 }}
  rules:
    - {apiGroups: [apps], apiVersions: [v1], operations: [UPDATE], resources: [deployments/scale, statefulsets/scale], scope: Namespaced}
  matchConditions:
    {{- include "guard.users" $ | nindent 4 }}
    # A scale carries no labels; its selector tells. The chart's name label may be overridden, so components tell too.
    - name: is-milvus
      expression: >-
        object.?status.selector.orValue('').contains('app.kubernetes.io/name=milvus') ||
        object.?status.selector.orValue('').matches('(^|,)component=({{ include "guard.components" $ | replace " " "|" }})(,|$)')
{{- end }}{{ end }}
{{- with $gates.dependencies }}{{ if .enabled }}
# Claims of a release are marked to be kept while an upgrade of it is open. Which release, the replica tells; deletes are never judged.
- name: claims.guard.milvus-guard.dev
  {{- include "guard.workloadCommon" (list $ . $never) | nindent 2 }}
  rules:
    - {apiGroups: [""], apiVersions: [v1], operations: [CREATE, UPDATE], resources: [persistentvolumeclaims], scope: Namespaced}
  matchConditions:
    {{- include "guard.users" $ | nindent 4 }}
    - name: is-of-a-release
      expression: >-
        'app.kubernetes.io/instance' in object.?metadata.labels.orValue({}) || 'release' in object.?metadata.labels.orValue({})
- name: dependencies.guard.milvus-guard.dev
  {{- include "guard.workloadCommon" (list $ . $never) | nindent 2 }}
  rules:
    - {apiGroups: [apps], apiVersions: [v1], operations: [CREATE, UPDATE], resources: [deployments, statefulsets], scope: Namespaced}
  matchConditions:
    {{- include "guard.users" $ | nindent 4 }}
    # Those of a Milvus release are told apart by the replica; what is Milvus itself came to the entry above. Labels can be written; the selector cannot.
    - name: is-a-store-or-a-queue
      expression: >-
        [object, oldObject].exists(o, o != null &&
        [o.?metadata.labels.orValue({}), o.?spec.selector.matchLabels.orValue({})].exists(l,
        l[?'app.kubernetes.io/name'].orValue(l[?'app'].orValue('')) in
        ['etcd', 'minio', 'mysql', 'pulsar', 'pulsarv2', 'pulsarv3', 'kafka', 'zookeeper', 'woodpecker'])) &&
        !object.?spec.template.spec.containers.orValue([]).exists(c, c.?image.orValue('').matches({{ include "guard.imagePattern" $ }}))
{{- end }}{{ end }}
{{- end }}

{{- define "guard.gitopsCommon" -}}
{{- $root := index . 0 -}}{{- $gate := index . 1 -}}
admissionReviewVersions: [v1]
sideEffects: NoneOnDryRun
matchPolicy: Equivalent
reinvocationPolicy: IfNeeded
failurePolicy: {{ $gate.failurePolicy }}
timeoutSeconds: {{ $gate.timeoutSeconds }}
clientConfig: {{- include "guard.client" (list $root "/gates/gitops") | nindent 2 }}
namespaceSelector: {{- include "guard.namespaces" (list $root (index . 2)) | nindent 2 }}
{{- end }}

{{- define "guard.workloadCommon" -}}
{{- $root := index . 0 -}}{{- $gate := index . 1 -}}
admissionReviewVersions: [v1]
sideEffects: NoneOnDryRun
matchPolicy: Equivalent
reinvocationPolicy: IfNeeded
failurePolicy: {{ $gate.failurePolicy }}
timeoutSeconds: {{ $gate.timeoutSeconds }}
clientConfig: {{- include "guard.client" (list $root "/gates/workload") | nindent 2 }}
namespaceSelector: {{- include "guard.namespaces" (list $root (index . 2)) | nindent 2 }}
{{- end }}

{{- /* What the Milvus operator made and owns is its own, where it owned it before this write and it is not held: nobody takes a hold off by naming another owner. A Deployment that selects its pods
by `component` was made by Milvus's charts, whoever owns it by now. Helm touching such an object is worth a warning, so that is judged. */}}
{{- define "guard.notOperated" -}}
- name: not-the-operators
  expression: >-
    request.options.?fieldManager.orValue('').startsWith('helm') ||
    [oldObject == null ? object : oldObject].exists(o,
    !o.metadata.?ownerReferences.orValue([]).exists(r, r.apiVersion.startsWith('milvus.io/')) ||
    o.?spec.selector.matchLabels.component.orValue('') != '' ||
    o.?metadata.annotations['guard.milvus-guard.dev/hold'].orValue('') != '')
{{- end }}

{{- /* What the charts of all eras write into the label `component` of Milvus itself. */}}
{{- define "guard.components" -}}
standalone proxy rootcoord querycoord indexcoord datacoord mixcoord querynode datanode indexnode streamingnode cdc
{{- end }}

{{- define "guard.imagePattern" -}}
{{- $names := list -}}
{{- range .Values.milvusImages }}{{ $names = append $names (regexQuoteMeta .) }}{{ end -}}
{{- printf "(^|/)(%s)(:[^/@]*)?(@.*)?$" (join "|" $names) | replace "\\" "\\\\" | squote }}
{{- end }}

{{- /* Expressions over what a stranger wrote: a wrong type is no, and never an error (which failurePolicy would turn into a refusal). */}}
{{- define "guard.says" -}}
(type({{ . }}.orValue('')) == string && {{ . }}.orValue('').contains('milvus'))
{{- end }}
{{- define "guard.keys" -}}
(type({{ . }}.orValue({})) == map && {{ . }}.orValue({}).exists(k, k.contains('milvus')))
{{- end }}
{{- define "guard.list" -}}
(type({{ . }}.orValue([])) == list ? {{ . }}.orValue([]) : [])
{{- end }}
