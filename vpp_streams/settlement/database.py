"""Opens the ledger's database: PostgreSQL, or a file of SQLite where no other is named.

Whatever is wrong with it is a `LedgerError` of one line, in which no password appears.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic
from typing import Any
from urllib.parse import quote, unquote

import sqlalchemy as sa
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError

from vpp_streams.errors import LedgerError, SettingsError
from vpp_streams.kafka import topics
from vpp_streams.process.private_files import private_directory
from vpp_streams.settings import Settings
from vpp_streams.settlement.tables import LEDGER, METADATA, SCHEMA_VERSION

CONNECT_S = 10
"""How long a server may take to answer a new connection."""
STATEMENT_S = 600
"""How long a statement may take; the longest are the sums over a month."""
_STEPS = 10_000
"""How often SQLite looks whether its time is over, in steps of its virtual machine: 1 ms or so."""
EXAMPLE = "postgresql://USER:PASSWORD@HOST:5432/DATABASE"


def ledger_url(settings: Settings) -> sa.URL:
    """The database of these settings. Raises `SettingsError` for a URL that cannot be used."""
    if settings.ledger is None:
        name = f"ledger-{settings.namespace}.sqlite" if settings.namespace else "ledger.sqlite"
        return sa.URL.create("sqlite", database=str(settings.state_dir / name))
    way_out = f"set it to {EXAMPLE} or sqlite:////PATH/TO/FILE"
    try:
        url = sa.make_url(settings.ledger.get_secret_value())
    except (ArgumentError, ValueError):  # the error itself repeats the password
        raise SettingsError(f"VPP_LEDGER is no database URL; {way_out}") from None
    match url.get_backend_name():
        case "postgresql":
            return url.set(drivername="postgresql+psycopg")
        case "sqlite" if url.database and url.database != ":memory:":
            return url.set(drivername="sqlite")
        case other:
            raise SettingsError(f"VPP_LEDGER cannot be a database of {other}; {way_out}")


def open_ledger(
    settings: Settings, *, create: bool = False, reads_for_s: int | None = None
) -> sa.Engine:
    """The database, checked. With ``create``, an empty one gets its tables.

    With ``reads_for_s`` nothing can be changed through it, a server has that long to answer, and
    that long for a statement.
    Raises `LedgerError` where it does not answer, is not a ledger of this namespace, or is one of
    another version.
    """
    url = ledger_url(settings)
    if reads_for_s is not None:
        engine = _reading(url, reads_for_s)
    else:
        if url.get_backend_name() == "sqlite":
            private_directory(settings.state_dir)
        engine = _engine(url)
    topic = entries_topic(settings)
    with plain_errors(engine), engine.begin() as connection:
        if not sa.inspect(connection).has_table(LEDGER.name):
            if not create:
                raise LedgerError(
                    f"there is no ledger in {shown(url)} yet; `vpp settlement run` builds it"
                )
            create_tables(connection, topic)
        row = connection.execute(sa.select(LEDGER)).one()
    if row.schema_version != SCHEMA_VERSION:
        than = "an older" if row.schema_version < SCHEMA_VERSION else "a newer"
        raise LedgerError(
            f"the ledger in {shown(url)} is of {than} version of this program"
            f" ({row.schema_version}, not {SCHEMA_VERSION}); `vpp ledger rebuild` builds it again"
            " from the log"
        )
    if row.entries_topic != topic:
        raise LedgerError(
            f"the ledger in {shown(url)} is built from topic {row.entries_topic}, not {topic};"
            " choose another database in VPP_LEDGER or another VPP_NAMESPACE"
        )
    return engine


def entries_topic(settings: Settings) -> str:
    """Name on the broker of the topic that the ledger is built from."""
    return topics.SETTLEMENT_ENTRIES.full(settings.namespace)


def create_tables(connection: sa.Connection, topic: str) -> None:
    """Create the tables of an empty ledger."""
    METADATA.create_all(connection)
    connection.execute(sa.insert(LEDGER).values(schema_version=SCHEMA_VERSION, entries_topic=topic))
    if connection.dialect.name == "sqlite":
        connection.execute(sa.text("CREATE INDEX entries_site ON entries (site_account, day)"))


def drop_tables(settings: Settings) -> None:
    """Remove a ledger of any version; it can be built again from the log."""
    engine = _engine(ledger_url(settings))
    with plain_errors(engine), engine.begin() as connection:
        present = sa.MetaData()
        present.reflect(connection, only=lambda name, _: name in METADATA.tables)
        present.drop_all(connection)


def _reading(url: sa.URL, limit_s: int) -> sa.Engine:
    if url.get_backend_name() == "postgresql":
        options = f"-c statement_timeout={limit_s * 1000} -c default_transaction_read_only=on"
        arguments: dict[str, Any] = {"connect_timeout": limit_s, "options": options}
        # All that one answer says is of one moment.
        return sa.create_engine(
            url,
            connect_args=arguments,
            hide_parameters=True,
            isolation_level="REPEATABLE READ",
            pool_pre_ping=True,
        )
    # A file that is not there is not created.
    file = url.set(database=f"file:{quote(str(url.database))}", query={"mode": "rw", "uri": "true"})
    engine = sa.create_engine(file, connect_args={"timeout": limit_s}, hide_parameters=True)

    @sa.event.listens_for(engine, "connect")
    def _on_connect(connection: Any, _record: object) -> None:
        connection.isolation_level = None
        connection.execute("PRAGMA query_only=ON")

    @sa.event.listens_for(engine, "begin")
    def _on_begin(connection: sa.Connection) -> None:
        until = monotonic() + limit_s
        driver: Any = connection.connection.driver_connection
        driver.set_progress_handler(lambda: monotonic() > until, _STEPS)
        connection.exec_driver_sql("BEGIN")

    return engine


def _engine(url: sa.URL) -> sa.Engine:
    if url.get_backend_name() == "postgresql":
        options = f"-c statement_timeout={STATEMENT_S * 1000}"
        arguments: dict[str, Any] = {"connect_timeout": CONNECT_S, "options": options}
        return sa.create_engine(url, connect_args=arguments, hide_parameters=True)
    engine = sa.create_engine(url, connect_args={"timeout": CONNECT_S}, hide_parameters=True)

    @sa.event.listens_for(engine, "connect")
    def _on_connect(connection: Any, _record: object) -> None:
        # Python's driver would begin a transaction at the first change of a row only, so that
        # tables which are created would not be in it.
        connection.isolation_level = None
        connection.execute("PRAGMA journal_mode=WAL")
        # Each transaction is on the disk before the next: a power failure loses none.
        connection.execute("PRAGMA synchronous=FULL")

    @sa.event.listens_for(engine, "begin")
    def _on_begin(connection: sa.Connection) -> None:
        connection.exec_driver_sql("BEGIN")

    return engine


@contextmanager
def plain_errors(engine: sa.Engine) -> Iterator[None]:
    """Errors of the database during the block as a `LedgerError` of one line."""
    try:
        yield
    except (DBAPIError, NoSuchModuleError) as error:
        raise LedgerError(f"{shown(engine.url)}: {_reason(error, engine.url)}") from None


def shown(url: sa.URL) -> str:
    """A database for people, without its password."""
    if url.get_backend_name() == "sqlite":
        return f"the file {unquote(str(url.database).removeprefix('file:'))}"
    return f"PostgreSQL at {url.set(drivername='postgresql').render_as_string(hide_password=True)}"


_WAYS_OUT = (
    ("password authentication failed", "check the user and password in VPP_LEDGER"),
    ("no password supplied", "put the password into VPP_LEDGER"),
    ("does not exist", "create it (`createdb`), or correct VPP_LEDGER"),
    ("connection refused", "start the server, or correct host and port in VPP_LEDGER"),
    ("could not translate host", "correct the host in VPP_LEDGER"),
    ("failed to resolve host", "correct the host in VPP_LEDGER"),
    ("no such file", "start the server, or correct the path in VPP_LEDGER"),
    ("statement timeout", "it took too long; ask for less, or again when it is less busy"),
    ("timeout", "the server does not answer in time; check host and port in VPP_LEDGER"),
    ("permission denied", "give the user of VPP_LEDGER the right to create tables"),
    ("not a database", "the file is no SQLite database: choose another in VPP_LEDGER"),
    ("unable to open", "the file cannot be opened: check VPP_LEDGER and who owns it"),
    ("interrupted", "it took too long; ask for less, or again when it is less busy"),
    ("locked", "another process writes to it; only one may book at a time"),
)


def _reason(error: Exception, url: sa.URL) -> str:
    said = str(getattr(error, "orig", None) or error)
    if url.password:
        said = said.replace(str(url.password), "***")
    lines = [line.strip() for line in said.splitlines() if line.strip()] or [repr(error)]
    way_out = next((w for sign, w in _WAYS_OUT if sign in said.lower()), None)
    return f"{lines[-1]}; {way_out or 'the log has everything: `vpp settlement run` continues'}"
