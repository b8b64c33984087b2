"""Ends the process if the agent's loop stands still: a driver that blocks would hold it for ever.

A home's supervisor (systemd, Docker) starts the agent again; the inverter's own timer ends what it
was commanded. A thread does it, because nothing in the loop could.
"""

import faulthandler
import logging
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

STILL_S = 60.0
EXIT_CODE = 70
_log = logging.getLogger(__name__)


@contextmanager
def watching(beats: Callable[[], int], still_s: float = STILL_S) -> Iterator[None]:
    """During the body, end the process if ``beats`` does not change for ``still_s``."""
    ended = threading.Event()

    def watch() -> None:
        last = beats()
        while not ended.wait(still_s):
            if (now := beats()) == last:
                _log.critical(
                    "the agent has stood still for %g s: it ends, to be restarted", still_s
                )
                faulthandler.dump_traceback()
                os._exit(EXIT_CODE)
            last = now

    thread = threading.Thread(target=watch, name="loop watch", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
