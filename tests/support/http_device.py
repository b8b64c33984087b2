"""A device with a local HTTP page: answers by path, and in whichever way a test wants."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager


def answer(body: bytes, status: str = "200 OK", headers: str = "") -> bytes:
    """A complete HTTP answer."""
    length = headers or f"Content-Length: {len(body)}\r\n"
    return f"HTTP/1.1 {status}\r\n{length}\r\n".encode() + body


@asynccontextmanager
async def http_device(answers: Mapping[str, bytes]) -> AsyncIterator[int]:
    """Serve raw answers by path without its query, 404 for others; yields the port."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = await reader.readuntil(b"\r\n\r\n")
        path = request.split(b" ")[1].decode().partition("?")[0]
        writer.write(answers.get(path, answer(b"", "404 Not Found")))
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]
