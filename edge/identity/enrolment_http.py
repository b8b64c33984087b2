"""A device's side of enrolment over HTTPS, with the standard library alone.

It needs no more than `edge.identity.enrolment`, which says what the messages are.
"""

import http.client
import ssl
from urllib.parse import urlsplit

from edge.identity.enrolment import (
    Granted,
    Refused,
    enrol_body,
    is_expected_ca,
    read_answer,
    renewal_body,
)

TIMEOUT_S = 15.0
MAX_ANSWER_BYTES = 65_536


def enrol(url: str, code: str, fingerprint: str, request_pem: str) -> Granted | Refused:
    """Enrol with a one-time code at ``https://host:port``.

    The authority's certificate is fetched first and compared with the fingerprint that came with
    the code; the code is sent only to a server that this authority vouches for. Raises `OSError`
    where the server cannot be reached or is another one.
    """
    # Not `create_default_context`, which would read all of the machine's authorities for nothing.
    unverified = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    unverified.check_hostname = False
    unverified.verify_mode = ssl.CERT_NONE
    status, body = _exchange(url, "GET", "/v1/ca", b"", unverified)
    ca_pem = body.decode(errors="replace")
    if status != http.client.OK or not is_expected_ca(ca_pem, fingerprint):
        return Refused("", "the server's authority is not the one whose fingerprint was given")
    trusted = ssl.create_default_context(cadata=ca_pem)
    status, body = _exchange(url, "POST", "/v1/enrol", enrol_body(code, request_pem), trusted)
    return read_answer(status, body, request_pem)


def renew(
    url: str, *, ca_pem: str, certificate_pem: str, key_pem: str, request_pem: str
) -> Granted | Refused:
    """Renew the certificate at ``https://host:port``. Raises `OSError` as `enrol` does."""
    trusted = ssl.create_default_context(cadata=ca_pem)
    sent = renewal_body(certificate_pem, key_pem, request_pem)
    status, body = _exchange(url, "POST", "/v1/renew", sent, trusted)
    return read_answer(status, body, request_pem)


def _exchange(
    url: str, method: str, path: str, body: bytes, tls: ssl.SSLContext
) -> tuple[int, bytes]:
    parts = urlsplit(url)
    if parts.scheme != "https" or parts.hostname is None:
        raise OSError(f"{url} is not an https:// address")
    connection = http.client.HTTPSConnection(
        parts.hostname, parts.port, timeout=TIMEOUT_S, context=tls
    )
    try:
        connection.request(method, path, body or None, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        return answer.status, answer.read(MAX_ANSWER_BYTES)
    except http.client.HTTPException as error:
        raise OSError(f"{url} does not answer as an HTTP server does: {error!r}") from None
    finally:
        connection.close()
