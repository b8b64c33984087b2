"""Who may order what: operators, their tokens' digests, their regions and rights, in a TOML file.

The file holds no token, only SHA-256 digests of tokens of 256 random bits: nothing in it lets
anybody in. ``vpp operators token NAME`` makes a token and the lines for the file.
"""

import hashlib
import hmac
import secrets
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Literal, get_args

import msgspec

from schemas.bounds import Id
from vpp_streams.errors import SettingsError
from vpp_streams.process.private_files import write_private

Right = Literal["dispatch", "emergency", "limit", "hold", "storm"]
RIGHTS: tuple[Right, ...] = get_args(Right)
MAKE_ONE = (
    "make a token with `vpp operators token NAME`, put the lines that it prints into a file and"
    " start the web process with VPP_OPERATORS=that file"
)


class Operator(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A person or a system that may order."""

    name: Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._@-]{0,63}(?!\n)$")]
    token_sha256: Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}(?!\n)$")]
    """Hex SHA-256 of the token."""
    regions: tuple[Id, ...] | Literal["*"]
    """``*`` = every region."""
    may: tuple[Right, ...]

    def lacks(self, right: Right, regions: Iterable[str]) -> str | None:
        """What stands in the way of a right in these regions, in one sentence; None = nothing."""
        if right not in self.may:
            return f"operator {self.name} lacks the right {right!r}"
        for region in regions:
            if self.regions != "*" and region not in self.regions:
                return f"operator {self.name} has no rights in region {region[:64]!r}"
        return None


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    operators: tuple[Operator, ...] = ()


def read_operators(path: Path) -> tuple[Operator, ...]:
    """The operators of a file. Raises `SettingsError` where it cannot be used."""
    try:
        found = msgspec.toml.decode(path.read_bytes(), type=_File).operators
    except (OSError, UnicodeDecodeError, msgspec.DecodeError) as error:
        said = getattr(error, "strerror", None) or str(error)
        raise SettingsError(f"VPP_OPERATORS: {path} cannot be used ({said}); {MAKE_ONE}") from None
    for what in ("name", "token_sha256"):
        if len({getattr(operator, what) for operator in found}) < len(found):
            raise SettingsError(f"VPP_OPERATORS: {path} holds the same {what} twice")
    return found


def holder_of(token: str, operators: Iterable[Operator]) -> Operator | None:
    """The operator whose token it is; takes as long whoever it is, and whether or not."""
    digest = digest_of(token)
    holder = None
    for operator in operators:
        if hmac.compare_digest(operator.token_sha256, digest):
            holder = operator
    return holder


def digest_of(token: str) -> str:
    """What the file holds of a token."""
    return hashlib.sha256(token.encode()).hexdigest()


def new_token() -> str:
    """A token that nobody can guess."""
    return f"vpp_{secrets.token_urlsafe(32)}"


def lines_for(operator: Operator) -> str:
    """The operator as the file holds it."""

    def quoted(words: Iterable[str]) -> str:
        return "[" + ", ".join(f'"{word}"' for word in words) + "]"

    regions = '"*"' if operator.regions == "*" else quoted(operator.regions)
    return (
        "[[operators]]\n"
        f'name = "{operator.name}"\n'
        f'token_sha256 = "{operator.token_sha256}"\n'
        f"regions = {regions}\n"
        f"may = {quoted(operator.may)}\n"
    )


class Access(msgspec.Struct, frozen=True, kw_only=True):
    """What the command line needs to reach the web process of a `vpp up` on this machine."""

    url: str
    token: str
    namespace: str


def access_file(state_dir: Path) -> Path:
    """Where `vpp up` leaves its `Access`."""
    return state_dir / "operator-access.json"


def demo_operators_file(state_dir: Path, world: str) -> Path:
    """Where `vpp up` leaves its operators' file; ``world`` is its namespace."""
    return state_dir / f"operators-{world}.toml"


def make_demo_operator(state_dir: Path, world: str, url: str) -> tuple[Path, Access]:
    """An operator ``demo`` with every right, new each time: its operators' file and its access.

    Both files can be read by their owner only. ``world`` is the namespace it is for.
    """
    access = Access(url=url, token=new_token(), namespace=world)
    operator = Operator(name="demo", token_sha256=digest_of(access.token), regions="*", may=RIGHTS)
    operators = demo_operators_file(state_dir, world)
    write_private(operators, lines_for(operator).encode())
    write_private(access_file(state_dir), msgspec.json.encode(access))
    return operators, access


def read_access(state_dir: Path) -> Access | None:
    """What `vpp up` left, or None where there is nothing that can be read."""
    try:
        return msgspec.json.decode(access_file(state_dir).read_bytes(), type=Access)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError):
        return None
