{{- /* Strict: a Gateway shows by its selector that it is not for the pods of a managed gateway. A
       label that no EgressGateway names may be one of theirs. */ -}}
{{- define "egress-operator.gateway-selectors" -}}
failurePolicy: Fail
paramKind:
  apiVersion: egress-operator.io/v1alpha1
  kind: EgressGateway
matchConstraints:
  matchPolicy: Equivalent
  resourceRules:
    - apiGroups: [networking.istio.io]
      apiVersions: ["*"]
      operations: [CREATE, UPDATE]
      resources: [gateways]
matchConditions:
  {{- include "egress-operator.admissionConditions" . | nindent 2 }}
  - name: not-of-the-platform
    expression: >-
      has(object.spec) && params.?spec.?authorization.orValue('') == 'Managed' &&
      params.spec.namespace != request.namespace &&
      !(request.namespace in {{ include "egress-operator.platformNamespaces" . }})
validations:
  - expression: >-
      object.spec.?selector.orValue({}).exists(k, k in params.spec.selector &&
      object.spec.selector[k] != params.spec.selector[k])
    messageExpression: >-
      {{ include "egress-operator.named" . }} 'selector may select the pods of the EgressGateway ' + params.metadata.name +
      ': give the key ' + params.spec.selector.map(k, k).join(' or ') + ' another value than there, for example ' +
      params.spec.selector.map(k, k).min() + ': my-gateway, first on your pods (in the pod template, and wait for the rollout), then in selector'
    reason: Forbidden
{{- end -}}
