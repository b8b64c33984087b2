"""Security settings that cannot be used are one line, before anything connects."""

from pathlib import Path

import pytest

from agents.faust_seam import credentials_of
from tests.support.certificates import make_certificate
from vpp_streams.errors import SettingsError
from vpp_streams.kafka.security import security_of
from vpp_streams.settings import Settings


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """ca.pem, client.pem (with its key), other.pem, secret, empty."""
    ca = make_certificate("ca", None, tmp_path)
    make_certificate("client", ca, tmp_path)
    make_certificate("other", ca, tmp_path)
    (tmp_path / "secret").write_text("pass word\n")
    (tmp_path / "empty").write_text("\n")
    return tmp_path


SCRAM = {"sasl_mechanism": "SCRAM-SHA-512", "sasl_username": "vpp-web"}
OAUTH = {
    "sasl_mechanism": "OAUTHBEARER",
    "oauth_token_url": "https://id.example/token",
    "oauth_client_id": "vpp-web",
}


def settings_of(files: Path, **given: str) -> Settings:
    """Settings by the ends of their names; a name of a file is one of ``files``."""
    paths = {k: files / v for k, v in given.items() if k.endswith("_file")}
    return Settings(**{f"kafka_{k}": v for k, v in {**given, **paths}.items()})  # type: ignore[arg-type]  # pydantic checks them


def test_without_any_setting_the_clients_have_no_option_more() -> None:
    found = security_of(Settings())
    assert found.options() == {}
    assert credentials_of(found) is None


def test_a_password_is_read_without_the_line_end_and_may_have_spaces(files: Path) -> None:
    settings = settings_of(
        files, security_protocol="SASL_PLAINTEXT", sasl_password_file="secret", **SCRAM
    )
    options = security_of(settings).options()
    assert options["sasl_plain_password"] == "pass word"
    assert options["sasl_mechanism"] == "SCRAM-SHA-512"


@pytest.mark.parametrize(
    ("given", "protocol"),
    [
        ({"security_protocol": "SSL", "ssl_ca_file": "ca.pem"}, "SSL"),
        (
            {"security_protocol": "SASL_PLAINTEXT", "sasl_password_file": "secret", **SCRAM},
            "SASL_PLAINTEXT",
        ),
        ({"security_protocol": "SASL_SSL", "sasl_password_file": "secret", **SCRAM}, "SASL_SSL"),
        (
            {"security_protocol": "SASL_SSL", "oauth_client_secret_file": "secret", **OAUTH},
            "SASL_SSL",
        ),
    ],
)
def test_faust_connects_as_our_other_clients_do(
    files: Path, given: dict[str, str], protocol: str
) -> None:
    credentials = credentials_of(security_of(settings_of(files, **given)))
    assert credentials.protocol.value == protocol


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"security_protocol": "SSL", "ssl_ca_file": "absent"}, "SSL_CA_FILE: cannot read"),
        ({"security_protocol": "SSL", "ssl_ca_file": "secret"}, "SSL_CA_FILE: .* no certificate"),
        ({"security_protocol": "SSL", "ssl_cert_file": "client.pem"}, "SSL_KEY_FILE: set it"),
        (
            {
                "security_protocol": "SSL",
                "ssl_cert_file": "client.pem",
                "ssl_key_file": "other.pem",
            },
            "SSL_KEY_FILE: .* is not the unencrypted key",
        ),
        ({"ssl_ca_file": "ca.pem"}, "SSL_CA_FILE: it would be ignored"),
        ({"security_protocol": "SSL", **SCRAM}, "SASL_MECHANISM: it would be ignored"),
        ({"security_protocol": "SASL_SSL"}, "SASL_MECHANISM: SASL_SSL needs one"),
        ({"security_protocol": "SASL_SSL", **SCRAM}, "SASL_PASSWORD_FILE: SCRAM-SHA-512 needs"),
        (
            {"security_protocol": "SASL_SSL", "sasl_password_file": "empty", **SCRAM},
            "SASL_PASSWORD_FILE: .* is empty",
        ),
        (
            {
                "security_protocol": "SASL_PLAINTEXT",
                **SCRAM,
                "sasl_mechanism": "PLAIN",
                "sasl_password_file": "secret",
            },
            "SECURITY_PROTOCOL: PLAIN would send its secret in clear",
        ),
        (
            {
                "security_protocol": "SASL_SSL",
                **OAUTH,
                "oauth_token_url": "http://id.example/token",
                "oauth_client_secret_file": "secret",
            },
            "OAUTH_TOKEN_URL: .* in clear; use https",
        ),
        ({"security_protocol": "SASL_SSL", **OAUTH}, "OAUTH_CLIENT_SECRET_FILE: OAUTHBEARER needs"),
    ],
)
def test_what_cannot_be_used_is_named_with_the_way_out(
    files: Path, given: dict[str, str], words: str
) -> None:
    with pytest.raises(SettingsError, match=f"^VPP_KAFKA_{words}") as raised:
        security_of(settings_of(files, **given))
    assert "pass word" not in str(raised.value)
    assert "\n" not in str(raised.value)
