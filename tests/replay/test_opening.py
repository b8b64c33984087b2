"""What `vpp replay` is given: mistakes are one line, and a CSV's faults are reported first."""

from pathlib import Path

import pytest

from tests.support.paths import DOCS
from vpp_streams.domain.files.csv_home import Report
from vpp_streams.errors import InputError
from vpp_streams.replay.opening import open_source, speed_of
from vpp_streams.replay.sources import Span

MAPPINGS = DOCS / "examples" / "mappings"


def nothing(_name: str, _report: Report) -> None:
    pytest.fail("there is nothing to report")


def test_a_speed_is_a_number_above_zero_or_max() -> None:
    assert speed_of("60") == 60.0
    assert speed_of("max") is None
    for text in ("0", "-1", "inf", "nan", "fast"):
        with pytest.raises(InputError, match="give a number above 0, or max"):
            speed_of(text)


def test_a_csv_needs_a_mapping_and_nothing_else_takes_one(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="needs --mapping"):
        open_source(tmp_path / "home.csv", None, Span(), strict=False, on_report=nothing)
    with pytest.raises(InputError, match="--mapping is for a CSV"):
        open_source(tmp_path, MAPPINGS / "none.yaml", Span(), strict=False, on_report=nothing)


def test_a_bad_row_is_reported_and_refused_only_if_strict(tmp_path: Path) -> None:
    file = tmp_path / "home.csv"
    rows = ["2024-03-05 00:00:00,500,0", "2024-03-05 00:30:00,five hundred,0"]
    file.write_text("\n".join(["time_utc,load_w,pv_w", *rows, "2024-03-05 01:00:00,700,0"]))
    reports: list[tuple[str, Report]] = []

    def note(name: str, report: Report) -> None:
        reports.append((name, report))

    mapping = MAPPINGS / "emhass.yaml"
    source = open_source(file, mapping, Span(), strict=False, on_report=note)
    assert [site.site_id for site in source.sites] == ["emhass-home"]
    with pytest.raises(InputError, match=r"1 bad rows \(--strict\); nothing was replayed"):
        open_source(file, mapping, Span(), strict=True, on_report=note)
    assert [(name, len(report.bad)) for name, report in reports] == [("home.csv", 1)] * 2
