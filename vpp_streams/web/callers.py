"""The sender of a request: the client's address, the bearer token and the operator who has it."""

from starlette.datastructures import Headers
from starlette.types import Scope

from vpp_streams.web.operators import Operator


def client_address(scope: Scope) -> str:
    """The client's address, from a trusted proxy's header or else from the connection."""
    client = scope.get("client")
    return client[0] if client else ""


def bearer_of(scope: Scope) -> str | None:
    """The token in a request's header ``Authorization: Bearer``, or None."""
    kind, _, token = Headers(scope=scope).get("authorization", "").partition(" ")
    return token.strip() or None if kind.lower() == "bearer" else None


def set_operator(scope: Scope, operator: Operator | None) -> None:
    """Store the operator of a request in its scope, for all that handles it later."""
    scope.setdefault("state", {})["operator"] = operator


def operator_of(scope: Scope) -> Operator | None:
    """The operator of a request that has passed the guard; None if it had no valid token."""
    operator: Operator | None = scope.get("state", {}).get("operator")
    return operator
