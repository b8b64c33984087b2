"""The obligations of both sides of ``vpp.v1``, by number.

`docs/devices.md` shows them as tables, and each verdict of `vpp device check` names one. A number
is never used again for another obligation.
"""

from collections.abc import Sequence
from typing import Literal, NamedTuple

Level = Literal["MUST", "SHOULD"]


class Obligation(NamedTuple):
    """What one side owes the other. ``id`` begins with D for a device, with G for a gateway."""

    id: str
    level: Level
    words: str
    """One sentence, with its subject left out: the device, or the gateway."""
    untried: str = ""
    """Why the check cannot try it; "" = it does."""


DEVICE: tuple[Obligation, ...] = (
    Obligation("D-1", "MUST", "connects to `/v1/{device_id}` and offers the subprotocol `vpp.v1`"),
    Obligation(
        "D-2", "MUST", "sends a bearer token or shows a client certificate, and sends no `Origin`"
    ),
    Obligation("D-3", "MUST", "sends Hello as a call, first, within 10 s of the upgrade"),
    Obligation("D-4", "MUST", "sends nothing between Hello and its answer"),
    Obligation(
        "D-5", "MUST", "sends text messages of at most 16 KiB, each of which fits its schema"
    ),
    Obligation(
        "D-6", "MUST", "ignores keys and actions that it does not know, and stays connected"
    ),
    Obligation(
        "D-7",
        "MUST",
        "numbers live readings upwards from Hello's `next_seq`, under Hello's boot",
    ),
    Obligation("D-8", "SHOULD", "sends a live reading every `interval_ms`"),
    Obligation(
        "D-9",
        "MUST",
        "names one reading only by a boot and number: sent again, its `t` is the same",
    ),
    Obligation(
        "D-10", "MUST", "gives a Hello a `next_seq` above every number that its boot has used"
    ),
    Obligation(
        "D-11", "MUST", "keeps values within their limits: `soc` 0 to 1, `pv` and `l` not negative"
    ),
    Obligation(
        "D-12",
        "SHOULD",
        "measures so that `l` = `g` + `p` + `pv` (within 10 %, 100 W at least)",
    ),
    Obligation("D-13", "SHOULD", "stamps readings in UTC, within 5 minutes"),
    Obligation(
        "D-14",
        "MUST",
        "keeps each reading until an Ack covers it or an error refuses it for good, and sends what"
        " it kept as Backfill in the next connection",
    ),
    Obligation("D-15", "SHOULD", "does not send again what was acked"),
    Obligation("D-16", "MUST", "sends a reading again, as Backfill, after an error marked *later*"),
    Obligation("D-17", "MUST", "does not send again what an error refused for good"),
    Obligation(
        "D-18",
        "MUST",
        "begins Backfill after `delay_ms`, with the oldest, at most `rows_per_s` rows a second",
    ),
    Obligation("D-19", "MUST", "connects again with a new boot id after `boot_used`"),
    Obligation("D-20", "MUST", "answers each Setpoint within 5 s"),
    Obligation(
        "D-21",
        "MUST",
        "accepts a valid Setpoint, brings the battery to it and reports `applied`",
    ),
    Obligation("D-22", "MUST", "rejects each Setpoint with `no_battery` if it is `measures_only`"),
    Obligation(
        "D-23",
        "MUST",
        "ends a lease by itself at `valid_until`, with or without a connection: the battery leaves"
        " the setpoint, and `completed` (or `failed`) is reported once",
    ),
    Obligation("D-24", "MUST", "answers the newest accepted command, sent again, with `duplicate`"),
    Obligation("D-25", "MUST", "answers a rank that is not above the newest with `superseded`"),
    Obligation("D-26", "MUST", "answers another connection's epoch with `stale_epoch`"),
    Obligation("D-27", "MUST", "answers a lease that has ended already with `expired`"),
    Obligation(
        "D-28",
        "MUST",
        "gives up a lease for one of a higher rank, or for a release (`p` null), and reports"
        " `superseded`; reports a completed release as `completed`",
    ),
    Obligation("D-29", "MUST", "begins a lease at its `not_before`, and keeps the one before it"),
    Obligation("D-30", "MUST", "changes power no faster than `ramp_w_s` while a lease holds"),
    Obligation("D-31", "MUST", "never exceeds the battery's rated power"),
    Obligation("D-32", "MUST", "never discharges below the lease's `soc_min`"),
    Obligation(
        "D-33",
        "MUST",
        "keeps each CommandStatus until it is answered; names the command in `untold` and sends"
        " the status again in the next connection",
    ),
    Obligation("D-34", "MUST", "judges a lease's times by the gateway's clock, not by its own"),
    Obligation("D-35", "MUST", "connects again after a connection is lost"),
    Obligation(
        "D-36",
        "MUST",
        "answers a Drain, closes the connection, and connects again within `reconnect_in_ms`",
    ),
    Obligation("D-37", "SHOULD", "connects again within 1 s after close code 1012"),
    Obligation("D-38", "MUST", "waits 30 to 60 s after close code 1008 (and 4003, 4004)"),
    Obligation("D-39", "MUST", "does not connect again after close code 4001"),
    Obligation(
        "D-40",
        "MUST",
        "takes a new boot id at each start after which its numbers begin again",
        "a check cannot start the device again",
    ),
    Obligation(
        "D-41", "MUST", "draws its waiting times at random", "chance is not seen in a few waits"
    ),
    Obligation(
        "D-42",
        "MUST",
        "keeps the owner's reserve and the limits of the grid connection",
        "a check does not know them; try it on hardware",
    ),
    Obligation(
        "D-43",
        "MUST",
        "returns from a lease no faster than its `ramp_w_s`",
        "what the household does then is not known to a check",
    ),
)

GATEWAY: tuple[Obligation, ...] = (
    Obligation("G-1", "MUST", "accepts a registered device and selects the subprotocol `vpp.v1`"),
    Obligation("G-2", "MUST", "refuses an upgrade that does not offer `vpp.v1`, with 400"),
    Obligation("G-3", "MUST", "refuses a wrong token, and none, with 401"),
    Obligation("G-4", "MUST", "refuses an upgrade that has an `Origin`, with 403"),
    Obligation("G-5", "MUST", "refuses another path with 404"),
    Obligation("G-6", "MUST", "answers Hello with a HelloResult within 5 s"),
    Obligation("G-7", "MUST", "gives each connection of a device a higher epoch"),
    Obligation("G-8", "MUST", "refuses readings before Hello with `hello_first`"),
    Obligation("G-9", "MUST", "acks each stored reading, within `ack_ms` and a few seconds"),
    Obligation("G-10", "MUST", "never acks a reading that the device did not send"),
    Obligation("G-11", "MUST", "acks again a reading of its newest range that is repeated"),
    Obligation(
        "G-12", "MUST", "refuses a number that went back and is not stored with `seq_not_rising`"
    ),
    Obligation("G-13", "MUST", "refuses a live reading of another boot with `wrong_boot`"),
    Obligation(
        "G-14", "MUST", "acks a Backfill within 5 s: all its rows, also null, also of another boot"
    ),
    Obligation("G-15", "MUST", "answers an unknown action with `unknown_action`, and stays open"),
    Obligation("G-16", "MUST", "answers an unreadable message with `bad_message`, and stays open"),
    Obligation("G-17", "MUST", "ignores keys that it does not know"),
    Obligation("G-18", "MUST", "refuses a second Hello with `bad_message`"),
    Obligation(
        "G-19", "MUST", "refuses the status of a command that it did not send: `unknown_command`"
    ),
    Obligation("G-20", "MUST", "closes with 1009 on a message over 16 KiB"),
    Obligation("G-21", "MUST", "closes with 1007 on text that is not UTF-8"),
    Obligation("G-22", "MUST", "closes with 1008 after too many refused messages"),
    Obligation("G-23", "MUST", "closes a device's older connection with 4001 after a newer Hello"),
    Obligation("G-24", "MUST", "closes with 1002 if no Hello is received within 10 s"),
    Obligation(
        "G-25", "MUST", "closes with 3008 after `idle_s` without a message; pings do not count"
    ),
    Obligation("G-26", "MUST", "answers pings"),
    Obligation("G-27", "SHOULD", "acks live readings without a gap at most every `ack_ms`"),
    Obligation(
        "G-28",
        "MUST",
        "acks a reading only after it is stored safely",
        "it is not seen from outside; end the gateway while it is sent readings",
    ),
    Obligation(
        "G-29",
        "MUST",
        "sends a Drain before it stops, and then 1001",
        "a check cannot stop the gateway",
    ),
    Obligation(
        "G-30",
        "MUST",
        "sends Setpoints with the connection's epoch and rising ranks",
        "the check connects as a device that takes no setpoint",
    ),
    Obligation(
        "G-31",
        "MUST",
        "closes with 1012, 4003, 4004 or 4005 when the device's record or credentials end",
        "a check cannot change the registry",
    ),
)

BY_ID: dict[str, Obligation] = {each.id: each for each in (*DEVICE, *GATEWAY)}


def as_table(obligations: Sequence[Obligation]) -> str:
    """Obligations as a table in Markdown, with whether the check tries each."""
    rows = [
        f"| {each.id} | {each.level} | {each.words} |"
        f" {f'no: {each.untried}' if each.untried else 'yes'} |"
        for each in obligations
    ]
    return "\n".join(
        ["| id | level | what it does | tried by the check |", "|---|---|---|---|", *rows]
    )
