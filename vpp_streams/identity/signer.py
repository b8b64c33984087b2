"""Signs devices' certificates, and records each one before anybody receives it."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from schemas.identity import HowIssued, IssuedCertificate
from vpp_streams.domain.identity.authority import (
    SERIAL_BYTES,
    Authority,
    begins_ms,
    device_certificate,
    ends_ms,
    pem_of,
    serial_of,
    validity,
)
from vpp_streams.domain.identity.certificate_requests import DeviceKey
from vpp_streams.domain.identity.refusals import Subject
from vpp_streams.domain.identity.revocations import Revocations
from vpp_streams.domain.moments import Now


@dataclass(frozen=True, slots=True)
class Granted:
    """A certificate that was signed and recorded."""

    subject: Subject
    certificate_pem: str
    not_after_ms: int


@dataclass(slots=True)
class Signer:
    """Signs with an authority's key."""

    authority: Authority
    write: Callable[[IssuedCertificate], Awaitable[object]]
    """Returns once Kafka has the record. Raises `KafkaError`."""
    life_ms: int
    now: Callable[[], Now]
    chance: Callable[[int], bytes]
    """That many random bytes."""

    async def sign(
        self, subject: Subject, key: DeviceKey, revocations: Revocations, how: HowIssued
    ) -> Granted:
        """Sign and record a certificate. Raises `KafkaError` where it cannot be recorded."""
        revocation = revocations.of(subject.device_id)
        now_ms = self.now().utc_ms
        valid = validity(now_ms, self.life_ms, revocation.at_ms if revocation else None)
        serial = serial_of(self.chance(SERIAL_BYTES))
        certificate = device_certificate(self.authority, subject, key.public_key, serial, valid)
        record = IssuedCertificate(
            serial=f"{serial:x}",
            device_id=subject.device_id,
            site_id=subject.site_id,
            key_sha256=key.sha256,
            issued_at_ms=now_ms,
            not_before_ms=begins_ms(certificate),
            not_after_ms=ends_ms(certificate),
            how=how,
        )
        await self.write(record)
        return Granted(subject, pem_of(certificate), record.not_after_ms)
