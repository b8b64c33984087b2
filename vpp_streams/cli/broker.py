"""``vpp broker``: the local Kafka."""

import typer

from vpp_streams.settings import load_settings

app = typer.Typer(
    no_args_is_help=True,
    help="Start and stop a local Apache Kafka (in Docker, or with Java 17 where there is none).",
)


@app.command()
def start() -> None:
    """Start Kafka in the background and wait until it answers; does nothing if one answers.

    It listens on VPP_KAFKA (localhost:9092). The first start without Docker downloads Kafka's jars
    with Maven.
    """
    from vpp_streams.local import broker

    broker.start(load_settings(), typer.echo)


@app.command()
def stop() -> None:
    """Stop the broker that `vpp broker start` started. Its data is kept."""
    from vpp_streams.local import broker

    settings = load_settings()
    if broker.stop(settings):
        typer.echo(f"stopped Kafka at {settings.kafka}")
    else:
        typer.echo(f"no Kafka started by us runs at {settings.kafka}")


@app.command()
def status() -> None:
    """Print whether a broker answers, and who runs it. Exit code 3 if none does."""
    from vpp_streams.local import broker

    found = broker.status(load_settings())
    if not found.answers:
        typer.echo(f"no Kafka answers at {found.kafka}; start one with: vpp broker start")
        raise typer.Exit(3)
    who = {"java": f"Java, process {found.pid}", "docker": "Docker"}.get(
        found.engine or "", "not started by us"
    )
    typer.echo(f"Kafka answers at {found.kafka} ({who})")
    if found.log:
        typer.echo(f"its log: {found.log}")


@app.command()
def run() -> None:
    """Run Kafka in the foreground until Ctrl-C (for a service manager)."""
    from vpp_streams.local import broker

    broker.run_in_foreground(load_settings(), typer.echo)
