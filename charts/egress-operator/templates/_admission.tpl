{{- /* Domains of the operator's own names, as a JSON list: the built-in ones and those of the settings. */ -}}
{{- define "egress-operator.syntheticDomains" -}}
{{- concat (list "egress.internal" "direct.internal") (default (list) .Values.settings.syntheticDomains) | uniq | toJson -}}
{{- end -}}

{{- /* A regular expression (RE2) for a name under a synthetic domain, between blanks: a.egress.internal,
       shop/A.Egress.Internal, *.shop.egress.internal., a.egress.internal:80. */ -}}
{{- define "egress-operator.nameUnder" -}}
{{- $domains := list -}}
{{- range include "egress-operator.syntheticDomains" . | fromJsonArray -}}
{{- $domains = append $domains (regexQuoteMeta .) -}}
{{- end -}}
(?i)(^|\s)(\S*[./*])?({{ join "|" $domains }})\.*(:[0-9]*)?(\s|$)
{{- end -}}

{{- /* A regular expression for a wildcard over a synthetic domain, between blanks: *.internal, *ternal.
       A lone * is none. */ -}}
{{- define "egress-operator.wildcardOver" -}}
{{- $suffixes := list -}}
{{- range include "egress-operator.syntheticDomains" . | fromJsonArray -}}
{{- $suffix := regexQuoteMeta "." -}}
{{- range splitList "" . -}}
{{- $suffix = printf "(%s)?%s" $suffix (regexQuoteMeta .) -}}
{{- end -}}
{{- $suffixes = append $suffixes $suffix -}}
{{- end -}}
(?i)(^|\s)\*({{ join "|" $suffixes }})\.*(\s|$)
{{- end -}}

{{- /* Who may write what these policies refuse, as a list of CEL strings. */ -}}
{{- define "egress-operator.exemptUsers" -}}
{{- prepend (default (list) .Values.admission.exemptUsers) (include "egress-operator.ownUser" .) | uniq | toJson -}}
{{- end -}}

{{- /* A policy and its binding (list context name); the template of that name has the spec. The names
       are fixed, whatever the release. The operator compares the digests with what it finds. */ -}}
{{- define "egress-operator.admission" -}}
{{- $root := index . 0 -}}
{{- $name := index . 1 -}}
{{- $spec := include (printf "egress-operator.%s" $name) $root | fromYaml -}}
{{- $binding := dict "policyName" (printf "%s.egress-operator.io" $name) "validationActions" (include "egress-operator.actions" . | fromJsonArray) -}}
{{- if hasKey $spec "paramKind" -}}
{{- $_ := set $binding "paramRef" (dict "selector" dict "parameterNotFoundAction" "Allow") -}}
{{- end -}}
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata:
  {{- include "egress-operator.admissionMetadata" (list $root $name $spec) | nindent 2 }}
spec:
  {{- include (printf "egress-operator.%s" $name) $root | nindent 2 }}
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata:
  {{- include "egress-operator.admissionMetadata" (list $root $name $binding) | nindent 2 }}
spec:
  {{- toYaml $binding | nindent 2 }}
{{- end -}}

{{- /* Metadata of a policy or its binding (list context name spec). */ -}}
{{- define "egress-operator.admissionMetadata" -}}
{{- $root := index . 0 -}}
name: {{ index . 1 }}.egress-operator.io
labels:
  {{- include "egress-operator.labels" $root | nindent 2 }}
annotations:
  egress-operator.io/version-of-rules: "3"
  egress-operator.io/digest: {{ index . 2 | toJson | sha256sum }}
  egress-operator.io/level: {{ include "egress-operator.levelInForce" $root }}
{{- end -}}

{{- /* What the binding of a policy does (list context name), as a JSON list. */ -}}
{{- define "egress-operator.actions" -}}
{{- $admission := (index . 0).Values.admission -}}
{{- $actions := default (list "Deny") $admission.validationActions -}}
{{- if and (has "Deny" $actions) (has (index . 1) (list "tenant-exports" "gateway-selectors")) -}}
{{- $actions = default $actions $admission.strictActions -}}
{{- end -}}
{{- toJson $actions -}}
{{- end -}}

{{- /* Strict where its own policies deny: while they only warn, it is Compatible. */ -}}
{{- define "egress-operator.levelInForce" -}}
{{- $actions := include "egress-operator.actions" (list . "tenant-exports") | fromJsonArray -}}
{{- has "Deny" $actions | ternary (include "egress-operator.admissionLevel" .) "Compatible" -}}
{{- end -}}

{{- /* The operator's own account, as the API server names it. */ -}}
{{- define "egress-operator.ownUser" -}}
system:serviceaccount:{{ .Release.Namespace }}:{{ include "egress-operator.serviceAccountName" . }}
{{- end -}}

{{- /* Where istiod is; mostly it is the mesh's root namespace too. */ -}}
{{- define "egress-operator.istioNamespace" -}}
{{- default "istio-system" .Values.settings.istioNamespace -}}
{{- end -}}

{{- /* The cluster's domain as a regular expression. */ -}}
{{- define "egress-operator.clusterDomain" -}}
{{- default "cluster.local" .Values.settings.clusterDomain | regexQuoteMeta | replace "\\." "[.]" -}}
{{- end -}}

{{- /* The level of the admission policies. */ -}}
{{- define "egress-operator.admissionLevel" -}}
{{- default "Strict" .Values.admission.level -}}
{{- end -}}

{{- /* Gateways that everybody may bind routes to, as a list of CEL strings. */ -}}
{{- define "egress-operator.sharedGateways" -}}
{{- default (list) .Values.admission.sharedGateways | toJson -}}
{{- end -}}

{{- /* Namespaces in which only the platform team writes, as a list of CEL strings. null: the
       operator's own default. */ -}}
{{- define "egress-operator.platformNamespaces" -}}
{{- $named := .Values.settings.platformNamespaces -}}
{{- if kindIs "invalid" $named -}}
{{- $named = list "istio-egress" "istio-ingress" -}}
{{- end -}}
{{- concat (list (include "egress-operator.istioNamespace" .)) $named | uniq | toJson -}}
{{- end -}}

{{- /* CEL: whether istiod asks, of whatever revision. */ -}}
{{- define "egress-operator.isIstiod" -}}
request.userInfo.username.startsWith('system:serviceaccount:{{ include "egress-operator.istioNamespace" . }}:istiod')
{{- end -}}

{{- /* Who is not judged at all. */ -}}
{{- define "egress-operator.notTheOperator" -}}
- name: not-the-operator
  expression: >-
    !(request.userInfo.username in {{ include "egress-operator.exemptUsers" . }})
{{- end -}}

{{- /* Conditions under which a policy looks at the spec of an object. */ -}}
{{- define "egress-operator.admissionConditions" -}}
{{ include "egress-operator.notTheOperator" . }}
# Labels, owners and finalizers may change, whoever writes them: a collector, a migration, an admin.
- name: spec-changes
  expression: >-
    request.operation == 'CREATE' || !has(object.spec) || !has(oldObject.spec) ||
    object.spec != oldObject.spec
{{- end -}}

{{- /* CEL: the object, before what is wrong with it: a warning of the API server does not name it. */ -}}
{{- define "egress-operator.named" -}}
object.kind + ' ' + request.namespace + '/' + object.metadata.name + ': ' +
{{- end -}}

{{- /* CEL: the sentence after half of a Service's name, such as web.shop (list context variable). */ -}}
{{- define "egress-operator.halfName" -}}
{{- $host := index . 1 -}}
' is half of a Service\'s name, which Istio takes for a name outside: write ' + {{ $host }}.split('.')[0] + ', or ' + {{ $host }} + '.svc.{{ default "cluster.local" (index . 0).Values.settings.clusterDomain }}'
{{- end -}}

{{- /* CEL: whether an object says that it is the operator's. */ -}}
{{- define "egress-operator.isManaged" -}}
({{ . }}.metadata.?labels[?'app.kubernetes.io/managed-by'].orValue('') == 'egress-operator')
{{- end -}}

{{- /* CEL: the sentence after what somebody changes of an object of the operator's. */ -}}
{{- define "egress-operator.isOurs" -}}
' of ' + object.metadata.name + ' is egress-operator\'s own: change the EgressPolicy instead; a backup or migration tool needs admission.exemptUsers, a value of the chart, for the platform team'
{{- end -}}

{{- /* CEL: whether a request header says where a request goes. Others may hold what they like. */ -}}
{{- define "egress-operator.isAuthority" -}}
{{ . }}.lowerAscii() in ['host', ':authority']
{{- end -}}

{{- /* CEL: the authority that a VirtualService's rule or destination writes into requests. */ -}}
{{- define "egress-operator.headers" -}}
{{ . }}.?headers.?request.?set.orValue({}).map(k, {{ include "egress-operator.isAuthority" "k" }}, {{ . }}.headers.request.set[k]).join(' ') + ' ' +
{{ . }}.?headers.?request.?add.orValue({}).map(k, {{ include "egress-operator.isAuthority" "k" }}, {{ . }}.headers.request.add[k]).join(' ')
{{- end -}}

{{- /* CEL: destination hosts of a VirtualService's rule. */ -}}
{{- define "egress-operator.destinations" -}}
{{ . }}.?route.orValue([]).map(d, d.?destination.?host.orValue('')).join(' ')
{{- end -}}

{{- /* CEL: names that the client sends or checks by a traffic policy's `tls`. */ -}}
{{- define "egress-operator.tls" -}}
{{ . }}.?tls.?sni.orValue('') + ' ' + {{ . }}.?tls.?subjectAltNames.orValue([]).join(' ')
{{- end -}}

{{- /* CEL: all names of the traffic policy of a DestinationRule or a subset. */ -}}
{{- define "egress-operator.trafficPolicy" -}}
{{ include "egress-operator.tls" (printf "%s.?trafficPolicy" .) }} + ' ' +
{{ . }}.?trafficPolicy.?tunnel.?targetHost.orValue('') + ' ' +
{{ . }}.?trafficPolicy.?portLevelSettings.orValue([]).map(p, {{ include "egress-operator.tls" "p" }}).join(' ')
{{- end -}}

{{- /* CEL: names in the filters of a Gateway API route's rule or backend. */ -}}
{{- define "egress-operator.filters" -}}
{{ . }}.?filters.orValue([]).map(f,
f.?requestMirror.?backendRef.?name.orValue('') + ' ' +
f.?urlRewrite.?hostname.orValue('') + ' ' + f.?requestRedirect.?hostname.orValue('') + ' ' +
f.?requestHeaderModifier.?set.orValue([]).map(h, {{ include "egress-operator.isAuthority" "h.name" }}, h.value).join(' ') + ' ' +
f.?requestHeaderModifier.?add.orValue([]).map(h, {{ include "egress-operator.isAuthority" "h.name" }}, h.value).join(' ')).join(' ')
{{- end -}}

{{- /* CEL: Secrets named by the traffic policy of a DestinationRule or a subset. Istio 1.32 adds the
       second field, which the types of earlier versions do not have. */ -}}
{{- define "egress-operator.secrets" -}}
{{ . }}.?trafficPolicy.?tls.?credentialName.orValue('') + ' ' +
dyn({{ . }}).?trafficPolicy.?tls.?caCertCredentialName.orValue('') + ' ' +
{{ . }}.?trafficPolicy.?portLevelSettings.orValue([]).map(p, p.?tls.?credentialName.orValue('') + ' ' +
dyn(p).?tls.?caCertCredentialName.orValue('')).join(' ')
{{- end -}}

{{- /* CEL: names that a client of the Gateway API checks in a server's certificate. */ -}}
{{- define "egress-operator.backendTLS" -}}
{{ . }}.?validation.?hostname.orValue('') + ' ' +
{{ . }}.?validation.?subjectAltNames.orValue([]).map(n, n.?hostname.orValue('')).join(' ')
{{- end -}}

{{- /* CEL: whether an object with variables.exportTo is seen in its own namespace alone. */ -}}
{{- define "egress-operator.staysAtHome" -}}
variables.exportTo.size() > 0 && variables.exportTo.all(n, n in ['.', '~', request.namespace])
{{- end -}}

{{- /* CEL: whether an endpoint's address is a UNIX socket. */ -}}
{{- define "egress-operator.isSocket" -}}
{{ . }}.trim().lowerAscii().startsWith('unix:')
{{- end -}}

{{- /* Variables: where an object sends calls to, by kind, and the sockets among them. */ -}}
{{- define "egress-operator.endpoints" -}}
- name: entryAddresses
  expression: >-
    object.spec.?endpoints.orValue([]).map(e, e.?address.orValue(''))
- name: workloadAddresses
  expression: >-
    [object.spec.?address.orValue('')]
- name: groupAddresses
  expression: >-
    [object.spec.?template.?address.orValue('')]
- name: endpoints
  expression: >-
    object.kind == 'ServiceEntry' ? variables.entryAddresses :
    object.kind == 'WorkloadEntry' ? variables.workloadAddresses :
    object.kind == 'WorkloadGroup' ? variables.groupAddresses : []
- name: sockets
  expression: >-
    variables.endpoints.filter(a, {{ include "egress-operator.isSocket" "a" }})
{{- end -}}

{{- /* CEL: the sentence after `port N`, about a server of a Gateway that may select the pods. */ -}}
{{- define "egress-operator.mayBePort" -}}
' may be that of ' + variables.subject + ', whose pods this Gateway may select'
{{- end -}}

{{- /* CEL: files named by the traffic policy of a DestinationRule or a subset (list variable path), as
       `path file, `. */ -}}
{{- define "egress-operator.files" -}}
{{- $policy := printf "%s.?trafficPolicy" (index . 0) -}}
{{- $path := printf "%strafficPolicy" (index . 1) -}}
{{ include "egress-operator.filesOf" (list (printf "%s.?tls" $policy) (printf "%s.tls" $path)) }} +
{{ $policy }}.?portLevelSettings.orValue([]).map(p,
{{ include "egress-operator.filesOf" (list "p.?tls" (printf "%s.portLevelSettings.tls" $path)) }}).join('')
{{- end -}}

{{- /* CEL: files named by the `tls` of a traffic policy (list variable path). */ -}}
{{- define "egress-operator.filesOf" -}}
{{- $tls := index . 0 -}}{{- $path := index . 1 -}}
{{- range $index, $field := list "clientCertificate" "privateKey" "caCertificates" "caCrl" -}}
{{- if $index }} +
{{ end }}
{{- $tls }}.?{{ $field }}.optMap(f, f == '' ? '' : '{{ $path }}.{{ $field }} ' + f + ', ').orValue('')
{{- end -}}
{{- end -}}

{{- /* CEL: the headers that a VirtualService's rule or destination writes with %, one a line. */ -}}
{{- define "egress-operator.commands" -}}
{{- $item := . -}}
{{- range $index, $field := list "request.?set" "request.?add" "response.?set" "response.?add" -}}
{{- if $index }} +
{{ end }}
{{- $map := printf "%s.?headers.?%s.orValue({})" $item $field -}}
{{ $map }}.map(k, {{ $map }}[k].contains('%'), k + ' has the value ' + {{ $map }}[k] + '\n').join('')
{{- end -}}
{{- end -}}

{{- /* CEL: the sentence after a header with a command. */ -}}
{{- define "egress-operator.mayHoldUp" -}}
': values with % are commands of Envoy, and one that Envoy cannot read would hold up the routes of every namespace; write the value itself
{{- end -}}

{{- /* CEL: the headers that a VirtualService's rule or destination removes. */ -}}
{{- define "egress-operator.removedHeaders" -}}
{{ . }}.?headers.?request.?remove.orValue([]).join(' ') + ' ' + {{ . }}.?headers.?response.?remove.orValue([]).join(' ')
{{- end -}}

{{- /* CEL: the headers that the filters of a Gateway API route's rule or backend write with %, one a
       line. */ -}}
{{- define "egress-operator.modifiedCommands" -}}
{{ . }}.?filters.orValue([]).map(f,
{{- range $index, $field := list "requestHeaderModifier.?set" "requestHeaderModifier.?add" "responseHeaderModifier.?set" "responseHeaderModifier.?add" -}}
{{- if $index }} +{{ end }}
f.?{{ $field }}.orValue([]).map(h, h.value.contains('%'), h.name + ' has the value ' + h.value + '\n').join('')
{{- end -}}
).join('')
{{- end -}}

{{- /* CEL: whether a text has a character that Envoy refuses in a header or a path. */ -}}
{{- define "egress-operator.isUnusable" -}}
{{ . }}.matches('[[:cntrl:]]')
{{- end -}}

{{- /* CEL: whether Envoy refuses a value of a header: it takes 16384 bytes, and a character has four at
       most. */ -}}
{{- define "egress-operator.isUnusableValue" -}}
({{ . }}.size() > 4096 || {{ include "egress-operator.isUnusable" . }})
{{- end -}}

{{- /* CEL: whether Envoy refuses a name of a header, a query parameter (1024 bytes) or a part of a
       cookie. */ -}}
{{- define "egress-operator.isUnusableName" -}}
({{ . }}.size() < 1 || {{ . }}.size() > 256 || {{ include "egress-operator.isUnusable" . }})
{{- end -}}

{{- define "egress-operator.unusableNameWords" -}}
is empty, has a control character, or more than 256 characters; {{ end -}}

{{- define "egress-operator.unusableValueWords" -}}
has a control character, or more than 4096 characters; {{ end -}}

{{- /* CEL: what Envoy cannot take in a rule of a VirtualService, each as `field; `. */ -}}
{{- define "egress-operator.unusableRule" -}}
{{- $rule := . -}}
{{- range list "rewrite.?uri" "rewrite.?authority" "rewrite.?uriRegexRewrite.?rewrite" "redirect.?uri" "redirect.?authority" "redirect.?prefixRewrite" -}}
({{ include "egress-operator.isUnusable" (printf "%s.?%s.orValue('')" $rule .) }} ? '{{ replace "?" "" . }} has a control character; ' : '') +
{{ end -}}
({{ $rule }}.?redirect.?redirectCode.orValue(301) in [0, 301, 302, 303, 307, 308] ? '' : 'redirect.redirectCode is none of 301, 302, 303, 307 and 308; ') +
({{ $rule }}.?directResponse.?status.orValue(200) < 200 || {{ $rule }}.?directResponse.?status.orValue(200) > 599 ? 'directResponse.status is not between 200 and 599; ' : '') +
({{ $rule }}.?fault.?abort.?httpStatus.orValue(200) > 599 ? 'fault.abort.httpStatus is above 599; ' : '') +
({{ $rule }}.?route.orValue([]).map(d, d.?weight.orValue(0)).sum() > 4294967295 ? 'the weights add up to more than 4294967295; ' : '') +
{{ $rule }}.?match.orValue([]).map(m,
{{- range $index, $field := list "queryParams" "headers" "withoutHeaders" -}}
{{- if $index }} +{{ end }}
(m.?{{ $field }}.orValue({}).exists(k, {{ include "egress-operator.isUnusableName" "k" }}) ? 'a name in match.{{ $field }} {{ include "egress-operator.unusableNameWords" . }}' : '')
{{- end }}).join('')
{{- end -}}

{{- /* CEL: headers that a rule or destination of a VirtualService changes and Envoy refuses, each as
       `field; `. */ -}}
{{- define "egress-operator.unusableHeaders" -}}
{{- $item := . -}}
{{- range $index, $field := list "request.?set" "request.?add" "response.?set" "response.?add" -}}
{{- $map := printf "%s.?headers.?%s.orValue({})" $item $field -}}
({{ $map }}.exists(k, {{ include "egress-operator.isUnusableName" "k" }}) ? 'a name in headers.{{ replace "?" "" $field }} {{ include "egress-operator.unusableNameWords" . }}' : '') +
({{ $map }}.exists(k, {{ include "egress-operator.isUnusableValue" (printf "%s[k]" $map) }}) ? 'a value in headers.{{ replace "?" "" $field }} {{ include "egress-operator.unusableValueWords" . }}' : '') +
{{ end -}}
({{ $item }}.?headers.?request.?remove.orValue([]).exists(k, {{ include "egress-operator.isUnusableName" "k" }}) ||
{{ $item }}.?headers.?response.?remove.orValue([]).exists(k, {{ include "egress-operator.isUnusableName" "k" }}) ? 'a name in headers.remove {{ include "egress-operator.unusableNameWords" . }}' : '')
{{- end -}}

{{- /* CEL: what Envoy cannot take in the hashes of a DestinationRule or a subset, each as `field; `. */ -}}
{{- define "egress-operator.unusableHash" -}}
{{- $policy := printf "%s.?trafficPolicy" . -}}
{{ include "egress-operator.unusableHashOf" (printf "%s.?loadBalancer" $policy) }} +
{{ $policy }}.?portLevelSettings.orValue([]).map(p,
{{ include "egress-operator.unusableHashOf" "p.?loadBalancer" }}).join('')
{{- end -}}

{{- define "egress-operator.unusableHashOf" -}}
{{- $hash := printf "%s.?consistentHash" . -}}
{{- range list "httpHeaderName" "httpQueryParameterName" "httpCookie.?name" -}}
{{ $hash }}.?{{ . }}.optMap(n, {{ include "egress-operator.isUnusableName" "n" }} ? 'consistentHash.{{ replace "?" "" . }} {{ include "egress-operator.unusableNameWords" . }}' : '').orValue('') +
{{ end -}}
({{ include "egress-operator.isUnusableValue" (printf "%s.?httpCookie.?path.orValue('')" $hash) }} ? 'consistentHash.httpCookie.path {{ include "egress-operator.unusableValueWords" . }}' : '') +
({{ $hash }}.?httpCookie.?ttl.orValue('').contains('-') ? 'consistentHash.httpCookie.ttl is negative; ' : '') +
({{ $hash }}.?httpCookie.?attributes.orValue([]).exists(a, {{ include "egress-operator.isUnusableName" "a.?name.orValue('')" }} || {{ include "egress-operator.isUnusableValue" "a.?value.orValue('')" }}) ? 'consistentHash.httpCookie.attributes has a name or value that is empty or too long, or has a control character; ' : '')
{{- end -}}

{{- /* CEL: what Envoy cannot take in the filters of a route of the Gateway API, each as `field; `. */ -}}
{{- define "egress-operator.unusableFilters" -}}
{{ . }}.?filters.orValue([]).map(f,
{{- range $index, $field := list "urlRewrite.?hostname" "urlRewrite.?path.?replaceFullPath" "urlRewrite.?path.?replacePrefixMatch" "requestRedirect.?hostname" "requestRedirect.?path.?replaceFullPath" "requestRedirect.?path.?replacePrefixMatch" -}}
{{- if $index }} +{{ end }}
({{ include "egress-operator.isUnusable" (printf "f.?%s.orValue('')" $field) }} ? '{{ replace "?" "" $field }} has a control character; ' : '')
{{- end -}}
).join('')
{{- end -}}
