"""Ports that servers listen on."""

import asyncio
import socket

import pytest

from vpp_streams.errors import InputError
from vpp_streams.process.ports import bound, is_free


def test_a_port_in_use_is_one_line_with_the_way_out() -> None:
    with bound("127.0.0.1", 0) as listener:
        port = listener.getsockname()[1]
        listener.listen()
        assert not is_free("127.0.0.1", port)
        with pytest.raises(InputError, match=f"port {port} .*choose another with --port"):
            bound("127.0.0.1", port)


async def test_connections_of_a_bound_port_send_small_writes_at_once() -> None:
    """Otherwise an answer of headers and body takes 40 ms, whatever its server does."""
    accepted: asyncio.Queue[socket.socket] = asyncio.Queue()

    def note(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        accepted.put_nowait(writer.get_extra_info("socket"))

    listener = bound("127.0.0.1", 0)
    async with await asyncio.start_server(note, sock=listener):
        _, writer = await asyncio.open_connection(*listener.getsockname())
        connection = await accepted.get()
        assert connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        writer.close()
