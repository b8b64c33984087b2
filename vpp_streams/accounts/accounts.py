"""The accounts of a system as one thing: people, sessions, second factors and the audit trail."""

from collections import Counter
from pathlib import Path

from vpp_streams.accounts.audit import Audit
from vpp_streams.accounts.people import People
from vpp_streams.accounts.secrets import Passwords
from vpp_streams.accounts.sessions import Sessions
from vpp_streams.accounts.store import Store
from vpp_streams.accounts.totp import SecondFactors
from vpp_streams.settings import Settings


class Accounts:
    """What is stored of accounts, and the means to check it."""

    def __init__(
        self,
        path: Path | None,
        passwords: Passwords | None = None,
        counters: Counter[str] | None = None,
    ) -> None:
        """Open the file at ``path``; None = in memory. Raises `SettingsError`."""
        self.store = Store(path)
        self.passwords = passwords or Passwords()
        self.people = People(self.store)
        self.sessions = Sessions(self.store, self.people)
        self.totp = SecondFactors(self.store)
        self.audit = Audit(self.store, counters)

    def close(self) -> None:
        """Close the file."""
        self.store.close()


def accounts_file(settings: Settings) -> Path:
    """The path of the accounts' file: one for each namespace of a state directory."""
    default = settings.state_dir / "accounts" / f"{settings.namespace or 'default'}.db"
    return settings.accounts or default
