"""The authority's directory, and the file of codes."""

import csv
import stat
from pathlib import Path

import pytest

from tests.support.identity_world import NOW_MS, PW_1, PW_2
from vpp_streams.domain.identity.authority import fingerprint
from vpp_streams.domain.identity.codes import digest_of
from vpp_streams.errors import InputError
from vpp_streams.identity.ca_files import (
    create_authority,
    read_authority,
    read_root,
    write_server_files,
)
from vpp_streams.identity.operating import COLUMNS, make_codes, write_codes_file


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_an_authority_is_made_once_and_its_key_is_its_owners(tmp_path: Path) -> None:
    directory = tmp_path / "a" / "ca"
    made = create_authority(directory, "test", NOW_MS)
    assert (mode(directory), mode(directory / "ca.key")) == (0o700, 0o600)
    assert mode(directory / "ca.pem") == 0o644
    before = (directory / "ca.key").read_bytes()
    with pytest.raises(InputError, match="made once"):
        create_authority(directory, "test", NOW_MS)
    (directory / "ca.pem").unlink()
    with pytest.raises(InputError, match=r"ca\.key exists"):
        create_authority(directory, "test", NOW_MS)
    assert (directory / "ca.key").read_bytes() == before
    (directory / "ca.pem").write_bytes(b"x")
    assert fingerprint(made.certificate)


def test_what_cannot_sign_says_why(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="vpp ca init"):
        read_root(tmp_path)
    made = create_authority(tmp_path / "ca", "test", NOW_MS)
    assert read_authority(tmp_path / "ca").certificate == made.certificate
    key = tmp_path / "ca" / "ca.key"
    key.chmod(0o640)
    with pytest.raises(InputError, match="chmod 600"):
        read_authority(tmp_path / "ca")
    key.chmod(0o600)
    create_authority(tmp_path / "other", "test", NOW_MS)
    key.write_bytes((tmp_path / "other" / "ca.key").read_bytes())
    with pytest.raises(InputError, match="is not the key of"):
        read_authority(tmp_path / "ca")
    key.write_bytes(b"no key")
    with pytest.raises(InputError, match="no private key"):
        read_authority(tmp_path / "ca")
    key.unlink()
    assert read_root(tmp_path / "ca") == made.certificate, "a gateway needs no key"
    with pytest.raises(InputError, match="signs only where its key is"):
        read_authority(tmp_path / "ca")


def test_a_servers_files_can_be_made_again(tmp_path: Path) -> None:
    made = create_authority(tmp_path / "ca", "test", NOW_MS)
    contents = set()
    for _ in range(2):
        files = write_server_files(
            made, ["localhost"], tmp_path / "tls", now_ms=NOW_MS, life_ms=1000_000
        )
        assert [mode(file) for file in files] == [0o600, 0o600]
        contents.add(files[0].read_bytes())
    assert len(contents) == 2


def test_the_file_of_codes_is_new_and_private(tmp_path: Path) -> None:
    root = create_authority(tmp_path / "ca", "test", NOW_MS).certificate
    codes, file = make_codes([PW_1, PW_2], 14), tmp_path / "codes.csv"
    write_codes_file(file, codes, root)
    assert mode(file) == 0o600
    rows = list(csv.DictReader(file.read_text().splitlines()))
    assert tuple(rows[0]) == COLUMNS
    assert [(row["site_id"], row["device_id"]) for row in rows] == [
        ("home-1", "pw-1"),
        ("home-2", "pw-2"),
    ]
    assert [digest_of(row["code"]) for row in rows] == [c.record.code_sha256 for c in codes]
    assert {row["ca_sha256"] for row in rows} == {fingerprint(root)}
    with pytest.raises(InputError, match="nowhere else"):
        write_codes_file(file, codes, root)
