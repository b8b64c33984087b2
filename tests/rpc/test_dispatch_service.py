"""Orders over gRPC: what is written, what is refused with which field, and deadlines."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
import msgspec
import pytest
import pytest_asyncio
from aiokafka.errors import KafkaError

from schemas.dispatch import Hold, Limit, RequestEvent, RequestState, Target, Withdraw
from tests.support.rpc_world import RpcWorld
from tests.support.waiting import PATIENCE_S, until
from tests.support.web_records import NOW_MS
from tests.support.web_world import KafkaInMemory, apply, fed_read_model, feed_control
from vpp.dispatch.v1 import dispatch_pb2 as pb
from vpp_streams.kafka import topics
from vpp_streams.kafka.topic import Topic

pytestmark = pytest.mark.asyncio(loop_scope="module")
POWER = "DispatchService.RequestPower"


def world_of(state: RequestState | None = None, reason: str = "", **more: Any) -> RpcWorld:
    """A world whose region role answers each request with this state; None = it does not."""
    model = fed_read_model()
    feed_control(model)

    def answer(topic: Topic, _key: bytes, value: bytes) -> None:
        if topic is topics.DISPATCH_TARGETS and state is not None:
            request_id = msgspec.json.decode(value)["request_id"]
            told = {"request_id": request_id, "region": "north", "at_ms": NOW_MS}
            event = RequestEvent(state=state, reason=reason, **told)
            apply(model, topics.DISPATCH_EVENTS, event)

    return RpcWorld(model, kafka=KafkaInMemory(answer), answer_s=more.pop("answer_s", 5.0), **more)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared() -> AsyncIterator[RpcWorld]:
    async with world_of("accepted").running() as world:
        yield world


def power(**fields: Any) -> pb.RequestPowerRequest:
    values: dict[str, Any] = {"region": "north", "for_s": 60.0} | fields
    return pb.RequestPowerRequest(**values)


async def test_each_order_is_written_with_its_sender_and_answered() -> None:
    async with world_of("accepted").running() as world:
        outcome = (await world.call(POWER, power(export_w=-5000.0, best_effort=True))).outcome
        assert outcome.state == pb.REQUEST_STATE_ACCEPTED
        assert outcome.operator == "operator-all"
        limit = pb.RequestLimitRequest(region="north", export_limit_w=1000.0, for_s=60)
        await world.call("DispatchService.RequestLimit", limit)
        await world.call("DispatchService.Hold", pb.HoldRequest(region="north", reason="smoke"))
        withdraw = pb.WithdrawRequest(region="north", request_id="target-1")
        await world.call("DispatchService.Withdraw", withdraw)
    kinds = Target | Limit | Hold | Withdraw
    written = [msgspec.json.decode(value, type=kinds) for _, _, value in world.kafka.written]
    target, limited, hold, withdrawal = written
    assert isinstance(target, Target)
    assert (target.export_w, target.priority, target.best_effort) == (-5000.0, "operator", True)
    assert target.ends_at_ms - target.starts_at_ms == 60_000
    assert isinstance(limited, Limit)
    assert (limited.export_limit_w, limited.import_limit_w) == (1000.0, None)
    assert isinstance(hold, Hold)
    assert (hold.reason, hold.source) == ("smoke", "operator:operator-all")
    assert isinstance(withdrawal, Withdraw)
    assert withdrawal.withdraws == "target-1"
    assert target.request_id == outcome.request_id


async def test_power_of_zero_is_an_order_and_release_must_be_said() -> None:
    async with world_of("active").running() as world:
        await world.call(POWER, power(export_w=0.0))
        await world.call(POWER, power(self_consumption=True))
        exports = [msgspec.json.decode(v)["export_w"] for _, _, v in world.kafka.written]
        assert exports == [0.0, None]
        for empty in (power(), power(self_consumption=False)):
            refused = await world.refused(POWER, empty)
            assert [one.field for one in refused.bad.field_violations] == ["power"]
        assert len(world.kafka.written) == 2


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"export_w": float("nan")}, "export_w"),
        ({"export_w": float("inf")}, "export_w"),
        ({"export_w": 1e13}, "export_w"),
        ({"for_s": -1.0}, "for_s"),
        ({"for_s": float("nan")}, "for_s"),
        ({"for_s": 1e9}, "for_s"),
        ({"ends_at_ms": NOW_MS + 1000}, "for_s"),
        ({"starts_at_ms": -(2**63)}, "starts_at_ms"),
        ({"starts_at_ms": NOW_MS - 60_000}, "starts_at_ms"),
        ({"for_s": None, "ends_at_ms": NOW_MS - 1}, "ends_at_ms"),
        ({"priority": 99}, "priority"),
        ({"priority": pb.PRIORITY_MARKET}, "priority"),
        ({"region": "atlantis"}, "region"),
        ({"region": ""}, "region"),
    ],
)
async def test_a_wrong_field_is_named_and_nothing_is_written(
    shared: RpcWorld, changes: dict[str, Any], field: str
) -> None:
    refused = await shared.refused(POWER, power(**({"export_w": 1000.0} | changes)))
    assert refused.code is grpc.StatusCode.INVALID_ARGUMENT, refused.error
    assert [one.field for one in refused.bad.field_violations] == [field]
    assert refused.info.reason == "NOT_VALID"
    assert shared.kafka.written == []


async def test_what_the_region_role_rejects_is_a_failed_precondition() -> None:
    async with world_of("rejected", "it is more than the region can hold").running() as world:
        refused = await world.refused(POWER, power(export_w=1e9))
        assert refused.code is grpc.StatusCode.FAILED_PRECONDITION
        assert refused.error == "it is more than the region can hold"
        assert refused.info.reason == "ORDER_REJECTED"
        assert "request target-" in refused.info.metadata["hint"]


async def test_a_request_that_is_not_there_cannot_be_withdrawn() -> None:
    async with world_of().running() as world:
        request = pb.WithdrawRequest(region="north", request_id="target-x")
        refused = await world.refused("DispatchService.Withdraw", request)
        assert (refused.code, world.kafka.written) == (grpc.StatusCode.NOT_FOUND, [])


async def test_a_deadline_gets_its_answer_before_it_passes() -> None:
    async with world_of(answer_s=3600.0).running() as world:
        async with asyncio.timeout(PATIENCE_S):
            answer = await world.call(POWER, power(export_w=1.0), timeout=1.0)
        assert answer.outcome.state == pb.REQUEST_STATE_WRITTEN
        assert world.waiting() == 0


async def test_a_caller_that_leaves_is_noted_and_leaves_nothing_behind() -> None:
    world = world_of(answer_s=3600.0)
    async with world.running():
        call = world.call(POWER, power(export_w=1.0))
        await until(lambda: world.waiting() == 1)
        call.cancel()
        await until(lambda: world.waiting() == 0)
        audit = world.entrance.accounts.audit
        await until(lambda: bool(audit.waiting()))
        [event] = audit.waiting()
        assert (event.result, event.target) == ("failed", "region=north")
        assert "the caller left" in event.detail
        assert "target-" in event.detail


async def test_kafka_that_does_not_answer_is_an_outcome_that_is_not_known() -> None:
    class Broken(KafkaInMemory):
        async def write(self, topic: Topic[Any], record: Any) -> None:
            raise KafkaError("no")

    async with RpcWorld(fed_read_model(), kafka=Broken()).running() as world:
        refused = await world.refused(POWER, power(export_w=1.0))
        assert refused.code is grpc.StatusCode.UNAVAILABLE
        assert "it is not known whether target-" in (refused.error or "")
        [event] = world.entrance.accounts.audit.waiting()
        assert event.result == "failed"


async def test_a_region_without_a_dispatch_is_unknown_and_not_idle() -> None:
    async with RpcWorld(fed_read_model()).running() as world:
        request = pb.GetDispatchRequest(region="south")
        dispatch = (await world.call("DispatchService.GetDispatch", request)).dispatch
    assert dispatch.stale
    assert not dispatch.HasField("heard_ago_s")
    assert not dispatch.HasField("status")
