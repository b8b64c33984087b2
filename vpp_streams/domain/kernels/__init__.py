"""The innermost loops of gateway, ingest, fleet and allocation, in C where it could be compiled.

`COMPILED` is None where there was none at installation: numpy's form of each loop then does the
work, with the same results (tests compare the two), and gateways write lines. The C sources beside
this file are one extension module, which `pip install` builds; a build of other sources than these
is not used ([ADR 38](docs/adr/0038-compiled-kernels.md)).
"""

from types import ModuleType

VERSION = 3
"""Of the C sources' interface."""


def _usable() -> ModuleType | None:
    try:
        from vpp_streams.domain.kernels import _compiled  # noqa: PLC0415 - it may be missing
    except ImportError:
        return None
    return _compiled if _compiled.VERSION == VERSION else None


COMPILED: ModuleType | None = _usable()


def which() -> str:
    """The form that runs, for logs and people: ``compiled`` or ``numpy``."""
    return "numpy" if COMPILED is None else "compiled"
