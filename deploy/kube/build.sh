#!/usr/bin/env bash
# Kubernetes' own servers, for `make test-kube`: bash deploy/kube/build.sh DIRECTORY
# No package has them, so they are built from their Go modules: about 14 CPU minutes, once. A build
# that is cut off continues from what it compiled.
set -euo pipefail
directory=$(realpath -m "$1")
cd "$(dirname "$0")/control-plane"
version=$(go list -m -f '{{.Version}}' k8s.io/kubernetes)
minor=${version#v1.}
stamp=k8s.io/component-base/version
mkdir -p "$directory/$version"
for name in kube-scheduler kube-controller-manager kube-apiserver; do
    [ -x "$directory/$version/$name" ] && continue
    echo "building $name $version"
    CGO_ENABLED=0 nice -n 19 go build -p 1 -trimpath -o "$directory/$version/$name" \
        -ldflags "-s -w -X $stamp.gitVersion=$version -X $stamp.gitMajor=1 -X $stamp.gitMinor=${minor%%.*}" \
        "k8s.io/kubernetes/cmd/$name"
done
ln -sfn "$version" "$directory/current"
