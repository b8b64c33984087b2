"""What operators do: hand out codes, issue by hand, revoke, and list certificates."""

import asyncio
import csv
import io
import secrets
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509

from schemas.identity import IssuedCertificate, Revocation
from vpp_streams import clock
from vpp_streams.domain.identity.authority import fingerprint
from vpp_streams.domain.identity.certificate_requests import read_request
from vpp_streams.domain.identity.certificate_states import Standing, standings
from vpp_streams.domain.identity.codes import CODE_LENGTH, NewCode, make_code
from vpp_streams.domain.identity.enrolment import registered
from vpp_streams.domain.identity.refusals import Refused, Subject
from vpp_streams.domain.identity.revocations import Revocations
from vpp_streams.domain.moments import DAY_MS
from vpp_streams.domain.registry.registry import Registry
from vpp_streams.errors import InputError
from vpp_streams.identity.ca_files import read_authority
from vpp_streams.identity.signer import Granted, Signer
from vpp_streams.kafka import topics
from vpp_streams.kafka.admin import ensure_topics
from vpp_streams.kafka.clients import KafkaClients
from vpp_streams.kafka.outlet import write_many
from vpp_streams.kafka.ranges import records_since
from vpp_streams.process.private_files import write_private
from vpp_streams.settings import Settings

CODE_DAYS = 14.0
"""How long a code holds by default."""
COLUMNS = ("site_id", "device_id", "code", "ca_sha256", "expires_at")


async def hand_out_codes(
    settings: Settings,
    subjects: Sequence[Subject],
    file: Path,
    root: x509.Certificate,
    days: float = CODE_DAYS,
) -> None:
    """A one-time code for each device, in a new CSV file that only its owner can read.

    The file is written first: codes that nobody has are worth nothing, codes that the server does
    not know can be made again. Raises `InputError` for a file, `BrokerError` for Kafka.
    """
    codes = make_codes(subjects, days)
    write_codes_file(file, codes, root)
    await publish_codes(settings, codes)


def write_codes_file(file: Path, codes: Iterable[NewCode], root: x509.Certificate) -> None:
    """A new CSV file with a row for each code. Raises `InputError` where that cannot be."""
    check_codes_file(file)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    ca_sha256 = fingerprint(root)
    for code, record in codes:
        until = datetime.fromtimestamp(record.expires_at_ms // 1000, UTC).isoformat()
        writer.writerow((record.site_id, record.device_id, code, ca_sha256, until))
    try:
        write_private(file.resolve(), text.getvalue().encode())
    except OSError as error:
        raise InputError(f"{file}: {error.strerror}") from None


def check_codes_file(file: Path) -> None:
    """Raises `InputError` where the file is there: the codes in it are nowhere else."""
    if file.exists():
        raise InputError(f"{file} exists, and its codes are nowhere else: name a new file")


def make_codes(subjects: Iterable[Subject], days: float) -> list[NewCode]:
    """New codes, which no server knows yet."""
    now_ms = clock.now_ms()
    return [
        make_code(
            subject,
            secrets.token_bytes(CODE_LENGTH),
            now_ms=now_ms,
            life_ms=round(days * DAY_MS),
        )
        for subject in subjects
    ]


async def publish_codes(settings: Settings, codes: Iterable[NewCode]) -> None:
    """Let the servers know the codes' digests. Raises `BrokerError`."""
    clients = KafkaClients(settings)
    await ensure_topics(clients)
    await write_many(clients, topics.IDENTITY_CODES, [code.record for code in codes])


async def issue(
    settings: Settings, device_id: str, request_pem: str, registry: Registry
) -> Granted:
    """Sign a request by hand, for a device that cannot reach a server.

    Raises `InputError` for a request that gives no certificate, `BrokerError` for Kafka.
    """
    key, subject = read_request(request_pem), registered(device_id, registry)
    if isinstance(key, Refused):
        raise InputError(key.sentence)
    if isinstance(subject, Refused):
        raise InputError(subject.sentence)
    clients = KafkaClients(settings)

    async def write(record: IssuedCertificate) -> None:
        await write_many(clients, topics.IDENTITY_CERTIFICATES, [record])

    signer = Signer(
        read_authority(settings.ca),
        write,
        life_ms=round(settings.device_cert_days * DAY_MS),
        now=clock.now,
        chance=secrets.token_bytes,
    )
    return await signer.sign(subject, key, await read_revocations(clients), "operator")


async def revoke(settings: Settings, device_id: str, reason: str, registry: Registry) -> int:
    """Revoke a device's credentials; returns how many of its certificates that concerns.

    Raises `InputError` for a device that nobody knows, `BrokerError` for Kafka.
    """
    clients = KafkaClients(settings)
    await ensure_topics(clients)
    issued = [one for one in await read_issued(clients) if one.device_id == device_id]
    if not issued and registry.device(device_id) is None:
        raise InputError(
            f"no device {device_id!r} in the registry, and no certificate of one; see `vpp ca list`"
        )
    # Whatever this machine's clock says, no certificate that was issued is left out.
    at_ms = max([clock.now_ms(), *(one.not_before_ms for one in issued)])
    revocation = Revocation(device_id=device_id, at_ms=at_ms, reason=reason)
    await write_many(clients, topics.IDENTITY_REVOCATIONS, [revocation])
    return sum(one.not_after_ms > at_ms for one in issued)


async def newest_certificates(settings: Settings) -> list[Standing]:
    """The newest certificate of each device, with its state. Raises `BrokerError`."""
    clients = KafkaClients(settings)
    await ensure_topics(clients)
    issued, revocations = await asyncio.gather(read_issued(clients), read_revocations(clients))
    return list(standings(issued, revocations, clock.now_ms()))


async def read_issued(clients: KafkaClients) -> list[IssuedCertificate]:
    """Every certificate that was issued, in order."""
    issued = records_since(clients, topics.IDENTITY_CERTIFICATES, 0)
    return [read.record async for read in issued]


async def read_revocations(clients: KafkaClients) -> Revocations:
    """The revocations so far."""
    revocations = Revocations()
    async for read in records_since(clients, topics.IDENTITY_REVOCATIONS, 0):
        revocations.apply(read.record)
    return revocations
