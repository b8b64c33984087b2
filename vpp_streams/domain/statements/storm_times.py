"""The time in which storms had a home's battery, so that its cost can be stated."""

from collections.abc import Iterable

from schemas.assets import Site
from schemas.grid import Alert
from schemas.preferences import Preferences
from vpp_streams.domain.settle.intervals import QUARTER_S, Span

QUARTER_MS = QUARTER_S * 1000


def storm_quarters(
    alerts: Iterable[Alert], site: Site, chosen: Preferences | None, within: Span
) -> list[int]:
    """Starts of the quarters of an hour in which a storm kept a site's battery, in order.

    A storm whose alert was cancelled is left out, because nobody knows until when it held, and so
    is one for which the owner did not want the battery filled.
    """
    starts: set[int] = set()
    for alert in alerts:
        here = site.region in alert.regions or site.site_id in alert.site_ids
        if not here or alert.cancelled or _is_declined(alert, chosen):
            continue
        since = max(alert.prepare_from_ms, within[0])
        first = -(-since // QUARTER_MS) * QUARTER_MS
        starts.update(range(first, min(alert.ends_at_ms, within[1]), QUARTER_MS))
    return sorted(starts)


def _is_declined(alert: Alert, chosen: Preferences | None) -> bool:
    if chosen is None or chosen.storm_mode:
        return False
    return chosen.set_at_ms < alert.ends_at_ms
