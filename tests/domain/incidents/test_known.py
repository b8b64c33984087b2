"""The fold of topic ``incidents``: newest states, first acknowledgements, and a bound."""

from schemas.incidents import Acknowledgement, Notification
from tests.support.incidents import OPENED_MS, incident
from vpp_streams.domain.incidents.known import KnownIncidents


def test_the_newest_state_and_the_first_acknowledgement_count() -> None:
    known, id_ = KnownIncidents(), incident().incident_id
    known.apply(incident())
    for by in ("operator:ada", "operator:bob"):
        known.apply(Acknowledgement(incident_id=id_, by=by, at_ms=OPENED_MS))
    for delivered in (False, True):
        known.apply(
            Notification(
                incident_id=id_, channel="ops", state="opened", at_ms=OPENED_MS,
                delivered=delivered, attempts=1,
            )
        )  # fmt: skip
    assert known.acknowledged == {id_}
    known.apply(incident(closed_at_ms=OPENED_MS + 1))
    found = known.one(id_)
    assert found.incident.closed_at_ms == OPENED_MS + 1
    assert found.acknowledgement.by == "operator:ada"
    assert [one.delivered for one in found.notifications] == [True]
    assert known.open() == []
    assert known.closed_since(OPENED_MS) == [found.incident]


def test_what_is_about_no_known_incident_is_left_out() -> None:
    known = KnownIncidents()
    known.apply(Acknowledgement(incident_id="gone", by="operator:ada", at_ms=1))
    assert (known.acknowledged, known.one("gone")) == (frozenset(), None)


def test_it_is_bounded_and_closed_ones_go_first() -> None:
    known = KnownIncidents(most=3)
    known.apply(incident("a"))
    for number in range(5):
        known.apply(incident(f"r{number}", closed_at_ms=OPENED_MS + 10 + number))
    assert [one.incident.subject for one in known.all()] == ["a", "r3", "r4"]
