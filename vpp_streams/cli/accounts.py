"""``vpp accounts``: people who use the system, their roles, sessions and tokens."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from vpp_streams import clock
from vpp_streams.errors import InputError
from vpp_streams.settings import Settings, load_settings

if TYPE_CHECKING:
    from vpp_streams.accounts.accounts import Accounts
    from vpp_streams.domain.access.rights import Grant

app = typer.Typer(
    help="People who use the system: their roles, sign-ins and tokens.", no_args_is_help=True
)
_Name = Annotated[str, typer.Argument(help="the account's name")]
_Where = Annotated[
    list[str] | None,
    typer.Option("--at", help="*, region:NAME or site:ID (more than once); * unless given"),
]


@app.command()
def add(
    name: _Name,
    role: Annotated[
        str, typer.Option(help="viewer, operator, trader, installer or owner")
    ] = "viewer",
    at: _Where = None,
    email: Annotated[
        str | None, typer.Option(help="address that an organisation's provider confirms")
    ] = None,
    prompt: Annotated[
        bool, typer.Option("--prompt", help="ask for a password here, instead of making a link")
    ] = False,
) -> None:
    """Add an account with a role, and print a link with which its owner chooses a password."""
    settings = _settings()
    with _opened(settings) as accounts:
        grants = _grants(role, at)
        account = accounts.people.add(name, grants, at_ms=clock.now_ms(), email=email)
        _note(accounts, "account_add", name, ", ".join(map(str, grants)))
        if prompt:
            _prompt(accounts, name)
        else:
            _print_link(settings, accounts, account.name)


@app.command("list")
def list_() -> None:
    """List the accounts with their roles."""
    with _opened(_settings()) as accounts:
        for account in accounts.people.all():
            roles = ", ".join(str(grant) for grant in account.grants) or "no role"
            second = ", second factor" if account.has_totp else ""
            state = ", disabled" if account.disabled else ""
            email = f" <{account.email}>" if account.email else ""
            typer.echo(f"{account.name}{email}: {roles}{second}{state}")


@app.command()
def role(
    name: _Name,
    role: Annotated[str, typer.Argument(help="viewer, operator, trader, installer or owner")],
    at: _Where = None,
    take: Annotated[bool, typer.Option("--take", help="take the role away")] = False,
) -> None:
    """Give an account a role, or take it away; it applies from the next request on."""
    with _opened(_settings()) as accounts:
        account = accounts.people.named(name)
        for grant in _grants(role, at):
            if not take:
                accounts.people.grant(account, grant)
            elif not accounts.people.take(account, grant):
                raise InputError(f"{account.name} is no {grant}")
            _note(accounts, "role_taken" if take else "role_given", name, str(grant))
            typer.echo(f"{account.name} is {'no longer ' if take else ''}{grant}")


@app.command()
def disable(
    name: _Name,
    enable: Annotated[bool, typer.Option("--enable", help="let it sign in again")] = False,
) -> None:
    """Disable an account: its sessions end, and its tokens are refused."""
    with _opened(_settings()) as accounts:
        account = accounts.people.named(name)
        accounts.people.disable(account, None if enable else clock.now_ms())
        ended = 0 if enable else accounts.sessions.end_all(account)
        _note(accounts, "account_enabled" if enable else "account_disabled", name, "")
        typer.echo(
            f"{account.name} may sign in again"
            if enable
            else f"{account.name} is disabled; {ended} sessions were ended"
        )


@app.command()
def reset(
    name: _Name,
    totp: Annotated[bool, typer.Option("--totp", help="also turn its second factor off")] = False,
    prompt: Annotated[
        bool, typer.Option("--prompt", help="ask for a password here, instead of making a link")
    ] = False,
) -> None:
    """Print a link with which an account's owner chooses a new password, once, within a day."""
    settings = _settings()
    with _opened(settings) as accounts:
        account = accounts.people.named(name)
        if totp:
            accounts.totp.turn_off(account)
        _note(accounts, "account_reset", name, "with its second factor" if totp else "")
        if prompt:
            _prompt(accounts, name)
        else:
            _print_link(settings, accounts, account.name)


@app.command()
def sessions(
    name: _Name,
    end: Annotated[bool, typer.Option("--end", help="end all of them")] = False,
) -> None:
    """List an account's open sessions and its tokens, or end the sessions."""
    from datetime import datetime

    def moment(at_ms: int) -> str:
        return f"{datetime.fromtimestamp(at_ms / 1000).astimezone():%d %b %H:%M}"

    with _opened(_settings()) as accounts:
        account, now_ms = accounts.people.named(name), clock.now_ms()
        if end:
            typer.echo(f"{accounts.sessions.end_all(account)} sessions were ended")
            _note(accounts, "sessions_ended", name, "")
            return
        for one in accounts.sessions.of(account, now_ms):
            typer.echo(
                f"session {one.key}: by {one.how} from {one.address or 'this machine'}, since"
                f" {moment(one.made_at_ms)}, seen {moment(one.seen_at_ms)}"
            )
        for token in accounts.sessions.tokens(account, now_ms):
            actions = ", ".join(token.actions)
            typer.echo(f"token {token.key} {token.name!r}: {actions}; {moment(token.ends_at_ms)}")


@app.command()
def token(
    name: _Name,
    may: Annotated[
        list[str] | None,
        typer.Option(help="an action that it is for (more than once); all reads unless given"),
    ] = None,
    days: Annotated[float, typer.Option(help="days until it ends", min=0.01, max=366)] = 90.0,
    label: Annotated[str, typer.Option(help="what the token is for")] = "command line",
) -> None:
    """Make a token of an account for programs: it has the account's rights, and an end."""
    from vpp_streams.domain.access.rights import READS

    with _opened(_settings()) as accounts:
        account = accounts.people.named(name)
        secret = accounts.sessions.add_token(
            account, label, may or READS, now_ms=clock.now_ms(), days=days
        )
        _note(accounts, "token_made", name, ", ".join(may or READS))
    typer.echo(f"# a token of {name}, shown only now; it ends in {days:g} days", err=True)
    typer.echo(f"VPP_TOKEN={secret}")


@app.command()
def log(
    last: Annotated[str, typer.Option(help="how far back: 10m, 1h, 2d")] = "1d",
    as_json: Annotated[bool, typer.Option("--json", help="one JSON document")] = False,
) -> None:
    """Print the audit trail: sign-ins, orders and changes of accounts (topic `audit`)."""
    import asyncio

    from vpp_streams.cli.screens.audit_lines import audit_since, line_of
    from vpp_streams.cli.screens.documents import print_json
    from vpp_streams.domain.files.spoken_time import duration_s

    try:
        since_ms = clock.now_ms() - round(1000 * duration_s(last))
    except ValueError as error:
        raise InputError(str(error)) from None
    events = asyncio.run(audit_since(_settings(), since_ms))
    if as_json:
        print_json(events)
        return
    for event in events:
        typer.echo(line_of(event))


def _settings() -> Settings:
    """The environment's settings, by default in the namespace of `vpp up` on this machine."""
    from vpp_streams.serving.operators import read_access

    settings = load_settings()
    access = read_access(settings.state_dir)
    if settings.namespace or settings.accounts is not None or access is None:
        return settings
    return settings.model_copy(update={"namespace": access.namespace})


@contextmanager
def _opened(settings: Settings) -> Iterator["Accounts"]:
    from vpp_streams.accounts.accounts import Accounts, accounts_file

    accounts = Accounts(accounts_file(settings))
    try:
        yield accounts
    finally:
        accounts.close()


def _grants(role: str, at: list[str] | None) -> list["Grant"]:
    from vpp_streams.domain.access.rights import ScopeError, grant_of

    try:
        return [grant_of(role, scope) for scope in at or ["*"]]
    except ScopeError as error:
        raise InputError(str(error)) from None


def _prompt(accounts: "Accounts", name: str) -> None:
    password = typer.prompt("Password", hide_input=True, confirmation_prompt=True, err=True)
    account = accounts.people.named(name)
    accounts.people.set_password(account, accounts.passwords.hash(password))
    accounts.sessions.end_all(account)
    typer.echo(f"{name} has a password now", err=True)


def _print_link(settings: Settings, accounts: "Accounts", name: str) -> None:
    from vpp_streams.cli.api_client import url_of

    word = accounts.sessions.add_link(accounts.people.named(name), "password", clock.now_ms())
    typer.echo(f"# for {name} alone: a link that works once, within a day", err=True)
    typer.echo(f"{url_of(settings)}/sign-in.html#link={word}")


def _note(accounts: "Accounts", action: str, name: str, detail: str) -> None:
    import getpass

    accounts.audit.note(
        clock.now_ms(),
        who=getpass.getuser(),
        how="cli",
        action=action,
        target=name,
        result="done",
        detail=detail,
    )
