"""Twins of sites from the fleet worker that has them; without a worker, pages show the rest."""

import ssl
from functools import cache
from urllib.parse import quote

import httpx
import msgspec
from pydantic import SecretStr

from vpp_streams.serving.views import Twin

TIMEOUT_S = 2.0


@cache
def _certificates() -> ssl.SSLContext:
    """The certificates that a worker's is checked with, loaded once in a process (30 ms)."""
    return httpx.create_ssl_context()


class FleetWorker:
    """Requests twins from a fleet worker, which redirects to the one that has the site."""

    def __init__(
        self,
        url: str,
        transport: httpx.AsyncBaseTransport | None = None,
        token: SecretStr | None = None,
    ) -> None:
        """``token`` is the service token that workers check (`Settings.service_token`)."""
        self._url = url.rstrip("/")
        headers = {"Authorization": f"Bearer {token.get_secret_value()}"} if token else {}
        self._client = httpx.AsyncClient(
            follow_redirects=True,
            timeout=TIMEOUT_S,
            transport=transport,
            headers=headers,
            verify=_certificates(),
        )

    async def twin(self, site_id: str) -> Twin | str:
        """The site's twin, or one sentence that says why there is none."""
        url = f"{self._url}/sites/{quote(site_id, safe='')}/twin"
        try:
            response = await self._client.get(url)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            reason = str(error) or type(error).__name__
            return f"no fleet worker answers at {self._url} ({reason})"
        if response.status_code != httpx.codes.OK:
            return f"the fleet worker at {self._url} answered {response.status_code}"
        try:
            return msgspec.json.decode(response.content, type=Twin)
        except msgspec.DecodeError as error:
            return f"the fleet worker's answer cannot be read ({error})"

    async def close(self) -> None:
        """Close the connections to the worker."""
        await self._client.aclose()
