"""Who has a place for a connection, by the numbers alone; and budgets of costly answers."""

import asyncio
from contextlib import AsyncExitStack

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vpp_streams.domain.access.rights import PLANT, Grant, Principal
from vpp_streams.serving.client_names import client_of
from vpp_streams.serving.problems import ApiError
from vpp_streams.web.budgets import Budget, Budgets
from vpp_streams.web.callers import set_principal
from vpp_streams.web.places import Limits, Places, limits_for


class Caller:
    """A connection."""

    def __init__(self) -> None:
        self.open = True

    def close_now(self) -> None:
        self.open = False


def arrive(places: Places, address: str, number: int = 1) -> list[Caller]:
    callers = [Caller() for _ in range(number)]
    for caller in callers:
        places.enter(caller, address)
    return callers


def test_what_a_client_opens_beyond_its_limit_waits_and_is_not_served() -> None:
    places = Places(Limits(ordinary=10, per_client=2, waiting=2, operators=1))
    first, second, third = arrive(places, "192.0.2.1", 3)
    assert places.request_received(first)
    assert places.request_received(second)
    assert not places.request_received(third)
    [other] = arrive(places, "192.0.2.2")
    assert places.request_received(other)


def test_one_that_speaks_takes_the_place_of_its_own_clients_oldest_silent_one() -> None:
    places = Places(Limits(ordinary=3, per_client=2, waiting=2, operators=1))
    [foreign] = arrive(places, "192.0.2.2")
    silent, later, speaker = arrive(places, "192.0.2.1", 3)
    assert places.request_received(speaker)
    assert (foreign.open, silent.open, later.open) == (True, False, True)
    assert places.counters["connections_closed"] == 1


def test_where_all_places_are_taken_the_client_with_most_silent_ones_makes_room() -> None:
    places = Places(Limits(ordinary=4, per_client=3, waiting=2, operators=1))
    crowd = arrive(places, "192.0.2.1", 3)
    [single] = arrive(places, "192.0.2.2")
    [speaker] = arrive(places, "192.0.2.3")
    assert places.request_received(speaker)
    assert single.open
    assert [caller.open for caller in crowd] == [False, True, True]


def test_an_operator_has_a_place_among_any_number_of_others() -> None:
    places = Places(Limits(ordinary=2, per_client=2, waiting=2, operators=1))
    for caller in arrive(places, "192.0.2.1", 2):
        places.request_received(caller)
    [operator] = arrive(places, "192.0.2.1")
    assert not places.request_received(operator)
    assert places.admit_operator(operator)
    arrive(places, "192.0.2.1", 50)
    assert operator.open
    [another] = arrive(places, "192.0.2.1")
    assert not places.admit_operator(another)  # one place only
    places.leave(operator)
    assert places.admit_operator(another)


def test_the_crowd_loses_its_waiting_places_before_anybody_else_does() -> None:
    places = Places(Limits(ordinary=0, per_client=2, waiting=3, operators=1))
    [single] = arrive(places, "192.0.2.2")
    crowd = arrive(places, "192.0.2.1", 9)
    assert single.open
    assert [caller.open for caller in crowd] == [False] * 7 + [True] * 2


def test_a_proxys_many_clients_are_not_one_client() -> None:
    limits = Limits(ordinary=5, per_client=1, waiting=1, operators=1)
    places = Places(limits, proxies=["127.0.0.1"])
    assert all(places.request_received(caller) for caller in arrive(places, "127.0.0.1", 5))


@given(
    st.lists(
        st.tuples(st.sampled_from(["enter", "speak", "vouch", "leave"]), st.integers(0, 9)),
        max_size=120,
    )
)
def test_never_more_connections_than_places_whatever_they_do(steps: list[tuple[str, int]]) -> None:
    limits = Limits(ordinary=4, per_client=2, waiting=2, operators=2)
    places = Places(limits)
    opened: list[Caller] = []
    for step, number in steps:
        here = [caller for caller in opened if caller.open]
        if step == "enter":
            opened += arrive(places, f"192.0.2.{number % 3}")
        elif here:
            caller = here[number % len(here)]
            if step == "speak":
                places.request_received(caller)
            elif step == "vouch" and not places.request_received(caller):
                places.admit_operator(caller)
            elif step == "leave":
                caller.open = False
                places.leave(caller)
        assert len(places) == sum(caller.open for caller in opened) <= 8


def test_all_places_together_leave_descriptors_free() -> None:
    for open_files in (256, 300, 1024, 4096, 1_000_000):
        limits = limits_for(open_files, per_client=64)
        assert limits.ordinary + limits.waiting + limits.operators <= open_files - 100
        assert min(limits.ordinary, limits.waiting, limits.operators) > 10


@pytest.mark.parametrize(
    ("address", "client"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3::4", "2001:db8:1:2::/64"),
        ("2001:db8:1:2:ffff::9", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("unix", "unix"),
    ],
)
def test_a_client_is_an_address_or_an_ipv6_network(address: str, client: str) -> None:
    assert client_of(address) == client


async def test_a_budget_runs_some_queues_some_and_refuses_the_rest_at_once() -> None:
    budget = Budget("things", running=1, waiting=1, per_client=2)
    running, done = asyncio.Event(), asyncio.Event()
    order: list[str] = []

    async def work(client: str) -> None:
        async with budget.place(client):
            order.append(client)
            running.set()
            await done.wait()

    tasks = [asyncio.create_task(work("a"))]
    await running.wait()
    tasks.append(asyncio.create_task(work("b")))
    await asyncio.sleep(0)
    with pytest.raises(ApiError, match="there are already 2 things") as refused:
        await work("c")
    assert (refused.value.status, refused.value.headers) == (503, {"Retry-After": "5"})
    assert order == ["a"]
    done.set()
    await asyncio.gather(*tasks)
    assert order == ["a", "b"]
    await work("c")


async def test_a_client_has_its_share_and_operators_have_their_own_places() -> None:
    budgets = Budgets(Budget("things", 3, 0, per_client=2), Budget("operators' things", 1, 0, 1))
    crowd = {"client": ("192.0.2.1", 5)}
    ann = {"client": ("192.0.2.1", 6)}
    set_principal(crowd, Principal(name="eve", grants=(Grant("viewer", PLANT),)))
    set_principal(ann, Principal(name="ann", grants=(Grant("operator", PLANT),)))
    async with AsyncExitStack() as stack:
        for _ in range(2):
            await stack.enter_async_context(budgets.place(crowd))
        with pytest.raises(ApiError, match="your address already has 2 things") as refused:
            await stack.enter_async_context(budgets.place(crowd))
        assert refused.value.status == 429
        await stack.enter_async_context(budgets.place({"client": ("192.0.2.2", 5)}))
        with pytest.raises(ApiError, match="there are already 3 things"):
            await stack.enter_async_context(budgets.place({"client": ("192.0.2.3", 5)}))
        await stack.enter_async_context(budgets.place(ann))
