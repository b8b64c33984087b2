"""Devices' certificates, and the codes that they enrol with."""

from schemas.identity import EnrolmentCode, IssuedCertificate, Redemption, Revocation
from vpp_streams.domain.moments import DAY_MS
from vpp_streams.kafka.topic import Key, Topic, by

IdentityCode = EnrolmentCode | Redemption


def _identity_key(record: IdentityCode) -> str:
    match record:
        case Redemption():
            return f"{record.code_sha256}:{record.attempt}"
        case _:
            return record.code_sha256


IDENTITY_CODES = Topic[IdentityCode](
    "identity.codes",
    "one-time codes with which devices enrol, as digests, and which key used each of them first",
    IdentityCode,
    Key("code_sha256; of a redemption with its attempt", _identity_key),
    partitions=1,
    partition="single",
    keep="compact,delete",
    retention_ms=90 * DAY_MS,
)
IDENTITY_CERTIFICATES = Topic[IssuedCertificate](
    "identity.certificates",
    "every certificate that was issued to a device",
    IssuedCertificate,
    by("serial"),
    partitions=1,
    partition="single",
    keep="compact,delete",
    retention_ms=400 * DAY_MS,
)
IDENTITY_REVOCATIONS = Topic[Revocation](
    "identity.revocations",
    "devices whose earlier certificates, codes and token are refused",
    Revocation,
    by("device_id"),
    partitions=1,
    partition="single",
    keep="compact",
)
