"""Errors for people: one line that says what is wrong and the way out.

::

    VppError
    ├── SettingsError   a VPP_* setting that cannot be used
    ├── BrokerError     no Kafka, or one that is set up differently than we need
    ├── LostDutyError   another instance of the role works now
    ├── InputError      a file or an argument that cannot be read
    ├── LedgerError     no database of the ledger, or one that does not fit
    ├── OrderRefusedError  an order that the region role, or an operator's rights, refuse
    └── WebError        the web process refuses
        └── WebSilentError   it does not answer, or cannot serve anybody

The CLI prints the message and exits with ``exit_code``; no stack trace for a user's mistake.
Bad telemetry is never an exception: it is a value (`schemas.telemetry.Rejection`). A Kafka record
that says what cannot be is refused by `RefusedError`, which is no error for people: whoever reads
the topic makes a dead letter of it.
"""


class RefusedError(ValueError):
    """A record (or what would become one) that cannot be taken, and why, in one sentence."""


class VppError(Exception):
    """Base of every error that is shown to a person."""

    exit_code = 1


class SettingsError(VppError):
    """A setting that cannot be used."""

    exit_code = 2


class BrokerError(VppError):
    """Kafka cannot be reached, started, or has topics of another shape."""

    exit_code = 3


class LostDutyError(VppError):
    """Another instance of the role has taken over: this one ends, to start again as a standby."""

    exit_code = 6


class InputError(VppError):
    """A file or an argument that cannot be read."""

    exit_code = 2


class LedgerError(VppError):
    """The ledger's database cannot be reached or used, or is not in order."""

    exit_code = 5


class OrderRefusedError(VppError):
    """An order that cannot be: the region role rejected it, or the operator lacks a right."""

    exit_code = 4


class WebError(VppError):
    """The web process refuses what is asked, or does not answer."""

    exit_code = 4


class WebSilentError(WebError):
    """The web process does not answer, or has no place for a request: another way may work."""
