"""On a real Kafka with an authorizer: what a role may do works, and all else is denied."""

import asyncio
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.errors import KafkaError
from aiokafka.protocol.admin import DescribeClientQuotasRequest
from aiokafka.protocol.produce import ProduceRequest

from tests.support.access_probe import probing
from tests.support.secured_roles import SecuredWorld, run_vpp
from tests.support.waiting import PATIENCE_S
from vpp_streams.errors import BrokerError
from vpp_streams.kafka import topics
from vpp_streams.kafka.access.acls import acls_of
from vpp_streams.kafka.access.apply import acls_in_kafka, apply_access
from vpp_streams.kafka.access.documents import quotas_of
from vpp_streams.kafka.access.principals import PRINCIPALS, Principal, principal, readable, writable
from vpp_streams.kafka.clients import KafkaClients, administering, consuming, producing

pytestmark = pytest.mark.kafka
EVERYTHING = (*topics.ALL, *topics.INTERNAL)
QUOTA_WINDOW_S = 10
"""Kafka keeps eleven samples of a second, the newest of which is not over yet."""


@pytest.mark.parametrize("one", PRINCIPALS, ids=lambda one: one.role)
async def test_a_role_reads_and_writes_its_topics_and_is_denied_every_other(
    secured: SecuredWorld, one: Principal
) -> None:
    names = {topic.full(secured.namespace): topic for topic in EVERYTHING}
    async with probing(secured.settings(one.role)) as probe:
        read = {names[name] for name in await probe.readable(names)}
        written = {names[name] for name in await probe.writable(names)}
    assert read == readable(one)
    assert written == writable(one)


@pytest.mark.parametrize("one", PRINCIPALS, ids=lambda one: one.role)
async def test_kafka_has_the_acls_of_the_list_and_a_second_time_changes_nothing(
    secured: SecuredWorld, one: Principal
) -> None:
    async with administering(KafkaClients(secured.admin)) as admin:
        found = await acls_in_kafka(admin, one.user)
    assert set(found) == acls_of(one, secured.namespace)


async def test_applied_again_nothing_changes(secured: SecuredWorld) -> None:
    change = await apply_access(KafkaClients(secured.admin))
    assert (change.add, change.remove) == ((), ())


async def test_each_user_has_its_quota(secured: SecuredWorld) -> None:
    every_user = DescribeClientQuotasRequest([("user", 2, None)], False)
    async with administering(KafkaClients(secured.admin)) as admin:
        answer = await admin._send_request(every_user)  # noqa: SLF001 - it has no call for it
    found = {entity[0][1]: dict(values) for entity, values in answer.entries}
    assert found == {one.user: quotas_of(one) for one in PRINCIPALS}


async def test_a_role_cannot_give_itself_rights_nor_create_topics(secured: SecuredWorld) -> None:
    clients = KafkaClients(secured.settings("web"))
    with pytest.raises(BrokerError, match=r"does not let this user read ACLs.*super\.users"):
        await apply_access(clients)
    code, said = await run_vpp(
        {**secured.environment("web"), "VPP_NAMESPACE": "elsewhere"}, "kafka", "topics"
    )
    assert code == 3
    assert "cannot create topic" in said


async def test_a_role_cannot_join_the_group_of_another(secured: SecuredWorld) -> None:
    settings = secured.settings("web")
    async with consuming(KafkaClients(settings), group_id=f"{secured.namespace}.fleet") as consumer:
        consumer.subscribe([topics.HEALTH.full(secured.namespace)])
        with pytest.raises(KafkaError, match="GroupAuthorizationFailed"):
            await asyncio.wait_for(_read_for_ever(consumer), PATIENCE_S)


async def _read_for_ever(consumer: AIOKafkaConsumer) -> None:
    while True:
        await consumer.getmany(timeout_ms=100)


async def test_a_role_cannot_take_over_the_state_of_another(secured: SecuredWorld) -> None:
    name = f"{secured.namespace}.fleet.0"
    producer = KafkaClients(secured.settings("web")).producer(transactional_id=name)
    try:
        with pytest.raises(KafkaError, match="TransactionalIdAuthorizationFailed"):
            await asyncio.wait_for(producer.start(), PATIENCE_S)
    finally:
        await producer.stop()


async def test_a_process_without_its_rights_ends_with_one_line(secured: SecuredWorld) -> None:
    async with probing(secured.settings("operator")) as probe:  # of nothing, nothing is read
        assert await probe.writable([topics.PROGRAMS.full(secured.namespace)])
    code, said = await run_vpp(secured.environment("sim"), "programs", "list")
    assert code == 3, said
    assert said.startswith("vpp: Kafka does not allow")
    assert "vpp kafka acls --apply" in said
    assert "Traceback" not in said


async def test_a_new_password_replaces_the_old_one(secured: SecuredWorld) -> None:
    old = secured.settings("rpc")
    fresh = secured.directory / "rpc.new"
    admin = {"VPP_KAFKA": secured.admin.kafka}
    code, said = await run_vpp(admin, "kafka", "password", "rpc", str(fresh))
    assert code == 0, said
    assert fresh.stat().st_mode & 0o077 == 0
    with pytest.raises(BrokerError, match="refuses user vpp-rpc"):
        async with probing(old):
            pass
    async with probing(old.model_copy(update={"kafka_sasl_password_file": fresh})) as probe:
        assert await probe.readable([topics.REGION_LIVE.full(secured.namespace)])


async def test_a_producer_over_its_quota_is_slowed_and_loses_nothing(
    secured: SecuredWorld,
) -> None:
    one = principal("incidents")
    topic, value = topics.HEALTH.full(secured.namespace), b"x" * 2**20
    # Kafka averages over ten seconds: a third more than these may hold.
    count = round(4 / 3 * QUOTA_WINDOW_S * one.produce_bytes_s / len(value))
    async with producing(KafkaClients(secured.settings(one.role))) as producer:
        throttled_ms = noting_throttles(producer)
        first = await producer.send_and_wait(topic, b"x", partition=0)
        assert set(throttled_ms) == {0}
        sent = [await producer.send(topic, value, partition=0) for _ in range(count)]
        written = await asyncio.gather(*sent)
    assert max(throttled_ms) > 0, "the broker did not hold it back"
    offsets = sorted(record.offset for record in written)
    assert offsets == list(range(first.offset + 1, first.offset + 1 + count))


def noting_throttles(producer: AIOKafkaProducer) -> list[int]:
    """The throttle time of each answer to the records of a producer, ms, as they arrive."""
    found: list[int] = []
    send = producer.client.send

    async def noting(node_id: int, request: Any, **options: Any) -> Any:
        answer = await send(node_id, request, **options)
        if isinstance(request, ProduceRequest):
            found.append(answer.throttle_time_ms)
        return answer

    producer.client.send = noting
    return found
