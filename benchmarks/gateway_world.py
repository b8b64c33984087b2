"""The surroundings of `benchmarks.gateway`: registry, certificates, commands."""

import ssl
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path

import msgspec
from aiokafka import ConsumerRecord, TopicPartition
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from schemas.bounds import PARTITIONS
from schemas.commands import CommandFrame, CommandRow
from schemas.raw_frames import decode_raw, has_columns
from vpp_streams.domain.registry.hashing import partition_of
from vpp_streams.kafka import topics
from vpp_streams.kafka.clients import KafkaClients
from vpp_streams.settings import Settings

Issued = tuple[x509.Certificate, ec.EllipticCurvePrivateKey]


def command_frames(epochs: dict[str, int], now_ms: int) -> list[CommandFrame]:
    """One command for each device, a frame for each partition, as the fleet writes them."""
    rows: dict[int, list[CommandRow]] = {}
    for name, epoch in epochs.items():
        partition = partition_of(name.replace("load", "site"), PARTITIONS)
        rows.setdefault(partition, []).append(CommandRow(name, epoch, 1234.5, 500.0, 0.2))
    return [
        CommandFrame(
            partition=partition,
            rank=now_ms,
            slot=0,
            region="north",
            request_id="bench",
            created_at_ms=now_ms,
            asked_at_ms=now_ms,
            not_before_ms=now_ms,
            valid_until_ms=now_ms + 60_000,
            rows=tuple(found),
        )
        for partition, found in rows.items()
    ]


async def readings_in_kafka(settings: Settings) -> tuple[int, int]:
    """Number of different (device, boot, seq) in the raw topic, and of all readings."""

    seen, lines = set[tuple[str, str, int]](), 0
    name = topics.RAW_POWERWALL.full(settings.namespace)
    partitions = [TopicPartition(name, p) for p in range(topics.RAW_POWERWALL.partitions)]
    consumer = KafkaClients(settings).consumer()
    await consumer.start()
    try:
        consumer.assign(partitions)
        await consumer.seek_to_beginning(*partitions)
        ends = await consumer.end_offsets(partitions)
        while any([await consumer.position(tp) < ends[tp] for tp in partitions]):
            for records in (await consumer.getmany(timeout_ms=500)).values():
                for record in records:
                    found = _names_in(record)
                    lines += len(found)
                    seen.update(found)
    finally:
        await consumer.stop()
    return len(seen), lines


class _Name(msgspec.Struct):
    device_id: str
    boot: str
    seq: int


_names = msgspec.json.Decoder(_Name)


def _names_in(record: ConsumerRecord) -> list[tuple[str, str, int]]:
    """The names of a raw frame's readings, in whichever form it is."""
    if not has_columns(record.headers):
        lines = _names.decode_lines(record.value)
        return [(line.device_id, line.boot, line.seq) for line in lines]
    batch = decode_raw(record.value)
    device_ids, boots, seqs = (
        batch.column(name).to_pylist() for name in ("device_id", "boot", "seq")
    )
    return [(id_, f"{boot:x}", seq) for id_, boot, seq in zip(device_ids, boots, seqs, strict=True)]


class Certificates:
    """A CA, the gateway's certificate and one for each device, as files."""

    def __init__(self, directory: Path, devices: list[str]) -> None:
        self._directory = directory
        ca = self._make("ca", None)
        for name in ("gateway", *devices):
            self._make(name, ca)

    @property
    def env(self) -> dict[str, str]:
        """Settings of a gateway that requires them."""
        return {
            "VPP_TLS_CERT": str(self._directory / "gateway.pem"),
            "VPP_TLS_CLIENT_CA": str(self._directory / "ca.pem"),
        }

    def client(self, name: str) -> ssl.SSLContext:
        """A device's TLS context."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(self._directory / "ca.pem")
        context.load_cert_chain(self._directory / f"{name}.pem")
        return context

    def _make(self, name: str, issuer: Issued | None) -> Issued:
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        address = x509.SubjectAlternativeName([x509.IPAddress(IPv4Address("127.0.0.1"))])
        start = datetime.now(UTC) - timedelta(hours=1)
        certificate = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(issuer[0].subject if issuer else subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(start)
            .not_valid_after(start + timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=issuer is None, path_length=None), True)
            .add_extension(address, critical=False)
            .sign(issuer[1] if issuer else key, hashes.SHA256())
        )
        encoding, nothing = serialization.Encoding.PEM, serialization.NoEncryption()
        private = key.private_bytes(encoding, serialization.PrivateFormat.PKCS8, nothing)
        (self._directory / f"{name}.pem").write_bytes(private + certificate.public_bytes(encoding))
        return certificate, key
