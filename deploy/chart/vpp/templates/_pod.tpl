{{/* The pod of a role: include "vpp.pod" (list $ $role $facts) */}}
{{- define "vpp.pod" -}}
{{- $top := index . 0 -}}{{- $role := index . 1 -}}{{- $facts := index . 2 -}}{{- $values := $facts.values -}}
metadata:
  labels:
    {{- include "vpp.roleSelector" (list $top $role) | nindent 4 }}
    {{- if $facts.history }}
    vpp/history: mounted
    {{- end }}
  annotations:
    # Changed settings restart the pods.
    checksum/settings: {{ include (print $top.Template.BasePath "/configmap.yaml") $top | sha256sum }}
    {{- with $top.Values.podAnnotations }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
spec:
  serviceAccountName: {{ $top.Release.Name }}
  automountServiceAccountToken: false
  # A Service named like one of our variables (vpp-web: VPP_WEB_PORT) would change it.
  enableServiceLinks: false
  # A process stops within 20 s: what it accepted is stored first.
  terminationGracePeriodSeconds: 45
  {{- with $top.Values.priorityClassName }}
  priorityClassName: {{ . }}
  {{- end }}
  securityContext:
    runAsNonRoot: true
    runAsUser: 10001
    runAsGroup: 10001
    fsGroup: 10001
    # Always would open private files on a volume to the group, and they would be refused.
    fsGroupChangePolicy: OnRootMismatch
    seccompProfile: {type: RuntimeDefault}
  {{- with $top.Values.image.pullSecrets }}
  imagePullSecrets: {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with merge (dict) ($values.nodeSelector | default dict) $top.Values.nodeSelector }}
  nodeSelector: {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $values.tolerations | default $top.Values.tolerations }}
  tolerations: {{- toYaml . | nindent 4 }}
  {{- end }}
  topologySpreadConstraints:
    {{- range $key := list "topology.kubernetes.io/zone" "kubernetes.io/hostname" }}
    - maxSkew: 1
      topologyKey: {{ $key }}
      whenUnsatisfiable: ScheduleAnyway
      labelSelector:
        matchLabels: {{- include "vpp.roleSelector" (list $top $role) | nindent 10 }}
    {{- end }}
  {{- if and $facts.history (eq $top.Values.history.accessMode "ReadWriteOnce") }}
  affinity:
    podAffinity: # one node can mount the volume
      requiredDuringSchedulingIgnoredDuringExecution:
        - topologyKey: kubernetes.io/hostname
          labelSelector:
            matchLabels:
              {{- include "vpp.selector" $top | nindent 14 }}
              vpp/history: mounted
  {{- end }}
  {{- if eq $role "identity" }}
  initContainers:
    # The key of the authority is accepted only as a private file of its user, which a file of a
    # mounted Secret cannot be.
    - name: authority
      image: {{ include "vpp.image" $top }}
      imagePullPolicy: {{ $top.Values.image.pullPolicy }}
      command: [install, -m, "0600", -t, /var/lib/vpp, /etc/vpp/authority/ca.pem, /etc/vpp/authority/ca.key]
      resources: {requests: {cpu: 10m, memory: 16Mi}, limits: {memory: 64Mi}}
      securityContext: {allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, capabilities: {drop: [ALL]}}
      volumeMounts:
        - {name: state, mountPath: /var/lib/vpp}
        - {name: authority, mountPath: /etc/vpp/authority, readOnly: true}
  {{- end }}
  containers:
    - name: {{ $role }}
      image: {{ include "vpp.image" $top }}
      imagePullPolicy: {{ $top.Values.image.pullPolicy }}
      args:
        {{- toYaml $facts.args | nindent 8 }}
        {{- if $values.args }}
        {{- toYaml $values.args | nindent 8 }}
        {{- else if eq $role "sim" }}
        - --url=ws{{ if $top.Values.secrets.gatewayTls.name }}s{{ end }}://{{ $top.Release.Name }}-gateway:8765
        {{- end }}
      envFrom:
        - configMapRef: {name: {{ $top.Release.Name }}-settings}
      env: {{- include "vpp.env" . | trim | nindent 8 }}
      ports:
        {{- range $name, $port := $facts.ports }}
        - {name: {{ $name }}, containerPort: {{ $port }}}
        {{- end }}
        - {name: status, containerPort: 9100}
      # It may read its topics again from the beginning at the first start.
      startupProbe:
        httpGet: {path: /livez, port: status}
        periodSeconds: 2
        timeoutSeconds: 3
        failureThreshold: 90
      livenessProbe:
        httpGet: {path: /livez, port: status}
        periodSeconds: 10
        timeoutSeconds: 10 # a busy node restarts nothing
        failureThreshold: 3
      readinessProbe:
        httpGet: {path: /readyz, port: status}
        periodSeconds: 5
        timeoutSeconds: 3
        failureThreshold: 2
      {{- if $facts.ports }}
      # Callers take a moment to see that it leaves.
      lifecycle: {preStop: {exec: {command: [sleep, "5"]}}}
      {{- end }}
      resources: {{- toYaml $values.resources | nindent 8 }}
      securityContext:
        allowPrivilegeEscalation: false
        readOnlyRootFilesystem: true
        capabilities: {drop: [ALL]}
      volumeMounts: {{- include "vpp.mounts" . | trim | nindent 8 }}
  volumes: {{- include "vpp.volumes" . | trim | nindent 4 }}
{{- end -}}

{{- define "vpp.env" -}}
{{- $top := index . 0 -}}{{- $role := index . 1 -}}{{- $facts := index . 2 -}}
{{- $secrets := $top.Values.secrets -}}{{- $security := $top.Values.kafka.security }}
{{- if has $role (list "fleet" "flow") }}
# Its own address, which workers publish to each other.
- {name: VPP_HOST, valueFrom: {fieldRef: {fieldPath: status.podIP}}}
{{- else }}
- {name: VPP_HOST, value: 0.0.0.0}
{{- end }}
- {name: VPP_STATUS_HOST, value: 0.0.0.0}
- {name: VPP_STATUS_PORT, value: "9100"}
{{- if eq $role "gateway" }}
- name: SLOT
  valueFrom: {fieldRef: {fieldPath: "metadata.labels['apps.kubernetes.io/pod-index']"}}
- {name: VPP_GATEWAY_PORT, value: "8765"}
{{- if $secrets.gatewayTls.name }}
- {name: VPP_TLS_CERT, value: /etc/vpp/tls/tls.crt}
- {name: VPP_TLS_KEY, value: /etc/vpp/tls/tls.key}
{{- else }}
- {name: VPP_GATEWAY_PLAIN, value: "1"}
{{- end }}
{{- if $secrets.deviceCa.name }}
- {name: VPP_TLS_CLIENT_CA, value: /etc/vpp/device-ca/{{ $secrets.deviceCa.key }}}
{{- end }}
{{- end }}
{{- if has $role (list "fleet" "flow" "web" "rpc") }}
{{- include "vpp.secretEnv" (list "VPP_SERVICE_TOKEN" $secrets.serviceToken) }}
{{- end }}
{{- if has $role (list "fleet" "flow") }}
- {name: VPP_WORKER_PORT, value: "6066"}
{{- end }}
{{- if eq $role "web" }}
- {name: VPP_WEB_PORT, value: "8080"}
{{- include "vpp.secretEnv" (list "VPP_OIDC_CLIENT_SECRET" $secrets.oidcClient) }}
{{- end }}
{{- if eq $role "rpc" }}
- {name: VPP_RPC_PORT, value: "50051"}
{{- if $secrets.rpcTls.name }}
- {name: VPP_RPC_TLS_CERT, value: /etc/vpp/tls/tls.crt}
- {name: VPP_RPC_TLS_KEY, value: /etc/vpp/tls/tls.key}
{{- else }}
- {name: VPP_RPC_PLAIN, value: "1"}
{{- end }}
{{- end }}
{{- if has $role (list "web" "rpc") }}
- {name: VPP_FLEET_URL, value: "http://{{ $top.Release.Name }}-{{ include "vpp.twins" $top }}:6066"}
{{- if $secrets.operators.name }}
- {name: VPP_OPERATORS, value: /etc/vpp/operators/{{ $secrets.operators.key }}}
{{- end }}
{{- end }}
{{- if $facts.ledger }}
{{- include "vpp.secretEnv" (list "VPP_LEDGER" $secrets.ledger) }}
{{- end }}
{{- if and (eq $role "incidents") $secrets.incidents.name }}
- {name: VPP_INCIDENTS, value: /etc/vpp/incidents/{{ $secrets.incidents.key }}}
{{- end }}
{{- if eq $role "identity" }}
- {name: VPP_ENROL_PORT, value: "8767"}
- {name: VPP_CA, value: /var/lib/vpp}
{{- end }}
{{- if eq $role "sim" }}
{{- include "vpp.secretEnv" (list "VPP_SIM_SECRET" $secrets.simulatedDevices) }}
{{- end }}
{{- if ne $security.protocol "PLAINTEXT" }}
- {name: VPP_KAFKA_SECURITY_PROTOCOL, value: {{ $security.protocol }}}
{{- if $security.caSecret.name }}
- {name: VPP_KAFKA_SSL_CA_FILE, value: /etc/vpp/kafka-ca/{{ $security.caSecret.key }}}
{{- end }}
{{- if eq $security.protocol "SSL" }}
- {name: VPP_KAFKA_SSL_CERT_FILE, value: /etc/vpp/kafka-user/user.crt}
- {name: VPP_KAFKA_SSL_KEY_FILE, value: /etc/vpp/kafka-user/user.key}
{{- else if eq $security.mechanism "OAUTHBEARER" }}
- {name: VPP_KAFKA_SASL_MECHANISM, value: OAUTHBEARER}
- {name: VPP_KAFKA_OAUTH_TOKEN_URL, value: {{ $security.tokenUrl | quote }}}
- {name: VPP_KAFKA_OAUTH_CLIENT_ID, value: vpp-{{ $role }}}
- {name: VPP_KAFKA_OAUTH_CLIENT_SECRET_FILE, value: /etc/vpp/kafka-user/client-secret}
{{- else }}
- {name: VPP_KAFKA_SASL_MECHANISM, value: {{ $security.mechanism }}}
- {name: VPP_KAFKA_SASL_USERNAME, value: vpp-{{ $role }}}
- {name: VPP_KAFKA_SASL_PASSWORD_FILE, value: /etc/vpp/kafka-user/password}
{{- end }}
{{- end }}
{{- with $facts.values.env }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* What a role mounts: its volumes' names, paths and sources, once. */}}
{{- define "vpp.files" -}}
{{- $top := index . 0 -}}{{- $role := index . 1 -}}
{{- $secrets := $top.Values.secrets -}}{{- $security := $top.Values.kafka.security -}}
{{- $files := dict -}}
{{- if eq $role "gateway" -}}
{{- $files = dict "tls" $secrets.gatewayTls.name "device-ca" $secrets.deviceCa.name -}}
{{- else if eq $role "web" -}}
{{- $files = dict "operators" $secrets.operators.name -}}
{{- else if eq $role "rpc" -}}
{{- $files = dict "tls" $secrets.rpcTls.name "operators" $secrets.operators.name -}}
{{- else if eq $role "incidents" -}}
{{- $files = dict "incidents" $secrets.incidents.name -}}
{{- else if eq $role "identity" -}}
{{- $files = dict "authority" $secrets.authority.name -}}
{{- end -}}
{{- if ne $security.protocol "PLAINTEXT" -}}
{{- $_ := set $files "kafka-ca" $security.caSecret.name -}}
{{- $_ := set $files "kafka-user" (include "vpp.kafkaSecret" (list $top $role)) -}}
{{- end -}}
{{- toYaml $files -}}
{{- end -}}

{{- define "vpp.mounts" -}}
{{- $facts := index . 2 }}
- {name: tmp, mountPath: /tmp}
- {name: state, mountPath: /var/lib/vpp}
{{- if $facts.history }}
- {name: history, mountPath: /var/lib/vpp/history}
{{- end }}
{{- range $name, $secret := include "vpp.files" . | fromYaml }}
{{- if and $secret (ne $name "authority") }}
- {name: {{ $name }}, mountPath: /etc/vpp/{{ $name }}, readOnly: true}
{{- end }}
{{- end }}
{{- end -}}

{{- define "vpp.volumes" -}}
{{- $top := index . 0 -}}{{- $role := index . 1 -}}{{- $facts := index . 2 }}
- {name: tmp, emptyDir: {sizeLimit: 1Gi}}
{{- if ne $role "web" }}
- {name: state, emptyDir: {sizeLimit: 1Gi}}
{{- end }}
{{- if $facts.history }}
- {name: history, persistentVolumeClaim: {claimName: {{ $top.Values.history.existingClaim | default (print $top.Release.Name "-history") }}}}
{{- end }}
{{- range $name, $secret := include "vpp.files" . | fromYaml }}
{{- if $secret }}
- {name: {{ $name }}, secret: {secretName: {{ $secret }}, defaultMode: 0440}}
{{- end }}
{{- end }}
{{- end -}}
