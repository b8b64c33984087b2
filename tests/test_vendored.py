"""Vendored files are those that were published, with their version and licence beside them."""

import tomllib
from hashlib import sha256
from pathlib import Path

import pytest

from tests.support.paths import ROOT

MANIFESTS = sorted(ROOT.glob("vpp_streams/**/vendor/*/vendored.toml")) + sorted(
    ROOT.glob("tests/support/vendor/*/vendored.toml")
)


@pytest.mark.parametrize("manifest", MANIFESTS, ids=lambda path: path.parent.name)
def test_vendored_files_are_unchanged_and_licensed(manifest: Path) -> None:
    about = tomllib.loads(manifest.read_text())
    digests = about["sha256"]
    assert about["version"]
    assert about["licence"]
    assert about["name"] == manifest.parent.name
    assert any(name.startswith("LICENSE") for name in digests)
    files = {p.name for p in manifest.parent.rglob("*") if p.is_file() and p != manifest}
    assert files == set(digests), "each vendored file has a digest, and each digest a file"
    for name, digest in digests.items():
        assert sha256((manifest.parent / name).read_bytes()).hexdigest() == digest, name


def test_what_the_dashboard_and_its_tests_need_is_vendored() -> None:
    assert {"leaflet", "axe-core"} <= {manifest.parent.name for manifest in MANIFESTS}
