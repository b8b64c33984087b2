"""Every contract is bounded: no integer, name, text, sequence or number without its limits."""

from collections.abc import Iterator
from typing import Any

import msgspec
import msgspec.inspect as mi
import pytest

from vpp_streams.kafka import contracts

UNBOUNDED_BY_DESIGN = {
    # What a device measured is judged, with a reason, where it becomes canonical telemetry.
    *(
        f"{owner}.{field}"
        for owner in ("NativeBody", "Telemetry", "_Reading")
        for field in ("p", "g", "pv", "l", "soc", "hz", "v", "tc")
    ),
}


def unbounded(  # noqa: C901, PLR0912  # one branch a kind of type
    type_: mi.Type, where: str, seen: set[type]
) -> Iterator[str]:
    """What has no limits in a type, by the field that has it."""
    match type_:
        case mi.StructType():
            if type_.cls not in seen:
                seen.add(type_.cls)
                for field in type_.fields:
                    yield from unbounded(field.type, f"{type_.cls.__name__}.{field.name}", seen)
        case mi.IntType() | mi.FloatType():
            low = type_.ge if type_.ge is not None else type_.gt
            high = type_.le if type_.le is not None else type_.lt
            if low is None or high is None:
                yield where
        case mi.StrType():
            if type_.max_length is None and type_.pattern is None:
                yield where
        case mi.DictType():
            if type_.max_length is None and not closed(type_.key_type):
                yield where
            yield from unbounded(type_.key_type, f"{where} (key)", seen)
            yield from unbounded(type_.value_type, f"{where} (value)", seen)
        case mi.VarTupleType() | mi.ListType():
            if type_.max_length is None:
                yield where
            yield from unbounded(type_.item_type, f"{where}[]", seen)
        case mi.TupleType():
            for item in type_.item_types:
                yield from unbounded(item, f"{where}[]", seen)
        case mi.UnionType():
            for one in type_.types:
                yield from unbounded(one, where, seen)
        case mi.AnyType() | mi.RawType() | mi.BoolType() | mi.NoneType() | mi.LiteralType():
            return
        case _:
            raise AssertionError(f"{where}: no limits are known for {type_}")


def closed(type_: mi.Type) -> bool:
    return isinstance(type_, mi.LiteralType)


@pytest.mark.parametrize("contract", contracts.STRUCTS, ids=lambda c: c.__name__)
def test_every_field_of_a_contract_is_bounded(contract: type[msgspec.Struct]) -> None:
    found = set(unbounded(mi.type_info(contract), contract.__name__, set()))
    assert found - UNBOUNDED_BY_DESIGN == set()


def test_the_walk_finds_what_has_no_limits() -> None:
    class Loose(msgspec.Struct):
        number: int
        half: "Any"
        name: str
        many: tuple[float, ...]
        by_name: dict[str, int]

    found = set(unbounded(mi.type_info(Loose), "Loose", set()))
    assert found == {
        "Loose.number", "Loose.name", "Loose.many", "Loose.many[]", "Loose.by_name",
        "Loose.by_name (key)", "Loose.by_name (value)",
    }  # fmt: skip
