"""Settings from ``VPP_*`` environment variables; see `Settings` for each one's meaning."""

import os
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from vpp_streams.errors import SettingsError

REPLACED = {
    "VPP_TLS_CLIENT_REQUIRED": "VPP_TLS_CLIENT=required",
    "VPP_REPLICATION": "VPP_KAFKA_REPLICATION",
}
"""Variables that were replaced, with what to set instead: ignoring one could open a door."""
LOOPBACK = ("localhost", "127.0.0.1", "::1")


class Settings(BaseSettings):
    """Everything that differs between one deployment and another."""

    model_config = SettingsConfigDict(env_prefix="VPP_", frozen=True, extra="forbid")

    kafka: str = Field("localhost:9092", description="bootstrap servers, host:port[,host:port]")
    namespace: str = Field(
        "",
        pattern=r"^[a-z0-9-]{0,32}$",
        description="prefix of every topic and consumer group; shares a broker between worlds",
    )
    kafka_security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = Field(
        "PLAINTEXT", description="how to speak to Kafka: docs/kafka-security.md"
    )
    kafka_ssl_ca_file: Path | None = Field(
        None, description="CA of the brokers' certificates (PEM); else the system's"
    )
    kafka_ssl_cert_file: Path | None = Field(
        None, description="our certificate (PEM), where Kafka wants one of its clients"
    )
    kafka_ssl_key_file: Path | None = None
    kafka_sasl_mechanism: (
        Literal["SCRAM-SHA-512", "SCRAM-SHA-256", "OAUTHBEARER", "PLAIN"] | None
    ) = None
    kafka_sasl_username: str | None = None
    kafka_sasl_password_file: Path | None = Field(
        None, description="file with the password; a line end after it does not count"
    )
    kafka_oauth_token_url: str | None = Field(
        None, pattern="^https?://", description="where OAUTHBEARER gets its tokens"
    )
    kafka_oauth_client_id: str | None = None
    kafka_oauth_client_secret_file: Path | None = None
    kafka_replication: Annotated[int, Field(ge=1, le=9)] | None = Field(
        None, description="replicas of each topic that we create; else 3 where Kafka has 3 brokers"
    )
    state_dir: Path = Field(
        Path.home() / ".cache" / "vpp_streams", description="local broker, certificates, files"
    )
    host: str = Field("127.0.0.1", description="address that gateway, web and workers listen on")
    gateway_port: Annotated[int, Field(ge=0, le=65535)] = 8765
    gateway_engine: Literal["own", "stock"] = Field(
        "own", description="WebSocket engine; stock = the library's, slower, should ours misbehave"
    )
    gateway_share_port: bool = Field(
        False, description="gateways of the same world on one machine share the port"
    )
    gateway_plain: bool = Field(
        False, description="no TLS though others can reach us: something in front speaks it"
    )
    web_port: Annotated[int, Field(ge=0, le=65535)] = 8080
    worker_port: Annotated[int, Field(ge=0, le=65535)] = Field(
        6066, description="Faust pages of a worker (fleet: twins and windows by site)"
    )
    status_host: str = Field(
        "127.0.0.1", description="address of the status port (0.0.0.0 in a container)"
    )
    status_port: Annotated[int, Field(ge=0, le=65535)] | None = Field(
        None, description="/livez, /readyz and /metrics of a process; unset = not served"
    )
    trace_sample: Annotated[float, Field(ge=0, le=1)] = Field(
        0.0, description="share of frames and requests that are traced (OpenTelemetry); 0 = off"
    )
    fleet_url: str = Field(
        "http://127.0.0.1:6066", description="any fleet worker; it routes to the right one"
    )
    service_token: SecretStr | None = Field(
        None, description="shared by web and workers: with it a worker's pages listen on VPP_HOST"
    )
    tls_cert: Path | None = Field(None, description="gateway certificate (PEM); turns TLS on")
    tls_key: Path | None = None
    tls_client_ca: Path | None = Field(
        None, description="CA of device certificates (ca.pem of `vpp ca init`)"
    )
    tls_client: Literal["off", "optional", "required"] = Field(
        "optional",
        description="whether devices show a certificate; required = a token does not do",
    )
    tls_client_crl: Path | None = Field(
        None, description="revoked device certificates (PEM), of that CA; must be current"
    )
    ca: Path = Field(
        Path.home() / ".config" / "vpp_streams" / "ca",
        description="directory of our certificate authority: ca.pem, and ca.key where it signs",
    )
    enrol_port: Annotated[int, Field(ge=0, le=65535)] = Field(
        8767, description="`vpp ca serve`: where devices enrol and renew their certificates"
    )
    device_cert_days: Annotated[float, Field(gt=0, le=825)] = Field(
        90.0, description="how long a device's certificate holds; it renews after two thirds"
    )
    flush_ms: Annotated[int, Field(ge=5, le=5000)] = Field(
        200, description="how long the gateway gathers a frame at most"
    )
    tick_ms: Annotated[int, Field(ge=100, le=60_000)] = Field(
        500, description="live aggregates move this often, in stream time"
    )
    snapshot_ms: Annotated[int, Field(ge=50, le=60_000)] = Field(
        5000, description="how often changed state goes to the changelog"
    )
    silent_after_s: Annotated[float, Field(gt=0)] = Field(
        10.0, description="a site that says nothing for this long leaves the live aggregates"
    )
    allowed_lateness_s: Annotated[float, Field(ge=0)] = Field(
        5.0, description="a window closes this long after its end, in stream time"
    )
    window_retention_s: Annotated[int, Field(ge=900)] = Field(
        6 * 3600, description="late readings correct windows up to this old; older are rejected"
    )
    incidents: Path | None = Field(
        None, description="rules and channels of `vpp incidents run` (TOML); see `vpp incidents`"
    )
    session_timeout_s: Annotated[float, Field(ge=6, le=300)] = Field(
        10.0, description="a worker that says nothing for this long loses its partitions"
    )
    lease_s: Annotated[float, Field(ge=2, le=3600)] = Field(
        30.0, description="a device that hears nothing more ends a command after this long"
    )
    accounts: Path | None = Field(
        None, description="file of accounts; else one for each namespace in VPP_STATE_DIR"
    )
    operators: Path | None = Field(
        None, description="file of operators' tokens, beside the accounts"
    )
    token: SecretStr | None = Field(
        None, description="token of `vpp dispatch` and the like; else that of `vpp up`"
    )
    operator_token: SecretStr | None = Field(None, description="older name of VPP_TOKEN")
    oidc_issuer: str | None = Field(
        None, pattern="^https?://", description="OpenID provider whose people may sign in"
    )
    oidc_client_id: str | None = None
    oidc_client_secret: SecretStr | None = None
    oidc_name: str = Field(
        "your organisation", max_length=64, description="its name on the sign-in page"
    )
    oidc_create: str | None = Field(
        None,
        description="role and scope of accounts that a first sign-in creates ('viewer *')",
    )
    web_url: str | None = Field(
        None, description="web process that these ask; else that of `vpp up`, else VPP_WEB_PORT's"
    )
    web_hosts: str = Field(
        "",
        description="names of the web process, a[,a], beside localhost and VPP_HOST",
    )
    web_proxies: str = Field(
        "",
        description="addresses of proxies in front of it, a[,a], whose word on clients counts",
    )
    web_per_client: Annotated[int, Field(ge=2, le=10_000)] = Field(
        64, description="connections of one client address; half of them may be live streams"
    )
    rpc_port: Annotated[int, Field(ge=0, le=65535)] = Field(
        50051, description="`vpp rpc`: the gRPC services"
    )
    rpc_tls_cert: Path | None = Field(
        None, description="certificate of the gRPC services (PEM, with its chain); turns TLS on"
    )
    rpc_tls_key: Path | None = None
    rpc_plain: bool = Field(
        False, description="no TLS though others can reach them: something in front speaks it"
    )
    rpc_watchers_per_token: Annotated[int, Field(ge=1, le=10_000)] = Field(
        50, description="gRPC streams that one token may have open"
    )
    schedules: Path | None = Field(
        None, description="YAML file of what regions do by the clock (docs/examples/schedule.yaml)"
    )
    ledger: SecretStr | None = Field(
        None,
        description="database of the ledger, postgresql://USER:PASSWORD@HOST/DATABASE or"
        " sqlite:////FILE; else a file in VPP_STATE_DIR",
    )
    ledger_zone: str = Field("UTC", description="time zone whose months the ledger has")
    market_interval_s: Annotated[int, Field(ge=2, le=3600)] = Field(
        300, description="intervals of the simulated market; `vpp up` has 60 unless told"
    )
    market_gate_s: Annotated[float, Field(gt=0, le=3600)] = Field(
        30.0, description="its bids close this long before an interval; `vpp up` has 10 unless told"
    )
    market_metered_at: Literal["battery", "connection"] = Field(
        "battery", description="where it measures; connection = with the homes' load and solar"
    )
    history: Path | None = Field(
        None, description="directory of what is kept for years; else in VPP_STATE_DIR, by namespace"
    )
    history_zone: str = Field("UTC", description="IANA time zone whose days history is kept by")
    history_zones: str = Field(
        "", description="regions and markets with another one, north=Europe/Berlin[,south=...]"
    )
    history_keep_days: str = Field(
        "", description="days that kinds of history are kept, site_minutes=30[,bids=400]"
    )
    history_flush_s: Annotated[float, Field(ge=0.05, le=3600)] = Field(
        60.0, description="history gathers a file for this long, and reports lag as much behind"
    )
    log_level: str = Field("INFO", pattern="^(DEBUG|INFO|WARNING|ERROR)$")
    log_json: bool = Field(False, description="one JSON object a line, for log collectors")

    @property
    def pages_host(self) -> str:
        """The address that a worker's pages listen on: without a token to check, loopback."""
        return self.host if self.service_token or self.host in LOOPBACK else "127.0.0.1"

    @property
    def api_token(self) -> str | None:
        """The token that the command line sends; None if neither variable is set."""
        given = self.token or self.operator_token
        return None if given is None else given.get_secret_value()

    @property
    def history_dir(self) -> Path:
        """The directory of history: the historian writes it, the web process and reports read."""
        return self.history or self.state_dir / "history" / (self.namespace or "default")

    @property
    def market_interval_ms(self) -> int:
        """The same in ms."""
        return self.market_interval_s * 1000

    @property
    def market_gate_ms(self) -> int:
        """The same in ms."""
        return round(self.market_gate_s * 1000)


def words_of(listed: str) -> tuple[str, ...]:
    """The words of a setting that lists them with commas."""
    return tuple(word.strip() for word in listed.split(",") if word.strip())


def load_settings(**overrides: object) -> Settings:
    """Read the environment. Raises `SettingsError` naming each variable that cannot be used."""
    if old := sorted(REPLACED.keys() & os.environ.keys()):
        ways_out = "; ".join(f"{name} was replaced: set {REPLACED[name]}" for name in old)
        raise SettingsError(f"settings: {ways_out}")
    try:
        return Settings(**{k: v for k, v in overrides.items() if v is not None})  # type: ignore[arg-type]  # pydantic checks them
    except ValidationError as error:
        lines = [
            f"VPP_{'.'.join(str(p) for p in e['loc']).upper()}: {e['msg']} (got {e['input']!r})"
            for e in error.errors()
        ]
        raise SettingsError("settings: " + "; ".join(lines)) from None
