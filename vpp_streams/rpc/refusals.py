"""Refusals as gRPC statuses with details: a reason for programs, the way out for people.

The details are those of google.rpc: ``ErrorInfo`` always, ``BadRequest`` with the field that is
wrong, ``RetryInfo`` where waiting helps.
"""

from http import HTTPStatus
from typing import Final

from google.protobuf.duration_pb2 import Duration
from google.rpc import status_pb2
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RetryInfo
from grpc import StatusCode

from vpp_streams.serving.problems import ApiError

DOMAIN = "vpp_streams"
DETAILS = "grpc-status-details-bin"
"""The trailer that carries a status with its details."""
CODES: Final[dict[HTTPStatus, tuple[StatusCode, str]]] = {
    HTTPStatus.BAD_REQUEST: (StatusCode.INVALID_ARGUMENT, "NOT_VALID"),
    HTTPStatus.UNAUTHORIZED: (StatusCode.UNAUTHENTICATED, "TOKEN_NOT_ACCEPTED"),
    HTTPStatus.FORBIDDEN: (StatusCode.PERMISSION_DENIED, "RIGHT_MISSING"),
    HTTPStatus.NOT_FOUND: (StatusCode.NOT_FOUND, "NOT_THERE"),
    HTTPStatus.CONFLICT: (StatusCode.FAILED_PRECONDITION, "ORDER_REJECTED"),
    HTTPStatus.UNPROCESSABLE_ENTITY: (StatusCode.INVALID_ARGUMENT, "NOT_VALID"),
    HTTPStatus.TOO_MANY_REQUESTS: (StatusCode.RESOURCE_EXHAUSTED, "TOO_MANY"),
    HTTPStatus.SERVICE_UNAVAILABLE: (StatusCode.UNAVAILABLE, "NOT_AVAILABLE"),
}
"""The code and the reason of each status that a refusal has."""


def status_of(refusal: ApiError) -> tuple[StatusCode, status_pb2.Status]:
    """The code of a refusal, and its status with details."""
    code, reason = CODES[refusal.status]
    metadata = {"hint": refusal.hint} if refusal.hint and not _is_of_http(refusal.hint) else {}
    number, _ = code.value
    status = status_pb2.Status(code=number, message=refusal.error)
    status.details.add().Pack(ErrorInfo(reason=reason, domain=DOMAIN, metadata=metadata))
    if code is StatusCode.INVALID_ARGUMENT:
        wrong = BadRequest.FieldViolation(field=refusal.field, description=refusal.error)
        status.details.add().Pack(BadRequest(field_violations=[wrong]))
    wait_s = (refusal.headers or {}).get("Retry-After")
    if wait_s is not None:
        status.details.add().Pack(RetryInfo(retry_delay=Duration(seconds=int(wait_s))))
    return code, status


def _is_of_http(hint: str) -> bool:
    """Whether a hint names a path of the HTTP API: it is no way out here."""
    return "/docs" in hint or "/api/" in hint
