{{- /* Made from operator/egress_operator/runtime/permission.py by `make gen`. */ -}}
{{- define "egress-operator.namespacedRules" -}}
# What users ask for. Never update: the operator cannot change a policy's spec or metadata.
- apiGroups: [egress-operator.io]
  resources: [egresspolicies]
  verbs: [list, watch]
- apiGroups: [egress-operator.io]
  resources: [egresspolicies/status]
  verbs: [patch]
# What the operator makes of policies and gateways.
- apiGroups: [networking.istio.io]
  resources: [destinationrules, serviceentries, virtualservices]
  verbs: [list, watch, create, patch, delete]
# Whether a Sidecar hides a policy's hosts from its workloads.
- apiGroups: [networking.istio.io]
  resources: [sidecars]
  verbs: [list, watch]
# Changes of the state of a policy or gateway.
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create]
{{- end -}}

{{- define "egress-operator.gatewayRules" -}}
# The gateways that the platform team offers, for the whole cluster.
- apiGroups: [egress-operator.io]
  resources: [egressgateways]
  verbs: [list, watch]
- apiGroups: [egress-operator.io]
  resources: [egressgateways/status]
  verbs: [patch]
# What the operator makes of policies and gateways.
- apiGroups: [networking.istio.io]
  resources: [envoyfilters, gateways]
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
  resourceNames: [reserved-names.egress-operator.io, gateway-exports.egress-operator.io, managed-objects.egress-operator.io, operator-account.egress-operator.io, tenant-exports.egress-operator.io, gateway-selectors.egress-operator.io]
  verbs: [get]
{{- end -}}

{{- define "egress-operator.clusterRules" -}}
# Which labels select a gateway's tenants, and which namespaces are being deleted.
- apiGroups: [""]
  resources: [namespaces]
  verbs: [list, watch]
{{- end -}}

{{- define "egress-operator.meshRules" -}}
# Whether proxies resolve names through Istio, and whether undeclared hosts are blocked.
- apiGroups: [""]
  resources: [configmaps]
  resourceNames: [{{ default "istio" .Values.settings.meshConfigMap }}]
  verbs: [get]
{{- end -}}
