"""``vpp audit``: a device's commands, and their outcomes."""

from typing import TYPE_CHECKING, Annotated

import typer

from vpp_streams.errors import InputError
from vpp_streams.settings import load_settings

if TYPE_CHECKING:
    from vpp_streams.serving.control_views import DeviceStory


def audit(
    device: Annotated[str, typer.Argument(help="the device's id")],
    last: Annotated[str, typer.Option(help="how far back: 10m, 1h, 2d")] = "1h",
    as_json: Annotated[bool, typer.Option("--json", help="one JSON document")] = False,
) -> None:
    """Print a device's commands line by line: request, answer, application and end."""
    from urllib.parse import quote

    from vpp_streams.cli.api_client import ApiClient
    from vpp_streams.cli.screens.documents import print_json
    from vpp_streams.domain.files.spoken_time import duration_s
    from vpp_streams.serving.control_views import DeviceStory

    try:
        last_s = max(1, round(duration_s(last)))
    except ValueError as error:
        raise InputError(str(error)) from None
    with ApiClient(load_settings()) as api:
        path = f"devices/{quote(device, safe='')}/commands"
        story = api.get(path, DeviceStory, last_s=last_s)
    if as_json:
        print_json(story)
    else:
        _print_story(story, last)


def _print_story(story: "DeviceStory", last: str) -> None:
    from datetime import datetime

    typer.echo(f"{story.device_id} of {story.site_id}, region {story.region}, last {last}")
    if not story.story:
        typer.echo("it had no command: it is in self-consumption")
    for line in story.story:
        at = datetime.fromtimestamp(line.at_ms / 1000).astimezone()
        when = f"{at:%d %b %H:%M:%S}.{line.at_ms % 1000:03} {at:%Z}"
        typer.echo(f"{when}  {line.command_id}  {line.said}")
