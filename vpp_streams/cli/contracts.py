"""``vpp contracts``: the documents of the contracts."""

from pathlib import Path
from typing import Annotated

import typer

from vpp_streams.errors import VppError

_DIRECTORY = Path("docs/contracts")
_CHART = "../../deploy/chart/vpp/files"


def contracts(
    directory: Annotated[Path, typer.Argument(help="where the documents are")] = _DIRECTORY,
    check: Annotated[
        bool, typer.Option("--check", help="compare instead of writing; exit 1 if they differ")
    ] = False,
) -> None:
    """Write JSON Schema, AsyncAPI 3, the Arrow schema, and the tables of two pages beside them.

    Also the topics and Kafka's users of the Helm chart. All of it is generated: from schemas/, the
    topics, the obligations of vpp.v1 (../devices.md) and the table of metrics (../metrics.md).
    """
    from vpp_streams.kafka.access.documents import chart_users
    from vpp_streams.kafka.contracts import documents
    from vpp_streams.kafka.topic_list import topic_list

    made = documents()
    there = {path.name: path.read_text() for path in sorted(directory.glob("*.*"))}
    for page, make in (("devices.md", device_page), ("metrics.md", metrics_page)):
        if (path := directory.parent / page).exists():
            there[f"../{page}"] = path.read_text()
            made[f"../{page}"] = make(path.read_text())
    for name, make_list in (("topics.yaml", topic_list), ("users.yaml", chart_users)):
        listed = f"{_CHART}/{name}"
        if (directory / listed).exists():
            there[listed], made[listed] = (directory / listed).read_text(), make_list()
    changed = sorted(
        name for name in made.keys() | there.keys() if made.get(name) != there.get(name)
    )
    if check and changed:
        raise VppError(f"not as generated from schemas/: {', '.join(changed)}; run `vpp contracts`")
    if check:
        typer.echo(f"{len(made)} documents in {directory} are as generated from schemas/")
        return
    directory.mkdir(parents=True, exist_ok=True)
    for name in there.keys() - made.keys():
        (directory / name).unlink()
    for name, text in made.items():
        (directory / name).write_text(text)
    typer.echo(f"{directory}: {len(made)} documents, {len(changed)} changed")


def device_page(page: str) -> str:
    """The specification of ``vpp.v1`` with its tables generated."""
    from vpp_streams.conformance.obligations import DEVICE, GATEWAY, as_table
    from vpp_streams.kafka.device_page import filled, message_tables

    tables = {"device-obligations": as_table(DEVICE), "gateway-obligations": as_table(GATEWAY)}
    return filled(page, message_tables() | tables)


def metrics_page(page: str) -> str:
    """The page about metrics with its tables generated."""
    from vpp_streams.kafka.device_page import filled
    from vpp_streams.process.metric_table import TABLE, as_markdown

    return filled(page, {subject: as_markdown(rows) for subject, rows in TABLE.items()})
