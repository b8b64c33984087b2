"""An IQ Gateway in software: its pages over TLS with a certificate of its own, and its moods."""

import asyncio
import json
import re
import ssl
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from tests.support.certificates import make_certificate
from tests.support.http_device import answer

TOKEN = "eyJhbGciOiJub25lIn0.eyJlbnBoYXNlVXNlciI6Im93bmVyIiwiZXhwIjo0MTAwMDAwMDAwfQ.eA"
TLS_HELLO = b"\x16"
"""How TLS begins, which firmware before 7 does not speak."""
INFO = """<?xml version='1.0' encoding='UTF-8'?><envoy_info><time>1800000000</time><device>
<sn>123456789012</sn><pn>800-00654-r08</pn><software>{firmware}</software><imeter>true</imeter>
</device><web-tokens>true</web-tokens></envoy_info>"""


class EnphaseGateway:
    """The gateway's pages. ``pages`` has a document, or the raw bytes of an answer, by path."""

    def __init__(self, pages: dict[str, Any], firmware: str = "D8.2.4286") -> None:
        self.pages = pages
        self.firmware = firmware
        self.token = TOKEN
        self.stuck: set[str] = set()
        """Paths that are never answered."""
        self.requests: Counter[str] = Counter()
        self.sent: dict[str, str] = {}
        """The newest body that was sent to a path."""
        self.open: set[str] = {"/info"}
        """Paths that need no token."""
        self.host = ""
        self._serving: set[asyncio.Task[None]] = set()

    async def end(self) -> None:
        """End every connection."""
        for task in self._serving:
            task.cancel()
        await asyncio.gather(*self._serving, return_exceptions=True)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one connection's requests."""
        task = asyncio.current_task()
        assert task is not None
        self._serving.add(task)
        try:
            while (first := await reader.readexactly(1)) != TLS_HELLO:
                request = (first + await reader.readuntil(b"\r\n\r\n")).decode()
                path = request.split(" ")[1].partition("?")[0]
                self.requests[path] += 1
                length = re.search(r"content-length: *(\d+)", request.lower())
                if length:
                    self.sent[path] = (await reader.readexactly(int(length[1]))).decode()
                if path in self.stuck:
                    await asyncio.Event().wait()
                reply = self._reply(path, request)
                writer.write(reply)
                await writer.drain()
                if isinstance(self.pages.get(path), bytes):
                    break
        except (asyncio.IncompleteReadError, ConnectionError, ssl.SSLError):
            pass
        except asyncio.CancelledError:
            pass  # the test has ended, and asyncio would complain of it
        finally:
            writer.close()

    def _reply(self, path: str, request: str) -> bytes:
        if path == "/info" and path not in self.pages:
            return answer(INFO.format(firmware=self.firmware).encode())
        is_new = self.firmware[1] >= "7"
        if (
            is_new
            and path not in self.open
            and f"Authorization: Bearer {self.token}\r\n" not in request
        ):
            return answer(b"", "401 Unauthorized")
        if path == "/auth/check_jwt":
            return answer(b"<!DOCTYPE html><h2>Valid token.</h2>")
        page = self.pages.get(path)
        if page is None:
            return answer(b"", "404 Not Found")
        return page if isinstance(page, bytes) else answer(json.dumps(page).encode())


@asynccontextmanager
async def enphase_gateway(
    pages: dict[str, Any], folder: Path, firmware: str = "D8.2.4286"
) -> AsyncIterator[EnphaseGateway]:
    """A gateway on a free port, over TLS from firmware 7 on."""
    gateway = EnphaseGateway(pages, firmware)
    tls = None
    if int(firmware[1]) >= 7:
        make_certificate("gateway", None, folder)
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(folder / "gateway.pem")
    server = await asyncio.start_server(gateway.serve, "127.0.0.1", 0, ssl=tls)
    gateway.host = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield gateway
    finally:
        server.close()
        await gateway.end()
