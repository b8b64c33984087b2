"""The file of rules and channels, checked completely before it is used."""

import zoneinfo
from pathlib import Path

import apprise
import msgspec

from vpp_streams.domain.incidents.channels import Channel, faults_of_channels
from vpp_streams.domain.incidents.rules import Rule, faults_of
from vpp_streams.errors import SettingsError

DEFAULT = Path(__file__).with_name("default_rules.toml")


class RuleFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The content of a file of rules."""

    rule: tuple[Rule, ...] = ()
    channel: tuple[Channel, ...] = ()


def read_rules(path: Path | None) -> RuleFile:
    """The rules in a file (None = the ones that are shipped). Raises `SettingsError`."""
    path = path or DEFAULT
    try:
        found = msgspec.toml.decode(path.read_bytes(), type=RuleFile)
    except (OSError, UnicodeDecodeError, msgspec.DecodeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise SettingsError(
            f"VPP_INCIDENTS: {path} cannot be used ({reason});"
            " `vpp incidents kinds --example` prints a file that can"
        ) from None
    faults = faults_of(found.rule) + _channel_faults(found.channel)
    if not found.rule:
        faults.append("it has no [[rule]], so nothing would ever be reported")
    if faults:
        raise SettingsError(f"VPP_INCIDENTS: {path}: " + "; ".join(faults))
    return found


def _channel_faults(channels: tuple[Channel, ...]) -> list[str]:
    faults = faults_of_channels(channels, frozenset(zoneinfo.available_timezones()))
    # The URL itself is not part of the message: it holds secrets.
    return faults + [
        f"channel {channel.id!r}: its url is not one that Apprise knows"
        " (mailto://, json:// for a webhook, and others)"
        for channel in channels
        if apprise.Apprise.instantiate(channel.url) is None
    ]
