"""The one way out: a record for several topics is encoded once, and each gets its partition."""

from unittest import mock

from tests.support.memory_kafka import MemoryKafka
from tests.support.web_records import command_frame
from vpp_streams.kafka import outlet as outlet_module
from vpp_streams.kafka import topics
from vpp_streams.kafka.outlet import Outlet, encode


async def test_a_record_for_each_of_some_topics_is_encoded_once_and_in_order() -> None:
    kafka, frame = MemoryKafka(lambda: 5), command_frame(5, {"pw-1": 100.0, "pw-2": None})
    with mock.patch.object(outlet_module, "encode", side_effect=encode) as encoded:
        await Outlet(kafka, "").send_to_each((topics.COMMANDS, topics.GATEWAY_OUT), frame)
    assert encoded.call_count == 1
    audit, gateway = kafka.records
    assert (audit.topic, audit.partition) == (topics.COMMANDS.name, frame.partition)
    assert (gateway.topic, gateway.partition) == (topics.GATEWAY_OUT.name, frame.slot)
    assert audit.value == gateway.value == encode(topics.COMMANDS, frame)
    assert audit.key == gateway.key == frame.region.encode()
