"""Generates the contracts as documents: JSON Schema, the Arrow schema and AsyncAPI 3.

`documents` derives them from ``schemas/`` and `vpp_streams.kafka.topics` alone, so they cannot
drift: ``vpp contracts`` writes them to ``docs/contracts`` and ``make check`` compares.
"""

import ast
import inspect
import json
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from types import ModuleType
from typing import Any, get_args

import msgspec
import pyarrow as pa
import yaml

from schemas import (
    assets,
    audit,
    commandable,
    commands,
    dispatch,
    duty,
    forecast,
    grid,
    health,
    holders,
    identity,
    incidents,
    ledger,
    market,
    orders,
    preferences,
    presence,
    programs,
    protocol,
    published,
    raw_frames,
    rejected,
    settlement,
    telemetry,
    window_frames,
    windows,
)
from vpp_streams.kafka import topics
from vpp_streams.kafka.topic import Topic

Contract = type[msgspec.Struct]
JSON, NDJSON = "application/json", "application/x-ndjson"
ARROW = "application/vnd.apache.arrow.stream"
_CONTENT_TYPES = {"ndjson": NDJSON, "arrow": ARROW, "entries": ARROW}
_NO_KEY = "none; the producer chooses the partition of the site"

FROM_DEVICE: tuple[Contract, ...] = (
    protocol.Hello,
    protocol.Telemetry,
    protocol.VendorTelemetry,
    protocol.Backfill,
    protocol.SetpointResult,
    protocol.CommandStatus,
)
TO_DEVICE: tuple[Contract, ...] = (
    protocol.HelloResult,
    protocol.Ack,
    protocol.Drain,
    protocol.Setpoint,
    protocol.Prices,
)
BODIES: tuple[Contract, ...] = (telemetry.NativeBody, telemetry.VendorBody)


def contracts_of(topic: Topic[Any]) -> tuple[Contract, ...]:
    """The Structs that a topic carries, also beside frames of Arrow batches."""
    match topic.contract:
        case "ndjson":
            return (telemetry.RawLine,)
        case "arrow" | "entries":
            return ()
        case "windows":
            return (windows.SiteWindow,)
        case contract:
            return get_args(contract) or (contract,)


STRUCTS: tuple[Contract, ...] = tuple(
    dict.fromkeys(
        [*(c for t in topics.ALL for c in contracts_of(t)), *BODIES, *FROM_DEVICE, *TO_DEVICE]
    )
)


def file_name(contract: Contract) -> str:
    """``SiteWindow`` -> ``site-window``."""
    spaced = "".join(f"-{c.lower()}" if c.isupper() else c for c in contract.__name__)
    return spaced.lstrip("-")


def documents() -> dict[str, str]:
    """Every generated document's text by its file name in ``docs/contracts``."""
    texts = {f"{file_name(c)}.schema.json": _as_json(json_schema(c)) for c in STRUCTS}
    texts |= {f"{frame.schema_name}.md": frame.as_markdown() for frame in _ALL_FRAMES}
    texts["asyncapi.yaml"] = yaml.safe_dump(
        asyncapi(), sort_keys=False, allow_unicode=True, width=100
    )
    return texts


def json_schema(contract: Contract) -> dict[str, Any]:
    """A contract's JSON Schema, with the docstrings under its fields as descriptions."""
    schema = msgspec.json.schema(contract)
    describe_fields(schema["$defs"])
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def describe_fields(definitions: dict[str, Any], *modules: ModuleType) -> None:
    """Put the docstrings under fields into the schemas of Structs, by the Structs' names.

    Structs are searched for in ``modules`` and then in ``schemas/``.
    """
    for name, definition in definitions.items():
        struct = _struct_named(name, (*modules, *_SCHEMAS))
        for i, field in enumerate(msgspec.structs.fields(struct)):
            text = _field_docstring(struct, field.name)
            if "prefixItems" in definition:  # a Struct that travels as an array
                definition["prefixItems"][i]["title"] = field.encode_name
                if text:
                    definition["prefixItems"][i]["description"] = text
            elif text:
                definition["properties"][field.encode_name]["description"] = text


_SCHEMAS = (
    assets,
    audit,
    commandable,
    commands,
    dispatch,
    duty,
    forecast,
    grid,
    health,
    holders,
    identity,
    incidents,
    ledger,
    market,
    orders,
    preferences,
    presence,
    programs,
    protocol,
    published,
    rejected,
    telemetry,
    windows,
)


def _struct_named(name: str, modules: Iterable[ModuleType]) -> Contract:
    for module in modules:
        if hasattr(module, name):
            return getattr(module, name)  # type: ignore[no-any-return]  # a module's attribute
    raise LookupError(f"{name} is in no module of schemas/ that `_SCHEMAS` lists")


def _field_docstring(struct: type, field: str) -> str | None:
    for owner in struct.__mro__:
        if owner.__module__.startswith(("schemas.", "vpp_streams.")):
            text = _field_docstrings(sys.modules[owner.__module__]).get((owner.__name__, field))
            if text:
                return text
    return None


@cache
def _field_docstrings(module: ModuleType) -> dict[tuple[str, str], str]:
    """Docstrings under fields, by class and field: Python keeps them in the source only."""
    found: dict[tuple[str, str], str] = {}
    for node in ast.parse(inspect.getsource(module)).body:
        if not isinstance(node, ast.ClassDef):
            continue
        for field, text in zip(node.body, node.body[1:], strict=False):
            match field, text:
                case (
                    ast.AnnAssign(target=ast.Name(id=name)),
                    ast.Expr(value=ast.Constant(value=str(docstring))),
                ):
                    found[node.name, name] = " ".join(docstring.split())
    return found


@dataclass(frozen=True, slots=True)
class _Frame:
    """A kind of Arrow frame: the message it is in AsyncAPI, its topic and its columns."""

    message: str
    about: str
    where: str
    """The records that are such frames."""
    schema_name: str
    schema: pa.Schema
    beside: tuple[str, ...] = ()
    """Sentences about other records of the topic."""

    def as_markdown(self) -> str:
        """The frame's columns as a table."""
        rows = [
            f"| `{field.name}` | {_arrow_type(field)} | {_meaning(field)} |"
            for field in self.schema
        ]
        return "\n".join(
            [
                f"# `{self.schema_name}`: {self.about}",
                "",
                f"{self.where} is one Arrow IPC stream that holds one record batch of this schema.",
                *self.beside,
                "No column has nulls: what was not measured is NaN.",
                "",
                "| column | type | meaning |",
                "|---|---|---|",
                *rows,
                "",
            ]
        )


def _meaning(field: pa.Field) -> str:
    """What a column means; a raw frame's columns mean the same as canonical ones."""
    said = field.metadata or telemetry.TELEMETRY_V1.field(field.name).metadata
    text: str = said[b"doc"].decode()
    return text


def _arrow_type(field: pa.Field) -> str:
    if pa.types.is_dictionary(field.type):
        return f"dictionary of {field.type.value_type}"
    return str(field.type)


_FRAMES = {
    "arrow": _Frame(
        "telemetry-frame",
        "the canonical frame",
        f"A record of topic `{topics.TELEMETRY.name}`",
        telemetry.SCHEMA_NAME,
        telemetry.TELEMETRY_V1,
    ),
    "entries": _Frame(
        "settlement-entries",
        "entries of the ledger",
        f"A record of topic `{topics.SETTLEMENT_ENTRIES.name}`",
        settlement.ENTRIES_SCHEMA_NAME,
        settlement.SETTLEMENT_ENTRY_V1,
    ),
    "windows": _Frame(
        "site-windows-frame",
        "windows of many sites, all of one size and start",
        f"A record of topic `{topics.SITE_WINDOWS.name}`",
        window_frames.SCHEMA_NAME,
        window_frames.SITE_WINDOWS_V1,
        (
            "Its header `content-type` is `application/vnd.apache.arrow.stream`. A record without"
            " it is one `SiteWindow` in JSON, as older versions wrote.",
        ),
    ),
}
"""Arrow frames by the codec of their topic."""
_RAW_FRAME = _Frame(
    "raw-frame",
    "native readings by columns",
    "A record of a topic `raw.*` without the header `content-type` is NDJSON of"
    " [raw lines](raw-line.schema.json). One with"
    f" `{raw_frames.HEADER_CONTENT_TYPE}: {raw_frames.ARROW.decode()}`",
    raw_frames.SCHEMA_NAME,
    raw_frames.RAW_COLUMNS_V1,
)
"""The other form of what a topic of NDJSON frames carries."""
_ALL_FRAMES = (*_FRAMES.values(), _RAW_FRAME)


_INFO = {
    "title": "vpp_streams",
    "version": "1.0.0",
    "description": "Generated by `vpp contracts` from schemas/ and the topics of"
    " vpp_streams/kafka/topics/. Topic names are prefixed by the namespace, if there is one. Signs:"
    " battery + = discharge, grid + = import.",
    "license": {"name": "Apache-2.0"},
}
_SERVERS = {
    "kafka": {"host": "localhost:9092", "protocol": "kafka"},
    "gateway": {"host": "localhost:8765", "protocol": "ws"},
}


def asyncapi() -> dict[str, Any]:
    """AsyncAPI 3: every topic and the device protocol, with their messages."""
    messages = {
        file_name(c): _message(c, _content_type(topic))
        for topic in topics.ALL
        for c in contracts_of(topic)
    }
    messages |= {file_name(c): _message(c, JSON) for c in (*FROM_DEVICE, *TO_DEVICE)}
    messages |= {
        frame.message: {
            "contentType": ARROW,
            "summary": f"One record batch of {frame.schema_name}; see {frame.schema_name}.md.",
        }
        for frame in _ALL_FRAMES
    }
    channels = {topic.name: _kafka_channel(topic) for topic in topics.ALL}
    channels["devices"] = _device_channel()
    return {
        "asyncapi": "3.0.0",
        "info": _INFO,
        "servers": _SERVERS,
        "channels": channels,
        "operations": _operations(),
        "components": {"messages": messages},
    }


def _device_channel() -> dict[str, Any]:
    return {
        "address": "/v1/{device_id}",
        "servers": [{"$ref": "#/servers/gateway"}],
        "description": "WebSocket, subprotocol vpp.v1; messages are framed as [type, id, action,"
        " payload]. Bearer token or client certificate.",
        "parameters": {"device_id": {"description": "must be the identity of the credentials"}},
        "messages": _references((file_name(c) for c in (*FROM_DEVICE, *TO_DEVICE)), "components"),
    }


def _operations() -> dict[str, Any]:
    def operation(action: str, channel: str, names: list[str] | None = None) -> dict[str, Any]:
        found: dict[str, Any] = {"action": action, "channel": {"$ref": f"#/channels/{channel}"}}
        if names:
            found["messages"] = list(_references(names, f"channels/{channel}").values())
        return found

    from_device, to_device = [[file_name(c) for c in side] for side in (FROM_DEVICE, TO_DEVICE)]
    return {
        "hearDevices": operation("receive", "devices", from_device),
        "answerDevices": operation("send", "devices", to_device),
        **{
            "send" + "".join(word.title() for word in topic.name.split(".")): operation(
                "send", topic.name
            )
            for topic in topics.ALL
        },
    }


def _references(names: Any, where: str) -> dict[str, dict[str, str]]:
    return {name: {"$ref": f"#/{where}/messages/{name}"} for name in names}


def _message(contract: Contract, content_type: str) -> dict[str, Any]:
    return {
        "name": contract.__name__,
        "contentType": content_type,
        "summary": inspect.cleandoc(contract.__doc__ or "").split("\n\n")[0].replace("\n", " "),
        "payload": {"$ref": f"./{file_name(contract)}.schema.json"},
    }


def _content_type(topic: Topic[Any]) -> str:
    return _CONTENT_TYPES.get(topic.contract, JSON) if isinstance(topic.contract, str) else JSON


def _kafka_channel(topic: Topic[Any]) -> dict[str, Any]:
    names = [file_name(c) for c in contracts_of(topic)]
    if topic.contract in _FRAMES:
        names.append(_FRAMES[topic.contract].message)
    elif topic.contract == "ndjson":
        names.append(_RAW_FRAME.message)
    kept: dict[str, Any] = {"cleanup.policy": topic.keep.split(",")}
    if "delete" in topic.keep:
        kept["retention.ms"] = topic.retention_ms
    if topic.uncompacted_ms:
        kept["min.compaction.lag.ms"] = topic.uncompacted_ms
    key = topic.key.about if topic.key else _NO_KEY
    return {
        "address": topic.name,
        "servers": [{"$ref": "#/servers/kafka"}],
        "description": f"{topic.about[0].upper()}{topic.about[1:]}. Key: {key}.",
        "messages": _references(names, "components"),
        "bindings": {"kafka": {"partitions": topic.partitions, "topicConfiguration": kept}},
    }


def _as_json(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"
