"""How clients prove to Kafka who they are, and check who Kafka is: ``VPP_KAFKA_*`` settings.

A setting that cannot be used is one line, before anything connects. One that would be ignored is
an error too: whoever names a CA believes that the connection is encrypted.
"""

import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from vpp_streams.errors import SettingsError
from vpp_streams.settings import LOOPBACK, Settings

if TYPE_CHECKING:
    from vpp_streams.kafka.oauth import ClientTokens

_TLS = ("ssl_ca_file", "ssl_cert_file", "ssl_key_file")
_PASSWORD = ("sasl_username", "sasl_password_file")
_OAUTH = ("oauth_token_url", "oauth_client_id", "oauth_client_secret_file")
_WAY_OUT = "docs/kafka-security.md explains the settings"


@dataclass(frozen=True, slots=True)
class Security:
    """What every client of a process uses to connect."""

    protocol: str
    tls: ssl.SSLContext | None = None
    shows_certificate: bool = False
    """Whether our certificate says who we are."""
    mechanism: str | None = None
    username: str | None = None
    password: str | None = None
    tokens: "ClientTokens | None" = None

    def options(self) -> dict[str, Any]:
        """The arguments of aiokafka's clients."""
        if self.protocol == "PLAINTEXT":
            return {}
        found: dict[str, Any] = {"security_protocol": self.protocol, "ssl_context": self.tls}
        if self.mechanism is not None:
            found["sasl_mechanism"] = self.mechanism
            found["sasl_plain_username"] = self.username
            found["sasl_plain_password"] = self.password
            found["sasl_oauth_token_provider"] = self.tokens
        return found


def security_of(settings: Settings) -> Security:
    """Read the files that the settings name. Raises `SettingsError`."""
    protocol, mechanism = settings.kafka_security_protocol, settings.kafka_sasl_mechanism
    encrypted, sasl = protocol.endswith("SSL"), protocol.startswith("SASL")
    _refuse_ignored(settings, _TLS if not encrypted else (), f"{protocol} does not encrypt")
    _refuse_ignored(
        settings,
        ("sasl_mechanism", *_PASSWORD, *_OAUTH) if not sasl else (),
        f"{protocol} has no SASL",
    )
    tls = _tls(settings) if encrypted else None
    shows = encrypted and settings.kafka_ssl_cert_file is not None
    if not sasl:
        return Security(protocol, tls, shows)
    if mechanism is None:
        raise _error("sasl_mechanism", f"{protocol} needs one, for example SCRAM-SHA-512")
    if mechanism in ("PLAIN", "OAUTHBEARER") and not encrypted:
        raise _error("security_protocol", f"{mechanism} would send its secret in clear; SASL_SSL")
    if mechanism == "OAUTHBEARER":
        _refuse_ignored(settings, _PASSWORD, f"{mechanism} has no password")
        return Security(protocol, tls, shows, mechanism, tokens=_tokens(settings))
    _refuse_ignored(settings, _OAUTH, f"{mechanism} uses a password")
    name, password_file = (_needed(settings, one, mechanism) for one in _PASSWORD)
    password = _secret("sasl_password_file", password_file)
    return Security(protocol, tls, shows, mechanism, name, password)


def _tls(settings: Settings) -> ssl.SSLContext:
    ca, cert, key = (_of(settings, name) for name in _TLS)
    for name, path in zip(_TLS, (ca, cert, key), strict=True):
        _read(name, path)
    try:
        context = ssl.create_default_context(cafile=ca)
    except ssl.SSLError:
        raise _error("ssl_ca_file", f"{ca} holds no certificate in PEM") from None
    if (cert is None) != (key is None):
        raise _error("ssl_key_file", "set it together with VPP_KAFKA_SSL_CERT_FILE")
    if cert is not None:
        try:
            context.load_cert_chain(cert, key, password="")
        except (ssl.SSLError, ValueError):
            raise _error(
                "ssl_key_file", f"{key} is not the unencrypted key of {cert}, both in PEM"
            ) from None
    return context


def _tokens(settings: Settings) -> "ClientTokens":
    from vpp_streams.kafka.oauth import ClientTokens  # noqa: PLC0415 - an HTTP client, for few

    url, client_id, secret_file = (_needed(settings, one, "OAUTHBEARER") for one in _OAUTH)
    found = urlsplit(url)
    if found.scheme != "https" and found.hostname not in LOOPBACK:
        raise _error("oauth_token_url", f"{url} would get the secret in clear; use https://")
    return ClientTokens(url, client_id, _secret("oauth_client_secret_file", secret_file))


def _secret(name: str, path: Path) -> str:
    """A secret without the line end that editors add. Raises `SettingsError` for none."""
    found = (_read(name, path) or "").rstrip("\r\n")
    if not found:
        raise _error(name, f"{path} is empty")
    return found


def _read(name: str, path: Path | None) -> str | None:
    if path is None:
        return None
    try:
        return path.read_text()
    except OSError as error:
        raise _error(name, f"cannot read {path} ({error.strerror})") from None
    except UnicodeDecodeError:
        raise _error(name, f"{path} is no text") from None


def _needed(settings: Settings, name: str, mechanism: str) -> Any:
    value = _of(settings, name)
    if value is None:
        raise _error(name, f"{mechanism} needs it")
    return value


def _refuse_ignored(settings: Settings, names: tuple[str, ...], why: str) -> None:
    for name in names:
        if _of(settings, name) is not None:
            raise _error(
                name, f"it would be ignored: {why} (VPP_KAFKA_SECURITY_PROTOCOL, _SASL_MECHANISM)"
            )


def _of(settings: Settings, name: str) -> Any:
    return getattr(settings, f"kafka_{name}")


def _error(name: str, words: str) -> SettingsError:
    return SettingsError(f"VPP_KAFKA_{name.upper()}: {words}; {_WAY_OUT}")
