{{- /* Nobody but the operator writes objects with its own names. The variables join all names of an
       object with blanks, so that one expression judges them. */ -}}
{{- define "egress-operator.reserved-names" -}}
{{- $domains := include "egress-operator.syntheticDomains" . | fromJsonArray | join " and " -}}
failurePolicy: Fail
matchConstraints:
  matchPolicy: Equivalent
  resourceRules:
    - apiGroups: [networking.istio.io]
      apiVersions: ["*"]
      operations: [CREATE, UPDATE]
      resources: [serviceentries, virtualservices, destinationrules, gateways, sidecars, workloadentries, workloadgroups]
    - apiGroups: [gateway.networking.k8s.io]
      apiVersions: ["*"]
      operations: [CREATE, UPDATE]
      resources: [gateways, listenersets, httproutes, grpcroutes, tlsroutes, tcproutes, udproutes, backendtlspolicies]
    - apiGroups: [gateway.networking.x-k8s.io]
      apiVersions: ["*"]
      operations: [CREATE, UPDATE]
      resources: [xlistenersets, xbackends]
    # A route to a Service with externalName is a route to that name.
    - apiGroups: [""]
      apiVersions: ["*"]
      operations: [CREATE, UPDATE]
      resources: [services]
matchConditions:
  {{- include "egress-operator.admissionConditions" . | nindent 2 }}
variables:
  - name: serviceEntry
    expression: >-
      object.spec.?hosts.orValue([]).join(' ') + ' ' +
      object.spec.?subjectAltNames.orValue([]).join(' ') + ' ' +
      object.spec.?endpoints.orValue([]).map(e, e.?address.orValue('')).join(' ')
  # Two variables, as each has a budget of its own.
  - name: httpHosts
    expression: >-
      object.spec.?http.orValue([]).map(r,
      {{- include "egress-operator.destinations" "r" | nindent 6 }} + ' ' +
      r.?mirror.?host.orValue('') + ' ' +
      r.?mirrors.orValue([]).map(m, m.?destination.?host.orValue('')).join(' ') + ' ' +
      r.?rewrite.?authority.orValue('') + ' ' +
      r.?redirect.?authority.orValue('')).join(' ')
  - name: httpHeaders
    expression: >-
      object.spec.?http.orValue([]).map(r,
      {{- include "egress-operator.headers" "r" | nindent 6 }} + ' ' +
      r.?route.orValue([]).map(d,
      {{- include "egress-operator.headers" "d" | nindent 6 }}).join(' ')).join(' ')
  - name: virtualService
    expression: >-
      object.spec.?hosts.orValue([]).join(' ') + ' ' +
      variables.httpHosts + ' ' + variables.httpHeaders + ' ' +
      object.spec.?tls.orValue([]).map(r,
      r.?match.orValue([]).map(m, m.?sniHosts.orValue([]).join(' ')).join(' ') + ' ' +
      {{- include "egress-operator.destinations" "r" | nindent 6 }}).join(' ') + ' ' +
      object.spec.?tcp.orValue([]).map(r,
      {{- include "egress-operator.destinations" "r" | nindent 6 }}).join(' ')
  - name: destinationRule
    expression: >-
      object.spec.?host.orValue('') + ' ' +
      {{- include "egress-operator.trafficPolicy" "object.spec" | nindent 6 }} + ' ' +
      object.spec.?subsets.orValue([]).map(s,
      {{- include "egress-operator.trafficPolicy" "s" | nindent 6 }}).join(' ')
  - name: gateway
    expression: >-
      object.spec.?servers.orValue([]).map(s, s.?hosts.orValue([]).join(' ')).join(' ')
  # An import by wildcard opens nothing that is not visible anyway.
  - name: sidecar
    expression: >-
      object.spec.?outboundTrafficPolicy.?egressProxy.?host.orValue('') + ' ' +
      object.spec.?egress.orValue([]).map(e,
      e.?hosts.orValue([]).filter(h, !h.contains('*')).join(' ')).join(' ')
  - name: workloadEntry
    expression: >-
      object.spec.?address.orValue('')
  - name: workloadGroup
    expression: >-
      object.spec.?template.?address.orValue('')
  - name: service
    expression: >-
      object.spec.?externalName.orValue('')
  - name: listeners
    expression: >-
      object.spec.?listeners.orValue([]).map(l, l.?hostname.orValue('')).join(' ')
  - name: route
    expression: >-
      object.spec.?hostnames.orValue([]).join(' ') + ' ' +
      object.spec.?rules.orValue([]).map(r,
      {{- include "egress-operator.filters" "r" | nindent 6 }} + ' ' +
      r.?backendRefs.orValue([]).map(b, b.?name.orValue('') + ' ' +
      {{- include "egress-operator.filters" "b" | nindent 6 }}).join(' ')).join(' ')
  - name: backendTLS
    expression: >-
      {{- include "egress-operator.backendTLS" "object.spec" | nindent 6 }}
  # Istio 1.32 makes a public ServiceEntry of it.
  - name: backend
    expression: >-
      object.spec.?externalHostname.?hostname.orValue('') + ' ' +
      {{- include "egress-operator.backendTLS" "object.spec.?tls" | nindent 6 }}
  - name: names
    expression: >-
      !has(object.spec) ? '' :
      object.kind == 'ServiceEntry' ? variables.serviceEntry :
      object.kind == 'VirtualService' ? variables.virtualService :
      object.kind == 'DestinationRule' ? variables.destinationRule :
      object.kind == 'Sidecar' ? variables.sidecar :
      object.kind == 'WorkloadEntry' ? variables.workloadEntry :
      object.kind == 'WorkloadGroup' ? variables.workloadGroup :
      object.kind == 'Service' ? variables.service :
      object.kind.endsWith('Route') ? variables.route :
      object.kind == 'BackendTLSPolicy' ? variables.backendTLS :
      object.kind == 'XBackend' ? variables.backend :
      object.apiVersion.startsWith('networking.istio.io/') ? variables.gateway :
      variables.listeners
  # Loops over every name would be slow: looked for as text, and only then by expressions.
  - name: lower
    expression: >-
      variables.names.lowerAscii()
  - name: wildcards
    expression: >-
      !variables.names.contains('*') ? '' :
      variables.names.substring(variables.names.indexOf('*') + 1).split('*').map(w,
      '*' + w.split(' ', 2)[0]).join(' ')
  - name: reserved
    expression: >-
      ({{ range $index, $domain := include "egress-operator.syntheticDomains" . | fromJsonArray }}
      {{- if $index }} || {{ end }}variables.lower.contains('{{ $domain }}')
      {{- end }} ?
      variables.names.find(r'{{ include "egress-operator.nameUnder" . }}') : '') +
      variables.wildcards.find(r'{{ include "egress-operator.wildcardOver" . }}')
  # Gateways of the operator's making, as VirtualServices may name them.
  - name: boundTo
    expression: >-
      object.kind != 'VirtualService' || !has(object.spec) ? [] :
      object.spec.?gateways.orValue([]).filter(g,
      g.matches(r'(^|/)[a-z0-9-]+-h[0-9a-f]{16}(-[0-9]+-[0-9a-f]{16}(-in)?)?(\.|$)'))
  # Such a list ends istiod 1.31, and again after each start (sanitizeServerHostNamespace).
  - name: everything
    expression: >-
      object.kind != 'Gateway' || !has(object.spec) ? [] :
      object.spec.?servers.orValue([]).filter(s,
      s.?hosts.orValue([]).size() > 1 && s.hosts.exists(h, h == '*/*' || h.startsWith('*/*/')))
validations:
  - expression: >-
      variables.everything.size() == 0
    messageExpression: >-
      {{ include "egress-operator.named" . }} 'a server has */* beside other hosts, which makes istiod crash; */* stands for all hosts: remove the others'
    reason: Forbidden
  - expression: >-
      variables.reserved == ''
    messageExpression: >-
      {{ include "egress-operator.named" . }} variables.reserved.trim() +
      ' is reserved: names under {{ $domains }}, and wildcards over them, are egress-operator\'s own; write an EgressPolicy instead'
    reason: Forbidden
  - expression: >-
      variables.boundTo.size() == 0
    messageExpression: >-
      {{ include "egress-operator.named" . }} 'the Gateway ' + variables.boundTo[0] +
      ' is egress-operator\'s own, its routes come from policies alone; write an EgressPolicy instead, or a Gateway of your own'
    reason: Forbidden
{{- end -}}
