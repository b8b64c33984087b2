"""Decides on each request for a certificate, signs, and records what was signed."""

import hashlib
from collections import Counter
from typing import Annotated, TypeVar

import msgspec
import structlog
from aiokafka.errors import KafkaError

from schemas.identity import Redemption
from vpp_streams.domain.identity.authority import SERIAL_BYTES, serial_of
from vpp_streams.domain.identity.certificate_requests import MAX_PEM, DeviceKey, read_request
from vpp_streams.domain.identity.codes import digest_of
from vpp_streams.domain.identity.enrolment import Proof, subject_of_code, subject_of_renewal
from vpp_streams.domain.identity.refusals import Refused, Subject
from vpp_streams.domain.identity.revocations import Revocations
from vpp_streams.domain.registry.registry import Registry
from vpp_streams.gateway.logins import Connects, FailedLogins
from vpp_streams.identity.code_log import CodeLog
from vpp_streams.identity.signer import Granted, Signer

log = structlog.get_logger()

SLOWED = Refused("slowed", "too many requests; try again later", 429)
UNAVAILABLE = Refused("unavailable", "the server cannot reach Kafka; try again later", 503)
T = TypeVar("T", "EnrolBody", "RenewalBody")
_Pem = Annotated[str, msgspec.Meta(max_length=MAX_PEM)]


class EnrolBody(msgspec.Struct, frozen=True):
    """Body of ``POST /v1/enrol``."""

    code: Annotated[str, msgspec.Meta(max_length=64)]
    request: _Pem


class RenewalBody(msgspec.Struct, frozen=True):
    """Body of ``POST /v1/renew``."""

    certificate: _Pem
    request: _Pem
    signature: Annotated[str, msgspec.Meta(max_length=1024)]


class Desk:
    """Answers requests of devices; every outcome is logged and counted, never with a code."""

    def __init__(
        self,
        signer: Signer,
        log_of_codes: CodeLog,
        registry: Registry,
        revocations: Revocations,
        counters: Counter[str],
    ) -> None:
        self._signer = signer
        self._codes = log_of_codes
        self._registry = registry
        self._revocations = revocations
        self._counters = counters
        self._failed = FailedLogins()
        self._pace = Connects()

    async def enrol(self, body: bytes | Refused, address: str) -> Granted | Refused:
        """A certificate for a one-time code."""
        sent = _decoded(body, EnrolBody)
        if isinstance(sent, Refused):
            return self._outcome("enrol", sent, address)
        digest = digest_of(sent.code)
        mono_ms = self._signer.now().mono_ms
        if self._failed.slowed(address, digest, mono_ms):
            return self._outcome("enrol", SLOWED, address)
        answer = await self._enrol(digest, sent.request, mono_ms)
        if isinstance(answer, Refused) and answer.word == "unknown_code":
            self._failed.failed(address, digest, mono_ms)
        return self._outcome("enrol", answer, address)

    async def renew(self, body: bytes | Refused, address: str) -> Granted | Refused:
        """A new certificate for the present one and a signature by its key."""
        sent = _decoded(body, RenewalBody)
        if isinstance(sent, Refused):
            return self._outcome("renew", sent, address)
        mono_ms = self._signer.now().mono_ms
        # By the certificate, so that a home whose renewals fail keeps no neighbour from renewing.
        shown = hashlib.sha256(sent.certificate.encode()).hexdigest()
        if self._failed.slowed(address, shown, mono_ms):
            return self._outcome("renew", SLOWED, address)
        answer = await self._renew(sent, mono_ms)
        if isinstance(answer, Refused) and answer.word in ("unknown_certificate", "bad_signature"):
            self._failed.failed(address, shown, mono_ms)
        return self._outcome("renew", answer, address)

    async def _enrol(self, digest: str, request_pem: str, mono_ms: int) -> Granted | Refused:
        key = read_request(request_pem)
        if isinstance(key, Refused):
            return key
        subject = self._subject_of_code(digest, key)
        if isinstance(subject, Refused):
            return subject
        if not self._pace.take(digest, mono_ms):
            return SLOWED
        try:
            if self._codes.codes.spent_on(digest) is None:
                await self._codes.redeem(self._attempt(digest, key))
                # Another key may have been first; or the device was revoked meanwhile.
                subject = self._subject_of_code(digest, key)
                if isinstance(subject, Refused):
                    return subject
            return await self._signer.sign(subject, key, self._revocations, "code")
        except (KafkaError, TimeoutError) as error:
            log.warning("enrolment: Kafka did not answer", error=repr(error))
            return UNAVAILABLE

    async def _renew(self, sent: RenewalBody, mono_ms: int) -> Granted | Refused:
        key = read_request(sent.request)
        if isinstance(key, Refused):
            return key
        subject = subject_of_renewal(
            Proof(sent.certificate, sent.signature),
            key,
            self._signer.authority.certificate,
            self._registry,
            self._revocations,
            now_ms=self._signer.now().utc_ms,
        )
        if isinstance(subject, Refused):
            return subject
        if not self._pace.take(subject.device_id, mono_ms):
            return SLOWED
        try:
            return await self._signer.sign(subject, key, self._revocations, "renewal")
        except (KafkaError, TimeoutError) as error:
            log.warning("renewal: Kafka did not answer", error=repr(error))
            return UNAVAILABLE

    def _subject_of_code(self, digest: str, key: DeviceKey) -> Subject | Refused:
        codes = self._codes.codes
        return subject_of_code(
            codes.code(digest),
            codes.spent_on(digest),
            key,
            self._registry,
            self._revocations,
            now_ms=self._signer.now().utc_ms,
        )

    def _attempt(self, digest: str, key: DeviceKey) -> Redemption:
        attempt = serial_of(self._signer.chance(SERIAL_BYTES))
        at_ms = self._signer.now().utc_ms
        return Redemption(
            code_sha256=digest, attempt=f"{attempt:x}", key_sha256=key.sha256, at_ms=at_ms
        )

    def _outcome(self, what: str, answer: Granted | Refused, address: str) -> Granted | Refused:
        if isinstance(answer, Granted):
            self._counters[f"{what}_granted"] += 1
            device_id = answer.subject.device_id
            log.info("a certificate was issued", device=device_id, by=what, address=address)
        else:
            self._counters[f"{what}_refused:{answer.word}"] += 1
            log.warning(
                "a certificate was refused",
                device=answer.device_id or "unknown",
                by=what,
                reason=answer.word,
                address=address,
            )
        return answer


def _decoded(body: bytes | Refused, type_: type[T]) -> T | Refused:
    if isinstance(body, Refused):
        return body
    try:
        return msgspec.json.decode(body, type=type_)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        return Refused("bad_request", f"the body is not as expected: {error}"[:200], 400)
