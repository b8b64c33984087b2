"""Who sends an HTTP request; see tests/serving/test_logins.py for tokens."""

from pathlib import Path
from typing import Any

from tests.support.accounts_world import CHEAP
from vpp_streams.accounts.accounts import Accounts
from vpp_streams.accounts.secrets import digest_of
from vpp_streams.process.private_files import write_private
from vpp_streams.serving.logins import Logins
from vpp_streams.serving.operators import Operator, lines_for, new_token
from vpp_streams.web.senders import Senders

HERE = "192.0.2.1"


def test_clients_behind_a_proxy_do_not_lock_the_proxy_out(tmp_path: Path) -> None:
    token, path = new_token(), tmp_path / "operators.toml"
    ann = Operator(name="ann", token_sha256=digest_of(token), regions="*", may=("hold",))
    write_private(path, lines_for(ann).encode())
    senders = Senders(Logins(path, Accounts(None, CHEAP), clock_s=lambda: 0.0), (HERE,))

    def request(word: str) -> dict[str, Any]:
        header = (b"authorization", f"Bearer {word}".encode())
        return {"type": "http", "client": (HERE, 1), "headers": [header]}

    assert not any(senders.is_operator(request(new_token())) for _ in range(50))
    assert senders.is_operator(request(token))
    assert not senders.is_operator({"type": "http", "client": (HERE, 1), "headers": []})
