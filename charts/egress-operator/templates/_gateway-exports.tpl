{{- /* Nobody but the operator reaches from another namespace into that of a managed gateway. Without
       its kind the API server would refuse every write, the operator's as well: then it is left out. */ -}}
{{- define "egress-operator.gateway-exports" -}}
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
      resources: [serviceentries, virtualservices, destinationrules, gateways, workloadentries, workloadgroups]
    - apiGroups: [gateway.networking.k8s.io]
      apiVersions: ["*"]
      operations: [CREATE, UPDATE]
      resources: [gateways]
matchConditions:
  {{- include "egress-operator.admissionConditions" . | nindent 2 }}
  - name: another-namespace
    expression: >-
      has(object.spec) && params.?spec.?authorization.orValue('') == 'Managed' &&
      params.spec.namespace != request.namespace
variables:
  - name: subject
    expression: >-
      'the EgressGateway ' + params.metadata.name
  - name: exportTo
    expression: >-
      object.kind in ['Gateway', 'WorkloadEntry', 'WorkloadGroup'] ? [] : object.spec.?exportTo.orValue([])
  # The Service's full name, before the cluster's domain.
  - name: serviceName
    expression: >-
      params.spec.service.name + '.' + params.spec.namespace + '.svc.'
  - name: takenNames
    expression: >-
      object.kind != 'ServiceEntry' ? [] : object.spec.?hosts.orValue([]).filter(h,
      (h.lowerAscii() + '.').startsWith(variables.serviceName))
  # A Gateway of the Gateway API attaches itself to the Service that it names.
  - name: takenAddresses
    expression: >-
      !object.apiVersion.startsWith('gateway.networking.k8s.io/') ? [] :
      object.spec.?addresses.orValue([]).map(a, a.?value.orValue('')).filter(h,
      (h.lowerAscii() + '.').startsWith(variables.serviceName))
  # A rule that the gateway sees takes its Secrets from the gateway's namespace.
  - name: secrets
    expression: >-
      object.kind != 'DestinationRule' || has(object.spec.workloadSelector) ||
      !(variables.exportTo.size() == 0 || '*' in variables.exportTo) ? [] :
      ({{ include "egress-operator.secrets" "object.spec" | nindent 6 | trim }} + ' ' +
      object.spec.?subsets.orValue([]).map(s,
      {{- include "egress-operator.secrets" "s" | nindent 6 }}).join(' ')).split(' ')
  # Those in the form of another namespace's: NAMESPACE.NAME.
  - name: foreignSecrets
    expression: >-
      variables.secrets.filter(s, !s.startsWith('configmap://') &&
      s.split('/').exists(n, n.contains('.') && !n.startsWith(request.namespace + '.')))
  # A socket is opened in the pod that dials: also in the gateway's, where its key is served.
  {{- include "egress-operator.endpoints" . | nindent 2 }}
  - name: foreignSockets
    expression: >-
      object.kind == 'ServiceEntry' && {{ include "egress-operator.staysAtHome" . }} ? [] : variables.sockets
  - name: selector
    expression: >-
      object.kind != 'Gateway' ? {} : object.spec.?selector.orValue({})
  # Servers of a Gateway that may select its pods: without a selector, or with one that has a label
  # in common with the EgressGateway's and contradicts none.
  - name: allServers
    expression: >-
      object.kind != 'Gateway' || (variables.selector.size() > 0 &&
      !variables.selector.exists(k, k in params.spec.selector &&
      variables.selector[k] == params.spec.selector[k])) ||
      variables.selector.exists(k, k in params.spec.selector &&
      variables.selector[k] != params.spec.selector[k]) ? [] :
      object.spec.?servers.orValue([])
  # A listener on an address is preferred to that of the gateway, or closes it.
  - name: boundServers
    expression: >-
      variables.allServers.filter(s, s.?bind.orValue('') != '')
  # The Service's port, and any port that may be the one of the pods behind it: whoever names that
  # shares the listener. Behind 80 it is 8080, as a rule.
  - name: servers
    expression: >-
      variables.allServers.filter(s, params.spec.service.port in [80, 8080] ||
      !(s.?port.?number.orValue(0) in [80, 8080]))
  - name: plainServers
    expression: >-
      variables.servers.filter(s,
      !(s.?port.?protocol.orValue('').upperAscii() in ['HTTPS', 'TLS']))
  # All of them are one listener, which waits for every certificate that one of them names.
  - name: waitingServers
    expression: >-
      variables.servers.filter(s,
      !(s.?tls.?mode.orValue('PASSTHROUGH') in ['ISTIO_MUTUAL', 'PASSTHROUGH']))
  # Files and Secrets that are not there close the listener, or hold it up.
  - name: dangerousFields
    expression: >-
      variables.servers.map(s, dyn(s.?tls.orValue({})).map(k,
      !(k in ['mode', 'minProtocolVersion', 'maxProtocolVersion', 'cipherSuites', 'subjectAltNames']), k).join(' ')).join(' ').trim()
  # Istio tells these from a.example.com, Envoy does not and refuses the listener.
  - name: ambiguousHosts
    expression: >-
      variables.servers.map(s, s.?hosts.orValue([]).filter(h,
      h != h.lowerAscii() || (h.contains('/') && !h.startsWith('*/'))).join(' ')).join(' ').trim()
validations:
  - expression: >-
      !(params.spec.namespace in variables.exportTo)
    messageExpression: >-
      {{ include "egress-operator.named" . }} 'exportTo names ' + params.spec.namespace + ', where the pods of ' + variables.subject +
      ' run: only egress-operator exports there; write an EgressPolicy with gatewayRef instead'
    reason: Forbidden
  - expression: >-
      variables.takenNames.size() == 0
    messageExpression: >-
      {{ include "egress-operator.named" . }} variables.takenNames[0] + ' is the Service of ' + variables.subject +
      ': no ServiceEntry may take its name; write an EgressPolicy with gatewayRef instead'
    reason: Forbidden
  - expression: >-
      variables.takenAddresses.size() == 0
    messageExpression: >-
      {{ include "egress-operator.named" . }} variables.takenAddresses[0] + ' is the Service of ' + variables.subject +
      ': no Gateway of another namespace may have its address; remove the address, or select other pods'
    reason: Forbidden
  - expression: >-
      variables.foreignSecrets.size() == 0
    messageExpression: >-
      {{ include "egress-operator.named" . }} 'the Secret ' + variables.foreignSecrets[0] + ' has the form of another namespace\'s at ' +
      variables.subject + '; write an EgressPolicy with clientCertificateRef, name the Secret without a dot, or set exportTo: ["."]'
    reason: Forbidden
  - expression: >-
      variables.foreignSockets.size() == 0
    messageExpression: >-
      {{ include "egress-operator.named" . }} 'the endpoint ' + variables.foreignSockets[0].trim() + ' is a socket of every pod that sees it, those of ' + variables.subject +
      ' included; use an address, or a ServiceEntry with exportTo: ["."]'
    reason: Forbidden
  - expression: >-
      variables.boundServers.size() == 0
    messageExpression: >-
      {{ include "egress-operator.named" . }} 'servers: bind ' + variables.boundServers[0].bind.trim() + ' of port ' +
      string(variables.boundServers[0].?port.?number.orValue(0)) + ' may take or close the port of ' + variables.subject +
      ', whose pods this Gateway may select: remove bind, or select other pods'
    reason: Forbidden
  - expression: >-
      variables.plainServers.size() == 0
    messageExpression: >-
      {{ include "egress-operator.named" . }} 'port ' + string(variables.plainServers[0].?port.?number.orValue(0)) + {{ include "egress-operator.mayBePort" . }} +
      ': a server with a protocol other than HTTPS and TLS would close it for everybody; use port 80 or 8080, or select other pods'
    reason: Forbidden
  - expression: >-
      variables.waitingServers.size() == 0
    messageExpression: >-
      {{ include "egress-operator.named" . }} 'port ' + string(variables.waitingServers[0].?port.?number.orValue(0)) + {{ include "egress-operator.mayBePort" . }} +
      ': a server with a mode other than ISTIO_MUTUAL and PASSTHROUGH may wait for a certificate and hold it up for everybody; select other pods'
    reason: Forbidden
  - expression: >-
      variables.dangerousFields == ''
    messageExpression: >-
      {{ include "egress-operator.named" . }} 'tls: ' + variables.dangerousFields + ': a file or Secret that is missing would close the port of ' + variables.subject +
      ', whose pods this Gateway may select, for everybody; remove the field, or select other pods'
    reason: Forbidden
  - expression: >-
      variables.ambiguousHosts == ''
    messageExpression: >-
      {{ include "egress-operator.named" . }} variables.ambiguousHosts + ' on a port of ' + variables.subject +
      ': a second spelling of a name would close it for everybody; write it in lower case and without a namespace'
    reason: Forbidden
{{- end -}}
