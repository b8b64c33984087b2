"""``vpp hold`` without a web process: directly to Kafka, with the same rights."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from schemas.bounds import PARTITIONS
from schemas.dispatch import DispatchEvent, Request, RequestEvent
from schemas.encoding import decode_json, encode_json
from tests.support.accounts_world import Entrance
from tests.support.kafka_world import read_all, until, workers, write_raw
from tests.support.web_records import site
from vpp_streams import clock
from vpp_streams.accounts.accounts import accounts_file
from vpp_streams.accounts.secrets import digest_of
from vpp_streams.cli import build_app
from vpp_streams.domain.registry.hashing import partition_of
from vpp_streams.errors import BrokerError, InputError, OrderRefusedError, SettingsError, VppError
from vpp_streams.kafka import topics
from vpp_streams.process.ports import free_port
from vpp_streams.process.private_files import write_private
from vpp_streams.serving.operators import Operator, lines_for, make_demo_operator, new_token
from vpp_streams.settings import Settings
from vpp_streams.web.kafka_hold import KafkaHold


def vpp(*words: str) -> Result:
    return CliRunner().invoke(build_app(), list(words))


def operators_file(directory: Path, token: str, **changes: object) -> Path:
    rights: dict[str, Any] = {"regions": "*", "may": ("hold",)} | changes
    operator = Operator(name="ann", token_sha256=digest_of(token), **rights)
    write_private(directory / "operators.toml", lines_for(operator).encode())
    return directory / "operators.toml"


def asked_by(settings: Settings, token: str | None, operators: Path | None) -> KafkaHold:
    return KafkaHold(
        Settings(
            kafka=settings.kafka,
            namespace=settings.namespace,
            state_dir=settings.state_dir,
            operator_token=token,
            operators=operators,
        )
    )


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"may": ("dispatch",)}, "does not have the right 'hold'"),
        ({"regions": ("south",)}, "in region"),
    ],
)
def test_rights_are_those_of_the_operators_file(
    settings: Settings, tmp_path: Path, changes: dict[str, tuple[str]], says: str
) -> None:
    token = new_token()
    way = asked_by(settings, token, operators_file(tmp_path, token, **changes))
    for order in (lambda: way.hold("north", ""), lambda: way.release("north")):
        with pytest.raises(OrderRefusedError, match=says):
            order()


def test_a_token_of_an_account_does_it_too(settings: Settings) -> None:
    entrance = Entrance(path=accounts_file(settings), now_ms=clock.now_ms)
    north, viewer = entrance.token("operator", "region:north"), entrance.token("viewer")
    entrance.accounts.close()
    way = asked_by(settings, north, None)
    with pytest.raises(OrderRefusedError, match="in region 'south'"):
        way.hold("south", "")
    with pytest.raises(OrderRefusedError, match="the right 'hold'"):
        asked_by(settings, viewer, None).hold("north", "")
    with pytest.raises(SettingsError, match=r"nobody in .* has this token"):
        asked_by(settings, new_token(), None)


def test_without_a_token_or_a_file_nothing_is_written(settings: Settings, tmp_path: Path) -> None:
    token = new_token()
    with pytest.raises(InputError, match="no operator's token: set VPP_TOKEN"):
        asked_by(settings, None, operators_file(tmp_path, token))
    with pytest.raises(InputError, match="set VPP_OPERATORS to the"):
        asked_by(settings, token, None)
    with pytest.raises(SettingsError, match=r"nobody in .* has this token"):
        asked_by(settings, new_token(), operators_file(tmp_path, token))


@pytest.mark.parametrize(("region", "reason"), [("no such name", ""), ("north", "x" * 201)])
def test_what_the_contract_refuses_is_not_written(
    settings: Settings, tmp_path: Path, region: str, reason: str
) -> None:
    token = new_token()
    way = asked_by(settings, token, operators_file(tmp_path, token))
    with pytest.raises(InputError, match="the hold is not valid"):
        way.hold(region, reason)


def test_help_teaches_the_way_without_a_web_process() -> None:
    words = " ".join(vpp("hold", "--help").stdout.replace("│", " ").split())
    assert "--kafka" in words
    assert "If the web process does not answer, the order is written directly to Kafka" in words


def test_neither_web_nor_kafka_is_one_line_that_says_so(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VPP_KAFKA", "127.0.0.1:9")
    monkeypatch.setenv("VPP_STATE_DIR", str(tmp_path))
    make_demo_operator(tmp_path, settings.namespace, f"http://127.0.0.1:{free_port()}")
    run = vpp("hold", "north")
    assert isinstance(run.exception, VppError)
    assert "no Kafka answers at 127.0.0.1:9" in str(run.exception)
    assert "no web process answers" in run.stderr


@pytest.mark.kafka
async def test_a_region_role_holds_while_no_web_process_is_there(
    topics_ready: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The command line finds the other way by itself; the real region role rules on the order."""
    settings = topics_ready
    events = topics.DISPATCH_EVENTS.full(settings.namespace)
    make_demo_operator(tmp_path, settings.namespace, f"http://127.0.0.1:{free_port()}")
    monkeypatch.setenv("VPP_KAFKA", settings.kafka)
    monkeypatch.setenv("VPP_STATE_DIR", str(tmp_path))

    async def told(request_id: str) -> list[str]:
        found: list[object] = [
            decode_json(record.value, DispatchEvent)  # type: ignore[arg-type]  # a union
            for record in await read_all(settings, events)
        ]
        mine = [e for e in found if isinstance(e, RequestEvent) and e.request_id == request_id]
        return [event.state for event in mine]

    home = site(1)
    partition = partition_of(home.site_id, PARTITIONS)
    await write_raw(settings, (topics.ASSETS, home.site_id, encode_json(home), partition))
    with workers(settings, tmp_path) as start:
        start("region")
        held = await asyncio.to_thread(vpp, "hold", "north", "--reason", "smoke", "--json")
        assert held.exit_code == 0, (held.output, held.exception)
        answer = json.loads(held.stdout)
        assert (answer["operator"], answer["way"]) == ("demo", "kafka")
        assert "no web process answers" in held.stderr
        hold_id = answer["request_id"]

        async def active() -> bool:
            return "active" in await told(hold_id)

        await until(active, "the region role to hold north")
        [record] = await read_all(settings, topics.DISPATCH_TARGETS.full(settings.namespace))
        hold: Any = decode_json(record.value, Request)  # type: ignore[arg-type]  # a union
        assert (record.key, hold.request_id) == (hold_id.encode(), hold_id)
        assert (hold.region, hold.source, hold.reason) == ("north", "operator:demo", "smoke")

        released = await asyncio.to_thread(vpp, "hold", "north", "--release", "--kafka")
        assert released.exit_code == 0, (released.output, released.exception)
        assert f"it was written through Kafka directly at {settings.kafka}" in released.stdout

        async def withdrawn() -> bool:
            return (await told(hold_id))[-1] == "withdrawn"

        await until(withdrawn, "the region role to release north")
        nowhere = await asyncio.to_thread(vpp, "hold", "nowhere", "--kafka")
        assert isinstance(nowhere.exception, OrderRefusedError)
        assert "no region 'nowhere'" in str(nowhere.exception)
    again = await asyncio.to_thread(vpp, "hold", "north", "--release", "--kafka")
    assert "north is not held" in str(again.exception)


@pytest.mark.kafka
def test_a_world_that_never_was_is_not_made_by_a_hold(settings: Settings, tmp_path: Path) -> None:
    token = new_token()
    way = asked_by(settings, token, operators_file(tmp_path, token))
    for order in (lambda: way.hold("north", ""), lambda: way.release("north")):
        with pytest.raises(BrokerError, match=f"no topic {settings.namespace}.dispatch.targets"):
            order()
