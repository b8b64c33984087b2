"""The time zone of the books."""

from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from vpp_streams.errors import SettingsError
from vpp_streams.settings import Settings


def zone_of(settings: Settings) -> ZoneInfo:
    """The time zone of the ledger's months. Raises `SettingsError` for one that is unknown."""
    try:
        return ZoneInfo(settings.ledger_zone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise SettingsError(
            f"VPP_LEDGER_ZONE: there is no time zone {settings.ledger_zone!r}; for example"
            " Europe/Berlin"
        ) from None
