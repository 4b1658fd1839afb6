{{- /* settings.inFlight: 16 becomes EGRESS_IN_FLIGHT=16; lists are comma-separated; YAML reads a bare `on` as true. */ -}}
{{- define "egress-operator.env" -}}
{{- $settings := merge (dict "logLevel" .Values.logLevel "logFormat" .Values.logFormat) .Values.settings -}}
{{- range $key, $value := $settings }}
{{- if not (kindIs "invalid" $value) }}
- name: EGRESS_{{ $key | snakecase | upper }}
  {{- if kindIs "bool" $value }}
  value: {{ ternary "on" "off" $value | quote }}
  {{- else }}
  value: {{ kindIs "slice" $value | ternary $value (list $value) | join "," | quote }}
  {{- end }}
{{- end }}
{{- end }}
{{- end -}}
