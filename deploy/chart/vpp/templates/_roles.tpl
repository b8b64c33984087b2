{{/*
What each role is, whatever the values say: its command (`args`), its `kind`, the `ports` that others
use, who calls them (`callers`: roles, or `anyone`), whether it writes what is kept on a volume, and
what it needs beside Kafka. `most`: more replicas would have no work (partitions, slots) or share a
file that only one process may have. `layout`: it runs with this value of `layout` only.
*/}}
{{- define "vpp.roles" -}}
gateway:
  args: [gateway, --slot, "$(SLOT)"]
  kind: StatefulSet # the slot of a gateway is its pod's index
  ports: {devices: 8765}
  callers: [anyone]
  scales: cpu
  most: 8
flow:
  args: [worker, flow]
  kind: Deployment
  layout: flow
  ports: {pages: 6066}
  callers: [web, flow, rpc]
  scales: lag
  most: 8
ingest:
  args: [worker, ingest]
  kind: Deployment
  layout: split
  scales: lag
  most: 8
fleet:
  args: [worker, fleet]
  kind: Deployment
  layout: split
  ports: {pages: 6066}
  callers: [web, fleet, rpc]
  scales: lag
  most: 8
region:
  args: [worker, region]
  kind: Deployment
optimizer:
  args: [worker, optimizer]
  kind: Deployment
market:
  args: [market]
  kind: Deployment
settlement:
  args: [settlement, run]
  kind: Deployment
  ledger: true
historian:
  args: [worker, historian]
  kind: Deployment
  history: true
  most: 8
incidents:
  args: [incidents, run]
  kind: Deployment
  outside: true # notifies people
identity:
  args: [ca, serve]
  kind: Deployment
  ports: {enrol: 8767}
  callers: [anyone]
web:
  args: [web]
  kind: StatefulSet # the file of accounts stays with its pod
  ports: {http: 8080}
  callers: [anyone]
  ledger: true
  history: true
  outside: true # an OpenID provider
  most: 1
rpc:
  args: [rpc]
  kind: Deployment
  ports: {grpc: 50051}
  callers: [anyone]
sim:
  args: [sim, --import-assets, --health]
  kind: Deployment
  most: 1
{{- end -}}

{{/* The role that reads what devices send, and the one that serves twins. */}}
{{- define "vpp.reader" -}}
{{- if eq .Values.layout "flow" }}flow{{ else }}ingest{{ end -}}
{{- end -}}
{{- define "vpp.twins" -}}
{{- if eq .Values.layout "flow" }}flow{{ else }}fleet{{ end -}}
{{- end -}}

{{/* The roles that run here: what they are, with their values under `values`. */}}
{{- define "vpp.enabled" -}}
{{- $enabled := dict -}}
{{- range $role, $facts := include "vpp.roles" . | fromYaml -}}
{{- $values := get $.Values.roles $role -}}
{{- if and $values.enabled (eq $.Values.layout ($facts.layout | default $.Values.layout)) -}}
{{- $_ := set $enabled $role (merge (dict "values" $values) $facts) -}}
{{- end -}}
{{- end -}}
{{- toYaml $enabled -}}
{{- end -}}
