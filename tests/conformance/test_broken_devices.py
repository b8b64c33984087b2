"""The check finds what is wrong with a device, by the number of the obligation."""

from pathlib import Path

import pytest

from tests.support.broken_devices import FAULTS, Fault
from tests.support.conformance import failed, verdicts_on_agent
from vpp_streams.conformance.obligations import DEVICE


@pytest.mark.parametrize("fault", FAULTS, ids=lambda each: each.words)
def test_a_fault_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: Fault) -> None:
    fault.put_in(monkeypatch)
    verdicts = verdicts_on_agent(tmp_path, [fault.scenario], fault.home)
    assert set(failed(verdicts)) == fault.breaks


def test_every_obligation_that_is_tried_has_a_fault_that_breaks_it() -> None:
    tried = {obligation.id for obligation in DEVICE if not obligation.untried}
    assert frozenset[str]().union(*(fault.breaks for fault in FAULTS)) == tried
