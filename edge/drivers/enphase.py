"""Enphase's IQ Gateway (Envoy) in the home's network, by pyenphase: measured only.

The gateway has modes of its storage, a reserve and switches, and no power to hold; none of them
ends by itself. So a home with it is measured and not commanded.

pyenphase signs in and requests; its own models are not used, because one field that is missing
fails them all, and they have no times.
"""

import asyncio
import json
import logging
from pathlib import Path
from typing import Any

import msgspec
from aiohttp import ClientTimeout
from pyenphase import Envoy
from pyenphase.exceptions import EnvoyAuthenticationRequired

from edge.clock import monotonic_ms
from edge.driver import Capabilities, DriverError, Identity, Quantity, Readings
from edge.drivers.enphase_login import EnphaseLogin
from edge.drivers.enphase_readings import (
    Documents,
    capacity_wh,
    fields_of,
    has_batteries,
    meters_in_order,
)
from edge.drivers.plausible import readings_from
from edge.vendor_fields.document import at, items, latest_ms

_PATHS = {
    "meters": "/ivp/meters",
    "readings": "/ivp/meters/readings",
    "power": "/ivp/ensemble/power",
    "security": "/ivp/ensemble/secctrl",
    "inventory": "/ivp/ensemble/inventory",
    "inverters": "/api/v1/production/inverters",
}
_SLOW = ("meters", "security", "inventory", "inverters")
_AGAIN_MS, _KEPT_MS = 15_000, 60_000
"""What changes slowly is read this often, one document a second, and counts this long."""
_FROZEN_MS = 60_000
"""Meters whose newest time stays the same for this long are not read any more."""
_TIMEOUT = ClientTimeout(total=2.0)
_CONNECT_S = 60.0
_MOST_BYTES = 1_000_000
_log = logging.getLogger(__name__)


class Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The gateway, and who the owner is to it. Firmware before 7 needs its address alone."""

    host: str
    token_file: str = ""
    email: str = ""
    """Of the owner's account with Enphase, with ``password_file``: tokens are fetched with it, and
    kept in ``token_file``."""
    password_file: str = ""

    def __post_init__(self) -> None:
        if bool(self.email) != bool(self.password_file):
            raise ValueError("email and password_file belong together")
        if self.email and not self.token_file:
            raise ValueError("token_file is missing: where the token that is fetched is kept")
        if self.password_file and not Path(self.password_file).is_file():
            raise ValueError(f"password_file: there is no file {self.password_file}")
        if self.token_file and not self.email and not Path(self.token_file).is_file():
            raise ValueError(
                f"token_file: there is no file {self.token_file}; get a token at"
                " https://entrez.enphaseenergy.com, or give email and password_file"
            )


class Enphase:
    """A `edge.driver.Driver`."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._login = EnphaseLogin(
            options.host,
            Path(options.token_file) if options.token_file else None,
            email=options.email,
            password_file=Path(options.password_file) if options.password_file else None,
        )
        self._envoy: Envoy | None = None
        self._connecting: asyncio.Task[Envoy] | None = None
        self._kept: dict[str, tuple[Any, int]] = {}
        self._tried_ms: dict[str, int] = {}
        self._failing: set[str] = set()
        self._meters_ms: tuple[int | None, int] = (None, 0)
        self._measures: frozenset[Quantity] = frozenset()

    @property
    def can(self) -> Capabilities:
        """See `edge.driver.Driver.can`."""
        return Capabilities(measure=self._measures)

    async def identify(self) -> Identity:
        """See `edge.driver.Driver.identify`."""
        envoy = await self._connected()
        for name in _SLOW:
            await self._refresh(name, is_needed=name == "meters" and not self._login.is_old)
        self._measures = frozenset(reading.quantity for reading in await self.read())
        documents = self._documents()
        if has_batteries(documents.inventory):  # a battery that is silent has them later
            self._measures |= {"battery_w", "soc"}
        return Identity(
            model="Enphase IQ Gateway",
            firmware=str(envoy.firmware)[:64],
            rated_energy_wh=capacity_wh(documents),
        )

    async def read(self) -> Readings:
        """See `edge.driver.Driver.read`."""
        await self._connected()
        now_ms = monotonic_ms()
        due = [n for n in _SLOW if now_ms - self._tried_ms.get(n, -_AGAIN_MS) >= _AGAIN_MS]
        kinds = meters_in_order(self._document("meters"))
        readings = await self._get("readings") if kinds else None
        power = None
        if has_batteries(self._document("inventory")) and "storage" not in kinds:
            power = await self._get("power")
        if due:
            name = min(due, key=lambda name: self._tried_ms.get(name, 0))
            is_all = name == "inverters" and readings is None and power is None
            await self._refresh(name, is_needed=is_all)
        return readings_from(fields_of(self._documents(self._moving(readings), power)))

    async def apply(self, power_w: float, until_ms: int) -> None:  # noqa: ARG002 - as the interface
        """See `edge.driver.Driver.apply`."""
        raise DriverError("an Enphase gateway is measured only")

    async def release(self) -> None:
        """See `edge.driver.Driver.release`."""
        raise DriverError("an Enphase gateway is measured only")

    async def close(self) -> None:
        """See `edge.driver.Driver.close`."""
        if self._connecting is not None:
            self._connecting.cancel()
            await asyncio.wait([self._connecting])
        await self._disconnect()

    def _documents(self, readings: Any = None, power: Any = None) -> Documents:
        kept = {name: self._document(name) for name in _SLOW}
        return Documents(readings=readings, power=power, **kept)

    def _document(self, name: str) -> Any:
        """A document that changes slowly; None = there is none that is new enough."""
        document, at_ms = self._kept.get(name, (None, 0))
        return document if monotonic_ms() - at_ms <= _KEPT_MS else None

    def _moving(self, readings: Any) -> Any:
        """The meters' readings; None once their newest time has not changed for too long."""
        newest_ms = latest_ms([at(entry, "timestamp") for entry in items(readings)])
        if newest_ms is None or newest_ms != self._meters_ms[0]:
            self._meters_ms = (newest_ms, monotonic_ms())
        return readings if monotonic_ms() - self._meters_ms[1] <= _FROZEN_MS else None

    async def _refresh(self, name: str, *, is_needed: bool = False) -> None:
        """Read a document again; without an answer, the one before counts for a while."""
        self._tried_ms[name] = monotonic_ms()
        try:
            self._kept[name] = (await self._get(name), monotonic_ms())
            self._failing.discard(name)
        except DriverError as error:
            if is_needed:
                raise
            if name not in self._failing:
                _log.warning("%s; what depends on it is not measured", error)
            self._failing.add(name)

    async def _get(self, name: str) -> Any:
        """A document; None if the gateway has none at its path. Raises `DriverError`."""
        path = _PATHS[name]
        envoy = await self._connected()
        try:
            response = await envoy.request(path)
            async with response:
                body = b""
                async for chunk in response.content.iter_any():
                    body += chunk
                    if len(body) > _MOST_BYTES:
                        raise DriverError(f"{self._options.host}{path} has no end")
        except DriverError:
            raise
        except EnvoyAuthenticationRequired:
            if name in ("meters", "readings", "power"):  # others are refused to some owners
                await self._disconnect()
            raise DriverError(self._login.refused(path)) from None
        except Exception as error:  # the library raises whatever its parts do
            raise DriverError(f"{self._options.host}{path}: {error!r}"[:200]) from None
        return self._parsed(path, response.status, body)

    def _parsed(self, path: str, status: int, body: bytes) -> Any:
        if status == 404:
            return None
        if status != 200:
            raise DriverError(f"{self._options.host}{path} answers with status {status}")
        try:
            return json.loads(body)
        except (ValueError, RecursionError):
            raise DriverError(f"{self._options.host}{path} is not JSON") from None

    async def _connected(self) -> Envoy:
        """The gateway, signed in. Signing in goes on if this call is cancelled."""
        if self._envoy is None:
            if self._connecting is None or self._connecting.done():
                self._connecting = asyncio.create_task(self._connect())
            self._envoy = await asyncio.shield(self._connecting)
        return self._envoy

    async def _connect(self) -> Envoy:
        envoy = Envoy(self._options.host, timeout=_TIMEOUT)
        envoy.set_retry_policy(max_attempts=1)
        try:
            async with asyncio.timeout(_CONNECT_S):
                await self._login.sign_in(envoy)
        except BaseException as error:
            await envoy.close()
            if isinstance(error, DriverError) or not isinstance(error, Exception):
                raise
            raise DriverError(f"{self._options.host}: {error!r}"[:200]) from None
        return envoy

    async def _disconnect(self) -> None:
        envoy, self._envoy = self._envoy, None
        if envoy is not None:
            await envoy.close()


def driver(options: Options) -> Enphase:
    """The driver of a configuration."""
    return Enphase(options)
