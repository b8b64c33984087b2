"""Tokens of operators: their digests, regions and rights, in a TOML file.

The file contains no tokens, only SHA-256 digests of tokens of 256 random bits, so it gives nobody
access. ``vpp operators token NAME`` creates a token and the lines for the file. People who use the
dashboard have accounts instead (`vpp_streams.accounts`).
"""

import hmac
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import Annotated, Literal

import msgspec

from schemas.bounds import Id
from vpp_streams.accounts.secrets import digest_of, new_word
from vpp_streams.domain.access.rights import (
    DECISIONS,
    ORDERS,
    PLANT,
    READS,
    Decision,
    Grant,
    Order,
    Principal,
    Scope,
)
from vpp_streams.errors import SettingsError
from vpp_streams.process.private_files import write_private

MAKE_ONE = (
    "make a token with `vpp operators token NAME`, put the lines that it prints into a file and"
    " start the web process with VPP_OPERATORS=that file"
)


class Operator(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A person or a system that may give orders."""

    name: Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._@-]{0,63}(?!\n)$")]
    token_sha256: Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}(?!\n)$")]
    """Hex SHA-256 of the token."""
    regions: tuple[Id, ...] | Literal["*"]
    """``*`` = every region."""
    may: tuple[Order | Decision, ...]
    """Orders and decisions; what an operator may read in its regions needs no word."""
    ends_at: Annotated[datetime, msgspec.Meta(tz=True)] | None = None
    """The token is refused from this time on; null = it has no end."""


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    operators: tuple[Operator, ...] = ()


def read_operators(path: Path) -> tuple[Operator, ...]:
    """The operators in a file. Raises `SettingsError` if it cannot be used."""
    try:
        found = msgspec.toml.decode(path.read_bytes(), type=_File).operators
    except (OSError, UnicodeDecodeError, msgspec.DecodeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise SettingsError(
            f"VPP_OPERATORS: {path} cannot be used ({reason}); {MAKE_ONE}"
        ) from None
    for what in ("name", "token_sha256"):
        if len({getattr(operator, what) for operator in found}) < len(found):
            raise SettingsError(f"VPP_OPERATORS: {path} contains the same {what} twice")
    return found


def holder_of(token: str, operators: Iterable[Operator], now_ms: int) -> Operator | None:
    """The operator who has the token, unless it has ended.

    The time it takes does not depend on the answer.
    """
    digest = digest_of(token)
    holder = None
    for operator in operators:
        if hmac.compare_digest(operator.token_sha256, digest):
            holder = operator
    if holder is not None and holder.ends_at is not None:
        return holder if now_ms < holder.ends_at.timestamp() * 1000 else None
    return holder


def principal_of(operator: Operator) -> Principal:
    """An operator of the file as the sender of requests: it reads all of its regions."""
    scopes = (
        (PLANT,) if operator.regions == "*" else tuple(Scope("region", r) for r in operator.regions)
    )
    return Principal(
        name=operator.name,
        grants=tuple(Grant("operator", scope) for scope in scopes),
        limited_to=frozenset((*READS, *operator.may)),
    )


def new_token() -> str:
    """A random token that cannot be guessed."""
    return new_word("vpp")


def lines_for(operator: Operator) -> str:
    """The operator as lines of the TOML file."""

    def quoted(words: Iterable[str]) -> str:
        return "[" + ", ".join(f'"{word}"' for word in words) + "]"

    regions = '"*"' if operator.regions == "*" else quoted(operator.regions)
    return (
        "[[operators]]\n"
        f'name = "{operator.name}"\n'
        f'token_sha256 = "{operator.token_sha256}"\n'
        f"regions = {regions}\n"
        f"may = {quoted(operator.may)}\n"
        + (f"ends_at = {operator.ends_at.isoformat()}\n" if operator.ends_at else "")
    )


class Access(msgspec.Struct, frozen=True, kw_only=True):
    """The access of the command line to the web process of a `vpp up` on this machine."""

    url: str
    token: str
    namespace: str


def access_file(state_dir: Path) -> Path:
    """The path at which `vpp up` writes its `Access`."""
    return state_dir / "operator-access.json"


def demo_operators_file(state_dir: Path, world: str) -> Path:
    """The path at which `vpp up` writes its operators' file; ``world`` is its namespace."""
    return state_dir / f"operators-{world}.toml"


def make_demo_operator(state_dir: Path, world: str, url: str) -> tuple[Path, Access]:
    """Create an operator ``demo`` with every right and a new token; its file and its access.

    Only their owner can read the two files. ``world`` is the namespace of the system.
    """
    access = Access(url=url, token=new_token(), namespace=world)
    operator = Operator(
        name="demo", token_sha256=digest_of(access.token), regions="*", may=(*ORDERS, *DECISIONS)
    )
    operators = demo_operators_file(state_dir, world)
    write_private(operators, lines_for(operator).encode())
    write_private(access_file(state_dir), msgspec.json.encode(access))
    return operators, access


def read_access(state_dir: Path) -> Access | None:
    """The `Access` that `vpp up` wrote, or None if there is none that can be read."""
    try:
        return msgspec.json.decode(access_file(state_dir).read_bytes(), type=Access)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError):
        return None
