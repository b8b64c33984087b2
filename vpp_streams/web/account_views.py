"""What the API takes and answers about signing in and about one's own account."""

from typing import Annotated, Literal

import msgspec

from vpp_streams.accounts.sessions import Session, Token

_Name = Annotated[str, msgspec.Meta(min_length=1, max_length=256)]
_Secret = Annotated[str, msgspec.Meta(max_length=1024)]
_Code = Annotated[str, msgspec.Meta(max_length=16)]


class SignInForm(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Sign in with a password."""

    account: _Name
    """Name or e-mail address of the account."""
    password: _Secret
    code: _Code = ""
    """Code of the authenticator app, if the account has one."""


class LinkForm(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Use a link that works once."""

    link: _Secret
    password: _Secret = ""
    """The new password, if the link is for one."""


class PasswordForm(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Change one's password: every other session of the account ends."""

    old: _Secret
    new: _Secret


class ConfirmForm(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A change that needs the password again."""

    password: _Secret


class CodeForm(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A code of the authenticator app that is being set up."""

    code: _Code


class TokenForm(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Make a token for a program, for some of one's own actions."""

    name: _Name
    may: tuple[Annotated[str, msgspec.Meta(max_length=64)], ...]
    days: float = 90.0
    """Days until it ends."""


class Ways(msgspec.Struct, frozen=True, kw_only=True):
    """How people can sign in here."""

    oidc: str | None
    """Name of the organisation whose provider signs its people in; null = there is none."""
    accounts: bool
    """Whether there is any account yet."""


class SignedIn(msgspec.Struct, frozen=True, kw_only=True):
    """The outcome of signing in."""

    account: str
    signed_in: bool
    """False after a new password of an account that needs a code too: sign in with both."""


class RoleView(msgspec.Struct, frozen=True, kw_only=True):
    """A role, and where it applies: ``*``, ``region:NAME`` or ``site:ID``."""

    role: str
    scope: str


class Me(msgspec.Struct, frozen=True, kw_only=True):
    """Who sends the request, and what it may do."""

    name: str
    kind: Literal["session", "token"]
    roles: list[RoleView]
    may: list[str]
    """Actions that it may do somewhere (the table is in docs/accounts.md)."""


class AccountView(Me, frozen=True, kw_only=True):
    """One's own account."""

    email: str | None
    has_password: bool
    has_totp: bool
    session: str
    """Key of the session that sends the request."""
    sessions: list[Session]
    tokens: list[Token]


class NewToken(msgspec.Struct, frozen=True, kw_only=True):
    """A new token, shown only in this answer."""

    token: str


class TotpStart(msgspec.Struct, frozen=True, kw_only=True):
    """The secret of a second factor that is being set up, shown only in this answer."""

    secret: str
    uri: str
    """The same as an ``otpauth:`` address."""
    qr: str
    """That address as a picture: a ``data:`` URL."""


class Changed(msgspec.Struct, frozen=True, kw_only=True):
    """A change of the account was made."""

    said: str
    """What was changed, in one sentence."""
