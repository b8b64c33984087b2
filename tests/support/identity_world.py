"""An authority, its servers' desks and the topics between them, in memory and at any time."""

import asyncio
import itertools
from collections import Counter

from cryptography.hazmat.primitives.asymmetric import ec

from edge.identity import enrolment as device
from schemas.assets import Device, Site
from schemas.identity import EnrolmentCode, IssuedCertificate, Redemption, Revocation
from vpp_streams.domain.identity.authority import Authority, make_root, pem_of
from vpp_streams.domain.identity.codes import CODE_LENGTH, make_code
from vpp_streams.domain.identity.refusals import Refused, Subject
from vpp_streams.domain.identity.revocations import Revocations
from vpp_streams.domain.moments import DAY_MS, Now
from vpp_streams.domain.registry.registry import Registry
from vpp_streams.identity.code_log import CodeLog
from vpp_streams.identity.desk import Desk
from vpp_streams.identity.signer import Granted, Signer
from vpp_streams.kafka.decode import Read

NOW_MS = 1_800_000_000_000
LIFE_MS = 90 * DAY_MS
ADDRESS = "192.0.2.7"
PW_1, PW_2 = Subject("pw-1", "home-1"), Subject("pw-2", "home-2")


def home(number: int) -> Site:
    """Site ``home-n`` with one device, ``pw-n``, which has no token."""
    return Site(
        site_id=f"home-{number}", region="north", devices=(Device(f"pw-{number}", "powerwall"),)
    )


def new_authority(now_ms: int = NOW_MS) -> Authority:
    """An authority with a new key."""
    return make_root(ec.generate_private_key(ec.SECP256R1()), "test", 1, now_ms)


class IdentityWorld:
    """What operators and servers share. Times are the world's own: ``now_ms`` is settable."""

    def __init__(self) -> None:
        self.now_ms = NOW_MS
        self.authority = new_authority()
        self.registry = Registry([home(1), home(2)])
        self.revocations = Revocations()
        self.counters: Counter[str] = Counter()
        self.issued: list[IssuedCertificate] = []
        self.held_back: list[Redemption] | None = None
        """Attempts that were sent and that no server has read yet; None = each is read at once."""
        self._more_held_back = asyncio.Condition()
        self._codes: list[EnrolmentCode | Redemption] = []
        self._logs: list[CodeLog] = []
        self._random = itertools.count(1)

    @property
    def ca_pem(self) -> str:
        """The authority's certificate."""
        return pem_of(self.authority.certificate)

    def now(self) -> Now:
        """The world's time on both clocks."""
        return Now(self.now_ms, self.now_ms)

    def chance(self, count: int) -> bytes:
        """Bytes that differ in each call."""
        return next(self._random).to_bytes(count, "big")

    def desk(self) -> Desk:
        """Another server, which has read all there is."""
        log = CodeLog(self._sent)
        self._logs.append(log)
        for record in self._codes:
            log.take(Read(record, 0, 0, 0, {}))
        signer = Signer(
            self.authority, self._record, life_ms=LIFE_MS, now=self.now, chance=self.chance
        )
        return Desk(signer, log, self.registry, self.revocations, self.counters)

    def code(self, subject: Subject = PW_1, life_ms: int = 14 * DAY_MS) -> str:
        """A new code, which every server knows."""
        made = make_code(subject, self.chance(CODE_LENGTH), now_ms=self.now_ms, life_ms=life_ms)
        self.append(made.record)
        return made.text

    def revoke(self, device_id: str) -> None:
        """Revoke a device now."""
        self.revocations.apply(Revocation(device_id=device_id, at_ms=self.now_ms))

    def append(self, record: EnrolmentCode | Redemption) -> None:
        """Write a record to ``identity.codes``; every server reads it."""
        self._codes.append(record)
        for log in self._logs:
            log.take(Read(record, 0, len(self._codes), 0, {}))

    async def _sent(self, record: Redemption) -> None:
        if self.held_back is None:
            self.append(record)
            return
        async with self._more_held_back:
            self.held_back.append(record)
            self._more_held_back.notify_all()

    async def attempts(self, count: int) -> list[Redemption]:
        """That many attempts, once they were sent; from here on they are held back."""
        held_back: list[Redemption] = []
        self.held_back = held_back
        async with self._more_held_back:
            await self._more_held_back.wait_for(lambda: len(held_back) >= count)
        return held_back

    async def _record(self, record: IssuedCertificate) -> None:
        self.issued.append(record)


class Home:
    """A device's agent: its key, its certificate, and what it does about them."""

    def __init__(self, world: IdentityWorld, desk: Desk, device_id: str = "pw-1") -> None:
        self.world = world
        self.desk = desk
        self.device_id = device_id
        self.key_pem = ""
        self.certificate_pem: str | None = None
        self.refused: device.Refused | None = None

    async def enrol(self, code: str) -> Granted | None:
        """Use a code, with a new key."""
        request = device.make_request(self.device_id)
        return await self._take(
            await self.desk.enrol(device.enrol_body(code, request.pem), ADDRESS), request
        )

    async def go_on(self, draw: float = 0.5) -> device.Step:
        """What the agent does now and then: renew when it is due."""
        step = device.next_step(self.certificate_pem, self.world.now_ms, draw)
        if step == "renew":
            await self.renew()
        return step

    async def renew(self) -> Granted | None:
        """Renew with the present certificate, with a new key."""
        assert self.certificate_pem is not None
        request = device.make_request(self.device_id)
        body = device.renewal_body(self.certificate_pem, self.key_pem, request.pem)
        return await self._take(await self.desk.renew(body, ADDRESS), request)

    async def _take(self, answer: Granted | Refused, request: device.Request) -> Granted | None:
        if isinstance(answer, Granted):
            self.certificate_pem, self.key_pem = answer.certificate_pem, request.key_pem
            self.refused = None
            return answer
        self.refused = device.Refused(answer.word, answer.sentence)
        return None
