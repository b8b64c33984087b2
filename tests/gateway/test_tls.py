"""Certificates: required, revoked, and taken up when the files change. No sockets."""

import os
import ssl
from pathlib import Path

import pytest

from tests.support.certificates import make_certificate, revoke
from vpp_streams.clock import now_ms
from vpp_streams.domain.moments import DAY_MS
from vpp_streams.errors import SettingsError
from vpp_streams.gateway.tls import ReloadingContext, tls_context
from vpp_streams.identity.ca_files import create_authority, write_server_files
from vpp_streams.settings import Settings

NOW_MS = now_ms()


class Handshake:
    """A client's and a server's end of TLS, joined in memory."""

    def __init__(self, server: ssl.SSLContext, client: ssl.SSLContext) -> None:
        self._to_server, self._to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.client = client.wrap_bio(self._to_client, self._to_server, server_hostname="127.0.0.1")
        self.server = server.wrap_bio(self._to_server, self._to_client, server_side=True)

    def run(self) -> None:
        """Raises `ssl.SSLError` where either end refuses the other."""
        done = set()
        for end in (self.client, self.server) * 5:
            try:
                end.do_handshake()
                done.add(end)
            except ssl.SSLWantReadError:
                pass
        assert done == {self.client, self.server}


def names_shown(server: ssl.SSLContext, directory: Path, own: str | None, ca: str = "ca") -> str:
    """The name of the server's certificate that a client sees; "" where one refused the other."""
    client = ssl.create_default_context(cafile=directory / f"{ca}.pem")
    if own:
        client.load_cert_chain(directory / f"{own}.pem")
    handshake = Handshake(server, client)
    try:
        handshake.run()
    except ssl.SSLError:
        return ""
    certificate = handshake.client.getpeercert()
    assert certificate is not None
    return dict(pair for rdn in certificate["subject"] for pair in rdn)["commonName"]  # type: ignore[misc]


@pytest.fixture
def files(tmp_path: Path) -> Path:
    ca = make_certificate("ca", None, tmp_path)
    for name in ("gateway", "pw-1", "pw-2"):
        make_certificate(name, ca, tmp_path)
    return tmp_path


def context(files: Path, **changes: object) -> ReloadingContext:
    made = tls_context(
        Settings(
            tls_cert=files / "gateway.pem",
            **{"tls_client_ca": files / "ca.pem", **changes},  # type: ignore[arg-type]  # the tests name settings
        )
    )
    assert made is not None
    return made


def moved_over(directory: Path, new: str, old: str) -> None:
    """As a tool that renews certificates does it."""
    os.replace(directory / f"{new}.pem", directory / f"{old}.pem")


def test_a_certificate_may_be_shown_or_must_be(files: Path) -> None:
    for client, without in (("optional", "gateway"), ("required", "")):
        server = context(files, tls_client=client)
        assert names_shown(server, files, "pw-1") == "gateway"
        assert names_shown(server, files, None) == without


def test_none_is_requested_where_certificates_are_off(files: Path) -> None:
    server = context(files, tls_client="off")
    client = ssl.create_default_context(cafile=files / "ca.pem")
    client.load_cert_chain(files / "pw-1.pem")
    handshake = Handshake(server, client)
    handshake.run()
    assert handshake.server.getpeercert() is None


def test_a_servers_certificate_of_the_same_authority_opens_no_door(files: Path) -> None:
    """Ours names its uses; a gateway's own key must not speak for a device of that name."""
    authority = create_authority(files / "ours", "test", NOW_MS)
    write_server_files(authority, ["pw-1"], files / "ours", now_ms=NOW_MS, life_ms=DAY_MS)
    server = context(files, tls_client_ca=files / "ours" / "ca.pem", tls_client="required")
    client = ssl.create_default_context(cafile=files / "ca.pem")
    client.load_cert_chain(files / "ours" / "server.pem", files / "ours" / "server.key")
    with pytest.raises(ssl.SSLError, match="unsuitable certificate purpose"):
        Handshake(server, client).run()


def test_a_renewed_certificate_is_taken_up(files: Path) -> None:
    server = context(files)
    other_ca = make_certificate("new-ca", None, files)
    make_certificate("renewed", other_ca, files)
    assert not server.reload()
    moved_over(files, "renewed", "gateway")
    assert names_shown(server, files, None) == "gateway", "not before it was looked at"
    assert server.reload()
    assert names_shown(server, files, None, ca="new-ca") == "renewed"
    assert not server.reload()


def test_another_ca_replaces_the_one_before(files: Path) -> None:
    server = context(files, tls_client="required")
    new_ca = make_certificate("new-ca", None, files)
    make_certificate("pw-9", new_ca, files)
    (files / "old-ca.pem").write_bytes((files / "ca.pem").read_bytes())
    moved_over(files, "new-ca", "ca")
    assert server.reload()
    assert names_shown(server, files, "pw-9", ca="old-ca") == "gateway"
    assert names_shown(server, files, "pw-1", ca="old-ca") == ""


def test_revoked_certificates_are_refused_from_then_on(tmp_path: Path) -> None:
    ca = make_certificate("ca", None, tmp_path)
    make_certificate("gateway", ca, tmp_path)
    make_certificate("pw-1", ca, tmp_path)
    lost, _ = make_certificate("pw-2", ca, tmp_path)
    crl = tmp_path / "crl.pem"
    revoke(crl, ca)
    server = context(tmp_path, tls_client_crl=crl)
    assert names_shown(server, tmp_path, "pw-2") == "gateway"
    assert server.revoked == frozenset()
    revoke(crl, ca, lost)
    assert server.reload()
    assert server.revoked == {lost.serial_number}, "open connections are compared with these"
    assert names_shown(server, tmp_path, "pw-2") == ""
    assert names_shown(server, tmp_path, "pw-1") == "gateway"
    assert names_shown(server, tmp_path, None) == "gateway"


@pytest.mark.parametrize("broken", [None, b"", b"no certificate"])
def test_files_that_cannot_be_used_leave_the_old_ones_in_use(
    files: Path, broken: bytes | None
) -> None:
    server = context(files)
    good = (files / "gateway.pem").read_bytes()
    if broken is None:
        (files / "gateway.pem").unlink()
    else:
        (files / "gateway.pem").write_bytes(broken)
    assert not server.reload()
    assert names_shown(server, files, "pw-1") == "gateway"
    make_certificate("again", make_certificate("ca-2", None, files), files)
    moved_over(files, "again", "gateway")
    assert good
    assert server.reload(), "a later change is taken up"


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"tls_client": "required"}, "VPP_TLS_CLIENT=required"),
        ({"tls_client_crl": "crl.pem"}, "VPP_TLS_CLIENT_CRL"),
        ({"tls_client_ca": "ca.pem"}, "need VPP_TLS_CERT"),
    ],
)
def test_settings_that_need_others_say_so(changes: dict[str, object], named: str) -> None:
    with pytest.raises(SettingsError, match=named):
        tls_context(Settings(**changes))  # type: ignore[arg-type]  # the tests name settings


def test_a_list_that_revokes_nothing_because_it_is_none_is_refused(files: Path) -> None:
    with pytest.raises(SettingsError, match="no CRL in there"):
        context(files, tls_client_crl=files / "ca.pem")
