"""Who sends a request: its client's address, the token that it brings, and whose that is."""

from starlette.datastructures import Headers
from starlette.types import Scope

from vpp_streams.web.operators import Operator


def client_address(scope: Scope) -> str:
    """The client's address, as a trusted proxy says it or as the connection does."""
    client = scope.get("client")
    return client[0] if client else ""


def bearer_of(scope: Scope) -> str | None:
    """The token that a request brings as ``Authorization: Bearer``, or None."""
    kind, _, token = Headers(scope=scope).get("authorization", "").partition(" ")
    return token.strip() or None if kind.lower() == "bearer" else None


def set_operator(scope: Scope, operator: Operator | None) -> None:
    """Note whose token a request brings, for all that it passes from here on."""
    scope.setdefault("state", {})["operator"] = operator


def operator_of(scope: Scope) -> Operator | None:
    """The operator whose token came with a request that has passed the guard."""
    operator: Operator | None = scope.get("state", {}).get("operator")
    return operator
