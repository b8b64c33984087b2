"""``vpp ca`` without a broker: the authority's files, and mistakes in one line."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from vpp_streams.cli import build_app
from vpp_streams.domain.identity.authority import fingerprint
from vpp_streams.errors import BrokerError, InputError, VppError
from vpp_streams.identity.ca_files import read_root


@pytest.fixture
def ca(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("VPP_CA", str(tmp_path / "ca"))
    monkeypatch.setenv("VPP_KAFKA", "127.0.0.1:1")
    return tmp_path / "ca"


def run(*words: str | Path) -> str:
    result = CliRunner().invoke(build_app(), [*map(str, words)])
    if isinstance(result.exception, VppError):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.output


def test_an_authority_is_made_once_and_tells_its_fingerprint(ca: Path) -> None:
    output = run("ca", "init")
    assert fingerprint(read_root(ca)) in output
    with pytest.raises(InputError, match="made once"):
        run("ca", "init")


def test_a_gateways_files_are_made_with_the_authority(ca: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="vpp ca init"):
        run("ca", "server", "localhost", "--out", tmp_path / "tls")
    run("ca", "init")
    assert "397 days" in run("ca", "server", "localhost", "10.0.0.1", "--out", tmp_path / "tls")
    assert {file.name for file in (tmp_path / "tls").iterdir()} == {"server.pem", "server.key"}


def test_without_an_authority_nothing_else_is_begun(ca: Path, tmp_path: Path) -> None:
    sites = tmp_path / "sites.csv"
    sites.write_text("site_id,region,device_id,kind,rated_solar_w\nh,north,s,solar,5000\n")
    for words in (
        ("ca", "code", "pw-1"),
        ("ca", "serve", "--port", "0"),
        ("assets", "import", sites, "--yes", "--enrol-out", tmp_path / "codes.csv"),
    ):
        with pytest.raises(InputError, match="vpp ca init"):
            run(*words)
    assert not (tmp_path / "codes.csv").exists()


def test_codes_are_not_written_over(ca: Path, tmp_path: Path) -> None:
    run("ca", "init")
    codes = tmp_path / "codes.csv"
    codes.write_text("the only copy")
    with pytest.raises(InputError, match="nowhere else"):
        run("assets", "import", "docs/examples/assets.yaml", "--yes", "--enrol-out", codes)
    assert codes.read_text() == "the only copy"


def test_a_server_that_others_can_reach_needs_its_name(
    ca: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VPP_HOST", "0.0.0.0")
    run("ca", "init")
    with pytest.raises(InputError, match=r"--name enrol\.example\.org"):
        run("ca", "serve")
    with pytest.raises(BrokerError):  # it goes on from there
        run("ca", "serve", "--name", "enrol.example.org")


def test_a_request_that_is_no_file_is_one_line(ca: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no\.csr"):
        run("ca", "issue", "pw-1", tmp_path / "no.csr")
