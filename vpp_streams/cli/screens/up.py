"""The live status of ``vpp up`` for a terminal."""

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from vpp_streams.local.demo import loop_running, pause, web_url
from vpp_streams.local.demo_check import read_summary, summary_client
from vpp_streams.local.demo_run import OpenDemo
from vpp_streams.local.loop_check import Expected, Summary
from vpp_streams.local.supervisor import Supervisor
from vpp_streams.settings import Settings


async def watch_demo(opened: OpenDemo) -> None:
    """Run the demo's processes and show their status until Ctrl-C."""
    console, settings, supervisor = Console(), opened.settings, opened.supervisor
    # Awards of the market can apply at any time, and outrank an operator's other orders.
    console.print("orders      vpp dispatch REGION --export-w WATTS --for 15m --emergency --watch")
    console.print("accounts    vpp accounts add NAME --role operator   (their own sign-in)")
    console.print(f"sign in     {opened.keys.link}", soft_wrap=True, highlight=False)
    console.print("            this link signs one browser in, once, within 15 minutes")
    async with (
        loop_running(supervisor) as stopping,
        summary_client(settings, opened.keys.reader) as client,
    ):
        before: Summary | None = None
        with Live(console=console, auto_refresh=False) as live:
            while await pause(stopping):
                now = await read_summary(client)
                screen = status_screen(settings, supervisor, opened.expected, before, now)
                live.update(screen, refresh=True)
                before = now
        console.print("ending every process …")


def status_screen(
    settings: Settings,
    supervisor: Supervisor,
    expected: Expected,
    before: Summary | None,
    now: Summary | None,
) -> RenderableType:
    """The dashboard's address, the processes and, once there is a summary, devices and regions."""
    processes = _processes(supervisor)
    head = Text.assemble(
        "dashboard   ", (web_url(settings), "bold cyan"), "   Ctrl-C ends every process"
    )
    logs = Text(f"logs        {supervisor.children[0].log.parent}", "dim")
    if now is None:
        return Group(head, processes, logs, Text("starting …", "yellow"))
    rate = now.readings_in - before.readings_in if before else 0
    flow = Text(
        f"devices     {now.devices_connected} of {expected.devices} connected\n"
        f"readings    {rate} a second, {now.rejected} rejected, {now.lag:.0f} records waiting\n"
        f"windows     {now.windows_closed} closed\n"
    )
    return Group(head, processes, logs, flow, _regions(now))


def _processes(supervisor: Supervisor) -> Text:
    colours = {"running": "green", "crashed": "red"}
    processes = Text.assemble("processes   ")
    for child in supervisor.children:
        processes.append(f"{child.spec.name} ", colours.get(child.state, "yellow"))
        if child.restarts:
            processes.append(f"(restarted {child.restarts}x, exit {child.last_exit}) ", "red")
    return processes


def _regions(now: Summary) -> Table:
    table = Table(box=None, pad_edge=False)
    for column in ("region", "coverage", "battery", "stored", "age p50/p99"):
        table.add_column(column, justify="left" if column == "region" else "right")
    for region in now.regions:
        table.add_row(
            region.region,
            f"{region.coverage:.1%}",
            "-" if region.battery_w is None else f"{region.battery_w / 1000:,.1f} kW",
            "-" if region.soc is None else f"{region.soc:.1%}",
            f"{_ms(region.age_p50_ms)} / {_ms(region.age_p99_ms)}",
        )
    return table


def _ms(value: float | None) -> str:
    return "-" if value is None else f"{value:.0f} ms"
