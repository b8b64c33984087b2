"""JSON documents of a device in the home's network, by plain HTTP.

On asyncio streams, so that a device that answers a byte a minute is given up with the call that
waits for it, and holds no thread.
"""

import asyncio
import json
from typing import Any

from edge.driver import DriverError

_MOST_BYTES = 1_000_000


async def get_json(host: str, port: int, path: str) -> Any:
    """The JSON document at a path. Raises `DriverError` and OSError."""
    where = f"http://{host}:{port}{path}"
    reader, writer = await asyncio.open_connection(host, port, limit=_MOST_BYTES)
    try:
        writer.write(
            f"GET {path} HTTP/1.0\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode("ascii")
        )
        head = await reader.readuntil(b"\r\n\r\n")
        body = await reader.read(_MOST_BYTES + 1)
        while not reader.at_eof() and len(body) <= _MOST_BYTES:
            body += await reader.read(_MOST_BYTES)
    except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, ConnectionError):
        raise DriverError(f"{where} is no complete HTTP answer") from None
    finally:
        writer.close()
    return _document(where, head, body)


def _document(where: str, head: bytes, body: bytes) -> Any:
    first, *lines = head.decode("latin-1").split("\r\n")
    status = first.split(" ")[1:2]
    if not first.startswith("HTTP/") or status != ["200"]:
        raise DriverError(f"{where} answers {first[:80]!r}")
    headers = dict(line.lower().split(":", 1) for line in lines if ":" in line)
    length = headers.get("content-length", "").strip()
    if length.isdecimal() and len(body) < int(length):
        raise DriverError(f"{where} is cut short")
    try:
        return json.loads(
            _joined(body) if "chunked" in headers.get("transfer-encoding", "") else body
        )
    except (ValueError, RecursionError):
        raise DriverError(f"{where} is not JSON") from None


def _joined(body: bytes) -> bytes:
    """The content of a chunked body, which some devices send to HTTP/1.0 too."""
    found = b""
    while body:
        size, _, body = body.partition(b"\r\n")
        count = int(size.split(b";")[0], 16)
        if count == 0:
            return found
        found, body = found + body[:count], body[count + 2 :]
    raise ValueError("the last chunk is missing")
