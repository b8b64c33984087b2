"""Generates the Python code of the gRPC contracts, or checks it: ``generate.py [--check]``.

Generated code is package ``vpp`` at the top of the tree. ``baseline.json`` holds the contracts as
committed: whatever would break a client of theirs is refused, in both modes. A contract that has to
break gets a new version (``vpp.fleet.v2``) beside the old one.
"""

import filecmp
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
GENERATED = HERE.parent / "vpp"
BASELINE = HERE / "baseline.json"
BIN = Path(sys.executable).parent
PROTOS = sorted(path.relative_to(HERE) for path in HERE.rglob("*.proto"))
_ABOUT = '"""Generated from proto/ by `make proto`: do not edit."""\n'


def buf(*words: str | Path) -> None:
    """Run buf in the folder of the contracts. Exits with its complaint."""
    if subprocess.run([BIN / "buf", *words], cwd=HERE, check=False).returncode:
        sys.exit(1)


def generate(into: Path) -> None:
    """Generate the code and the baseline below a folder."""
    outputs = [f"--{kind}_out={into}" for kind in ("python", "grpc_python", "mypy", "mypy_grpc")]
    plugins = [
        f"--plugin={name}={BIN / name}" for name in ("protoc-gen-mypy", "protoc-gen-mypy_grpc")
    ]
    command = [sys.executable, "-m", "grpc_tools.protoc", f"-I{HERE}", *plugins, *outputs]
    subprocess.run([*command, *map(str, PROTOS)], check=True, stderr=subprocess.DEVNULL)
    for folder in {parent for path in PROTOS for parent in path.parents[:-1]}:
        (into / folder / "__init__.py").write_text(_ABOUT)
    buf("build", "--exclude-source-info", "-o", into / BASELINE.name)


def different(fresh: Path, kept: Path) -> list[str]:
    """Names of the files that are not the same in both folders."""
    names = {
        path.relative_to(root)
        for root in (fresh, kept)
        for path in root.rglob("*")
        if path.suffix in (".py", ".pyi")
    }
    _, changed, missing = filecmp.cmpfiles(fresh, kept, map(str, names), shallow=False)
    return sorted(changed + missing)


def main() -> None:
    """Lint, refuse what breaks clients, then generate or compare."""
    buf("lint")
    if BASELINE.exists():
        buf("breaking", "--against", BASELINE)
    with tempfile.TemporaryDirectory() as folder:
        fresh = Path(folder)
        generate(fresh)
        same = BASELINE.exists() and BASELINE.read_bytes() == (fresh / BASELINE.name).read_bytes()
        if "--check" in sys.argv[1:]:
            stale = [*different(fresh / "vpp", GENERATED), *([] if same else [BASELINE.name])]
            if stale:
                sys.exit(f"not as generated from proto/: {', '.join(stale)}; run `make proto`")
            return
        for path in sorted(GENERATED.rglob("*.py*"), reverse=True):
            if path.is_file():
                path.unlink()
        for path in fresh.rglob("*"):
            if path.is_file():
                target = (
                    HERE / path.name
                    if path.name == BASELINE.name
                    else HERE.parent / path.relative_to(fresh)
                )
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(path.read_bytes())


main()
