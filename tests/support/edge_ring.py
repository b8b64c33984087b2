"""Rings of the edge for tests: a file's ring, and a child process whose ring can be killed."""

import json
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

from edge.durable_ring import DurableRing
from schemas.bodies import NativeBody
from tests.support.paths import ROOT

T0_MS = 1_763_856_000_000
DAY_MS = 86_400_000

CHILD = """
import json, sys
from pathlib import Path
from edge.durable_ring import DurableRing
from schemas.bodies import NativeBody
path, boot = sys.argv[1:]
ring = DurableRing(Path(path), capacity=10_000, keep_ms=10**9, new_boot=lambda: boot)
say = lambda *words: print(json.dumps(words), flush=True)
say("open", ring.boot, ring.next_seq)
for line in sys.stdin:
    match json.loads(line):
        case ["add", value]:
            say("kept", *ring.add(NativeBody(1_763_856_000_000 + value, p=float(value)), 0))
        case ["ack", first, last]:
            say("forgotten", ring.forget(ring.within(first, last)))
"""


def file_ring(
    path: Path, capacity: int = 1000, keep_ms: int = DAY_MS, boots: str = "b1"
) -> DurableRing:
    """Return the ring of a file; ``boots`` are the boot ids that it draws, with spaces between."""
    new_boot = iter(boots.split()).__next__
    return DurableRing(path, capacity=capacity, keep_ms=keep_ms, new_boot=new_boot)


def kept(ring: DurableRing) -> dict[int, float]:
    """Return the power of every reading of a ring, by number."""
    seqs = ring.within(0, 2**62)
    if not seqs:
        return {}
    bodies = ring.bodies(range(seqs[0], seqs[-1] + 1))
    return {seq: body.p or 0.0 for seq, body in enumerate(bodies, seqs[0]) if body is not None}


def reading(value: int) -> NativeBody:
    """Return a reading whose time and power show its number."""
    return NativeBody(T0_MS + 1000 * value, p=float(value))


class RingProcess:
    """A child process that keeps readings in a file, to be killed at any moment."""

    def __init__(self, path: Path, boot: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", CHILD, str(path), boot],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=ROOT,
        )
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self._to: IO[bytes] = self.process.stdin
        self._from: IO[bytes] = self.process.stdout

    def ask(self, *words: Any) -> None:
        """Send a request."""
        self._to.write(json.dumps(words).encode() + b"\n")
        self._to.flush()

    def answer(self) -> list[Any] | None:
        """Return the next answer, at first ``["open", boot, next_seq]``; None = it has ended."""
        line = self._from.readline()
        return json.loads(line) if line.endswith(b"\n") else None

    def kill(self) -> None:
        """End it as a power cut does, as far as a process goes."""
        self.process.kill()

    def wait(self) -> None:
        """Wait for its end."""
        self.process.wait()
        self._from.close()
        with suppress(BrokenPipeError):
            self._to.close()
