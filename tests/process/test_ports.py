"""Ports that servers listen on."""

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
