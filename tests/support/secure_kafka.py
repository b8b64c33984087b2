"""A real Kafka that knows its clients: TLS, SCRAM, OAUTHBEARER, and an authorizer that denies.

Its listeners: `plain` (brokers among themselves; an anonymous client may do everything there),
`tls` (encrypted, nobody is asked who it is), `mtls` (a client's certificate says who it is),
`sasl` (SCRAM) and `sasl_tls` (SCRAM, PLAIN, OAUTHBEARER).
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from joserfc import jwt
from joserfc.jwk import RSAKey

from tests.support.certificates import Issuer, make_certificate
from vpp_streams import clock
from vpp_streams.local.broker import spawn_and_wait
from vpp_streams.local.kafka_process import SHORT_LIVED, KafkaProcess, fetch_jars, find_java
from vpp_streams.process.ports import free_port
from vpp_streams.settings import Settings

AUDIENCE = "kafka"
ISSUER = "https://id.example"
PLAIN_USER, PLAIN_PASSWORD = "plain-user", "plain-secret"
_PROTOCOLS = {
    "plain": "PLAINTEXT",
    "tls": "SSL",
    "mtls": "SSL",
    "sasl": "SASL_PLAINTEXT",
    "sasl_tls": "SASL_SSL",
}
_SASL = "org.apache.kafka.common.security"
_ALLOWED_URLS = "-Dorg.apache.kafka.sasl.oauthbearer.allowed.urls="
_AUDIT_LOG = "-Dorg.slf4j.simpleLogger.log.kafka.authorizer.logger=info"
"""Each denied request is a line of the broker's log."""


@dataclass(frozen=True)
class SecureKafka:
    """A running broker; the attributes after ``ports`` are what its clients use."""

    ports: dict[str, int]
    directory: Path
    issuer: Issuer
    signing: RSAKey
    log: Path

    @property
    def ca(self) -> Path:
        return self.directory / "ca.pem"

    def certificate(self, name: str) -> Path:
        """A file with key and certificate of a client of this name."""
        make_certificate(name, self.issuer, self.directory)
        return self.directory / f"{name}.pem"

    def at(self, listener: str) -> str:
        return f"127.0.0.1:{self.ports[listener]}"

    def settings(self, listener: str, **given: object) -> Settings:
        """Settings of a client at a listener."""
        protocol = _PROTOCOLS[listener]
        ca = {"kafka_ssl_ca_file": self.ca} if protocol.endswith("SSL") else {}
        common = {"kafka": self.at(listener), "kafka_security_protocol": protocol, **ca}
        return Settings(**{**common, **given})  # type: ignore[arg-type]  # pydantic checks them

    def token(self, subject: str, life_s: float = 3600.0) -> str:
        """A token that the broker accepts, as an identity provider would sign it."""
        now_s = clock.now_ms() / 1000
        claims = {"sub": subject, "iss": ISSUER, "aud": AUDIENCE, "iat": now_s - 1}
        return jwt.encode(
            {"alg": "RS256", "kid": "test"}, {**claims, "exp": now_s + life_s}, self.signing
        )

    def denied(self) -> list[str]:
        """What the authorizer denied so far: a line for each."""
        lines = self.log.read_text(errors="replace").splitlines()
        return [line for line in lines if "is Denied" in line]


@contextmanager
def running_secure_kafka(directory: Path) -> Iterator[SecureKafka]:
    """A broker with its data and certificates in ``directory``; the kernel ends it with us."""
    directory.mkdir(parents=True, exist_ok=True)
    issuer = make_certificate("ca", None, directory)
    make_certificate("kafka", issuer, directory)
    signing = RSAKey.generate_key(2048, {"kid": "test", "use": "sig", "alg": "RS256"})
    keys = directory / "jwks.json"
    keys.write_text(json.dumps({"keys": [signing.as_dict(private=False)]}))
    ports = {name: free_port() for name in _PROTOCOLS}
    options = (*SHORT_LIVED, _AUDIT_LOG, f"{_ALLOWED_URLS}file://{keys}")
    local = KafkaProcess(
        directory / "kafka",
        ports["plain"],
        fetch_jars(Settings().state_dir),
        find_java(),
        options,
        properties=_properties(ports, directory, keys),
    )
    process = spawn_and_wait(local, outlives_us=False)
    try:
        yield SecureKafka(ports, directory, issuer, signing, local.log)
    finally:
        process.kill()  # its data goes with its directory: nothing to save
        process.wait()


def _properties(ports: dict[str, int], directory: Path, keys: Path) -> dict[str, str]:
    controller = free_port()
    listeners = ",".join(f"{name.upper()}://127.0.0.1:{port}" for name, port in ports.items())
    protocols = ",".join(f"{name.upper()}:{protocol}" for name, protocol in _PROTOCOLS.items())
    properties = {
        "controller.quorum.voters": f"1@localhost:{controller}",
        "listeners": f"{listeners},CONTROLLER://127.0.0.1:{controller}",
        "advertised.listeners": listeners,
        "listener.security.protocol.map": f"{protocols},CONTROLLER:PLAINTEXT",
        "inter.broker.listener.name": "PLAIN",
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "allow.everyone.if.no.acl.found": "false",
        "super.users": "User:ANONYMOUS",
        "sasl.oauthbearer.jwks.endpoint.url": f"file://{keys}",
        "sasl.oauthbearer.expected.audience": AUDIENCE,
        "sasl.oauthbearer.expected.issuer": ISSUER,
    }
    for name in ("tls", "mtls", "sasl_tls"):
        prefix = f"listener.name.{name}."
        properties |= {
            f"{prefix}ssl.keystore.type": "PEM",
            f"{prefix}ssl.keystore.location": str(directory / "kafka.pem"),
            f"{prefix}ssl.truststore.type": "PEM",
            f"{prefix}ssl.truststore.location": str(directory / "ca.pem"),
            f"{prefix}ssl.client.auth": "required" if name == "mtls" else "none",
        }
    properties["listener.name.mtls.ssl.principal.mapping.rules"] = "RULE:^CN=([^,]+).*$/$1/,DEFAULT"
    scram = f"{_SASL}.scram.ScramLoginModule required;"
    plain = f'{_SASL}.plain.PlainLoginModule required user_{PLAIN_USER}="{PLAIN_PASSWORD}";'
    oauth = f"{_SASL}.oauthbearer.OAuthBearerLoginModule required;"
    for name, mechanisms in (
        ("sasl", {"SCRAM-SHA-512": scram, "SCRAM-SHA-256": scram}),
        ("sasl_tls", {"SCRAM-SHA-512": scram, "PLAIN": plain, "OAUTHBEARER": oauth}),
    ):
        prefix = f"listener.name.{name}."
        properties[f"{prefix}sasl.enabled.mechanisms"] = ",".join(mechanisms)
        for mechanism, jaas in mechanisms.items():
            properties[f"{prefix}{mechanism.lower()}.sasl.jaas.config"] = jaas
    properties["listener.name.sasl_tls.oauthbearer.sasl.server.callback.handler.class"] = (
        f"{_SASL}.oauthbearer.OAuthBearerValidatorCallbackHandler"
    )
    return properties
