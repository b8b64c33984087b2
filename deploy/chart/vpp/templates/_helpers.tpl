{{- define "vpp.labels" -}}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{ include "vpp.selector" . }}
{{- end -}}

{{/* Selects every pod of this release. */}}
{{- define "vpp.selector" -}}
app.kubernetes.io/name: vpp
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{/* Selects the pods of a role: include "vpp.roleSelector" (list $ "fleet") */}}
{{- define "vpp.roleSelector" -}}
{{ include "vpp.selector" (index . 0) }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end -}}

{{- define "vpp.image" -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end -}}

{{/* A name in Kafka: with the namespace as its prefix, if there is one. */}}
{{- define "vpp.kafkaName" -}}
{{- $namespace := (index . 0).Values.kafka.namespace -}}
{{- if $namespace }}{{ $namespace }}.{{ end }}{{ index . 1 }}
{{- end -}}

{{/* The Secret with a role's Kafka credentials: `{role}` in its name is the role. */}}
{{- define "vpp.kafkaSecret" -}}
{{- (index . 0).Values.kafka.security.userSecret | replace "{role}" (index . 1) -}}
{{- end -}}

{{/* Replicas that a role may have at most. */}}
{{- define "vpp.maxReplicas" -}}
{{- $most := .values.maxReplicas | default .values.replicas -}}
{{- max $most .values.replicas -}}
{{- end -}}

{{/* "lag", "cpu", or "" for a role that stays as it is: include "vpp.scaler" (list $ $facts) */}}
{{- define "vpp.scaler" -}}
{{- $top := index . 0 -}}{{- $facts := index . 1 -}}
{{- if and $top.Values.autoscaling.enabled $facts.scales (gt (int (include "vpp.maxReplicas" $facts)) (int $facts.values.replicas)) -}}
{{- if and (eq $facts.scales "lag") $top.Values.autoscaling.keda -}}lag{{- else -}}cpu{{- end -}}
{{- end -}}
{{- end -}}

{{/* An environment variable from a Secret, if values name one. */}}
{{- define "vpp.secretEnv" -}}
{{- $name := index . 0 -}}{{- $ref := index . 1 -}}
{{- if $ref.name }}
- name: {{ $name }}
  valueFrom: {secretKeyRef: {name: {{ $ref.name }}, key: {{ $ref.key }}}}
{{- end }}
{{- end -}}

{{/* What cannot work is refused here, in one line, before anything is applied. */}}
{{- define "vpp.check" -}}
{{- $roles := include "vpp.enabled" . | fromYaml -}}
{{- $secrets := .Values.secrets -}}
{{- range $role, $facts := $roles -}}
{{- $wanted := int (include "vpp.maxReplicas" $facts) -}}
{{- if and $facts.most (gt $wanted (int $facts.most)) -}}
{{- fail (printf "roles.%s: %d replicas, and more than %d would have no work; lower replicas and maxReplicas" $role $wanted (int $facts.most)) -}}
{{- end -}}
{{- end -}}
{{- if and $roles.settlement (not $secrets.ledger.name) -}}
{{- fail "secrets.ledger.name: name the Secret with the ledger's URL (VPP_LEDGER), or set roles.settlement.enabled=false" -}}
{{- end -}}
{{- if and $roles.gateway (not $secrets.gatewayTls.name) (not .Values.gateway.plain) -}}
{{- fail "secrets.gatewayTls.name: name the Secret with the gateways' certificate, or set gateway.plain=true where something in front of them speaks TLS" -}}
{{- end -}}
{{- if and $roles.rpc (not $secrets.rpcTls.name) (not .Values.rpc.plain) -}}
{{- fail "secrets.rpcTls.name: name the Secret with the certificate of the gRPC services, or set rpc.plain=true where something in front of them speaks TLS" -}}
{{- end -}}
{{- if and $roles.rpc (not $secrets.operators.name) -}}
{{- fail "secrets.operators.name: name the Secret with the tokens of programs (vpp operators token): gRPC pods have no accounts" -}}
{{- end -}}
{{- if and $roles.web (or $roles.fleet $roles.flow) (not $secrets.serviceToken.name) -}}
{{- fail (printf "secrets.serviceToken.name: name the Secret with the token that web and %s share (VPP_SERVICE_TOKEN)" (include "vpp.twins" .)) -}}
{{- end -}}
{{- if and $roles.identity (not $secrets.authority.name) -}}
{{- fail "secrets.authority.name: name the Secret with ca.pem and ca.key of `vpp ca init`" -}}
{{- end -}}
{{- if and $roles.sim (not $secrets.simulatedDevices.name) -}}
{{- fail "secrets.simulatedDevices.name: name the Secret from which the simulated devices' tokens are derived (VPP_SIM_SECRET)" -}}
{{- end -}}
{{- if and (ne .Values.kafka.security.protocol "PLAINTEXT") (not .Values.kafka.security.userSecret) -}}
{{- fail "kafka.security.userSecret: name the Secrets with each role's credentials, for example vpp-{role}" -}}
{{- end -}}
{{- end -}}
