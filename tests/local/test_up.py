"""``vpp up``: the supervisor, the judgement, and what it starts."""

import asyncio
import io
import os
import re
import signal
import socket
import subprocess
import sys
from collections import Counter
from pathlib import Path

import msgspec
import pytest
from rich.console import Console
from typer.testing import CliRunner

from edge.config import read_config
from schemas.assets import Device, Site
from tests.support.paths import ROOT
from tests.support.waiting import wait_until
from vpp_streams.cli import build_app
from vpp_streams.cli.screens.up import status_screen
from vpp_streams.domain.registry.demo_tokens import token_hash
from vpp_streams.domain.registry.registry import Registry
from vpp_streams.errors import InputError
from vpp_streams.kafka.clients import KafkaClients
from vpp_streams.kafka.follower import assets_into
from vpp_streams.local import demo, edge_homes
from vpp_streams.local.loop_check import Expected, RegionNow, Summary, is_warm, judge
from vpp_streams.local.supervisor import LONGEST_PAUSE_S, Spec, Supervisor, dies_with_us, next_pause
from vpp_streams.process.connection import onlooker
from vpp_streams.process.private_files import locked
from vpp_streams.settings import Settings

EXPECTED = Expected(devices=10, regions=frozenset({"north", "south"}), seconds=60)
FIRST = Summary(devices_connected=10, readings_in=100, canonical=90, rejected=1, windows_closed=4)
COVERED = (
    RegionNow("north", 1.0, 0.5, 1200.0, 300.0, 800.0),
    RegionNow("south", 1.0, age_p99_ms=900.0),
)
LAST = Summary(
    devices_connected=10,
    readings_in=700,
    canonical=690,
    rejected=1,
    windows_closed=14,
    regions=COVERED,
)
AGES = Counter({200: 500, 700: 100})


def changed(**fields: object) -> Summary:
    return msgspec.structs.replace(LAST, **fields)


def test_a_good_run_is_healthy() -> None:
    report = judge(FIRST, LAST, ages=AGES, expected=EXPECTED, restarts={"web": 0})
    assert report.healthy
    assert report.reasons == ()
    assert (report.readings_in, report.canonical, report.windows_closed) == (600, 600, 10)
    assert (report.age_p50_ms, report.age_p99_ms) == (200.0, 700.0)
    assert report.coverage == {"north": 1.0, "south": 1.0}


@pytest.mark.parametrize(
    ("last", "ages", "restarts", "reason"),
    [
        (changed(devices_connected=9), AGES, {}, "9 of 10 devices"),
        (changed(regions=COVERED[:1]), AGES, {}, "nothing is known of region south"),
        (changed(regions=(COVERED[0], RegionNow("south", 0.5))), AGES, {}, "south is 50.0%"),
        (changed(readings_in=100, canonical=90), AGES, {}, "received no readings"),
        (changed(canonical=300), AGES, {}, "ingest made 210 canonical"),
        (changed(rejected=200), AGES, {}, "199 of 600 readings were rejected"),
        (changed(windows_closed=4), AGES, {}, "no window closed"),
        (LAST, Counter(), {}, "no reading reached a region"),
        (LAST, Counter({1501: 1}), {}, "p99 is 1501 ms"),
        (changed(lag=1e6), AGES, {}, "1000000 records behind"),
        (LAST, AGES, {"sim": 0, "web": 2}, "web crashed 2x"),
        (Summary(0, 0, 0, 0, 0), AGES, {}, "0 of 10 devices"),
    ],
)
def test_each_trouble_has_its_reason(
    last: Summary, ages: Counter[int], restarts: dict[str, int], reason: str
) -> None:
    report = judge(FIRST, last, ages=ages, expected=EXPECTED, restarts=restarts)
    assert not report.healthy
    assert any(reason in said for said in report.reasons), report.reasons


def test_readings_on_their_way_between_two_counters_are_not_stuck() -> None:
    """Found where five seconds of nine devices were judged: 72 in, 63 canonical, none lost."""
    short = Expected(devices=9, regions=frozenset({"north"}), seconds=5)
    first = Summary(devices_connected=9, readings_in=0, canonical=0, rejected=0, windows_closed=0)
    on_the_way = changed(readings_in=72, canonical=63, rejected=0)
    assert judge(first, on_the_way, ages=AGES, expected=short, restarts={}).reasons == ()
    stuck = judge(
        first,
        changed(readings_in=720, canonical=600, rejected=0),
        ages=AGES,
        expected=short,
        restarts={},
    )
    assert "ingest made 600 canonical and 0 rejected of 720 readings" in stuck.reasons


def test_warm_is_all_devices_and_all_regions() -> None:
    assert is_warm(LAST, EXPECTED)
    assert not is_warm(FIRST, EXPECTED)
    assert not is_warm(changed(devices_connected=9), EXPECTED)


@pytest.mark.parametrize(
    "south",
    [
        RegionNow("south", 1.0, age_p99_ms=900.0, at_ms=3_000),
        RegionNow("south", 1.0, age_p99_ms=None, at_ms=10_000),
        RegionNow("south", 1.0, age_p99_ms=86_000.0, at_ms=10_000),
    ],
    ids=["its figures are those of the run before", "no reading yet", "those left behind"],
)
def test_a_region_that_catches_up_is_not_warm(south: RegionNow) -> None:
    now = changed(
        at_ms=10_000, regions=(RegionNow("north", 1.0, age_p99_ms=900.0, at_ms=9_000), south)
    )
    assert not is_warm(now, EXPECTED)
    current = RegionNow("south", 1.0, age_p99_ms=900.0, at_ms=9_500)
    assert is_warm(msgspec.structs.replace(now, regions=(now.regions[0], current)), EXPECTED)


def test_pauses_double_up_to_a_limit_and_start_over_after_a_good_run() -> None:
    assert next_pause(1.0, ran_s=0.2) == 2.0
    assert next_pause(LONGEST_PAUSE_S, ran_s=0.2) == LONGEST_PAUSE_S
    assert next_pause(LONGEST_PAUSE_S, ran_s=LONGEST_PAUSE_S + 1) == 1.0


def test_a_taken_port_is_replaced_and_told(settings: Settings) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with_ports = settings.model_copy(
            update={"web_port": port, "gateway_port": 0, "worker_port": 0, "rpc_port": 0}
        )
        found, said = demo.with_free_ports(with_ports)
    assert found.web_port not in (0, port)
    assert said == [f"port {port} is taken: web is on {found.web_port}"]


def test_every_process_is_given_the_same_world(settings: Settings) -> None:
    fleet = demo.DemoFleet(homes=3, solar=1, megapacks=1, seed=7)
    made = {spec.name: spec for spec in demo.specs(settings, fleet)}
    assert made.keys() == {
        "flow",
        "region",
        "gateway",
        "web",
        "rpc",
        "sim",
        "market",
        "optimizer",
        "incidents",
        "settlement",
        "historian",
    }
    for spec in made.values():
        assert spec.environment["VPP_NAMESPACE"] == settings.namespace
        assert spec.environment["VPP_KAFKA"] == settings.kafka
    assert f"ws://{settings.host}:{settings.gateway_port}" in made["sim"].command


def test_ingest_and_fleet_can_be_workers_of_their_own(settings: Settings) -> None:
    fleet = demo.DemoFleet(homes=3, solar=1, megapacks=1, seed=7)
    together = {spec.name: spec for spec in demo.specs(settings, fleet)}
    split = {spec.name: spec for spec in demo.specs(settings, fleet, split=True)}
    assert split.keys() - together.keys() == {"ingest", "fleet"}
    assert together.keys() - split.keys() == {"flow"}
    port = str(settings.worker_port)
    assert together["flow"].command[3:] == ("worker", "flow", "--port", port)
    assert split["fleet"].command[3:] == ("worker", "fleet", "--port", port)


def test_gateways_share_a_port_and_have_slots_of_their_own(settings: Settings) -> None:
    fleet = demo.DemoFleet(homes=1, solar=0, megapacks=0, seed=1)
    made = {spec.name: spec for spec in demo.specs(settings, fleet, gateways=2)}
    assert "--share-port" not in demo.specs(settings, fleet)[0].command
    for slot, name in enumerate(("gateway", "gateway-2")):
        words = made[name].command[3:]
        port = str(settings.gateway_port)
        assert words == ("gateway", "--port", port, "--slot", str(slot), "--share-port")
        assert made[name].environment["VPP_HOST"] == "127.0.0.1"


def test_the_demos_gateway_stays_on_loopback_where_the_dashboard_does_not(
    settings: Settings,
) -> None:
    reachable = settings.model_copy(update={"host": "0.0.0.0"})
    made = {
        spec.name: spec
        for spec in demo.specs(reachable, demo.DemoFleet(homes=1, solar=0, megapacks=0, seed=1))
    }
    assert made["gateway"].environment["VPP_HOST"] == "127.0.0.1"
    assert made["rpc"].environment["VPP_HOST"] == "127.0.0.1"  # without TLS tokens could be read
    assert "VPP_HOST" not in made["web"].environment
    assert f"ws://127.0.0.1:{settings.gateway_port}" in made["sim"].command


def test_the_status_names_what_a_person_looks_for(settings: Settings, tmp_path: Path) -> None:
    supervisor = Supervisor(
        demo.specs(settings, demo.DemoFleet(homes=1, solar=0, megapacks=0, seed=1)), tmp_path
    )
    supervisor.children[0].restarts = 2
    console = Console(record=True, width=120, file=io.StringIO())
    console.print(status_screen(settings, supervisor, EXPECTED, FIRST, LAST))
    text = console.export_text()
    for wanted in (demo.web_url(settings), "10 of 10", "600 a second", "300 ms / 800 ms", "1.2 kW"):
        assert wanted in text
    assert "flow (restarted 2x" in text


def script(name: str, code: str) -> Spec:
    return Spec(name, (sys.executable, "-c", code), {})


async def follow(path: Path, pattern: str) -> re.Match[str]:
    """Wait until a log says something."""

    def look() -> re.Match[str] | None:
        return re.search(pattern, path.read_text()) if path.exists() else None

    found = await asyncio.to_thread(wait_until, look)
    assert found
    return found


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


async def test_what_crashes_is_started_again(tmp_path: Path) -> None:
    supervisor = Supervisor(
        [script("crash", "print('run', flush=True); raise SystemExit(3)")], tmp_path, 0.0
    )
    stopping = asyncio.Event()
    running = asyncio.create_task(supervisor.run(stopping))
    child = supervisor.children[0]
    await follow(child.log, r"(run\s+){3}")
    assert child.last_exit == 3
    stopping.set()
    await running
    assert child.restarts >= 2
    assert child.state == "ended"


async def test_all_end_even_one_that_will_not_and_its_children(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vpp_streams.local.supervisor.GRACE_S", 0.2)
    stubborn = (
        "import os, signal, subprocess, sys\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import signal; signal.pause()'])\n"
        "print('pids', os.getpid(), child.pid, flush=True)\n"
        "signal.pause(); signal.pause()\n"
    )
    polite = "import os, signal; print('pid', os.getpid(), flush=True); signal.pause()"
    supervisor = Supervisor([script("stubborn", stubborn), script("polite", polite)], tmp_path)
    stopping = asyncio.Event()
    running = asyncio.create_task(supervisor.run(stopping))
    pids = (await follow(tmp_path / "stubborn.log", r"pids (\d+) (\d+)\s")).groups()
    pids += (await follow(tmp_path / "polite.log", r"pid (\d+)\s")).groups()
    assert all(is_alive(int(pid)) for pid in pids)
    stopping.set()
    await running
    assert supervisor.children[0].last_exit == -signal.SIGKILL
    assert supervisor.children[1].last_exit == -signal.SIGTERM
    assert supervisor.restarts == {"stubborn": 0, "polite": 0}
    await asyncio.to_thread(wait_until, lambda: not any(is_alive(int(pid)) for pid in pids))


def site(site_id: str, reserve: float = 0.2) -> Site:
    device = Device(device_id=f"{site_id}-pw", kind="powerwall")
    return Site(site_id=site_id, region="north", devices=(device,), backup_reserve=reserve)


async def registered(settings: Settings) -> dict[str, float]:
    registry = Registry()
    async with onlooker(KafkaClients(settings)).following(assets_into(registry)):
        return {site.site_id: site.backup_reserve for site in registry.sites()}


@pytest.mark.kafka
async def test_sites_are_registered_and_a_users_own_stay(kafka: str, settings: Settings) -> None:
    await demo.register(settings, [site("a"), site("b")])
    await demo.register(settings, [site("b", reserve=0.5), site("c")])
    assert await registered(settings) == {"a": 0.2, "b": 0.5, "c": 0.2}


@pytest.mark.kafka
async def test_in_its_own_namespace_the_demo_removes_an_earlier_demos_sites(
    kafka: str, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(demo, "DEMO_NAMESPACE", settings.namespace)
    await demo.register(settings, [site("a"), site("b")])
    await demo.register(settings, [site("b")])
    assert await registered(settings) == {"b": 0.2}


def test_a_second_fleet_in_the_same_namespace_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VPP_STATE_DIR", str(tmp_path))
    with locked(tmp_path / "up-demo.lock"):
        result = CliRunner().invoke(build_app(), ["up"])
    assert isinstance(result.exception, InputError)
    assert "already runs in namespace demo" in str(result.exception)


@pytest.mark.skipif(sys.platform != "linux", reason="setpriv is Linux's")
def test_a_child_of_a_dead_parent_does_not_start(monkeypatch: pytest.MonkeyPatch) -> None:
    ours = dies_with_us(["echo", "runs"], "TERM")
    assert subprocess.run(ours, capture_output=True, check=True).stdout == b"runs\n"
    # As if we had died between the fork and setpriv: the child's parent is another process.
    monkeypatch.setattr(os, "getpid", lambda: 1 << 30)
    orphan = dies_with_us(["echo", "runs"], "TERM")
    assert subprocess.run(orphan, capture_output=True, check=False).stdout == b""


def test_homes_with_real_agents_are_sites_and_processes(settings: Settings) -> None:
    sites = edge_homes.edge_sites(2)
    assert [(site.site_id, site.region) for site in sites] == [
        ("site-edge-01", "north"),
        ("site-edge-02", "coast"),
    ]
    fleet = demo.DemoFleet(homes=1, solar=0, megapacks=0, seed=1, edge=2)
    names = [spec.name for spec in demo.specs(settings, fleet)]
    assert names[-4:] == ["inverter-edge-01", "agent-edge-01", "inverter-edge-02", "agent-edge-02"]
    config = read_config(edge_homes.folder_of(settings) / "edge-02.toml")
    assert config.driver_options.port == edge_homes.modbus_port(settings, "edge-02")
    token = config.file(config.gateway.token_file)
    assert token_hash(token.read_text()) == sites[1].devices[0].token_sha256
    assert token.stat().st_mode & 0o077 == 0


def test_homes_with_real_agents_need_modbus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vpp_streams.local.edge_homes.find_spec", lambda _name: None)
    assert edge_homes.edge_sites(0) == []
    with pytest.raises(InputError, match=re.escape("pip install 'vpp-streams[edge-sunspec]'")):
        edge_homes.edge_sites(1)


def test_each_process_has_a_status_port_of_its_own_where_one_is_set(settings: Settings) -> None:
    """The example of what Prometheus scrapes has the same ones."""
    fleet = demo.DemoFleet(homes=1, solar=0, megapacks=0, seed=1)
    asked = settings.model_copy(update={"status_port": 9101})
    ports = {s.name: s.environment["VPP_STATUS_PORT"] for s in demo.specs(asked, fleet)}
    example = (ROOT / "deploy" / "prometheus" / "prometheus.yml").read_text()
    assert {name: port for port, name in re.findall(r":(\d+)  # (\w+)", example)} == ports
    assert f"gateway {ports['gateway']}" in demo.status_line(demo.specs(asked, fleet))
    assert "VPP_STATUS_PORT" not in demo.specs(settings, fleet)[0].environment
