"""Each way to connect works, and each wrong setting ends at once with one line and a way out."""

import asyncio
from pathlib import Path

import pytest

from tests.support.secure_kafka import PLAIN_PASSWORD, PLAIN_USER, SecureKafka
from tests.support.secured_roles import environment_of, run_vpp
from tests.support.token_endpoint import token_endpoint
from vpp_streams.errors import BrokerError
from vpp_streams.kafka.access.apply import set_password
from vpp_streams.kafka.access.principals import principal
from vpp_streams.kafka.clients import KafkaClients, administering
from vpp_streams.local import doctor
from vpp_streams.local.machine_check import Check
from vpp_streams.settings import Settings

pytestmark = pytest.mark.kafka
SECRET = "right horse"


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    file = tmp_path / "secret"
    file.write_text(SECRET)
    return file


@pytest.fixture
def wrong(tmp_path: Path) -> Path:
    file = tmp_path / "wrong"
    file.write_text("wrong horse")
    return file


def scram(kafka: SecureKafka, listener: str, file: Path) -> Settings:
    return kafka.settings(
        listener,
        kafka_sasl_mechanism="SCRAM-SHA-512",
        kafka_sasl_username="vpp-web",
        kafka_sasl_password_file=file,
    )


async def connect(settings: Settings) -> int:
    """The number of brokers that a client with these settings sees."""
    async with administering(KafkaClients(settings)) as admin:
        return len((await admin.describe_cluster())["brokers"])


async def refusal(settings: Settings) -> str:
    with pytest.raises(BrokerError) as raised:
        await connect(settings)
    assert "\n" not in str(raised.value)
    return str(raised.value)


async def test_tls_and_our_certificate(secure_kafka: SecureKafka) -> None:
    ours = secure_kafka.certificate("vpp-web")
    files = {"kafka_ssl_cert_file": ours, "kafka_ssl_key_file": ours}
    assert await connect(secure_kafka.settings("tls")) == 1
    assert await connect(secure_kafka.settings("mtls", **files)) == 1
    assert "wants a certificate of ours" in await refusal(secure_kafka.settings("mtls"))


async def test_a_ca_that_did_not_sign_kafkas_certificate(secure_kafka: SecureKafka) -> None:
    said = await refusal(secure_kafka.settings("tls", kafka_ssl_ca_file=None))
    assert "certificate that is not accepted" in said
    assert "VPP_KAFKA_SSL_CA_FILE" in said


async def test_a_password(secure_kafka: SecureKafka, secret: Path, wrong: Path) -> None:
    admin = KafkaClients(secure_kafka.settings("plain"))
    await set_password(admin, principal("web"), SECRET)
    for listener in ("sasl", "sasl_tls"):
        assert await connect(scram(secure_kafka, listener, secret)) == 1
        said = await refusal(scram(secure_kafka, listener, wrong))
        assert "refuses user vpp-web" in said
        assert "wrong horse" not in said


async def test_plain_over_tls(secure_kafka: SecureKafka, tmp_path: Path) -> None:
    file = tmp_path / "plain"
    file.write_text(PLAIN_PASSWORD)
    given = {"kafka_sasl_username": PLAIN_USER, "kafka_sasl_password_file": file}
    settings = secure_kafka.settings("sasl_tls", kafka_sasl_mechanism="PLAIN", **given)
    assert await connect(settings) == 1


@pytest.mark.parametrize(
    ("listener", "protocol", "words"),
    [
        ("plain", "SSL", "does not speak TLS at this port"),
        ("tls", "PLAINTEXT", "closes the connection: this port wants TLS, SASL"),
        ("sasl", "PLAINTEXT", "closes the connection: this port wants TLS, SASL"),
        ("tls", "SASL_PLAINTEXT", "closes the connection: this port wants TLS, SASL"),
        ("plain", "SASL_PLAINTEXT", "has no SASL at this port"),
        ("tls", "SASL_SSL", "has no SASL at this port"),
    ],
)
async def test_another_protocol_than_the_port(
    secure_kafka: SecureKafka, secret: Path, listener: str, protocol: str, words: str
) -> None:
    given: dict[str, object] = {"kafka": secure_kafka.at(listener)}
    given["kafka_security_protocol"] = protocol
    if protocol.endswith("SSL"):
        given["kafka_ssl_ca_file"] = secure_kafka.ca
    if protocol.startswith("SASL"):
        given["kafka_sasl_mechanism"] = "SCRAM-SHA-512"
        given["kafka_sasl_username"] = "vpp-web"
        given["kafka_sasl_password_file"] = secret
    settings = Settings(**given)  # type: ignore[arg-type]  # pydantic checks them
    assert words in await refusal(settings)


async def test_a_mechanism_that_the_port_does_not_offer(
    secure_kafka: SecureKafka, secret: Path
) -> None:
    settings = scram(secure_kafka, "sasl_tls", secret)
    other = settings.model_copy(update={"kafka_sasl_mechanism": "SCRAM-SHA-256"})
    assert "does not offer SCRAM-SHA-256" in await refusal(other)


async def test_tokens(secure_kafka: SecureKafka, secret: Path, wrong: Path) -> None:
    def oauth(url: str, file: Path) -> Settings:
        return secure_kafka.settings(
            "sasl_tls",
            kafka_sasl_mechanism="OAUTHBEARER",
            kafka_oauth_token_url=url,
            kafka_oauth_client_id="vpp-web",
            kafka_oauth_client_secret_file=file,
        )

    with token_endpoint(SECRET, lambda who: (secure_kafka.token(who), 3600.0)) as endpoint:
        assert await connect(oauth(endpoint.url, secret)) == 1
        assert endpoint.asked == 1, "one token serves all connections of a client"
        said = await refusal(oauth(endpoint.url, wrong))
        assert "no token from http://127.0.0.1" in said
        assert "wrong horse" not in said
    with token_endpoint(SECRET, lambda who: (secure_kafka.token(who, -60.0), 3600.0)) as expired:
        assert "refuses our token" in await refusal(oauth(expired.url, secret))
    said = await refusal(oauth(expired.url, secret))
    assert "no token from http://127.0.0.1" in said


async def test_the_doctor_reports_whether_kafka_lets_us_in(
    secure_kafka: SecureKafka, wrong: Path
) -> None:
    async def found(settings: Settings) -> Check:
        checks = await asyncio.to_thread(doctor.examine, settings)
        return {check.name: check for check in checks}["kafka"]

    refused = await found(scram(secure_kafka, "sasl_tls", wrong))
    assert not refused.ok
    assert "refuses user vpp-web" in refused.found
    let_in = await found(secure_kafka.settings("tls"))
    assert let_in.ok
    assert let_in.found.endswith("answers (SSL)")


async def test_a_worker_ends_with_one_line_and_does_not_retry(
    secure_kafka: SecureKafka, wrong: Path
) -> None:
    environment = environment_of(scram(secure_kafka, "sasl", wrong))
    code, said = await run_vpp(environment, "worker", "ingest")
    assert code == 3
    assert said.startswith("vpp: Kafka at 127.0.0.1:")
    assert "refuses user vpp-web" in said
    assert said.count("\n") == 1
