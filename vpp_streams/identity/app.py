"""The HTTP side of enrolment: bounded bodies in, JSON out."""

from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from vpp_streams.domain.identity.refusals import Refused
from vpp_streams.identity.desk import Desk
from vpp_streams.identity.signer import Granted
from vpp_streams.web.callers import client_address

MAX_BODY_BYTES = 20_000
RETRY_AFTER_S = 10


def create_app(desk: Desk, ca_pem: str) -> Starlette:
    """The HTTP side of a desk; ``ca_pem`` is the authority's certificate, which is public."""

    async def ca(_request: Request) -> Response:
        return PlainTextResponse(ca_pem, media_type="application/x-pem-file")

    async def health(_request: Request) -> Response:
        return JSONResponse({"status": "ok"})

    async def enrol(request: Request) -> Response:
        return _answer(await desk.enrol(await _body(request), _from(request)), ca_pem)

    async def renew(request: Request) -> Response:
        return _answer(await desk.renew(await _body(request), _from(request)), ca_pem)

    return Starlette(
        routes=[
            Route("/v1/ca", ca),
            Route("/healthz", health),
            Route("/v1/enrol", enrol, methods=["POST"]),
            Route("/v1/renew", renew, methods=["POST"]),
        ]
    )


async def _body(request: Request) -> bytes | Refused:
    """The body of a request, of at most `MAX_BODY_BYTES`."""
    received = b""
    try:
        async for chunk in request.stream():
            received += chunk
            if len(received) > MAX_BODY_BYTES:
                return Refused("too_large", f"a body has at most {MAX_BODY_BYTES} bytes", 413)
    except ClientDisconnect:
        return Refused("bad_request", "the request was not completed", 400)
    return received


def _from(request: Request) -> str:
    return client_address(request.scope)


def _answer(answer: Granted | Refused, ca_pem: str) -> Response:
    headers = {"Cache-Control": "no-store"}
    if isinstance(answer, Refused):
        if answer.status in (429, 503):
            headers["Retry-After"] = str(RETRY_AFTER_S)
        return JSONResponse({"error": answer.sentence, "code": answer.word}, answer.status, headers)
    body = {
        "certificate": answer.certificate_pem,
        "ca": ca_pem,
        "device_id": answer.subject.device_id,
        "not_after_ms": answer.not_after_ms,
    }
    return JSONResponse(body, 200, headers)
