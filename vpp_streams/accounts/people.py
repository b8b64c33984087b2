"""Accounts: names, roles, passwords, and whether they are disabled."""

import re
import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass

from vpp_streams.accounts.store import Store
from vpp_streams.domain.access.rights import Grant, Principal, grant_of
from vpp_streams.errors import InputError

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}\Z")
_EMAIL = re.compile(r"[^\s@<>]{1,64}@[^\s@<>]{1,189}\Z")


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """A person's account, without its secrets."""

    id: int
    name: str
    email: str | None
    has_password: bool
    has_totp: bool
    disabled: bool
    grants: tuple[Grant, ...]

    def principal(self) -> Principal:
        """The account as the sender of requests."""
        return Principal(name=self.name, grants=self.grants)


class People:
    """The accounts in a store."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def add(
        self, name: str, grants: Iterable[Grant], *, at_ms: int, email: str | None = None
    ) -> Account:
        """Create an account that nobody can sign in to yet. Raises `InputError`."""
        if not _NAME.match(name):
            raise InputError(
                f"{name[:80]!r} is no name for an account: letters, digits and . _ @ -, at most 64"
            )
        if email is not None and not _EMAIL.match(email):
            raise InputError(f"{email[:80]!r} is no e-mail address")
        with self._store.together():
            try:
                self._store.change(
                    "INSERT INTO account (name, email, made_at_ms) VALUES (?, ?, ?)",
                    *(name, email, at_ms),
                )
            except sqlite3.IntegrityError as error:
                what = "e-mail address" if "email" in str(error) else "name"
                raise InputError(f"there is already an account with this {what}") from None
            account = self.named(name)
            for grant in grants:
                self.grant(account, grant)
        return self.named(name)

    def named(self, name: str) -> Account:
        """The account of a name. Raises `InputError` if there is none."""
        found = self.find("name", name)
        if found is None:
            raise InputError(f"there is no account {name[:80]!r}; `vpp accounts list` shows all")
        return found

    def find(self, column: str, value: str | int) -> Account | None:
        """The account with this ``name``, ``email``, ``subject`` or ``id``; None if there is none.

        Raises `ValueError` for another column.
        """
        if column not in ("name", "email", "subject", "id"):
            raise ValueError(column)
        row = self._store.row(
            "SELECT id, name, email, password IS NOT NULL, totp_secret IS NOT NULL,"
            f" disabled_at_ms IS NOT NULL FROM account WHERE {column} = ?",
            value,
        )
        if row is None:
            return None
        id_, name, email, has_password, has_totp, disabled = row
        roles = self._store.rows("SELECT role, scope FROM role WHERE account_id = ?", id_)
        return Account(
            id=id_,
            name=name,
            email=email,
            has_password=bool(has_password),
            has_totp=bool(has_totp),
            disabled=bool(disabled),
            grants=tuple(sorted(grant_of(role, scope) for role, scope in roles)),
        )

    def all(self) -> list[Account]:
        """Every account, by name."""
        ids = self._store.rows("SELECT id FROM account ORDER BY name")
        return [found for (id_,) in ids if (found := self.find("id", id_)) is not None]

    def grant(self, account: Account, grant: Grant) -> None:
        """Add a role in a scope; one that it has already is left."""
        self._store.change(
            "INSERT OR IGNORE INTO role VALUES (?, ?, ?)",
            *(account.id, grant.role, str(grant.scope)),
        )

    def take(self, account: Account, grant: Grant) -> bool:
        """Take a role in a scope away; False if the account does not have it."""
        taken = self._store.change(
            "DELETE FROM role WHERE account_id = ? AND role = ? AND scope = ?",
            *(account.id, grant.role, str(grant.scope)),
        )
        return bool(taken)

    def disable(self, account: Account, at_ms: int | None) -> None:
        """Disable an account, or enable it again if there is no time."""
        self._store.change("UPDATE account SET disabled_at_ms = ? WHERE id = ?", at_ms, account.id)

    def password(self, account: Account | None) -> str | None:
        """The stored hash of an account's password; None if there is none."""
        if account is None:
            return None
        row = self._store.row("SELECT password FROM account WHERE id = ?", account.id)
        return None if row is None else row[0]

    def set_password(self, account: Account, hashed: str) -> None:
        """Store the hash of a new password."""
        self._store.change("UPDATE account SET password = ? WHERE id = ?", hashed, account.id)

    def bind(self, account: Account, subject: str) -> None:
        """Remember an OIDC provider's name of an account; it counts from then on."""
        self._store.change("UPDATE account SET subject = ? WHERE id = ?", subject, account.id)

    def subject(self, account: Account) -> str | None:
        """The OIDC provider's name of an account; None if it was never signed in to so."""
        row = self._store.row("SELECT subject FROM account WHERE id = ?", account.id)
        return None if row is None else row[0]
