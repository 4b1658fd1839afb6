{{- /* A regular expression (RE2) for the names that the operator gives. */ -}}
{{- define "egress-operator.ownName" -}}
^[a-z0-9]([a-z0-9-]*[a-z0-9])?-h[0-9a-f]{16}(-[0-9]{1,5}-[0-9a-f]{16}(-(c|d|in))?)?$
{{- end -}}

{{- /* What the operator itself may write, which limits what a stolen token can do. */ -}}
{{- define "egress-operator.operator-account" -}}
failurePolicy: Fail
matchConstraints:
  matchPolicy: Equivalent
  resourceRules:
    - apiGroups: [networking.istio.io]
      apiVersions: ["*"]
      operations: [CREATE, UPDATE]
      resources: ["*"]
    - apiGroups: [security.istio.io]
      apiVersions: ["*"]
      operations: [CREATE, UPDATE]
      resources: ["*"]
matchConditions:
  - name: the-operator
    expression: >-
      request.userInfo.username == '{{ include "egress-operator.ownUser" . }}'
variables:
  - name: isNetworking
    expression: >-
      object.kind in ['ServiceEntry', 'VirtualService', 'DestinationRule']
  - name: exportTo
    expression: >-
      variables.isNetworking && has(object.spec) ? object.spec.?exportTo.orValue([]) : []
  # A way to a gateway: a subset of its Service, which changes no call that does not name it. It has
  # the exportTo of a DestinationRule for that Service that somebody wrote by hand.
  - name: isWay
    expression: >-
      has(object.spec) && !has(object.spec.trafficPolicy) && object.spec.?host.orValue('').contains('.svc.') &&
      object.spec.?subsets.orValue([]).size() > 0 &&
      object.spec.?subsets.orValue([]).all(s, s.name.matches('{{ include "egress-operator.ownName" . }}'))
  # The inner server of a gateway for a wildcard, and what leads to it: one socket, called as both.
  - name: isInnerServer
    expression: >-
      object.kind == 'Gateway' && has(object.spec) && object.metadata.name.endsWith('-in') &&
      object.spec.?servers.orValue([]).size() == 1 && object.spec.servers.all(s,
      s.?bind.orValue('') + '-in' == 'unix://@' + object.metadata.name &&
      s.?port.?number.orValue(0) == 0 && s.?port.?protocol.orValue('') == 'HTTP' &&
      s.?hosts.orValue([]).all(h, h.matches('^[^/*]+/[*][.][^*]+$')))
  - name: leadsToInnerServer
    expression: >-
      object.kind == 'ServiceEntry' && has(object.spec) &&
      object.spec.?endpoints.orValue([]).all(e, e.?address.orValue('') == 'unix://@' + object.metadata.name) &&
      object.spec.?hosts.orValue([]).all(h, h.startsWith(object.metadata.name + '.') &&
      h.endsWith('.egress.internal'))
  - name: protectedNamespaces
    expression: >-
      ['kube-system', 'kube-public', 'kube-node-lease', '{{ include "egress-operator.istioNamespace" . }}']
validations:
  - expression: >-
      object.kind in ['ServiceEntry', 'VirtualService', 'DestinationRule', 'Gateway', 'AuthorizationPolicy']
    messageExpression: >-
      'egress-operator writes no ' + object.kind
    reason: Forbidden
  - expression: >-
      !(request.namespace in variables.protectedNamespaces)
    messageExpression: >-
      'egress-operator writes nothing in the namespace ' + request.namespace
    reason: Forbidden
  - expression: >-
      {{ include "egress-operator.isManaged" "object" }}
    message: >-
      egress-operator writes only objects with the label app.kubernetes.io/managed-by: egress-operator
    reason: Forbidden
  - expression: >-
      object.metadata.name.matches('{{ include "egress-operator.ownName" . }}')
    messageExpression: >-
      'egress-operator gives no object the name ' + object.metadata.name
    reason: Forbidden
  - expression: >-
      !variables.isNetworking || (variables.exportTo.size() > 0 && variables.exportTo.size() < 3 &&
      variables.exportTo.all(n, !(n in ['*', '~']) && !(n in variables.protectedNamespaces))) ||
      (object.kind == 'DestinationRule' && variables.isWay)
    message: >-
      egress-operator exports to its own namespace and that of a gateway alone
    reason: Forbidden
  - expression: >-
      object.kind != 'Gateway' || !has(object.spec) || (object.spec.?selector.orValue({}).size() > 0 &&
      (variables.isInnerServer || object.spec.?servers.orValue([]).all(s, s.?bind.orValue('') == '')))
    message: >-
      egress-operator writes Gateways with a selector, and with bind only for the socket of a wildcard that has their name
    reason: Forbidden
  - expression: >-
      object.kind != 'ServiceEntry' || !has(object.spec) || variables.leadsToInnerServer ||
      !object.spec.?endpoints.orValue([]).exists(e, {{ include "egress-operator.isSocket" "e.?address.orValue('')" }})
    message: >-
      egress-operator writes no endpoints that are sockets, but for that of a wildcard, which has their name
    reason: Forbidden
  - expression: >-
      object.kind != 'AuthorizationPolicy' || !has(object.spec) || (object.spec.?action.orValue('ALLOW') == 'ALLOW' &&
      object.spec.?selector.?matchLabels.orValue({}).size() > 0)
    message: >-
      egress-operator writes AuthorizationPolicies that allow, for chosen pods
    reason: Forbidden
{{- end -}}
