"""Devices' certificates for a terminal."""

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime

import msgspec
import typer

from vpp_streams.domain.identity.certificate_states import Standing


def show_certificates(found: Sequence[Standing], as_json: bool) -> None:
    """Print a line for each device, with a count of the states, or one JSON object a line."""
    for standing in found:
        typer.echo(_as_json(standing) if as_json else _as_line(standing))
    if not as_json:
        counts = Counter(standing.state for standing in found)
        listed = ", ".join(f"{n} {state.replace('_', ' ')}" for state, n in counts.items())
        typer.echo(f"devices with a certificate: {len(found)}{listed and f' ({listed})'}")


def _as_line(standing: Standing) -> str:
    one = standing.certificate
    until = datetime.fromtimestamp(one.not_after_ms // 1000, UTC).strftime("%Y-%m-%d %H:%M")
    state = standing.state.replace("_", " ")
    return f"{one.device_id}  {one.site_id}  {state}  until {until} UTC  serial {one.serial}"


def _as_json(standing: Standing) -> str:
    document = {**msgspec.to_builtins(standing.certificate), "state": standing.state}
    return msgspec.json.encode(document).decode()
