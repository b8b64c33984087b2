#!/usr/bin/env bash
# The chart against a real Kubernetes: `make test-kube`.
#
# etcd, API server, controllers and scheduler run on loopback, with nodes that run nothing. Every
# example is accepted by a strict dry run; one is installed, upgraded pod by pod, survives an upgrade
# that cannot work, is rolled back, and is drained within its disruption budgets. Everything that was
# started is ended, however it goes.
set -euo pipefail
cd "$(dirname "$0")/../.."
python=${PYTHON:-.venv/bin/python}
cache=${VPP_STATE_DIR:-$HOME/.cache/vpp_streams}/kube
chart=deploy/chart/vpp

say() { printf '%5.1f s  %s\n' "$(bc <<<"$(date +%s.%N) - $began")" "$*"; }
die() { echo "make test-kube: $*" >&2; exit 1; }

command -v go >/dev/null || die "install Go first: Kubernetes' servers are built from their modules"
command -v etcd >/dev/null || {
    [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null || die "install etcd first"
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends etcd-server >/dev/null
}
PYTHON=$python bash deploy/kube/tools.sh "$cache/tools"
bash deploy/kube/build.sh "$cache"
export PATH=$cache/tools:$cache/current:$PATH

began=$(date +%s.%N)
work=$(mktemp -d)
started=()
finish() {
    local code=$?
    [ "$code" -eq 0 ] || tail -n 5 "$work"/*.log >&2
    for ((i = ${#started[@]} - 1; i >= 0; i--)); do
        kill "${started[i]}" 2>/dev/null && wait "${started[i]}" 2>/dev/null || true
    done
    rm -rf "$work"
}
trap finish EXIT

run() { # name command...
    local name=$1
    shift
    "$@" >"$work/$name.log" 2>&1 &
    started+=($!)
}

# Five ports that are free now.
read -r etcd_port peer_port api_port controllers_port scheduler_port < <("$python" -c '
import socket
held = [socket.create_server(("127.0.0.1", 0)) for _ in range(5)]
print(*(each.getsockname()[1] for each in held))')

openssl genrsa -out "$work/sa.key" 2048 2>/dev/null
openssl rsa -in "$work/sa.key" -pubout -out "$work/sa.pub" 2>/dev/null
token=$(openssl rand -hex 16)
echo "$token,admin,admin,system:masters" >"$work/tokens.csv"
cat >"$work/kubeconfig" <<END
apiVersion: v1
kind: Config
clusters: [{name: test, cluster: {server: "https://127.0.0.1:$api_port", insecure-skip-tls-verify: true}}]
users: [{name: test, user: {token: $token}}]
contexts: [{name: test, context: {cluster: test, user: test}}]
current-context: test
END
export KUBECONFIG=$work/kubeconfig HELM_CACHE_HOME=$work/helm HELM_CONFIG_HOME=$work/helm HELM_DATA_HOME=$work/helm

run etcd etcd --data-dir "$work/etcd" --unsafe-no-fsync \
    --listen-client-urls "http://127.0.0.1:$etcd_port" --advertise-client-urls "http://127.0.0.1:$etcd_port" \
    --listen-peer-urls "http://127.0.0.1:$peer_port" --initial-cluster "default=http://127.0.0.1:$peer_port" \
    --initial-advertise-peer-urls "http://127.0.0.1:$peer_port"
run apiserver kube-apiserver --etcd-servers "http://127.0.0.1:$etcd_port" \
    --bind-address 127.0.0.1 --secure-port "$api_port" --cert-dir "$work/certificates" \
    --service-account-issuer https://kubernetes.default.svc --service-account-key-file "$work/sa.pub" \
    --service-account-signing-key-file "$work/sa.key" --service-cluster-ip-range 10.0.0.0/24 \
    --token-auth-file "$work/tokens.csv" --authorization-mode RBAC --endpoint-reconciler-type none
for ((left = 240; left > 0; left--)); do
    kubectl get --raw /readyz >/dev/null 2>&1 && break
    sleep 0.5
done
[ "$left" -gt 0 ] || die "the API server is not ready"
run controllers kube-controller-manager --kubeconfig "$KUBECONFIG" --leader-elect=false \
    --service-account-private-key-file "$work/sa.key" --use-service-account-credentials=false \
    --bind-address 127.0.0.1 --secure-port "$controllers_port"
run scheduler kube-scheduler --kubeconfig "$KUBECONFIG" --leader-elect=false \
    --bind-address 127.0.0.1 --secure-port "$scheduler_port"
run nodes "$python" deploy/kube/nodes.py "$KUBECONFIG" 3
say "Kubernetes $(kubectl version -o json | "$python" -c 'import json,sys; print(json.load(sys.stdin)["serverVersion"]["gitVersion"])') is ready"

kubectl apply -f deploy/kube/crds.yaml >/dev/null
kubectl wait --for condition=established --timeout 60s -f deploy/kube/crds.yaml >/dev/null 2>"$work/wait.log"
# What a cluster's storage would provide.
for volume in history:ReadWriteMany:50Gi accounts:ReadWriteOnce:1Gi; do
    IFS=: read -r name mode size <<<"$volume"
    kubectl apply -f - >/dev/null <<END
apiVersion: v1
kind: PersistentVolume
metadata: {name: $name}
spec: {capacity: {storage: $size}, accessModes: [$mode], hostPath: {path: /nowhere}}
END
done
for ((left = 60; left > 0; left--)); do
    kubectl get serviceaccount default >/dev/null 2>&1 && break
    sleep 0.5
done

for values in "$chart"/examples/*.yaml; do
    helm template vpp "$chart" --values "$values" |
        kubectl apply --server-side --dry-run=server --validate=strict -f - >"$work/dry-run"
    say "$(basename "$values"): $(wc -l <"$work/dry-run") objects accepted by a strict dry run"
done

settled() { # every workload has its replicas, of the newest revision
    for workload in $(kubectl get deployments,statefulsets -o name); do
        kubectl rollout status "$workload" --timeout "${1:-120s}" >/dev/null || return 1
    done
}
ready() { # "role count" lines of the pods that are ready
    kubectl get pods -o json | "$python" -c '
import collections, json, sys
found = collections.Counter()
for pod in json.load(sys.stdin)["items"]:
    role = pod["metadata"]["labels"]["app.kubernetes.io/component"]
    conditions = {c["type"]: c["status"] for c in pod["status"].get("conditions", ())}
    found[role] += conditions.get("Ready") == "True" and "deletionTimestamp" not in pod["metadata"]
print("\n".join(f"{role} {count}" for role, count in sorted(found.items())))'
}
watch_least() { # the least number of ready pods of each role, until killed
    while true; do ready >>"$work/seen" 2>/dev/null || true; done
}
least() { sort -k1,1 -k2,2n "$work/seen" | awk '!seen[$1]++ { printf "%s %s  ", $1, $2 }'; }

values=$chart/examples/small.yaml
helm install vpp "$chart" --values "$values" >"$work/notes"
settled || die "the installation did not settle"
ready >"$work/installed"
say "installed: $(tr '\n' ' ' <"$work/installed")"
slots=$(kubectl get pods -l app.kubernetes.io/component=gateway -o jsonpath='{.items[*].metadata.labels.apps\.kubernetes\.io/pod-index}')
[ "$slots" = "0 1" ] || die "gateways have the indexes $slots"

watch_least & watcher=$!
started+=("$watcher")
helm upgrade vpp "$chart" --values "$values" --set image.tag=0.2.0 >/dev/null
settled || die "the upgrade did not settle"
kill "$watcher"
say "upgraded; fewest ready meanwhile: $(least)"
while read -r role count; do
    # A singleton keeps one; others lose one at a time.
    lowest=$(awk -v role="$role" '$1 == role { print $2 }' "$work/seen" | sort -n | head -1)
    [ "$lowest" -ge $((count > 1 ? count - 1 : 0)) ] || die "$role had $lowest of $count ready"
done <"$work/installed"

helm upgrade vpp "$chart" --values "$values" --set image.tag=broken >/dev/null
if settled 5s 2>/dev/null; then die "an image that never becomes ready was rolled out"; fi
ready >"$work/broken"
for role in region optimizer settlement incidents ingest fleet; do
    grep -qx "$role 2" "$work/broken" || die "a broken image took pods of $role away"
done
say "a broken image: every worker and singleton still has its pods"
# Kubernetes waits for a broken pod of a StatefulSet; the way back is documented so.
helm rollback vpp >/dev/null
kubectl delete pods --field-selector status.phase=Running -l 'app.kubernetes.io/component in (gateway, web)' --wait=false >/dev/null
settled || die "the rollback did not settle"
diff <(ready) "$work/installed" || die "not everything is back"
[ "$(kubectl get statefulset vpp-gateway -o jsonpath='{.spec.template.spec.containers[0].image}')" = vpp-streams:0.2.0 ] ||
    die "the rollback did not bring the former image"
say "rolled back"

kubectl drain node-0 --ignore-daemonsets --delete-emptydir-data --timeout 120s >"$work/drained" 2>&1 ||
    die "the drain failed: $(tail -1 "$work/drained")"
settled || die "the drained pods did not come back"
say "drained a node within the budgets: $(grep -c evicted "$work/drained") pods moved"
kubectl uncordon node-0 >/dev/null

helm upgrade vpp "$chart" --values "$values" --set autoscaling.enabled=true >/dev/null
[ "$(kubectl get hpa -o name | wc -l)" -eq 3 ] || die "CPU scaling of gateway, ingest and fleet is missing"
helm upgrade vpp "$chart" --values "$values" --set autoscaling.enabled=true,autoscaling.keda=true >/dev/null
[ "$(kubectl get scaledobjects -o name | wc -l)" -eq 2 ] || die "lag scaling of ingest and fleet is missing"
say "scaling by CPU, then by lag, is accepted"

helm uninstall vpp >/dev/null
kubectl get pvc vpp-history >/dev/null || die "uninstalling took the history away"
say "uninstalled; the history's volume stays"
