"""The agent's page for the people in a home: plain HTML that refreshes itself, without scripts."""

from html import escape

from edge.driver import Quantity
from edge.status import Status
from schemas.bodies import Quality

_NAMES: dict[Quantity, tuple[str, str]] = {
    "solar_w": ("Solar", "W"),
    "load_w": ("Household", "W"),
    "grid_w": ("Grid (+ = import)", "W"),
    "battery_w": ("Battery (+ = discharge)", "W"),
    "soc": ("State of charge", "%"),
    "frequency_hz": ("Frequency", "Hz"),
    "voltage_v": ("Voltage", "V"),
    "temperature_c": ("Temperature", "°C"),
    "islanded": ("Off the grid", ""),
}
_QUALITY = {Quality.OK: "measured", Quality.ESTIMATED: "estimated, not sent"}
_STYLE = """
body{font:16px/1.5 system-ui,sans-serif;max-width:44rem;margin:2rem auto;padding:0 1rem;
color:#1c2733;background:#f7f8fa}
h1{font-size:1.4rem;margin:0}h2{font-size:1rem;margin:1.6rem 0 .4rem}
.state{display:inline-block;padding:.1rem .7rem;border-radius:1rem;color:#fff;background:#18794e}
.state.bad{background:#b42318}
table{border-collapse:collapse;width:100%;background:#fff;border:1px solid #d9dee5}
td,th{padding:.35rem .7rem;text-align:left;border-bottom:1px solid #e8ebef;vertical-align:top}
th{font-weight:500;width:13rem;color:#52606d}td.n{text-align:right;white-space:nowrap}
ul.bad{background:#fef3f2;border:1px solid #f0b5ae;padding:.6rem .6rem .6rem 2rem;margin:1rem 0}
footer{color:#52606d;font-size:.85rem;margin-top:1.5rem}
@media (prefers-color-scheme:dark){body{background:#14191f;color:#e4e8ec}
table{background:#1c232b;border-color:#333d47}td,th{border-color:#2a333c}th,footer{color:#9aa7b4}
ul.bad{background:#3a1d1a;border-color:#7a2e27}a{color:#8ab8ff}}
"""


def page_of(status: Status) -> str:
    """The page as HTML."""
    count = len(status.troubles)
    state = "All is well" if not count else f"{count} trouble{'s' if count > 1 else ''}"
    items = "".join(f"<li>{escape(each)}</li>" for each in status.troubles)
    link = "connected" if status.connected else "not connected"
    disk = "on the disk" if status.on_disk else "in memory only"
    rows = {
        "Battery": status.battery,
        "Owner's reserve": f"{status.reserve:.0%} of the battery is never sold",
        "Power station": f"{link}: {status.url}",
        "Identity": f"{status.device_id}, {status.login}",
        "Readings kept": f"{status.kept:,} {disk}, until the power station has them",
    }
    facts = "".join(f"<tr><th>{k}</th><td>{escape(v)}</td></tr>" for k, v in rows.items())
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta http-equiv="refresh" content="5">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{escape(status.device_id)}: {state}</title><style>{_STYLE}</style></head><body>"
        f"<h1>{escape(status.device_id)} "
        f'<span class="state{" bad" if count else ""}">{state}</span></h1>'
        + (f'<ul class="bad">{items}</ul>' if count else "")
        + f"<h2>Now</h2><table>{facts}</table>"
        f"<h2>Measured{_age(status.age_s)}</h2>{_measured(status)}"
        '<footer>Refreshes every 5 s. <a href="/state.json">state.json</a> ·'
        ' <a href="/metrics">metrics</a></footer></body></html>\n'
    )


def _age(age_s: float | None) -> str:
    return "" if age_s is None else f" {age_s:.0f} s ago"


def _measured(status: Status) -> str:
    shown = {reading.quantity: reading for reading in status.readings}
    if not shown:
        return "<p>Nothing was measured yet.</p>"
    rows = []
    for quantity, (name, unit) in _NAMES.items():
        if (reading := shown.get(quantity)) is None:
            value, quality = "–", "not measured"
        else:
            value = _value(quantity, reading.value, unit)
            quality = _QUALITY.get(reading.quality, "bad, not used")
        rows.append(f'<tr><th>{name}</th><td class="n">{value}</td><td>{quality}</td></tr>')
    return f"<table>{''.join(rows)}</table>"


def _value(quantity: Quantity, value: float, unit: str) -> str:
    if quantity == "islanded":
        return "yes" if value > 0.5 else "no"
    if quantity == "soc":
        return f"{value * 100:.1f} %"
    return f"{value:,.0f} {unit}" if unit == "W" else f"{value:,.2f} {unit}"
