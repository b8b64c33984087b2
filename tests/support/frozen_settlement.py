"""``vpp settlement run`` that freezes once, between Kafka's confirmation and its first entries.

    python -m tests.support.frozen_settlement settlement run

It is stopped as a paused container is, in the one gap that Kafka does not fence (ADR 33).
"""

import os
import signal

from vpp_streams.__main__ import main
from vpp_streams.domain.settle.jobs import Job
from vpp_streams.settlement.settling import Settling

_settle = Settling._settle  # noqa: SLF001  # nothing else lies within the gap
_frozen = False


async def _frozen_first(self: Settling, job: Job) -> None:
    global _frozen  # noqa: PLW0603  # once in this process
    if not _frozen:
        _frozen = True
        os.kill(os.getpid(), signal.SIGSTOP)
    await _settle(self, job)


Settling._settle = _frozen_first  # type: ignore[method-assign]  # noqa: SLF001  # as above

if __name__ == "__main__":
    main()
