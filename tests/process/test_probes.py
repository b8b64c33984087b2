"""When a process is live, and when it is ready."""

from vpp_streams.process.probes import PATIENCE_S, Probes


def test_it_is_ready_once_nothing_is_missing() -> None:
    probes, held = Probes(), [False]
    assert probes.waits_for() == []
    read = probes.need("the registry")
    probes.needs["its partitions"] = lambda: held[0]
    assert probes.waits_for() == ["the registry", "its partitions"]
    read()
    held[0] = True
    assert probes.waits_for() == []
    held[0] = False
    assert probes.waits_for() == ["its partitions"], "a rebalance took them"


def test_a_loop_that_no_longer_turns_is_a_fault() -> None:
    probes, age_s = Probes(), [PATIENCE_S]
    probes.ages_s["the reading of topics"] = lambda: age_s[0]
    assert probes.faults() == []
    age_s[0] += 1
    assert probes.faults() == ["the reading of topics has not turned for 121 s"]


def test_records_that_are_not_applied_are_a_fault_in_the_reader_s_words() -> None:
    probes, words = Probes(), [""]
    probes.stalls["readers"] = lambda: words[0]
    assert probes.faults() == []
    words[0] = "nothing was applied for 60 s, with more in telemetry/3 at 17"
    assert probes.faults() == words
