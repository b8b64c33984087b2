"""The web process: follows the output topics into the read model and serves it."""

import asyncio
import logging
import signal
from collections.abc import Iterator
from contextlib import closing, contextmanager

import structlog
import uvicorn

from vpp_streams import clock
from vpp_streams.accounts.accounts import Accounts, accounts_file
from vpp_streams.process.ports import bound
from vpp_streams.serving.desk import Kafka
from vpp_streams.serving.feeding import EVERYTHING, fed
from vpp_streams.serving.logins import Logins
from vpp_streams.serving.readmodel import ReadModel
from vpp_streams.settings import Settings, words_of
from vpp_streams.web.api import create_web
from vpp_streams.web.connections import DoorConfig, open_files
from vpp_streams.web.oidc import Oidc
from vpp_streams.web.places import BACKLOG, Places, limits_for
from vpp_streams.web.senders import Senders

log = structlog.get_logger()


class _Server(uvicorn.Server):
    """uvicorn that ends on a signal without raising it again, so that its caller ends cleanly."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self.stop)
        try:
            yield
        finally:
            for number in (signal.SIGINT, signal.SIGTERM):
                loop.remove_signal_handler(number)

    def stop(self) -> None:
        """End soon; live streams end by themselves."""
        self.should_exit = True


def _server(settings: Settings, read_model: ReadModel, kafka: Kafka, accounts: Accounts) -> _Server:
    proxies, counters = words_of(settings.web_proxies), read_model.counters
    logins = Logins(settings.operators, accounts, counters)
    places = Places(limits_for(open_files(), settings.web_per_client), proxies, counters)

    def stopping() -> bool:
        return server.should_exit

    app = create_web(
        settings,
        read_model,
        clock.now_ms,
        kafka,
        logins=logins,
        stopping=stopping,
        oidc=_provider(settings, accounts),
    )
    door = DoorConfig(
        app,
        places,
        Senders(logins, proxies).is_operator,
        proxies=proxies,
        timeout_graceful_shutdown=3,
    )
    server = _Server(door)
    return server


def _provider(settings: Settings, accounts: Accounts) -> Oidc | None:
    """The organisation's provider, if one is set up. Raises `SettingsError`."""
    if settings.oidc_issuer is None and settings.oidc_client_id is None:
        return None
    from vpp_streams.web.oidc_client import OidcClient  # noqa: PLC0415  # most systems have none

    return Oidc(settings, accounts, clock.now_ms, OidcClient(settings))


async def serve_web(settings: Settings) -> None:
    """Serve on ``settings.web_port`` until SIGINT or SIGTERM.

    Raises `BrokerError` if Kafka does not answer, `InputError` if the port cannot be used.
    """
    # It would log every twin that a page requests, every two seconds.
    logging.getLogger("httpx").setLevel(logging.WARNING)
    listener = bound(settings.host, settings.web_port)
    read_model = ReadModel(started_at_ms=clock.now_ms())
    accounts = Accounts(accounts_file(settings), counters=read_model.counters)
    with listener, closing(accounts):
        async with fed("web", settings, read_model, accounts, EVERYTHING) as (kafka, feeding):
            server = _server(settings, read_model, kafka, accounts)
            listener.listen(BACKLOG)  # a reader of the next line may connect at once
            log.info("serving", url=f"http://{settings.host}:{listener.getsockname()[1]}")
            serving = asyncio.create_task(server.serve(sockets=[listener]))
            await asyncio.wait({serving, *feeding}, return_when=asyncio.FIRST_COMPLETED)
            server.stop()
            await serving
            for task in feeding:
                if task.done():
                    await task  # it ends only with an error
