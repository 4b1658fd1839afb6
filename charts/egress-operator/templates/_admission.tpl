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
{{- $own := printf "system:serviceaccount:%s:%s" .Release.Namespace (include "egress-operator.serviceAccountName" .) -}}
{{- prepend .Values.admission.exemptUsers $own | uniq | toJson -}}
{{- end -}}

{{- /* Metadata of a policy or its binding (list context name). The names are fixed, whatever the release. */ -}}
{{- define "egress-operator.admissionMetadata" -}}
{{- $root := index . 0 -}}
name: {{ index . 1 }}.egress-operator.io
labels:
  {{- include "egress-operator.labels" $root | nindent 2 }}
annotations:
  egress-operator.io/version-of-rules: "1"
{{- end -}}

{{- /* Conditions under which a policy looks at a request at all. */ -}}
{{- define "egress-operator.admissionConditions" -}}
- name: not-the-operator
  expression: >-
    !(request.userInfo.username in {{ include "egress-operator.exemptUsers" . }})
# Labels, owners and finalizers may change, whoever writes them: a collector, a migration, an admin.
- name: spec-changes
  expression: >-
    request.operation == 'CREATE' || !has(object.spec) || !has(oldObject.spec) ||
    object.spec != oldObject.spec
{{- end -}}

{{- /* CEL: the values of the request headers that a VirtualService's rule or destination writes. */ -}}
{{- define "egress-operator.headers" -}}
{{ . }}.?headers.?request.?set.orValue({}).map(k, {{ . }}.headers.request.set[k]).join(' ') + ' ' +
{{ . }}.?headers.?request.?add.orValue({}).map(k, {{ . }}.headers.request.add[k]).join(' ')
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
f.?requestHeaderModifier.?set.orValue([]).map(h, h.value).join(' ') + ' ' +
f.?requestHeaderModifier.?add.orValue([]).map(h, h.value).join(' ')).join(' ')
{{- end -}}

{{- /* CEL: Secrets named by the traffic policy of a DestinationRule or a subset. */ -}}
{{- define "egress-operator.secrets" -}}
{{ . }}.?trafficPolicy.?tls.?credentialName.orValue('') + ' ' +
{{ . }}.?trafficPolicy.?portLevelSettings.orValue([]).map(p, p.?tls.?credentialName.orValue('')).join(' ')
{{- end -}}
