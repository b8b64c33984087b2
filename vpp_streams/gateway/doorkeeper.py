"""Who is let in, how often, and what is logged of those who are not."""

import asyncio
from collections import Counter
from collections.abc import Mapping

import structlog

from vpp_streams.domain.identity.revocations import Revocations
from vpp_streams.domain.registry.demo_tokens import is_demo_token
from vpp_streams.domain.registry.registry import Registry
from vpp_streams.gateway.admission import (
    AdmissionRefusal,
    Admitted,
    bearer,
    identify,
    refusal_of_planned,
    refusal_of_revoked,
    requested_device,
)
from vpp_streams.gateway.certificates import ClientCertificate
from vpp_streams.gateway.logins import Connects, FailedLogins, LogLines

log = structlog.get_logger()

SLOWED = AdmissionRefusal(429, "too many wrong tokens from this address; try again later", 10)
TOO_OFTEN = AdmissionRefusal(429, "this device connects too often; come again later", 1)


class Doorkeeper:
    """Decides on every upgrade request of one gateway."""

    def __init__(
        self,
        registry: Registry,
        revocations: Revocations,
        counters: Counter[str],
        now_ms: int,
        *,
        demo_tokens: bool,
    ) -> None:
        self.failed = FailedLogins()
        self._registry = registry
        self._revocations = revocations
        self._counters = counters
        self._demo_tokens = demo_tokens
        """Whether tokens that anybody could know are taken."""
        self._connects = Connects()
        self._lines = LogLines(now_ms)

    def admit(
        self,
        path: str,
        headers: Mapping[str, str],
        certificate: ClientCertificate | None,
        address: str,
        now_ms: int,
    ) -> Admitted | AdmissionRefusal:
        """Decide on a request. Names of ``headers`` are lower case; ``now_ms`` is monotonic."""
        device_id = requested_device(path, headers)
        if isinstance(device_id, AdmissionRefusal):
            self._record(device_id, path[:100], address, now_ms)
            return device_id
        if self.failed.slowed(address, device_id, now_ms):
            self._counters["logins_slowed"] += 1
            self._record(SLOWED, device_id, address, now_ms)
            return SLOWED
        answer = self._identify(device_id, headers, certificate)
        if isinstance(answer, AdmissionRefusal):
            self._counters["logins_failed"] += 1
            self.failed.failed(address, device_id, now_ms)
        else:
            self.failed.succeeded(address, device_id)
            if not self._connects.take(device_id, now_ms):
                self._counters["connects_too_often"] += 1
                answer = TOO_OFTEN
            else:
                answer = refusal_of_planned(answer.site) or answer
        if isinstance(answer, AdmissionRefusal):
            self._record(answer, device_id, address, now_ms)
        return answer

    def _identify(
        self,
        device_id: str,
        headers: Mapping[str, str],
        certificate: ClientCertificate | None,
    ) -> Admitted | AdmissionRefusal:
        token = bearer(headers.get("authorization", ""))
        answer = identify(
            device_id, token, certificate.names if certificate else (), self._registry
        )
        if isinstance(answer, AdmissionRefusal):
            return answer
        if not self._demo_tokens and not certificate and is_demo_token(device_id, token or ""):
            return AdmissionRefusal(
                401, "the demo's tokens are public and are taken on loopback only"
            )
        admitted = answer._replace(certificate=certificate)
        return refusal_of_revoked(admitted, self._revocations) or admitted

    def _record(self, refused: AdmissionRefusal, device: str, address: str, now_ms: int) -> None:
        self._counters["refused"] += 1
        left_out = self._lines.take(address, now_ms)
        if left_out is not None:
            log.warning(
                "refused to let in",
                device=device,
                address=address,
                status=refused.status,
                reason=refused.reason,
                not_logged_before=left_out,
            )


def address_of(transport: asyncio.BaseTransport) -> str:
    """The peer's IP address; "" where it is none any more."""
    peer = transport.get_extra_info("peername")
    return str(peer[0]) if isinstance(peer, tuple) and peer else ""
