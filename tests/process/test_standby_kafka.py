"""Two instances of a role as processes: whatever happens to one, the other works, and only it."""

import itertools
import signal
from pathlib import Path

import pytest

from tests.support.standbys import LOST_DUTY, standbys, until_ended
from tests.support.waiting import until
from vpp_streams.settings import Settings

pytestmark = pytest.mark.kafka

NIGHTLY = pytest.mark.nightly


@pytest.mark.parametrize(
    "role",
    [
        "market",
        pytest.param("region", marks=NIGHTLY),
        pytest.param("optimizer", marks=NIGHTLY),
        pytest.param("settlement", marks=NIGHTLY),
        pytest.param("incidents", marks=NIGHTLY),
    ],
)
async def test_one_works_whichever_is_killed_frozen_or_ended(
    role: str, topics_ready: Settings, tmp_path: Path
) -> None:
    async with standbys(role, topics_ready, tmp_path) as world:
        first = world.start()
        await world.until_on_duty(first)
        second = world.start()
        await world.until_warm(second)

        first.send_signal(signal.SIGSTOP)
        await world.until_on_duty(second)
        first.send_signal(signal.SIGCONT)
        assert await until_ended(first) == LOST_DUTY

        third = world.start()
        await world.until_warm(third)
        second.kill()
        await world.until_on_duty(third)

        third.terminate()
        assert await until_ended(third) == 0
        await until(lambda: world.reports[-1].released)
        reports = list(world.reports)
    terms = [
        (term, {report.process_id.rpartition("-")[2] for report in of_term})
        for term, of_term in itertools.groupby(reports, key=lambda report: report.term)
    ]
    pids = [str(process.pid) for process in (first, second, third)]
    assert terms == [(number, {pid}) for number, pid in enumerate(pids, start=1)], (
        "one instance has each term, and none wrote after the term of the next had begun"
    )
    assert [report.released for report in reports[-2:]] == [False, True]
