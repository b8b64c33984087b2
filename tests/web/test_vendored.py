"""What others wrote and we serve: its version, licence and digests."""

import re
from hashlib import sha256

from vpp_streams.web.api import STATIC


def test_what_is_vendored_is_what_its_page_says() -> None:
    folder = STATIC / "vendor" / "uplot"
    listed = re.findall(r"^([0-9a-f]{64})  (\S+)$", (folder / "README.md").read_text(), re.M)
    assert {name for _, name in listed} == {p.name for p in folder.iterdir()} - {"README.md"}
    for digest, name in listed:
        assert sha256((folder / name).read_bytes()).hexdigest() == digest, name
    assert (folder / "LICENSE").read_text(encoding="utf-8").startswith("The MIT License")
    assert "(v1.6.32)" in (folder / "uPlot.esm.js").read_text(encoding="utf-8")[:400]
