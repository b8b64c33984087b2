"""A token endpoint for clients of Kafka, over HTTP on loopback."""

import base64
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread


class TokenEndpoint:
    """Where it is, and how often it was asked."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.asked = 0


@contextmanager
def token_endpoint(
    secret: str, token_for: Callable[[str], tuple[str, float]]
) -> Iterator[TokenEndpoint]:
    """Gives whoever knows the secret a token and its life (s), made by ``token_for(client_id)``."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            endpoint.asked += 1
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            basic = self.headers.get("Authorization", "").removeprefix("Basic ")
            client_id, _, given = base64.b64decode(basic).decode().partition(":")
            token, life_s = token_for(client_id)
            right = given == secret
            body = {"access_token": token, "expires_in": life_s} if right else {"error": "no"}
            self.send_response(200 if right else 401)
            self.end_headers()
            self.wfile.write(json.dumps(body).encode())

        def log_message(self, *_args: object) -> None:
            """Nobody reads it."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    endpoint = TokenEndpoint(f"http://127.0.0.1:{server.server_port}/token")
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield endpoint
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
