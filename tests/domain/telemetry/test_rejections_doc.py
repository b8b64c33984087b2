"""Every reason that the code can give is in the docs, and no other."""

import re

from tests.support.paths import ROOT


def test_docs_list_the_reasons_of_the_code() -> None:
    sources = [*(ROOT / "vpp_streams" / "domain").rglob("*.py"), *(ROOT / "tables").glob("*.py")]
    code = "\n".join(source.read_text() for source in sources)
    given = set(re.findall(r'Rejection\(\s*"(\w+)"', code))
    given |= set(re.findall(r'reason="(\w+)"', code))
    documented = re.findall(
        r"^\| (\w+) \| (?:ingest|fleet)", (ROOT / "docs/rejections.md").read_text(), re.M
    )
    assert given == set(documented)
