{{- /* What is wrong with an address range, with the way to write it; empty when nothing is. As the
       operator judges it: check_cidr in plan/option.py. */ -}}
{{- define "egress-operator.cidrProblem" -}}
{{- $parts := splitList "/" . -}}
{{- $address := first $parts -}}
{{- $bits := last $parts | int64 -}}
{{- $octet := "(25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])" -}}
{{- if regexMatch (printf "^%s([.]%s){3}$" $octet $octet) $address -}}
{{- if gt $bits 32 -}}
has more than 32 bits; for this address alone, write {{ $address }}/32
{{- else -}}
{{- $number := 0 -}}
{{- range splitList "." $address -}}{{- $number = add (mul $number 256) (int64 .) -}}{{- end -}}
{{- $size := include "egress-operator.powerOfTwo" (sub 32 $bits) | int64 -}}
{{- $network := mul (div $number $size) $size -}}
{{- if ne $network $number -}}
has host bits; write {{ div $network 16777216 }}.{{ mod (div $network 65536) 256 }}.{{ mod (div $network 256) 256 }}.{{ mod $network 256 }}/{{ $bits }}
{{- end -}}
{{- end -}}
{{- else if not (contains ":" $address) -}}
is not a CIDR; write it as 10.0.0.0/8 or fd00::/8
{{- else if gt $bits 128 -}}
has more than 128 bits; for this address alone, write {{ $address }}/128
{{- else if not (contains "." $address) -}}
{{- include "egress-operator.cidrProblemOfSix" (list $address $bits) -}}
{{- end -}}
{{- end -}}

{{- /* The same for an IPv6 address and its bits. */ -}}
{{- define "egress-operator.cidrProblemOfSix" -}}
{{- $bits := index . 1 -}}
{{- $sides := splitList "::" (index . 0) -}}
{{- $groups := list -}}{{- $after := list -}}
{{- with first $sides -}}{{- $groups = splitList ":" . -}}{{- end -}}
{{- if gt (len $sides) 1 -}}
{{- with last $sides -}}{{- $after = splitList ":" . -}}{{- end -}}
{{- end -}}
{{- $missing := sub 8 (add (len $groups) (len $after)) -}}
{{- $isWhole := and (eq (len $sides) 1) (eq (int $missing) 0) -}}
{{- $isShort := and (eq (len $sides) 2) (gt (int $missing) 0) -}}
{{- if not (and (or $isWhole $isShort) (regexMatch "^([0-9a-fA-F]{1,4} )+$|^$" (concat $groups $after (list "") | join " "))) -}}
is not a CIDR; write it as 10.0.0.0/8 or fd00::/8
{{- else -}}
{{- range until (int $missing) -}}{{- $groups = append $groups "0" -}}{{- end -}}
{{- $network := list -}}{{- $hasHostBits := false -}}
{{- range $index, $group := concat $groups $after -}}
{{- $number := printf "0x%s" $group | int64 -}}
{{- $size := include "egress-operator.powerOfTwo" (sub 16 (max 0 (min 16 (sub $bits (mul 16 $index))))) | int64 -}}
{{- $kept := mul (div $number $size) $size -}}
{{- if ne $kept $number -}}{{- $hasHostBits = true -}}{{- end -}}
{{- $network = append $network (printf "%x" $kept) -}}
{{- end -}}
{{- if $hasHostBits -}}
{{- $text := regexReplaceAll "(:0)+$" (join ":" $network) "::" -}}
has host bits; write {{ eq $text "0::" | ternary "::" $text }}/{{ $bits }}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "egress-operator.powerOfTwo" -}}
{{- $power := 1 -}}{{- range until (int .) -}}{{- $power = mul $power 2 -}}{{- end -}}{{- $power -}}
{{- end -}}
