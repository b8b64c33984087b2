"""The audit trail: who did what, from where, and with which result."""

from typing import Literal

import msgspec

from schemas.bounds import Code, EpochMs, Label, Sentence

AuditResult = Literal["done", "refused", "failed"]
"""``refused``: a right, a password or a code was missing. ``failed``: it was allowed, and it is
not known whether it was done."""
AuditHow = Literal["session", "token", "password", "link", "oidc", "cli", "none"]


class AuditEvent(msgspec.Struct, frozen=True, kw_only=True):
    """Topic ``audit``, key event_id: a sign-in, an order or a change of an account."""

    event_id: Label
    """Random; an event that was published twice after a crash has the same id."""
    at_ms: EpochMs
    who: Label
    """Name of the account or of the token; of a sign-in that failed, the name that was given."""
    how: AuditHow
    """What proved who it was; ``cli`` = a command on the machine of the accounts' file."""
    action: Code
    """A stable word: ``sign_in``, ``sign_out``, ``dispatch``, ``hold``, ``account_add`` …"""
    target: Label
    """What it concerns: a region, a request or an account; may be empty."""
    address: Label
    """Address of the client; empty for a command on the machine itself."""
    result: AuditResult
    detail: Sentence = ""
    """One sentence for people: the reason of a refusal, or the change."""
