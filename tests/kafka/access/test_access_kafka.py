"""On a real Kafka with an authorizer: what a role may do works, and all else is denied."""

import asyncio

import pytest
from aiokafka import AIOKafkaConsumer
from aiokafka.errors import KafkaError
from aiokafka.protocol.admin import DescribeClientQuotasRequest

from tests.support.access_probe import probing
from tests.support.secured_roles import SecuredWorld, run_vpp
from tests.support.waiting import PATIENCE_S
from vpp_streams.errors import BrokerError
from vpp_streams.kafka import topics
from vpp_streams.kafka.access.acls import acls_of
from vpp_streams.kafka.access.apply import acls_in_kafka, apply_access
from vpp_streams.kafka.access.documents import quotas_of
from vpp_streams.kafka.access.principals import PRINCIPALS, Principal, readable, writable
from vpp_streams.kafka.clients import KafkaClients, administering, consuming

pytestmark = pytest.mark.kafka
EVERYTHING = (*topics.ALL, *topics.INTERNAL)


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
