{{- /* What the operator does in the namespaces that it serves. */ -}}
{{- define "egress-operator.namespacedRules" -}}
# What users ask for. Never update: the operator cannot change a policy's spec or metadata.
- apiGroups: [egress-operator.io]
  resources: [egresspolicies]
  verbs: [list, watch]
- apiGroups: [egress-operator.io]
  resources: [egresspolicies/status]
  verbs: [patch]
# What it makes of that, in the policy's namespace.
- apiGroups: [networking.istio.io]
  resources: [destinationrules, serviceentries, virtualservices]
  verbs: [list, watch, create, patch, delete]
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create]
{{- end -}}

{{- /* What gateways need. They belong to the whole cluster. */ -}}
{{- define "egress-operator.gatewayRules" -}}
- apiGroups: [egress-operator.io]
  resources: [egressgateways]
  verbs: [list, watch]
- apiGroups: [egress-operator.io]
  resources: [egressgateways/status]
  verbs: [patch]
- apiGroups: [networking.istio.io]
  resources: [gateways]
  verbs: [list, watch, create, patch, delete]
- apiGroups: [security.istio.io]
  resources: [authorizationpolicies]
  verbs: [list, watch, create, patch, delete]
# Whether a gateway can serve; watched in the namespaces of gateways only.
- apiGroups: [""]
  resources: [services]
  verbs: [list, watch]
- apiGroups: [discovery.k8s.io]
  resources: [endpointslices]
  verbs: [list, watch]
# Whether tenants are kept from each other's names.
- apiGroups: [admissionregistration.k8s.io]
  resources: [validatingadmissionpolicies, validatingadmissionpolicybindings]
  resourceNames: [reserved-names.egress-operator.io, gateway-exports.egress-operator.io]
  verbs: [get]
{{- end -}}

{{- /* What it reads that is in no namespace. */ -}}
{{- define "egress-operator.clusterRules" -}}
# A host such as `api.shop` could be a Service of the namespace `shop`.
- apiGroups: [""]
  resources: [namespaces]
  verbs: [list, watch]
{{- end -}}

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
