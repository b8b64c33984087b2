"""An agent's login by certificate: renewed by itself, and read again when its files change.

A certificate that was revoked, or that ended and cannot be renewed, ends the connections until
`vpp edge enrol` has written another one, which a running agent takes up by itself. The home goes on
meanwhile: it measures, keeps its readings, and its battery follows the home's own plan or mode.
"""

import asyncio
import logging
import random
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from edge.clock import day_of
from edge.identity import enrolment_http
from edge.identity.enrolment import REVOKED, Granted, Refused, make_request
from edge.identity.files import IdentityBusyError, IdentityFiles
from edge.identity.login import Credentials
from edge.identity.renewals import Renewals
from schemas.protocol import CLOSE_CERTIFICATE_EXPIRED, CLOSE_REVOKED

LOOK_S = 10.0
"""How often the files are looked at."""
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """A device with its files, and where it renews its certificate."""

    device_id: str
    files: IdentityFiles
    enrol_url: str
    """"" = it cannot renew by itself."""

    @property
    def way_back(self) -> str:
        """What people do if the certificate is of no use any more."""
        return (
            f"ask the operator for a new code (`vpp ca code {self.device_id}`) and run"
            " `vpp edge enrol CONFIG --code CODE --fingerprint FINGERPRINT`"
        )


def renewed(holder: Holder) -> Refused | None:
    """Renew and replace the files; blocks. None = done. Raises `OSError`."""
    try:
        with holder.files.locked():
            return _renewed(holder)
    except IdentityBusyError as error:
        return Refused("", str(error))


def _renewed(holder: Holder) -> Refused | None:
    files = holder.files
    if not holder.enrol_url or files.ca is None:
        words = "the certificate has to be renewed, and [gateway] has no enrol_url"
        return Refused("unknown_certificate", f"{words}: {holder.way_back}")
    pending = files.pending_key()
    request = make_request(holder.device_id, pending)
    if pending is None:
        files.keep_pending(request.key_pem)
    answer = enrolment_http.renew(
        holder.enrol_url,
        ca_pem=files.ca.read_text(encoding="ascii"),
        certificate_pem=files.certificate.read_text(encoding="ascii"),
        key_pem=files.key.read_text(encoding="ascii"),
        request_pem=request.pem,
    )
    if isinstance(answer, Granted):
        files.take(answer)
        return None
    return answer


class CertificateLogin:
    """An `edge.identity.login.AgentLogin` by certificate."""

    def __init__(self, holder: Holder, rng: random.Random, utc_ms: Callable[[], int]) -> None:
        """Read the files. Raises `OSError` and `ValueError`."""
        self._holder, self._rng, self._utc_ms = holder, rng, utc_ms
        self._usable, self._wake = asyncio.Event(), asyncio.Event()
        self._used_pem = ""
        self._blocked = ""
        self._said = ""
        self._closed_as_ended = False
        self._load()

    @property
    def trouble(self) -> str:
        """See `edge.identity.login.AgentLogin.trouble`."""
        return self._blocked or self._renewals.trouble

    @property
    def ends_ms(self) -> int | None:
        """See `edge.identity.login.AgentLogin.ends_ms`."""
        return self._renewals.ends_ms

    async def ready(self) -> Credentials:
        """See `edge.identity.login.Login.ready`."""
        await self._usable.wait()
        self._used_pem = self._renewals.pem
        return self._credentials

    def closed(self, code: int | None) -> None:
        """See `edge.identity.login.Login.closed`."""
        if self._used_pem != self._renewals.pem:
            return  # it concerns the certificate before this one
        if code == CLOSE_REVOKED:
            self._revoked()
        elif code == CLOSE_CERTIFICATE_EXPIRED:
            self._closed_as_ended = True
            self._usable.clear()  # until it was tried to renew it
            self._renewals.hasten()
            self._wake.set()

    async def keep(self) -> None:
        """See `edge.identity.login.AgentLogin.keep`."""
        while True:
            self._look()
            if self._renewals.is_due(self._utc_ms()):
                await self._renew()
            with suppress(TimeoutError):
                async with asyncio.timeout(LOOK_S):
                    await self._wake.wait()
            self._wake.clear()

    async def _renew(self) -> None:
        tried = self._renewals
        try:
            refused = await asyncio.to_thread(renewed, self._holder)
        except (OSError, ValueError) as error:
            refused = Refused("", f"the enrolment server cannot be reached ({error})")
        self._look()
        if self._renewals is not tried:
            _log.info("the certificate was renewed, until %s", day_of(self._renewals.ends_ms))
            return
        if refused is None:  # it is written, and cannot be read
            refused = Refused("", "the new certificate cannot be read")
        if refused.word == REVOKED:
            self._revoked()
            return
        now_ms = self._utc_ms()
        tried.failed(f"not renewed: {refused.sentence}", now_ms, needs_code=refused.needs_code)
        if self._closed_as_ended or tried.has_ended(now_ms):
            if refused.needs_code:
                self._block(f"the certificate has ended: {self._holder.way_back}")
            elif not self._blocked:
                self._usable.set()
        self._say()

    def _look(self) -> None:
        """Take up the files if they were replaced, by a renewal or by people."""
        if self._holder.files.stamp() == self._stamp:
            return
        try:
            self._load()
        except (OSError, ValueError) as error:
            self._renewals.trouble = f"the new certificate or key cannot be used ({error})"
            self._say()

    def _load(self) -> None:
        files = self._holder.files
        self._stamp = files.stamp()
        self._credentials = Credentials(None, files.tls())
        pem = files.certificate.read_text(encoding="ascii")
        self._renewals, self._closed_as_ended = Renewals(pem, self._rng), False
        self._stamp = files.stamp()
        self._unblock()

    def _revoked(self) -> None:
        """Neither connect nor renew until the files change."""
        self._renewals.give_up()
        self._block(f"the operator has revoked this device: {self._holder.way_back}")

    def _block(self, words: str) -> None:
        self._blocked = words
        self._usable.clear()
        self._say()

    def _unblock(self) -> None:
        self._blocked = ""
        self._usable.set()

    def _say(self) -> None:
        if self.trouble != self._said:
            self._said = self.trouble
            _log.error("%s", self._said)
