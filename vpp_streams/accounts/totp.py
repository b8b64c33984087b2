"""Second factors: codes of an authenticator app (RFC 6238), each of which works once."""

import pyotp

from vpp_streams.accounts.people import Account
from vpp_streams.accounts.store import Store

STEP_S = 30
_STEPS_OFF = 1
"""Codes of the step before and after are accepted: a phone's clock may differ by 30 s."""
_ISSUER = "vpp_streams"


class SecondFactors:
    """The secrets of authenticator apps, and the newest step that each account has used."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def start(self, account: Account) -> tuple[str, str]:
        """A new secret and its ``otpauth:`` address; it counts once `confirm` has seen a code."""
        secret = pyotp.random_base32()
        self._store.change("UPDATE account SET totp_pending = ? WHERE id = ?", secret, account.id)
        return secret, pyotp.TOTP(secret).provisioning_uri(name=account.name, issuer_name=_ISSUER)

    def confirm(self, account: Account, code: str, now_ms: int) -> bool:
        """Turn the new secret on if the code is one of it; whether it was."""
        row = self._store.row("SELECT totp_pending FROM account WHERE id = ?", account.id)
        step = _step_of(row[0] if row else None, code, now_ms)
        if step is None:
            return False
        self._store.change(
            "UPDATE account SET totp_secret = totp_pending, totp_pending = NULL,"
            " totp_last_step = ? WHERE id = ?",
            *(step, account.id),
        )
        return True

    def use(self, account: Account, code: str, now_ms: int) -> bool:
        """Whether a code is right and newer than every code that was used; it is used then."""
        row = self._store.row("SELECT totp_secret FROM account WHERE id = ?", account.id)
        step = _step_of(row[0] if row else None, code, now_ms)
        if step is None:
            return False
        # One statement decides, so that two sign-ins at once cannot use the same code.
        return bool(
            self._store.change(
                "UPDATE account SET totp_last_step = ? WHERE id = ? AND totp_last_step < ?",
                *(step, account.id, step),
            )
        )

    def turn_off(self, account: Account) -> None:
        """Forget the secret: the account needs no code any more."""
        self._store.change(
            "UPDATE account SET totp_secret = NULL, totp_pending = NULL WHERE id = ?", account.id
        )


def _step_of(secret: str | None, code: str, now_ms: int) -> int | None:
    """The time step whose code this is, of those that are accepted now."""
    if secret is None or len(code) > 16:
        return None
    digits, totp, now_s = code.replace(" ", ""), pyotp.TOTP(secret), now_ms // 1000
    found = None
    for off in range(-_STEPS_OFF, _STEPS_OFF + 1):
        at_s = now_s + off * STEP_S
        if pyotp.utils.strings_equal(digits, totp.at(at_s)):
            found = at_s // STEP_S
    return found
