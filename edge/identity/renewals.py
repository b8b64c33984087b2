"""When a certificate is renewed, and again if that fails. Without I/O; time is passed in."""

import random

from edge.identity.enrolment import next_step, validity_ms

FIRST_MS, MOST_MS = 60_000, 3_600_000
"""The second attempt is a minute after the first; the time doubles up to an hour (jittered)."""
OPERATOR_MS = 6 * 3_600_000
"""After an answer that only the operator can change, it is tried again this rarely."""


class Renewals:
    """The renewal of one certificate. Times are ms since 1970 UTC, by the home's clock."""

    def __init__(self, certificate_pem: str, rng: random.Random) -> None:
        self.pem = certificate_pem
        self.ends_ms = validity_ms(certificate_pem)[1]
        self.trouble = ""
        """Why the last attempt failed, in one sentence; "" = it did not."""
        self._rng = rng
        self._draw = rng.random()
        self._not_before_ms: int | None = None
        self._failures = 0
        self._now = self._given_up = False

    def is_due(self, now_ms: int) -> bool:
        """Whether to try now. Also after its end: this clock may be wrong, the server's is not."""
        if self._given_up:
            return False
        if self._not_before_ms is not None and now_ms < self._not_before_ms:
            return False
        return self._now or next_step(self.pem, now_ms, self._draw) != "wait"

    def hasten(self) -> None:
        """Have it due at once, whatever the home's clock says."""
        self._now, self._not_before_ms = True, None

    def failed(self, sentence: str, now_ms: int, *, needs_code: bool) -> None:
        """Note an attempt that gave no certificate; ``needs_code``: only the operator can help."""
        self.trouble = sentence
        ceiling_ms = OPERATOR_MS if needs_code else min(FIRST_MS * 2**self._failures, MOST_MS)
        self._failures = min(self._failures + 1, 10)
        self._not_before_ms = now_ms + round(self._rng.uniform(0.5, 1.0) * ceiling_ms)

    def give_up(self) -> None:
        """Try no more: the operator has revoked this certificate."""
        self._given_up = True

    def has_ended(self, now_ms: int) -> bool:
        """Whether the certificate is of no use any more, by the home's clock."""
        return now_ms >= self.ends_ms
