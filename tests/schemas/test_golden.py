"""Payloads of every contract that were published once decode for ever, with all they say."""

import json
import math
from pathlib import Path
from typing import Any

import msgspec
import pytest

from schemas.encoding import decode_frame
from tests.support.paths import DOCS, GOLDEN
from vpp_streams.kafka import contracts, topics

DOCUMENTS = DOCS / "contracts"
CONTRACT_OF = {contracts.file_name(contract): contract for contract in contracts.STRUCTS}


def contains(whole: Any, part: Any) -> bool:
    """Whether all that ``part`` says is in ``whole``, which may say more."""
    if isinstance(part, dict):
        return isinstance(whole, dict) and all(
            name in whole and contains(whole[name], value) for name, value in part.items()
        )
    if isinstance(part, list):
        return len(whole) == len(part) and all(map(contains, whole, part))
    return bool(whole == part)


@pytest.mark.parametrize("path", sorted(GOLDEN.glob("*.json")), ids=lambda path: path.stem)
def test_a_golden_payload_decodes_and_keeps_what_it_says(path: Path) -> None:
    contract = CONTRACT_OF[path.name.split(".")[0]]
    payload = path.read_bytes()
    decoded = msgspec.json.decode(payload, type=contract)
    said = json.loads(payload)
    # A value that equals a field's default may be left out when it is written again.
    defaults = {
        field.encode_name: field.default
        for field in msgspec.structs.fields(contract)
        if field.default is not msgspec.NODEFAULT
    }
    again = defaults | json.loads(msgspec.json.encode(decoded))
    assert contains(again, said)


def test_every_contract_has_a_golden_payload() -> None:
    there = {path.name.split(".")[0] for path in GOLDEN.glob("*.json")}
    assert there == CONTRACT_OF.keys()


def test_the_golden_canonical_frame_decodes() -> None:
    battery, solar = decode_frame((GOLDEN / "telemetry.v1.1.arrow").read_bytes()).to_pylist()
    assert battery["device_id"] == "pw-000417"
    assert (battery["boot"], battery["seq"]) == (0xB7F2, 90412)
    assert battery["load_w"] == battery["grid_w"] + battery["battery_w"] + battery["solar_w"]
    assert solar["solar_w"] == 812.5
    assert math.isnan(solar["battery_w"])
    assert (solar["islanded"], solar["quality"]) == (-1, 1)


def test_the_documents_are_what_the_schemas_make() -> None:
    made = contracts.documents()
    there = {path.name: path.read_text() for path in DOCUMENTS.iterdir()}
    assert there == made


def test_every_topic_is_a_channel_with_our_partitions() -> None:
    channels = contracts.asyncapi()["channels"]
    for topic in topics.ALL:
        assert channels[topic.name]["bindings"]["kafka"]["partitions"] == topic.partitions


def test_every_reference_of_the_asyncapi_document_leads_somewhere() -> None:
    document = contracts.asyncapi()
    made = contracts.documents()

    def check(node: Any) -> None:
        if isinstance(node, dict):
            if isinstance(reference := node.get("$ref"), str):
                target: Any = document
                file, _, pointer = reference.partition("#")
                if file:
                    target = json.loads(made[file.removeprefix("./")])
                for step in pointer.split("/")[1:]:
                    target = target[step]
            for value in node.values():
                check(value)
        elif isinstance(node, list):
            for value in node:
                check(value)

    check(document)


def test_field_docstrings_become_descriptions() -> None:
    properties = contracts.json_schema(CONTRACT_OF["telemetry"])["$defs"]["Telemetry"]["properties"]
    assert properties["p"]["description"] == "Battery power, W, + = discharge."  # inherited
    assert properties["s"]["description"].startswith("Reading number")
