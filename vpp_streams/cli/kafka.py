"""``vpp kafka``: topics, and who may do what with them."""

import asyncio
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from vpp_streams.errors import InputError
from vpp_streams.settings import load_settings

app = typer.Typer(
    no_args_is_help=True,
    help="Topics, and who may do what with them (docs/kafka-security.md).",
)


class Format(StrEnum):
    """How ACLs are printed."""

    COMMANDS = "commands"
    JSON = "json"
    STRIMZI = "strimzi"


@app.command()
def topics(
    alter: Annotated[
        bool, typer.Option("--alter", help="give existing topics the settings of new ones")
    ] = False,
) -> None:
    """Create the topics that are missing, for roles that may not, and compare the others.

    Run it as a user who may (vpp-operator) before the roles start, and after each upgrade. Where
    Kafka has three brokers or more, a topic has three replicas, and a write needs two of them.

    A topic that exists keeps its settings, such as its retention. Those that differ from a new
    topic's are listed, and changed only with --alter.
    """
    from vpp_streams.kafka.admin import ensure_topics
    from vpp_streams.kafka.clients import KafkaClients
    from vpp_streams.kafka.topic_settings import alter_settings, other_settings

    settings = load_settings()
    clients = KafkaClients(settings)
    asyncio.run(ensure_topics(clients))
    typer.echo(f"every topic exists at {settings.kafka}")
    others = asyncio.run(other_settings(clients))
    for one in others:
        typer.echo(str(one))
    if others and alter:
        asyncio.run(alter_settings(clients, others))
        typer.echo(f"{len(others)} settings changed")
    elif others:
        typer.echo("vpp kafka topics --alter changes them")


@app.command()
def acls(
    format_: Annotated[
        Format, typer.Option("--as", help="commands = for kafka-acls.sh; strimzi = KafkaUser YAML")
    ] = Format.COMMANDS,
    apply: Annotated[
        bool, typer.Option("--apply", help="give them to Kafka instead; needs a super user")
    ] = False,
) -> None:
    """Print the ACLs and quotas of each role, or apply them.

    They are generated from the list of which role reads and writes which topic. Applied again,
    what our users have too much in this namespace is removed.

    vpp kafka acls --as strimzi > users.yaml
    """
    from vpp_streams.kafka.access.apply import apply_access
    from vpp_streams.kafka.access.documents import FORMATS
    from vpp_streams.kafka.clients import KafkaClients

    settings = load_settings()
    if not apply:
        typer.echo(FORMATS[format_](settings.namespace, settings.kafka))
        return
    change = asyncio.run(apply_access(KafkaClients(settings)))
    typer.echo(
        f"{len(change.add)} ACLs added, {len(change.remove)} removed; quotas are set"
        f" at {settings.kafka}"
    )


@app.command()
def backup(file: Annotated[Path, typer.Argument(help="Parquet file to write")]) -> None:
    """Copy what cannot be computed again into a file: registry, terms, decisions, ledger, audit.

    Roles may run meanwhile. Keep it as secret as the system: it has names of people and sites.
    """
    from vpp_streams.kafka.backup import back_up
    from vpp_streams.kafka.clients import KafkaClients

    settings = load_settings()
    count = asyncio.run(back_up(KafkaClients(settings), file))
    typer.echo(f"{count.total():,} records of {len(count)} topics are in {file}")


@app.command()
def restore(file: Annotated[Path, typer.Argument(help="file of `vpp kafka backup`")]) -> None:
    """Write the records of a file into a Kafka that has lost them, before the roles start.

    Topics are created; one that has records already is left alone, and nothing is written.
    """
    from vpp_streams.kafka.backup import restore as restore_from
    from vpp_streams.kafka.clients import KafkaClients

    settings = load_settings()
    count = asyncio.run(restore_from(KafkaClients(settings), file))
    typer.echo(f"{count.total():,} records of {len(count)} topics are in {settings.kafka}")


@app.command()
def password(
    role: Annotated[str, typer.Argument(help="the role: gateway, ingest, ..., operator")],
    file: Annotated[Path, typer.Argument(help="file of the password; made if it does not exist")],
) -> None:
    """Set a role's password in Kafka (SCRAM-SHA-512), and keep it in a file.

    A file that does not exist is made, with a new password, for its owner only. To replace a
    password, name a new file, and start the role again with VPP_KAFKA_SASL_PASSWORD_FILE=FILE.
    """
    import secrets

    from vpp_streams.kafka.access.apply import set_password
    from vpp_streams.kafka.access.principals import PRINCIPALS
    from vpp_streams.kafka.clients import KafkaClients
    from vpp_streams.process.private_files import write_private

    by_role = {one.role: one for one in PRINCIPALS}
    if role not in by_role:
        raise InputError(f"there is no role {role!r}; choose one of {', '.join(by_role)}")
    try:
        if not file.exists():
            write_private(file, f"{secrets.token_urlsafe(32)}\n".encode())
        secret = file.read_text().rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{file}: {error}") from None
    if not secret:
        raise InputError(f"{file} is empty; remove it, and a new password is made")
    settings = load_settings()
    asyncio.run(set_password(KafkaClients(settings), by_role[role], secret))
    typer.echo(f"{by_role[role].user} signs in with the password in {file}")
