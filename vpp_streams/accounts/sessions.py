"""What proves later requests: sessions of browsers, API tokens, and links that work once.

Each is a random word of which only the digest is stored, and each has an end.
"""

from collections.abc import Iterable
from typing import Literal, cast

import msgspec

from schemas.audit import AuditHow
from vpp_streams.accounts.people import Account, People
from vpp_streams.accounts.secrets import digest_of, new_word
from vpp_streams.accounts.store import Store
from vpp_streams.domain.access.rights import ACTIONS, Action, Principal
from vpp_streams.domain.moments import DAY_MS, HOUR_MS
from vpp_streams.errors import InputError

IDLE_MS, LONGEST_MS = HOUR_MS // 2, 12 * HOUR_MS
"""A session ends this long after its last request, and this long after its sign-in."""
_NOTE_MS = 60_000
"""How often a session's last request is written down."""
MOST_TOKEN_DAYS = 366
MOST_EACH = 50
"""Sessions and tokens that an account may have at a time; the oldest session ends for a new one."""
Purpose = Literal["sign_in", "password"]
LINK_MS: dict[Purpose, int] = {"sign_in": 15 * 60_000, "password": DAY_MS}
"""How long a link works."""


class Session(msgspec.Struct, frozen=True, kw_only=True):
    """A session as its owner sees it; ``key`` begins its digest, and proves nothing."""

    key: str
    how: str
    address: str
    agent: str
    made_at_ms: int
    seen_at_ms: int
    ends_at_ms: int


class Token(msgspec.Struct, frozen=True, kw_only=True):
    """A token as its owner sees it; ``key`` begins its digest, and proves nothing."""

    key: str
    name: str
    actions: tuple[Action, ...]
    made_at_ms: int
    ends_at_ms: int


class Sessions:
    """Sessions, tokens and links of the accounts in a store."""

    def __init__(self, store: Store, people: People) -> None:
        self._store, self._people = store, people

    def open(
        self, account: Account, now_ms: int, *, how: AuditHow, address: str, agent: str
    ) -> str:
        """Open a session; returns the word that proves it."""
        word = new_word("vpps")
        with self._store.together():
            self._forget_ended(now_ms)
            self._store.change(
                "DELETE FROM session WHERE account_id = ? AND digest NOT IN (SELECT digest FROM"
                " session WHERE account_id = ? ORDER BY seen_at_ms DESC LIMIT ?)",
                *(account.id, account.id, MOST_EACH - 1),
            )
            self._store.change(
                "INSERT INTO session VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                *(digest_of(word), account.id, how, address[:64], agent[:200]),
                *(now_ms, now_ms, now_ms + LONGEST_MS),
            )
        return word

    def holder(self, word: str, now_ms: int) -> Principal | None:
        """Who has a session, and note that it was used; None if it has ended."""
        digest = digest_of(word)
        row = self._store.row(
            "SELECT account_id, seen_at_ms FROM session"
            " WHERE digest = ? AND ends_at_ms > ? AND seen_at_ms > ?",
            *(digest, now_ms, now_ms - IDLE_MS),
        )
        if row is None:
            return None
        account = self._people.find("id", row[0])
        if account is None or account.disabled:
            return None
        if now_ms - row[1] > _NOTE_MS:
            self._store.change("UPDATE session SET seen_at_ms = ? WHERE digest = ?", now_ms, digest)
        return Principal(name=account.name, grants=account.grants, kind="session", key=digest[:16])

    def of(self, account: Account, now_ms: int) -> list[Session]:
        """The open sessions of an account, the newest first."""
        rows = self._store.rows(
            "SELECT substr(digest, 1, 16), how, address, agent, made_at_ms, seen_at_ms, ends_at_ms"
            " FROM session WHERE account_id = ? AND ends_at_ms > ? AND seen_at_ms > ?"
            " ORDER BY made_at_ms DESC",
            *(account.id, now_ms, now_ms - IDLE_MS),
        )
        names = ("key", "how", "address", "agent", "made_at_ms", "seen_at_ms", "ends_at_ms")
        return [Session(**dict(zip(names, row, strict=True))) for row in rows]

    def end(self, account: Account, key: str) -> bool:
        """End one session of an account; whether there was one."""
        return bool(
            self._store.change(
                "DELETE FROM session WHERE account_id = ? AND substr(digest, 1, 16) = ?",
                *(account.id, key),
            )
        )

    def end_all(self, account: Account, but: str = "") -> int:
        """End every session of an account except one, and every link; returns their number."""
        with self._store.together():
            self._store.change("DELETE FROM link WHERE account_id = ?", account.id)
            return self._store.change(
                "DELETE FROM session WHERE account_id = ? AND substr(digest, 1, 16) != ?",
                *(account.id, but),
            )

    def add_token(
        self, account: Account, name: str, actions: Iterable[str], *, now_ms: int, days: float
    ) -> str:
        """Make a token limited to some actions; returns the word. Raises `InputError`."""
        wanted = tuple(dict.fromkeys(actions))
        unknown = [action for action in wanted if action not in ACTIONS]
        if unknown or not wanted:
            raise InputError(f"a token is for some of these actions: {', '.join(ACTIONS)}")
        if not 0 < days <= MOST_TOKEN_DAYS:
            raise InputError(f"a token ends after 1 to {MOST_TOKEN_DAYS} days")
        if not name.strip() or len(name) > 64 or not name.isprintable():
            raise InputError("a token has a name of 1 to 64 printable characters")
        self._forget_ended(now_ms)
        if len(self.tokens(account, now_ms)) >= MOST_EACH:
            raise InputError(f"an account has at most {MOST_EACH} tokens: end one first")
        word = new_word("vppt")
        ends_at_ms = now_ms + round(days * DAY_MS)
        self._store.change(
            "INSERT INTO token VALUES (?, ?, ?, ?, ?, ?)",
            *(digest_of(word), account.id, name, " ".join(wanted), now_ms, ends_at_ms),
        )
        return word

    def token_holder(self, word: str, now_ms: int) -> Principal | None:
        """Who has a token; None if nobody has it, or it has ended."""
        digest = digest_of(word)
        row = self._store.row(
            "SELECT account_id, actions FROM token WHERE digest = ? AND ends_at_ms > ?",
            *(digest, now_ms),
        )
        account = None if row is None else self._people.find("id", row[0])
        if row is None or account is None or account.disabled:
            return None
        limited_to = frozenset(action for action in ACTIONS if action in row[1].split())
        return Principal(
            name=account.name, grants=account.grants, limited_to=limited_to, key=digest[:16]
        )

    def tokens(self, account: Account, now_ms: int) -> list[Token]:
        """The tokens of an account that have not ended, the newest first."""
        rows = self._store.rows(
            "SELECT substr(digest, 1, 16), name, actions, made_at_ms, ends_at_ms FROM token"
            " WHERE account_id = ? AND ends_at_ms > ? ORDER BY made_at_ms DESC",
            *(account.id, now_ms),
        )
        return [
            Token(
                key=key,
                name=name,
                actions=tuple(cast(list[Action], actions.split())),
                made_at_ms=made_at_ms,
                ends_at_ms=ends_at_ms,
            )
            for key, name, actions, made_at_ms, ends_at_ms in rows
        ]

    def end_token(self, account: Account, key: str) -> bool:
        """End one token of an account; whether there was one."""
        return bool(
            self._store.change(
                "DELETE FROM token WHERE account_id = ? AND substr(digest, 1, 16) = ?",
                *(account.id, key),
            )
        )

    def add_link(self, account: Account, purpose: Purpose, now_ms: int) -> str:
        """Make the word of a link that works once; the account's earlier ones do not any more."""
        word = new_word("vppl")
        with self._store.together():
            self._store.change("DELETE FROM link WHERE account_id = ?", account.id)
            self._store.change(
                "INSERT INTO link VALUES (?, ?, ?, ?)",
                *(digest_of(word), account.id, purpose, now_ms + LINK_MS[purpose]),
            )
        return word

    def link(self, word: str, now_ms: int) -> tuple[Account, Purpose] | None:
        """Whose link it is and what for, without using it; None if it does not work."""
        row = self._store.row(
            "SELECT account_id, purpose FROM link WHERE digest = ? AND ends_at_ms > ?",
            *(digest_of(word), now_ms),
        )
        account = None if row is None else self._people.find("id", row[0])
        if row is None or account is None or account.disabled:
            return None
        return account, row[1]

    def use_link(self, word: str) -> bool:
        """Use a link up; False if another request did so first."""
        return bool(self._store.change("DELETE FROM link WHERE digest = ?", digest_of(word)))

    def _forget_ended(self, now_ms: int) -> None:
        self._store.change(
            "DELETE FROM session WHERE ends_at_ms <= ? OR seen_at_ms <= ?",
            *(now_ms, now_ms - IDLE_MS),
        )
        self._store.change("DELETE FROM token WHERE ends_at_ms <= ?", now_ms)
        self._store.change("DELETE FROM link WHERE ends_at_ms <= ?", now_ms)
