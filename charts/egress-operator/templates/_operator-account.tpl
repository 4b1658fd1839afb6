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
      s.?port.?number.orValue(0) == 0 && (s.?port.?protocol.orValue('') == 'HTTP' ||
      (s.?port.?protocol.orValue('') == 'TLS' && s.?tls.?mode.orValue('') == 'PASSTHROUGH')) &&
      s.?hosts.orValue([]).all(h, h.matches('^[^/*]+/[*][.][^*]+$')))
  - name: leadsToInnerServer
    expression: >-
      object.kind == 'ServiceEntry' && has(object.spec) &&
      object.spec.?endpoints.orValue([]).all(e, e.?address.orValue('') == 'unix://@' + object.metadata.name) &&
      object.spec.?hosts.orValue([]).all(h, h.startsWith(object.metadata.name + '.') &&
      h.endsWith('.egress.internal'))
  # What finds the names of a wildcard by TLS, on the listener of that socket and nowhere else: it can
  # ask DNS and dial port 443, for connections that a tenant's own permission has let in.
  - name: isResolver
    expression: >-
      object.kind == 'EnvoyFilter' && has(object.spec) &&
      dyn(object.spec).all(k, k in ['workloadSelector', 'configPatches']) &&
      object.spec.?workloadSelector.?labels.orValue({}).size() > 0 &&
      object.spec.?configPatches.orValue([]).size() == 1 && object.spec.configPatches.all(p,
      p.?applyTo.orValue('') == 'NETWORK_FILTER' && p.?match.?context.orValue('') == 'GATEWAY' &&
      p.?match.?listener.?name.orValue('') == 'unix://@' + object.metadata.name + '_0' &&
      p.?patch.?operation.orValue('') == 'INSERT_BEFORE' && has(p.patch.value) &&
      dyn(p.patch.value).all(k, k in ['name', 'typed_config']) &&
      dyn(p.patch.value).?name.orValue('') == 'envoy.filters.network.sni_dynamic_forward_proxy') &&
      object.spec.configPatches.map(p, dyn(p.patch.value).?typed_config.orValue({})).all(c,
      c.all(k, k in ['@type', 'port_value', 'dns_cache_config']) &&
      c[?'@type'].orValue('') == 'type.googleapis.com/envoy.extensions.filters.network.sni_dynamic_forward_proxy.v3.FilterConfig' &&
      c.?port_value.orValue(0) == 443 && c.?dns_cache_config.orValue({}).size() == 2 &&
      c.dns_cache_config.?dns_lookup_family.orValue('') in ['V4_ONLY', 'V6_ONLY', 'ALL'] &&
      c.dns_cache_config.?name.orValue('').startsWith('*.' + object.metadata.name + '.') &&
      c.dns_cache_config.name.endsWith('.egress.internal_dfp_dns_cache'))
  - name: protectedNamespaces
    expression: >-
      ['kube-system', 'kube-public', 'kube-node-lease', '{{ include "egress-operator.istioNamespace" . }}']
validations:
  - expression: >-
      object.kind in ['ServiceEntry', 'VirtualService', 'DestinationRule', 'Gateway', 'AuthorizationPolicy', 'EnvoyFilter']
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
  - expression: >-
      object.kind != 'EnvoyFilter' || variables.isResolver
    message: >-
      egress-operator writes EnvoyFilters that find the names of a wildcard by TLS, on the socket that has their name
    reason: Forbidden
{{- end -}}
