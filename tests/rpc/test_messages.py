"""Records as messages: no field is forgotten, no word is unknown."""

from typing import get_args

import pytest

from schemas.assets import SiteState
from schemas.dispatch import Mode, Priority, RequestState
from vpp.dispatch.v1 import dispatch_pb2
from vpp.fleet.v1 import fleet_pb2
from vpp.market.v1 import market_pb2
from vpp.region.v1 import region_pb2
from vpp_streams.rpc.messages import message_of, prefix_of, word_of
from vpp_streams.serving.market_views import BidState


@pytest.mark.parametrize(
    ("enum", "words"),
    [
        (fleet_pb2.DESCRIPTOR.enum_types_by_name["SiteState"], get_args(SiteState)),
        (dispatch_pb2.DESCRIPTOR.enum_types_by_name["Mode"], get_args(Mode)),
        (dispatch_pb2.DESCRIPTOR.enum_types_by_name["Priority"], get_args(Priority)),
        (
            dispatch_pb2.DESCRIPTOR.enum_types_by_name["RequestState"],
            ("written", *get_args(RequestState)),
        ),
        (market_pb2.DESCRIPTOR.enum_types_by_name["BidState"], get_args(BidState)),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_an_enum_has_exactly_the_words_of_the_records(enum: object, words: tuple[str, ...]) -> None:
    known = [word_of(enum, value.number) for value in enum.values]  # type: ignore[attr-defined,arg-type]
    assert known == [None, *words]
    assert word_of(enum, 99) is None  # type: ignore[arg-type]


def test_names_of_values_begin_with_the_enums() -> None:
    enum = dispatch_pb2.DESCRIPTOR.enum_types_by_name["RequestState"]
    assert prefix_of(enum) == "REQUEST_STATE_"


def test_a_field_without_a_source_is_a_mistake_in_the_code() -> None:
    class Half:
        duration_s = 60
        up_w = 1.0

    with pytest.raises(AttributeError, match="down_w"):
        message_of(region_pb2.Deliverable, Half())


def test_what_is_given_comes_before_the_source_and_none_leaves_unset() -> None:
    class Source:
        duration_s, up_w, down_w = 60, 1.0, 2.0

    message = message_of(region_pb2.Deliverable, Source(), up_w=7.0, down_w=None)
    assert (message.duration_s, message.up_w, message.down_w) == (60, 7.0, 0.0)
