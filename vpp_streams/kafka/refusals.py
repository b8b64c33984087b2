"""Why Kafka cannot be used, in one line with the way out.

aiokafka reports each failed start as "unable to bootstrap" and only logs the reason; so a failed
start is followed by one connection whose error is read.
"""

import asyncio
import ssl

from aiokafka.conn import create_conn
from aiokafka.errors import (
    AuthenticationFailedError,
    ClusterAuthorizationFailedError,
    GroupAuthorizationFailedError,
    IllegalSaslStateError,
    KafkaConnectionError,
    KafkaError,
    SaslAuthenticationFailed,
    TopicAuthorizationFailedError,
    TransactionalIdAuthorizationFailed,
    UnsupportedSaslMechanismError,
)
from aiokafka.protocol.metadata import MetadataRequest

from vpp_streams.errors import BrokerError
from vpp_streams.kafka.security import Security
from vpp_streams.settings import Settings

_DENIED = (
    TopicAuthorizationFailedError,
    GroupAuthorizationFailedError,
    TransactionalIdAuthorizationFailed,
    ClusterAuthorizationFailedError,
)

LOOK_S = 5.0
"""How long the connection that looks for the reason may take, for each server."""
_PROTOCOL = "VPP_KAFKA_SECURITY_PROTOCOL"


def no_broker(settings: Settings, error: object) -> BrokerError:
    """The one-line error for a broker that does not answer."""
    return BrokerError(
        f"no Kafka answers at {settings.kafka} ({error}); start one with `vpp broker start`,"
        " or point VPP_KAFKA at yours"
    )


def denied(error: BaseException) -> BrokerError | None:
    """The one-line error for a right that our user lacks; None for any other error."""
    if not isinstance(error, _DENIED):
        return None
    return BrokerError(
        f"Kafka does not allow this process's user what it needs: {error}; `vpp kafka acls --apply`"
        " gives each role its rights, VPP_KAFKA_SASL_USERNAME or the certificate says which it is"
    )


async def reason_of(settings: Settings, security: Security, failed: Exception) -> BrokerError:
    """The error for a start that failed: of the server that says most about the reason."""
    found: Exception = failed
    for server in settings.kafka.split(","):
        host, _, port = server.strip().rpartition(":")
        try:
            await _connect(host.strip("[]"), int(port), security)
        except (KafkaError, OSError, ValueError, TimeoutError) as error:
            words = _words(settings, security, error)
            if words is not None:
                return BrokerError(f"Kafka at {server.strip()} {words}")
            found = error
    return no_broker(settings, found)


async def _connect(host: str, port: int, security: Security) -> None:
    async with asyncio.timeout(LOOK_S):
        connection = await create_conn(
            host, port, request_timeout_ms=int(LOOK_S * 1000), **security.options()
        )
        try:
            # A broker that wants a certificate or SASL refuses the first request only.
            answer = await connection.send(MetadataRequest([]))
        finally:
            connection.close()
        if not answer.brokers and security.tokens is not None:
            raise SaslAuthenticationFailed("it does not accept it")


def _words(settings: Settings, security: Security, error: Exception) -> str | None:
    """What the broker refused, and which setting to change; None where it does not answer."""
    match _cause(error):
        case ConnectionRefusedError() | TimeoutError():
            return None
        case ssl.SSLError() as why:
            return _tls_words(security, why)
        case AuthenticationFailedError() as why:
            return f"cannot be used: {_plain(why)}"
        case SaslAuthenticationFailed() as why:
            who = f"user {security.username}" if security.username else "our token"
            way_out = "VPP_KAFKA_SASL_USERNAME, _PASSWORD_FILE" if security.username else "its log"
            return f"refuses {who} ({_plain(why)}); check {way_out}"
        case UnsupportedSaslMechanismError():
            return f"does not offer {security.mechanism}; set VPP_KAFKA_SASL_MECHANISM"
        case IllegalSaslStateError():
            plain = "SSL" if security.tls else "PLAINTEXT"
            return f"has no SASL at this port; set {_PROTOCOL}={plain}, or another port"
        case ConnectionError() | EOFError() | KafkaConnectionError():
            return _no_tls(security) if security.tls else _closed(settings)
    return None


def _tls_words(security: Security, error: ssl.SSLError) -> str:
    """What an error of TLS means: their certificate, ours, or no TLS at all."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return (
            f"shows a certificate that is not accepted ({error.verify_message});"
            " VPP_KAFKA_SSL_CA_FILE names the CA, VPP_KAFKA the host as in the certificate"
        )
    reason = (error.reason or "").upper()
    if "ALERT" in reason and not security.shows_certificate:
        return "wants a certificate of ours: VPP_KAFKA_SSL_CERT_FILE and _KEY_FILE"
    if "ALERT" in reason:
        return f"refuses our certificate ({error.reason}); VPP_KAFKA_SSL_CERT_FILE names it"
    return _no_tls(security)


def _no_tls(security: Security) -> str:
    return (
        f"does not speak TLS at this port; {_PROTOCOL} is {security.protocol}:"
        " set one without TLS, or another port"
    )


def _closed(settings: Settings) -> str:
    return (
        "closes the connection: this port wants TLS, SASL or another client;"
        f" {_PROTOCOL} is {settings.kafka_security_protocol}"
    )


def _plain(error: KafkaError) -> str:
    """What was said, without the library's code and class."""
    return str(error.args[0]) if error.args and error.args[0] else "no reason given"


def _cause(error: BaseException) -> BaseException:
    """The error behind aiokafka's "connection closed"."""
    while isinstance(error, KafkaConnectionError) and error.__cause__ is not None:
        error = error.__cause__
    return error
