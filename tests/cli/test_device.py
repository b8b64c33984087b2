"""``vpp device check``: its reports, its exit code, and mistakes in one line."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from typer.testing import CliRunner, Result
from websockets.sync.server import ServerConnection, serve

from vpp_streams.cli import build_app
from vpp_streams.conformance.obligations import DEVICE, GATEWAY
from vpp_streams.conformance.verdicts import as_text, conforms, judged, not_tried, report
from vpp_streams.errors import InputError


def check(*words: str) -> Result:
    return CliRunner().invoke(build_app(), ["device", "check", *words], env={"NO_COLOR": "1"})


@contextmanager
def closed_gateway() -> Iterator[str]:
    """Listen, and refuse every upgrade."""

    def refuse(socket: ServerConnection, _request: object) -> object:
        return socket.respond(403, "closed\n")

    with serve(lambda _: None, "127.0.0.1", 0, process_request=refuse) as server:  # type: ignore[arg-type]  # a response is returned
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"ws://127.0.0.1:{server.socket.getsockname()[1]}"
        server.shutdown()


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ((), "give either a gateway's URL, or --listen"),
        (("ws://localhost:1", "--listen", "127.0.0.1:0"), "give either"),
        (("--listen", "8799"), "write HOST:PORT"),
        (("--listen", "127.0.0.1:http"), "write HOST:PORT"),
        (("http://localhost:1", "--device", "d", "--token", "t"), "is no gateway's address"),
        (("ws://localhost:1", "--token", "t"), "--device ID"),
        (("ws://localhost:1", "--device", "d"), "VPP_DEVICE_TOKEN"),
        (("wss://localhost:1", "--device", "d", "--token", "t", "--ca", "none.pem"), "none.pem"),
        (("--listen", "127.0.0.1:0", "--certificate", "none.pem"), "none.pem"),
    ],
)
def test_a_mistake_is_one_line_with_the_way_out(words: tuple[str, ...], says: str) -> None:
    result = check(*words)
    assert isinstance(result.exception, InputError), result.output
    assert says in str(result.exception)
    assert "\n" not in str(result.exception)


def test_a_gateway_that_refuses_everybody_does_not_conform() -> None:
    with closed_gateway() as url:
        result = check(url, "--device", "d", "--token", "t", "--json")
    assert result.exit_code == 1, result.output
    found = json.loads(result.stdout)
    assert found["conforms"] is False
    outcomes = {each["id"]: each for each in found["obligations"]}
    assert list(outcomes) == [obligation.id for obligation in GATEWAY]
    assert outcomes["G-1"]["seen"] == "HTTP 403: closed"
    assert (outcomes["G-3"]["expected"], outcomes["G-3"]["seen"]) == ("401, 401", "[403, 403]")
    assert outcomes["G-9"]["outcome"] == "not tried"
    assert "refused with HTTP 403: closed" in outcomes["G-9"]["seen"]


def test_a_report_weighs_a_failure_more_than_a_pass() -> None:
    passed, broken = judged("D-5", True, "text", ""), judged("D-5", False, "text", "binary")
    lines = report(DEVICE, [passed, broken, *not_tried(["D-5"], "why")])
    assert not conforms(lines)
    words = as_text(lines)
    assert "fail       D-5   MUST" in words
    assert "expected: text" in words
    assert "seen: binary" in words
    assert words.endswith("does not conform to vpp.v1")


def test_a_should_that_failed_and_nothing_tried() -> None:
    should = judged("D-8", False, "8 readings", "2")
    assert conforms(report(DEVICE, [should, judged("D-1", True, "", "")]))
    assert not conforms(report(DEVICE, [should])), "nothing passed"
    assert not conforms(report(DEVICE, []))


def test_numbers_are_unique_and_belong_to_one_side() -> None:
    for letter, side in (("D", DEVICE), ("G", GATEWAY)):
        assert [each.id for each in side] == [f"{letter}-{n + 1}" for n in range(len(side))]
