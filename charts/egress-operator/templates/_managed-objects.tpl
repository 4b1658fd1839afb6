{{- /* Only the operator, Kubernetes' controllers and istiod change what marks an object as the
       operator's. */ -}}
{{- define "egress-operator.managed-objects" -}}
failurePolicy: Fail
matchConstraints:
  matchPolicy: Equivalent
  resourceRules:
    - apiGroups: [networking.istio.io]
      apiVersions: ["*"]
      operations: [CREATE, UPDATE]
      resources: [serviceentries, serviceentries/status, virtualservices, destinationrules, gateways, envoyfilters]
    - apiGroups: [security.istio.io]
      apiVersions: ["*"]
      operations: [CREATE, UPDATE]
      resources: [authorizationpolicies]
matchConditions:
  {{- include "egress-operator.notTheOperator" . | nindent 2 }}
  # The garbage collector removes owners, the controller of namespaces finalizers.
  - name: not-a-controller
    expression: >-
      !('system:serviceaccounts:kube-system' in request.userInfo.?groups.orValue([]) ||
      request.userInfo.username in ['system:kube-controller-manager', 'system:apiserver'] ||
      {{ include "egress-operator.isIstiod" . }})
  - name: concerns-us
    expression: >-
      request.?subResource.orValue('') == 'status' ||
      {{ include "egress-operator.isManaged" "object" }} ||
      (request.operation == 'UPDATE' && {{ include "egress-operator.isManaged" "oldObject" }}) ||
      object.metadata.?annotations.orValue({}).exists(k, k.startsWith('internal.istio.io/'))
variables:
  - name: wasManaged
    expression: >-
      request.operation == 'UPDATE' && {{ include "egress-operator.isManaged" "oldObject" }}
  - name: oldAnnotations
    expression: >-
      request.operation == 'UPDATE' ? oldObject.metadata.?annotations.orValue({}) : {}
  - name: oldLabels
    expression: >-
      request.operation == 'UPDATE' ? oldObject.metadata.?labels.orValue({}) : {}
  - name: newAnnotations
    expression: >-
      object.metadata.?annotations.orValue({})
  - name: newLabels
    expression: >-
      object.metadata.?labels.orValue({})
  - name: internal
    expression: >-
      variables.newAnnotations.map(k, k.startsWith('internal.istio.io/') &&
      !(k in variables.oldAnnotations && variables.oldAnnotations[k] == variables.newAnnotations[k]), k)
  # Labels and annotations that the operator or Istio reads.
  - name: changedMetadata
    expression: >-
      !variables.wasManaged ? [] :
      variables.oldLabels.map(k, (k == 'app.kubernetes.io/managed-by' || k.contains('istio.io/')) &&
      !(k in variables.newLabels && variables.newLabels[k] == variables.oldLabels[k]), k) +
      variables.newLabels.map(k, k.contains('istio.io/') && !(k in variables.oldLabels), k) +
      variables.oldAnnotations.map(k, (k.startsWith('egress-operator.io/') || k.contains('istio.io/')) &&
      !(k in variables.newAnnotations && variables.newAnnotations[k] == variables.oldAnnotations[k]), k) +
      variables.newAnnotations.map(k, (k.startsWith('egress-operator.io/') || k.contains('istio.io/')) &&
      !(k in variables.oldAnnotations), k)
validations:
  # An address there is like one in spec.addresses, to every sidecar that resolves names.
  - expression: >-
      request.?subResource.orValue('') != 'status' ||
      dyn(object).?status.?addresses.orValue([]) == dyn(oldObject).?status.?addresses.orValue([])
    message: >-
      status.addresses is istiod's own; leave it
    reason: Forbidden
  - expression: >-
      variables.wasManaged || !{{ include "egress-operator.isManaged" "object" }}
    message: >-
      the label app.kubernetes.io/managed-by: egress-operator marks egress-operator's own objects; remove it, and write an EgressPolicy instead
    reason: Forbidden
  - expression: >-
      variables.internal.size() == 0
    messageExpression: >-
      'the annotation ' + variables.internal[0] + ' is istiod\'s own; remove it'
    reason: Forbidden
  - expression: >-
      variables.changedMetadata.size() == 0
    messageExpression: >-
      variables.changedMetadata[0] + {{ include "egress-operator.isOurs" . }}
    reason: Forbidden
  - expression: >-
      !variables.wasManaged ||
      object.metadata.?ownerReferences.orValue([]) == oldObject.metadata.?ownerReferences.orValue([])
    messageExpression: >-
      'ownerReferences' + {{ include "egress-operator.isOurs" . }}
    reason: Forbidden
  - expression: >-
      !variables.wasManaged || object.?spec == oldObject.?spec
    messageExpression: >-
      'spec' + {{ include "egress-operator.isOurs" . }}
    reason: Forbidden
{{- end -}}
