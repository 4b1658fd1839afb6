{{- /* A binding of the role (list context kind namespace): the namespace empty for a ClusterRoleBinding. */ -}}
{{- define "egress-operator.binding" -}}
{{- $root := index . 0 -}}{{- $kind := index . 1 -}}{{- $namespace := index . 2 -}}
apiVersion: rbac.authorization.k8s.io/v1
kind: {{ $kind }}Binding
metadata:
  name: {{ include "egress-operator.clusterName" $root }}{{ index . 3 }}
  {{- with $namespace }}
  namespace: {{ . }}
  {{- end }}
  labels:
    {{- include "egress-operator.labels" $root | nindent 4 }}
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: {{ $kind }}
  name: {{ include "egress-operator.clusterName" $root }}{{ index . 3 }}
subjects:
  - kind: ServiceAccount
    name: {{ include "egress-operator.serviceAccountName" $root }}
    namespace: {{ $root.Release.Namespace }}
{{- end -}}
