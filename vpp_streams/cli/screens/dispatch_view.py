"""A region's dispatch for a terminal: as a screen that is updated, and as one line."""

from collections.abc import Sequence
from datetime import datetime

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from schemas.dispatch import FINAL_STATES, Missing, Notice, Target
from vpp_streams.serving.control_views import DispatchView, RequestView

_BARS = "▁▂▃▄▅▆▇█"
_SPARK_POINTS = 60
_CAUSES = {
    "offline": "not connected",
    "refused": "refused",
    "opted_out": "opted out by their owners",
    "islanded": "cut off from the grid",
    "not_following": "not following their commands",
    "no_answer": "without an answer",
    "storm": "kept for a storm",
    "reserve": "at their owners' reserve, or full",
    "connection": "at the limit of their grid connection",
    "rating": "at their rated power",
    "feeder": "behind a feeder at its limit",
    "not_heard": "in partitions that do not report",
    "not_believed": "with readings that are not believed",
    "measures_only": "that can only be measured",
    "limit": "held back by a limit of the region",
}
_STATE_COLOURS = {"applied": "green", "accepted": "green", "rejected": "red", "failed": "red"}


def screen(view: DispatchView, request_id: str | None, now_ms: int) -> RenderableType:
    """A region's dispatch in full; ``request_id`` is the request that is watched."""
    status = view.now.status
    if status is None:
        return Text(
            f"{view.now.region}: no record of its dispatch yet; does a region worker run?",
            "yellow",
        )
    lines: list[RenderableType] = [_head(view, now_ms)]
    if view.now.stale and view.now.heard_ago_s is not None:
        lines.append(Text(f"no report for {view.now.heard_ago_s:.0f} s: old values", "red"))
    numbers = Table.grid(padding=(0, 2))
    for name, power_w in (
        ("requested", status.asked_w),
        ("allocated", status.allocated_w),
        ("measured", status.measured_w),
    ):
        numbers.add_row(name, Text(power(power_w), justify="right"), _bar(power_w, status.asked_w))
    error = error_share(status.asked_w, status.measured_w)
    numbers.add_row("error", "–" if error is None else f"{error:.1%}", "")
    lines += [numbers, Text(f"measured  {sparkline(view.history.measured_w)}", "cyan")]
    lines.append(_states(status.states))
    tone = "yellow" if status.missing_w else "dim"
    lines += [Text(f"  {cause_sentence(c, status.asked_w)}", tone) for c in status.causes]
    lines += [Text(f"  {notice_sentence(n, now_ms)}", "bold yellow") for n in view.now.notices]
    if status.partitions_heard < status.partitions_expected:
        reporting = f"{status.partitions_heard} of {status.partitions_expected} partitions report"
        lines.append(Text(f"  {reporting}", "red"))
    lines += [_request_line(r, request_id) for r in view.requests[:8]]
    return Group(*lines)


def one_line(view: DispatchView, request_id: str | None, now_ms: int) -> str:
    """The dispatch in one line, for output that is not a terminal.

    If the watched request is outranked, the line describes another one, and says so.
    """
    status = view.now.status
    if status is None:
        return f"{clock(now_ms)} {view.now.region}: no report yet"
    error = error_share(status.asked_w, status.measured_w)
    states = " ".join(f"{name}={n}" for name, n in sorted(status.states.items()))
    watched = request_of(view, request_id)
    if watched is not None and watched.state == "outranked":
        states += f"; {request_id} is outranked: {watched.reason}"
    return (
        f"{clock(status.at_ms)} {status.mode} requested {power(status.asked_w)}"
        f" allocated {power(status.allocated_w)} measured {power(status.measured_w)}"
        f" error {'–' if error is None else f'{error:.1%}'} {states}"
    )


def request_of(view: DispatchView, request_id: str | None) -> RequestView | None:
    """The request of an id, or None if it is not among the view's requests."""
    return next((r for r in view.requests if r.request.request_id == request_id), None)


def is_over(request: RequestView | None) -> bool:
    """Whether the request has reached a final state."""
    return request is not None and request.state in FINAL_STATES


def power(watts: float | None) -> str:
    """Watts with a suitable unit; a dash for None."""
    if watts is None:
        return "–"
    for size, unit in ((1e6, "MW"), (1e3, "kW")):
        if abs(watts) >= size:
            return f"{watts / size:+,.2f} {unit}"
    return f"{watts:+.0f} W"


def error_share(asked_w: float | None, measured_w: float) -> float | None:
    """|measured - requested| as a share of the requested power; None without a request."""
    return abs(measured_w - asked_w) / abs(asked_w) if asked_w else None


def cause_sentence(cause: Missing, asked_w: float | None) -> str:
    """A cause of missing power, with its amount and number of devices."""
    up_w, down_w = f"{cause.up_w / 1000:,.1f} kW", f"{cause.down_w / 1000:,.1f} kW"
    amount = f"{up_w} of discharge, {down_w} of charge"
    if asked_w is not None:
        amount = up_w if asked_w >= 0 else down_w
    # No devices are counted if the cause is not one of single devices.
    devices = {0: "devices", 1: "1 device"}.get(cause.devices, f"{cause.devices} devices")
    return f"{devices} {_CAUSES[cause.cause]}: {amount}"


def notice_sentence(notice: Notice, now_ms: int) -> str:
    """How much power will be missing, from when on."""
    wait_s = (notice.from_ms - now_ms) / 1000
    when = f"from {clock(notice.from_ms)}" if wait_s > 1 else f"since {clock(notice.from_ms)}"
    causes = "; ".join(cause_sentence(cause, notice.missing_w) for cause in notice.causes)
    missing = f"{power(abs(notice.missing_w)).lstrip('+')} of {notice.request_id}"
    return f"{missing} missing {when}: {causes or 'no cause reported'}"


def sparkline(values: Sequence[float | None]) -> str:
    """The newest values as a row of bars from the least (or 0) to the largest."""
    newest = values[-_SPARK_POINTS:]
    known = [v for v in newest if v is not None]
    low, high = min(0.0, *known, 0.0), max(0.0, *known, 0.0)
    span = high - low or 1.0
    return "".join(
        " " if v is None else _BARS[round((v - low) / span * (len(_BARS) - 1))] for v in newest
    )


def clock(ms: int) -> str:
    """The local time of day, with its zone."""
    return f"{datetime.fromtimestamp(ms / 1000).astimezone():%H:%M:%S %Z}"


def duration(seconds: float) -> str:
    """A duration in words."""
    minutes, rest = divmod(max(0, round(seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"


def _head(view: DispatchView, now_ms: int) -> Text:
    status = view.now.status
    assert status is not None  # a screen without one is a single line
    head = Text.assemble((view.now.region, "bold"), f"  {status.mode.replace('_', ' ')}")
    if status.request_id:
        head.append(f"  {status.request_id}", "dim")
    if status.ends_at_ms:
        head.append(f"  {duration((status.ends_at_ms - now_ms) / 1000)} left")
    return head


def _bar(power_w: float | None, asked_w: float | None) -> Text:
    most = abs(asked_w or 0) or 1.0
    share = min(1.5, abs(power_w or 0) / most) if asked_w else 0.0
    return Text("█" * round(20 * share), "green" if (power_w or 0) >= 0 else "blue")


def _states(states: dict[str, int]) -> Text:
    line = Text("devices   ")
    for name, n in sorted(states.items(), key=lambda item: -item[1]):
        word = "without a lease" if name == "none" else name.replace("_", " ")
        line.append(f"{n} {word}   ", _STATE_COLOURS.get(name, ""))
    return line


def _request_line(view: RequestView, watched: str | None) -> Text:
    request = view.request
    what = type(request).__name__.lower()
    if isinstance(request, Target):
        wanted = "self-consumption" if request.export_w is None else power(request.export_w)
        what = f"{what} {wanted} {clock(request.starts_at_ms)}–{clock(request.ends_at_ms)}"
    reason = f": {view.reason}" if view.reason else ""
    by = f" (by {view.by})" if view.by and view.by not in view.reason else ""
    style = "bold" if request.request_id == watched else "dim"
    state = view.state or "not reported"
    return Text(f"{request.request_id}  {what}  {request.source}  {state}{reason}{by}", style)
