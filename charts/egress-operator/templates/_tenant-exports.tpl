{{- /* Strict: what crosses the border of a namespace is refused unless it is known to be harmless. */ -}}
{{- define "egress-operator.tenant-exports" -}}
failurePolicy: Fail
matchConstraints:
  matchPolicy: Equivalent
  resourceRules:
    - apiGroups: [networking.istio.io]
      apiVersions: ["*"]
      operations: [CREATE, UPDATE]
      resources: [serviceentries, virtualservices, destinationrules, gateways, workloadentries, workloadgroups]
    - apiGroups: [gateway.networking.x-k8s.io]
      apiVersions: ["*"]
      operations: [CREATE, UPDATE]
      resources: [xbackends]
    - apiGroups: [gateway.networking.k8s.io]
      apiVersions: ["*"]
      operations: [CREATE, UPDATE]
      resources: [httproutes, grpcroutes, tcproutes, tlsroutes, udproutes]
matchConditions:
  {{- include "egress-operator.admissionConditions" . | nindent 2 }}
  - name: not-of-the-platform
    expression: >-
      has(object.spec) && !(request.namespace in {{ include "egress-operator.platformNamespaces" . }})
variables:
  - name: exportTo
    expression: >-
      object.kind in ['ServiceEntry', 'VirtualService', 'DestinationRule'] ? object.spec.?exportTo.orValue([]) : []
  - name: staysAtHome
    expression: >-
      {{ include "egress-operator.staysAtHome" . }}
  # The full name of a Service of this namespace, before the cluster's domain.
  - name: ownEnd
    expression: >-
      '[.]' + request.namespace + '[.]svc([.]{{ include "egress-operator.clusterDomain" . }})?$'
  # One Service, all of them, the members of one, or the same Service in all clusters.
  - name: ownService
    expression: >-
      '^[a-z0-9]([a-z0-9-]*[a-z0-9])?$|^([*]|[a-z0-9]([a-z0-9-]*[a-z0-9])?)([.][a-z0-9]([a-z0-9-]*[a-z0-9])?)*' +
      '[.]' + request.namespace + '[.]svc([.](clusterset[.]local|{{ include "egress-operator.clusterDomain" . }}))?$'
  # Ports of other protocols may have a listener for the addresses of others, or one for all of them,
  # where a route of VirtualServices or TLSRoutes may take any name.
  - name: foreignPorts
    expression: >-
      object.kind != 'ServiceEntry' ? [] : object.spec.?ports.orValue([]).filter(p,
      !(p.?protocol.orValue('').upperAscii() in ['HTTP', 'HTTP2', 'GRPC', 'GRPC-WEB']))
  - name: foreignEntryHosts
    expression: >-
      object.kind != 'ServiceEntry' ? [] : object.spec.?hosts.orValue([]).filter(h,
      !h.matches('^[a-z0-9]([a-z0-9-]*[a-z0-9])?' + variables.ownEnd))
  - name: ownServiceEntry
    expression: >-
      object.kind == 'ServiceEntry' && object.spec.?hosts.orValue([]).size() > 0 &&
      variables.foreignEntryHosts.size() == 0 &&
      object.spec.?addresses.orValue([]).size() == 0 && variables.foreignPorts.size() == 0
  - name: foreignHosts
    expression: >-
      object.kind != 'VirtualService' ? [] :
      object.spec.?hosts.orValue([]).filter(h, !h.matches(variables.ownService))
  # Such as web.shop, in the namespace shop.
  - name: halfName
    expression: >-
      '^[a-z0-9]([a-z0-9-]*[a-z0-9])?[.]' + request.namespace + '$'
  # Routes for TCP and TLS are found by address, and a Service may have addresses of others.
  - name: addressRoutes
    expression: >-
      object.kind != 'VirtualService' ? '' : object.spec.?tcp.orValue([]).size() > 0 ? 'tcp' :
      object.spec.?tls.orValue([]).size() > 0 ? 'tls' : ''
  - name: gateways
    expression: >-
      object.kind != 'VirtualService' ? [] : object.spec.?gateways.orValue([])
  # A dot separates a name from its namespace.
  - name: foreignGateways
    expression: >-
      variables.gateways.filter(g, g != 'mesh' && !(
      (!g.contains('/') && !g.contains('.')) || g.startsWith('./') ||
      g.startsWith(request.namespace + '/') || g in {{ include "egress-operator.sharedGateways" . }} ||
      (g.contains('/') && (g.split('/')[0] + '/*') in {{ include "egress-operator.sharedGateways" . }})))
  - name: ownGateways
    expression: >-
      variables.gateways.size() > 0 && variables.foreignGateways.size() == 0 && !('mesh' in variables.gateways)
  # Without hosts it is a delegate: it acts where another VirtualService names it.
  - name: ownVirtualService
    expression: >-
      object.kind == 'VirtualService' && (object.spec.?hosts.orValue([]).size() == 0 ||
      (variables.foreignHosts.size() == 0 && variables.addressRoutes == '') || variables.ownGateways)
  # What is wrong with calls inside the mesh.
  - name: meshRoutes
    expression: >-
      variables.foreignHosts.size() > 0 ? 'hosts names ' + variables.foreignHosts[0] + ', which is no Service of this namespace' :
      variables.addressRoutes + ' has routes that are found by address, which another namespace may have too'
  - name: ownDestinationRule
    expression: >-
      object.kind == 'DestinationRule' && (has(object.spec.workloadSelector) ||
      object.spec.?host.orValue('').matches(variables.ownService))
  # Where it is served, every proxy of the mesh opens these files.
  - name: files
    expression: >-
      object.kind != 'DestinationRule' || variables.staysAtHome || has(object.spec.workloadSelector) ? '' :
      {{ include "egress-operator.files" (list "object.spec" "") | nindent 6 | trim }} +
      object.spec.?subsets.orValue([]).map(s,
      {{- include "egress-operator.files" (list "s" "subsets.") | nindent 6 }}).join('')
  # All routes of a port are one object in every sidecar: Envoy refuses it as a whole for a header that
  # it cannot write.
  - name: commands
    expression: >-
      object.kind != 'VirtualService' || variables.staysAtHome || variables.ownGateways ? '' :
      object.spec.?http.orValue([]).map(r,
      {{- include "egress-operator.commands" "r" | nindent 6 }} +
      r.?route.orValue([]).map(d,
      {{- include "egress-operator.commands" "d" | nindent 6 }}).join('')).join('')
  - name: removedHeaders
    expression: >-
      object.kind != 'VirtualService' || variables.staysAtHome || variables.ownGateways ? '' :
      ' ' + object.spec.?http.orValue([]).map(r,
      {{- include "egress-operator.removedHeaders" "r" | nindent 6 }} + ' ' +
      r.?route.orValue([]).map(d,
      {{- include "egress-operator.removedHeaders" "d" | nindent 6 }}).join(' ')).join(' ').lowerAscii() + ' '
  # The same for what Envoy cannot take: a line break in a path or in the name of a header, a name that is
  # empty or too long, a status that is none, too large a sum of weights.
  - name: unusable
    expression: >-
      object.kind != 'VirtualService' || variables.staysAtHome || variables.ownGateways ? '' :
      object.spec.?http.orValue([]).map(r,
      {{- include "egress-operator.unusableRule" "r" | nindent 6 }} +
      {{ include "egress-operator.unusableHeaders" "r" | nindent 6 | trim }} +
      r.?route.orValue([]).map(d,
      {{- include "egress-operator.unusableHeaders" "d" | nindent 6 }}).join('')).join('')
  - name: unusableHashes
    expression: >-
      object.kind != 'DestinationRule' || variables.staysAtHome ? '' :
      {{ include "egress-operator.unusableHash" "object.spec" | nindent 6 | trim }} +
      object.spec.?subsets.orValue([]).map(s,
      {{- include "egress-operator.unusableHash" "s" | nindent 6 }}).join('')
  # A route of the Gateway API on anything but a Gateway acts on calls inside the mesh. Those for TCP
  # and TLS act in every namespace.
  - name: isMeshRoute
    expression: >-
      object.kind.endsWith('Route') && !object.spec.?parentRefs.orValue([]).all(p,
      p.?kind.orValue('Gateway') in ['Gateway', 'ListenerSet', 'XListenerSet'])
  - name: routeCommands
    expression: >-
      !variables.isMeshRoute ? '' : object.spec.?rules.orValue([]).map(r,
      {{- include "egress-operator.modifiedCommands" "r" | nindent 6 }} +
      r.?backendRefs.orValue([]).map(b,
      {{- include "egress-operator.modifiedCommands" "b" | nindent 6 }}).join('')).join('')
  - name: unusableFilters
    expression: >-
      !variables.isMeshRoute ? '' : object.spec.?rules.orValue([]).map(r,
      {{- include "egress-operator.unusableFilters" "r" | nindent 6 }} +
      r.?backendRefs.orValue([]).map(b,
      {{- include "egress-operator.unusableFilters" "b" | nindent 6 }}).join('')).join('')
  {{- include "egress-operator.endpoints" . | nindent 2 }}
  # istiod takes a WorkloadEntry with the address of a pod for the pod, whatever its namespace: the
  # ports of its Services are then lost (GetInstanceForProxy). istiod itself registers machines.
  - name: podAddresses
    expression: >-
      object.kind != 'WorkloadEntry' || {{ include "egress-operator.isIstiod" . }} ? [] :
      variables.workloadAddresses.filter(a, isIP(a){{ with .Values.settings.clusterCidrs }} &&
      {{ toJson . }}.exists(c, cidr(c).containsIP(a)){{ end }})
  - name: boundServers
    expression: >-
      object.kind != 'Gateway' ? [] : object.spec.?servers.orValue([]).filter(s, s.?bind.orValue('') != '')
# The API server shows `message` where a value has a line break.
validations:
  - expression: >-
      object.kind != 'ServiceEntry' || variables.staysAtHome || variables.ownServiceEntry
    message: >-
      a ServiceEntry for a host outside, with addresses, or with a port for anything but HTTP, HTTP2 and GRPC, changes the calls of every namespace that sees it: set exportTo: ["."], or write an EgressPolicy instead
    messageExpression: >-
      {{ include "egress-operator.named" . }} (
      variables.foreignEntryHosts.size() > 0 ? 'hosts names ' + variables.foreignEntryHosts[0] + ', which is not the full name of a Service of this namespace' :
      object.spec.?addresses.orValue([]).size() > 0 ? 'addresses has ' + object.spec.addresses[0] + ', which another namespace may call' :
      variables.foreignPorts.size() > 0 ? 'port ' + string(variables.foreignPorts[0].?number.orValue(0)) + ' has the protocol ' +
      variables.foreignPorts[0].?protocol.orValue('') + ', and only HTTP, HTTP2 and GRPC are found by name alone' :
      'it has no hosts') +
      '; so it changes the calls of every namespace that sees it: set exportTo: ["."], or write an EgressPolicy instead'
    reason: Forbidden
  # For a gateway in another namespace, exportTo: ["."] would be no fix: its pods would not see the routes.
  - expression: >-
      object.kind != 'VirtualService' || variables.staysAtHome || variables.ownVirtualService
    message: >-
      a VirtualService for hosts other than Services of this namespace changes the calls of every namespace that sees it: bind it to a Gateway, or set exportTo: ["."]
    messageExpression: >-
      {{ include "egress-operator.named" . }} (
      variables.foreignGateways.size() > 0 ? 'gateways names ' + variables.foreignGateways[0] +
      ', a Gateway of another namespace: ask the platform team to list it in admission.sharedGateways, as NAMESPACE/NAME, or name a Gateway of this namespace; exportTo: ["."] would hide this VirtualService from the gateway\'s pods' :
      variables.gateways.exists(g, g != 'mesh') ? 'gateways names mesh beside a Gateway, and ' + variables.meshRoutes +
      ': remove mesh from gateways, and write the route for calls inside the mesh apart, with exportTo: ["."]' :
      variables.addressRoutes == '' && variables.foreignHosts.all(h, h.matches(variables.halfName)) ? 'hosts: ' + variables.foreignHosts[0] +
      {{ include "egress-operator.halfName" (list . "variables.foreignHosts[0]") }} :
      variables.meshRoutes + '; so it changes the calls of every namespace that sees it: set exportTo: ["."]')
    reason: Forbidden
  - expression: >-
      object.kind != 'DestinationRule' || variables.staysAtHome || variables.ownDestinationRule
    message: >-
      a DestinationRule changes the calls of every namespace that sees it: set exportTo: ["."], or name a Service of this namespace in host
    messageExpression: >-
      {{ include "egress-operator.named" . }} 'host' + (
      object.spec.?host.orValue('').matches(variables.halfName) ? ': ' + object.spec.host +
      {{ include "egress-operator.halfName" (list . "object.spec.host") }} :
      ' names ' + object.spec.?host.orValue('') +
      ', which is no Service of this namespace; so it changes the calls of every namespace that sees it: set exportTo: ["."]')
    reason: Forbidden
  - expression: >-
      variables.files == ''
    message: >-
      every proxy that sees this DestinationRule opens the files that it names; use credentialName with a workloadSelector, or for gateways alone, or set exportTo: ["."]
    messageExpression: >-
      {{ include "egress-operator.named" . }} variables.files.substring(0, variables.files.size() - 2) +
      ': every proxy that sees this DestinationRule opens the file; use credentialName with a workloadSelector, or for gateways alone, or set exportTo: ["."]'
    reason: Forbidden
  - expression: >-
      variables.commands == ''
    messageExpression: >-
      {{ include "egress-operator.named" . }} 'the header ' + variables.commands.split('\n')[0] +
      {{ include "egress-operator.mayHoldUp" . }}, or set exportTo: ["."]'
    reason: Forbidden
  - expression: >-
      variables.routeCommands == ''
    messageExpression: >-
      {{ include "egress-operator.named" . }} 'the header ' + variables.routeCommands.split('\n')[0] +
      {{ include "egress-operator.mayHoldUp" . }}'
    reason: Forbidden
  - expression: >-
      variables.unusable == ''
    message: >-
      it has what Envoy refuses for the routes of every namespace: a control character in a path, a host or a header, an empty name, a status that is none, or too large a sum of weights; leave it out
    messageExpression: >-
      {{ include "egress-operator.named" . }} variables.unusable.split('; ')[0] +
      ': Envoy refuses that for the routes of every namespace; leave it out'
    reason: Forbidden
  - expression: >-
      variables.unusableHashes == ''
    message: >-
      it has what Envoy refuses for the routes of every namespace: a control character in a path, a host or a header, an empty name, a status that is none, or too large a sum of weights; leave it out
    messageExpression: >-
      {{ include "egress-operator.named" . }} variables.unusableHashes.split('; ')[0] +
      ': Envoy refuses that for the routes of every namespace; leave it out'
    reason: Forbidden
  - expression: >-
      variables.unusableFilters == ''
    message: >-
      it has what Envoy refuses for the routes of every namespace: a control character in a path, a host or a header, an empty name, a status that is none, or too large a sum of weights; leave it out
    messageExpression: >-
      {{ include "egress-operator.named" . }} variables.unusableFilters.split('; ')[0] +
      ': Envoy refuses that for the routes of every namespace; leave it out'
    reason: Forbidden
  - expression: >-
      !variables.removedHeaders.matches('[ ](host|:[^ ]*)[ ]')
    messageExpression: >-
      {{ include "egress-operator.named" . }} 'headers.remove names ' + variables.removedHeaders.find('[ ](host|:[^ ]*)[ ]').trim() +
      ': Envoy refuses that for the routes of every namespace; leave it out'
    reason: Forbidden
  - expression: >-
      !(variables.isMeshRoute && object.kind in ['TCPRoute', 'TLSRoute', 'UDPRoute'])
    messageExpression: >-
      {{ include "egress-operator.named" . }} 'parentRefs: a ' + object.kind +
      ' on anything but a Gateway takes the calls of every namespace; name a Gateway, or write a VirtualService with exportTo: ["."]'
    reason: Forbidden
  - expression: >-
      object.kind != 'XBackend'
    messageExpression: >-
      {{ include "egress-operator.named" . }} 'an XBackend is visible to every namespace; write an EgressPolicy, or a ServiceEntry with exportTo: ["."]'
    reason: Forbidden
  - expression: >-
      variables.sockets.size() == 0
    messageExpression: >-
      {{ include "egress-operator.named" . }} 'the endpoint ' + variables.sockets[0].trim() + ' is a socket of every pod that sees it; use an address'
    reason: Forbidden
  - expression: >-
      variables.podAddresses.size() == 0
    messageExpression: >-
      {{ include "egress-operator.named" . }} 'the address ' + variables.podAddresses[0] +
      ' of a WorkloadEntry may be that of a pod, which it would cut off; use a name, or the endpoints of a ServiceEntry with exportTo: ["."]
      {{- if not .Values.settings.clusterCidrs }}; where settings.clusterCidrs is set, other addresses may be used{{ end }}'
    reason: Forbidden
  - expression: >-
      variables.boundServers.size() == 0
    messageExpression: >-
      {{ include "egress-operator.named" . }} 'servers: bind ' + variables.boundServers[0].bind.trim() + ' of port ' +
      string(variables.boundServers[0].?port.?number.orValue(0)) + ' may take or close the port of another Gateway; remove bind'
    reason: Forbidden
{{- end -}}
