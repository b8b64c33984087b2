"""The result of a check of this machine."""

import msgspec


class Check(msgspec.Struct, frozen=True):
    """The result of one check."""

    name: str
    ok: bool
    found: str
    get_it: str = ""
    """What to do where the check failed."""
    needed: bool = True
    """Whether the loop needs it."""
