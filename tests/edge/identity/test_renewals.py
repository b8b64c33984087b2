"""When a certificate is renewed: by a clock that the test moves."""

import random
from itertools import pairwise

from edge.identity.enrolment import make_request
from edge.identity.renewals import MOST_MS, OPERATOR_MS, Renewals
from tests.support.identity_world import LIFE_MS, NOW_MS, Home, IdentityWorld
from vpp_streams.domain.moments import DAY_MS, HOUR_MS


async def certificate() -> str:
    world = IdentityWorld()
    home = Home(world, world.desk())
    await home.enrol(world.code())
    assert home.certificate_pem is not None
    return home.certificate_pem


async def test_it_is_due_after_two_thirds_and_a_share_of_its_own() -> None:
    renewals = Renewals(await certificate(), random.Random(1))
    due = next(day for day in range(90) if renewals.is_due(NOW_MS + day * DAY_MS))
    assert 60 <= due <= 65
    assert abs(renewals.ends_ms - NOW_MS - LIFE_MS) < HOUR_MS
    assert renewals.has_ended(NOW_MS + LIFE_MS + HOUR_MS)
    assert renewals.is_due(NOW_MS + LIFE_MS + HOUR_MS), "the server's clock decides, not the home's"


async def test_failures_are_tried_again_ever_more_rarely_and_once_an_hour_at_least() -> None:
    renewals = Renewals(await certificate(), random.Random(1))
    now_ms, attempts = NOW_MS + 70 * DAY_MS, []
    for _ in range(24 * 60):
        if renewals.is_due(now_ms):
            attempts.append(now_ms)
            renewals.failed("away", now_ms, needs_code=False)
        now_ms += 60_000
    waits = [b - a for a, b in pairwise(attempts)]
    assert waits[0] <= 60_000
    assert max(waits) <= MOST_MS + 60_000
    assert 24 <= len(attempts) < 60


async def test_what_only_the_operator_can_change_is_tried_rarely() -> None:
    renewals = Renewals(await certificate(), random.Random(1))
    now_ms = NOW_MS + 70 * DAY_MS
    renewals.failed("unknown", now_ms, needs_code=True)
    assert not renewals.is_due(now_ms + OPERATOR_MS // 2 - 1)
    assert renewals.is_due(now_ms + OPERATOR_MS)
    renewals.hasten()
    assert renewals.is_due(now_ms)


async def test_one_that_was_revoked_is_never_due_again() -> None:
    renewals = Renewals(await certificate(), random.Random(1))
    renewals.give_up()
    assert not any(renewals.is_due(NOW_MS + day * DAY_MS) for day in range(120))


def test_two_keys_differ() -> None:
    assert make_request("pw-1").key_pem != make_request("pw-1").key_pem
