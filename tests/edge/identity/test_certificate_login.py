"""A home's identity with a real enrolment server and a clock that the test moves."""

import asyncio
import os
import random
import ssl
import stat
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from pathlib import Path

import pytest
import pytest_asyncio

from edge.agent import Agent, Setup
from edge.config import read_config
from edge.drivers.simulated import SimulatedHome
from edge.identity.certificate_login import CertificateLogin
from edge.identity.enrol import EnrolError, enrol, enrolled
from edge.identity.enrolment import make_request
from edge.identity.files import IdentityBusyError, IdentityFiles
from edge.identity.logins import files_of, holder_of
from schemas.protocol import CLOSE_CERTIFICATE_EXPIRED, CLOSE_REVOKED
from tests.support.edge_agent import DEVICE_ID, OPTIONS, agent_at, running
from tests.support.edge_ring import file_ring
from tests.support.enrolment_server import Served, enrolment_server
from tests.support.paths import ROOT
from tests.support.small_gateway import QUICK, SmallGateway, small_gateway
from tests.support.waiting import until
from vpp_streams.domain.moments import DAY_MS
from vpp_streams.identity.enrolment_server import PortCertificate


@pytest_asyncio.fixture
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    async with enrolment_server(tmp_path / "server") as made:
        yield made


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge.identity.certificate_login.LOOK_S", 0.02)
    monkeypatch.setattr("edge.agent.BEAT_MS", 20)


def config_file(folder: Path, url: str) -> Path:
    path = folder / "edge.toml"
    path.write_text(
        f"""
[gateway]
url = "wss://127.0.0.1:1"
device_id = "pw-1"
certificate_file = "device.pem"
key_file = "device.key"
ca_file = "ca.pem"
enrol_url = "{url}"
[home]
backup_reserve = 0.2
[driver]
name = "simulated"
[storage]
path = "ring.db"
"""
    )
    return path


async def enrolled_home(served: Served, folder: Path) -> CertificateLogin:
    """A home that has enrolled; its clock is the world's."""
    config = read_config(config_file(folder, served.url), enrolled=False)
    await asyncio.to_thread(enrolled, config, served.world.code(), served.ca_sha256)
    return CertificateLogin(holder_of(config), random.Random(1), lambda: served.world.now_ms)


@contextmanager
def keeping(login: CertificateLogin) -> Iterator[None]:
    task = asyncio.create_task(login.keep())
    try:
        yield
    finally:
        task.cancel()


async def may_connect(login: CertificateLogin) -> bool:
    try:
        async with asyncio.timeout(0):
            await login.ready()
    except TimeoutError:
        return False
    return True


async def test_a_home_enrols_with_one_command(
    served: Served, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = config_file(tmp_path, served.url)
    code = served.world.code()
    assert await asyncio.to_thread(enrol, path, code, served.ca_sha256) == 0
    assert "pw-1 is enrolled until 20" in capsys.readouterr().out
    files = files_of(read_config(path))
    assert stat.S_IMODE(files.key.stat().st_mode) == 0o600
    files.tls()
    assert files.ca is not None
    assert files.ca.read_text() == served.world.ca_pem
    assert sorted(n for n in os.listdir(tmp_path) if "." in n) == [
        "ca.pem", "device.key", "device.key.lock", "device.pem", "edge.toml"
    ]  # fmt: skip
    assert await asyncio.to_thread(enrol, path, "WRONG", served.ca_sha256) == 1
    line = capsys.readouterr().err
    assert line.startswith("vpp edge: refused: ")
    assert line.count("\n") == 1
    files.tls()


async def test_refusals_are_a_line_and_a_lost_answer_is_fetched_again(
    served: Served, tmp_path: Path
) -> None:
    config = read_config(config_file(tmp_path, served.url), enrolled=False)
    code = served.world.code()
    with pytest.raises(EnrolError, match="fingerprint"):
        await asyncio.to_thread(enrolled, config, code, "00" * 32)
    away = read_config(config_file(tmp_path, "https://127.0.0.1:1"), enrolled=False)
    with pytest.raises(EnrolError, match="the code is not lost: run the same command again"):
        await asyncio.to_thread(enrolled, away, code, served.ca_sha256)
    none = read_config(config_file(tmp_path, ""), enrolled=False)
    with pytest.raises(EnrolError, match="enrol_url is missing"):
        await asyncio.to_thread(enrolled, none, code, served.ca_sha256)
    # The answer to this one is lost with the home's power: only the pending key remains.
    await asyncio.to_thread(enrolled, config, code, served.ca_sha256)
    files = files_of(config)
    files.key.rename(files.key.with_name("device.key.new"))
    files.certificate.unlink()
    await asyncio.to_thread(enrolled, config, code, served.ca_sha256)
    files.tls()


async def test_a_power_cut_between_certificate_and_key_leaves_a_pair(
    served: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    login = await enrolled_home(served, tmp_path)
    before = login.ends_ms
    with monkeypatch.context() as patched:
        patched.setattr(IdentityFiles, "complete", lambda self: None)
        config = read_config(tmp_path / "edge.toml")
        await asyncio.to_thread(enrolled, config, served.world.code(), served.ca_sha256)
    served.world.now_ms += 1
    assert (tmp_path / "device.key.new").exists()
    again = CertificateLogin(holder_of(config), random.Random(1), lambda: served.world.now_ms)
    assert again.ends_ms >= before
    assert not (tmp_path / "device.key.new").exists()


async def test_it_is_renewed_while_it_runs(served: Served, tmp_path: Path) -> None:
    login = await enrolled_home(served, tmp_path)
    first = await login.ready()
    ends_ms = login.ends_ms
    with keeping(login):
        served.world.now_ms += 70 * DAY_MS
        await until(lambda: login.ends_ms != ends_ms)
        assert (await login.ready()).tls is not first.tls, "the next connection shows the new one"
    assert login.ends_ms == ends_ms + 70 * DAY_MS
    assert login.trouble == ""
    assert [record.how for record in served.world.issued] == ["code", "renewal"]


async def test_the_old_certificate_ends_the_connection_and_the_new_one_is_shown(
    served: Served, tmp_path: Path
) -> None:
    login = await enrolled_home(served, tmp_path)
    await login.ready()
    ends_ms = login.ends_ms
    with keeping(login):
        served.world.now_ms += 70 * DAY_MS
        await until(lambda: login.ends_ms != ends_ms)
    served.world.now_ms += 20 * DAY_MS
    login.closed(CLOSE_CERTIFICATE_EXPIRED)
    assert await may_connect(login)


async def test_4005_is_renewed_before_the_next_connection(served: Served, tmp_path: Path) -> None:
    """This home's clock is behind: it does not know that its certificate is old."""
    login = await enrolled_home(served, tmp_path)
    await login.ready()
    with keeping(login):
        login.closed(CLOSE_CERTIFICATE_EXPIRED)
        assert not await may_connect(login)
        await login.ready()
    assert [record.how for record in served.world.issued] == ["code", "renewal"]


async def test_one_that_ended_says_the_way_back_and_takes_up_the_new_files(
    served: Served, tmp_path: Path
) -> None:
    login = await enrolled_home(served, tmp_path)
    await login.ready()
    served.world.now_ms += 91 * DAY_MS
    with keeping(login):
        login.closed(CLOSE_CERTIFICATE_EXPIRED)
        await until(lambda: login.trouble.startswith("the certificate has ended: "))
        assert "vpp ca code pw-1" in login.trouble
        tried = served.world.counters["renew_refused:expired_certificate"]
        assert tried == 1
        assert not await may_connect(login)
        config = read_config(tmp_path / "edge.toml")
        await asyncio.to_thread(enrolled, config, served.world.code(), served.ca_sha256)
        await login.ready()
    assert login.trouble == ""
    assert served.world.counters["renew_refused:expired_certificate"] == tried, "no busy loop"


async def test_one_that_cannot_renew_by_itself_says_so(served: Served, tmp_path: Path) -> None:
    await enrolled_home(served, tmp_path)
    config = read_config(config_file(tmp_path, ""))
    login = CertificateLogin(holder_of(config), random.Random(1), lambda: served.world.now_ms)
    await login.ready()
    with keeping(login):
        served.world.now_ms += 70 * DAY_MS
        await until(lambda: login.trouble != "")
        assert "[gateway] has no enrol_url" in login.trouble
        assert await may_connect(login), "it holds for another month"


def tls_gateway(served: Served) -> AbstractAsyncContextManager[SmallGateway]:
    """A gateway that takes certificates of the world's authority, and nothing else."""
    tls = PortCertificate(served.world.authority, ["127.0.0.1"]).context
    tls.load_verify_locations(cadata=served.world.ca_pem)
    tls.verify_mode = ssl.CERT_REQUIRED
    return small_gateway(tls)


def agent_of(gateway: SmallGateway, login: CertificateLogin, folder: Path) -> Agent:
    setup = Setup(
        url=gateway.url, device_id="pw-1", login=login, backup_reserve=0.2, patience=QUICK
    )
    return Agent(setup, SimulatedHome(OPTIONS), file_ring(folder / "ring.db"), random.Random(1))


def serial_shown(gateway: SmallGateway) -> str:
    shown = gateway.sockets["pw-1"].transport.get_extra_info("peercert")
    return str(shown["serialNumber"])


async def test_an_agent_shows_its_new_certificate_after_the_old_one_ended(
    served: Served, tmp_path: Path
) -> None:
    login = await enrolled_home(served, tmp_path)
    async with tls_gateway(served) as gateway, running(agent_of(gateway, login, tmp_path)):
        await gateway.until(lambda: len(gateway.live) > 1)
        first = serial_shown(gateway)
        await gateway.sockets["pw-1"].close(CLOSE_CERTIFICATE_EXPIRED)
        await gateway.until(lambda: len(gateway.hellos) == 2)
        assert serial_shown(gateway) != first
    assert [record.how for record in served.world.issued] == ["code", "renewal"]


async def test_a_revoked_home_goes_on_without_connecting_until_it_is_enrolled_again(
    served: Served, tmp_path: Path
) -> None:
    login = await enrolled_home(served, tmp_path)
    async with (
        tls_gateway(served) as gateway,
        running(agent_of(gateway, login, tmp_path)) as agent,
    ):
        await gateway.until(lambda: len(gateway.live) > 1)
        first = serial_shown(gateway)
        served.world.revoke("pw-1")
        await gateway.sockets["pw-1"].close(CLOSE_REVOKED)
        await until(lambda: login.trouble.startswith("the operator has revoked this device"))
        made = agent.counters["made"]
        await until(lambda: agent.counters["made"] > made + 20)
        assert len(agent.ring) > 10, "it measures, and keeps its readings"
        assert len(gateway.hellos) == 1
        served.world.now_ms += 2000
        config = read_config(tmp_path / "edge.toml")
        await asyncio.to_thread(enrolled, config, served.world.code(), served.ca_sha256)
        await gateway.until(lambda: len(gateway.hellos) == 2)
        assert serial_shown(gateway) != first
        await until(lambda: agent.counters["acked"] > made)
        assert login.trouble == ""


async def test_a_revoked_home_that_is_started_again_tries_once(
    served: Served, tmp_path: Path
) -> None:
    login = await enrolled_home(served, tmp_path)
    async with tls_gateway(served) as gateway:
        gateway.revoked = True
        served.world.revoke("pw-1")
        async with running(agent_of(gateway, login, tmp_path)) as agent:
            await until(lambda: login.trouble.startswith("the operator has revoked this device"))
            assert "vpp ca code pw-1" in login.trouble
            made = agent.counters["made"]
            await until(lambda: agent.counters["made"] > made + 20)
            assert len(gateway.requests) == 1
            gateway.revoked = False
            served.world.now_ms += 2000
            config = read_config(tmp_path / "edge.toml")
            await asyncio.to_thread(enrolled, config, served.world.code(), served.ca_sha256)
            await gateway.until(lambda: len(gateway.hellos) == 1)
            await until(lambda: login.trouble == "")


async def test_a_renewal_that_is_refused_as_revoked_ends_the_attempts(
    served: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: Counter[str] = Counter()
    stamp = IdentityFiles.stamp

    def counted(files: IdentityFiles) -> tuple[int, ...]:
        looks["looked"] += 1
        return stamp(files)

    monkeypatch.setattr(IdentityFiles, "stamp", counted)
    login = await enrolled_home(served, tmp_path)
    await login.ready()
    served.world.revoke("pw-1")
    with keeping(login):
        served.world.now_ms += 70 * DAY_MS
        await until(lambda: login.trouble.startswith("the operator has revoked this device"))
        assert not await may_connect(login)
        served.world.now_ms += 10 * DAY_MS
        looked = looks["looked"]
        await until(lambda: looks["looked"] > looked + 5)
        assert served.world.counters["renew_refused:revoked"] == 1
        config = read_config(tmp_path / "edge.toml")
        await asyncio.to_thread(enrolled, config, served.world.code(), served.ca_sha256)
        await login.ready()
    assert login.trouble == ""


async def test_two_that_enrol_at_once_do_not_mix_their_files(
    served: Served, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    login = await enrolled_home(served, tmp_path)
    config = read_config(tmp_path / "edge.toml")
    files = files_of(config)
    before = (files.certificate.read_text(), files.key.read_text())
    with keeping(login), files.locked():
        code = served.world.code()
        with pytest.raises(EnrolError, match="another process is enrolling or renewing with"):
            await asyncio.to_thread(enrolled, config, code, served.ca_sha256)
        path = tmp_path / "edge.toml"
        assert await asyncio.to_thread(enrol, path, code, served.ca_sha256) == 1
        assert capsys.readouterr().err.count("\n") == 1
        served.world.now_ms += 70 * DAY_MS
        await until(lambda: "another process is enrolling" in login.trouble)
        assert (files.certificate.read_text(), files.key.read_text()) == before
        assert files.pending_key() is None
        assert await may_connect(login)
    await asyncio.to_thread(enrolled, config, served.world.code(), served.ca_sha256)
    files.tls()


def test_a_lock_ends_with_its_process(tmp_path: Path) -> None:
    files = IdentityFiles(tmp_path / "a.pem", tmp_path / "a.key", None)
    held = (
        "import sys, time; from pathlib import Path; from edge.identity.files import IdentityFiles;"
        "f = IdentityFiles(Path('a.pem'), Path('a.key'), None); lock = f.locked();"
        "lock.__enter__(); print('held', flush=True); time.sleep(600)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", held],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        with pytest.raises(IdentityBusyError), files.locked():
            pass
        process.kill()
        process.wait(60)
    with files.locked():
        pass


async def test_a_revoked_token_is_shown_no_more(tmp_path: Path) -> None:
    async with small_gateway() as gateway, running(agent_at(gateway, tmp_path)) as agent:
        await gateway.until(lambda: len(gateway.live) > 1)
        await gateway.sockets[DEVICE_ID].close(CLOSE_REVOKED)
        await until(lambda: "has revoked this device" in agent.setup.login.trouble)
        made = agent.counters["made"]
        await until(lambda: agent.counters["made"] > made + 20)
        assert len(gateway.hellos) == 1


def test_a_key_that_is_given_is_used_again() -> None:
    first = make_request("pw-1")
    assert make_request("pw-1", first.key_pem).key_pem == first.key_pem
    with pytest.raises(ValueError, match="PEM"):
        make_request("pw-1", "no key")
