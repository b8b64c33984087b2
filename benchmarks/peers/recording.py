"""Raw frames to measure with, and what has to come of them by plain arithmetic.

The frames are those of gateways: NDJSON, one reading of each device a second. Now and then a line
occurs again and a line is cut off. A last reading of each device 16 minutes later closes every
window before it.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass

from benchmarks.frame_bytes import Frame, digits, frames_of
from benchmarks.homes import Homes

QUARTER_S = 900
LATENESS_S = 5
REPEAT_EACH = 20
"""One frame of so many has a line of the frame before once more."""
CUT_EACH = 50
"""One frame of so many ends with a line that is cut off."""
SAMPLE_EACH = 40
"""One site of so many is compared with the reference."""
SIZES_MS = (60_000, 900_000)
POWERS = {"battery": "p", "grid": "g", "solar": "pv", "load": "l"}

Windows = dict[str, dict[str, float]]
"""Window id -> values by name."""


@dataclass(slots=True)
class RawFrame:
    """A frame and its place."""

    partition: int
    value: bytes
    lines: int


class Recording:
    """The frames of some homes for some seconds, made as they are read."""

    def __init__(self, homes: Homes, seconds: int, now_s: int) -> None:
        """The last reading is before ``now_s``: a time ahead of the broker's is not believed."""
        self.homes = homes
        self.seconds = seconds
        # Not where a window starts, so that the first one is not complete.
        self.last_s = seconds + QUARTER_S + 60
        self.start_s = (now_s - seconds - 2 * QUARTER_S) // QUARTER_S * QUARTER_S + 7
        self.closed_ms = (self.start_s + self.last_s - LATENESS_S) * 1000
        """Windows that end by then are published by everyone."""
        self.readings = 0
        """Lines so far, with repeats and those that are cut off."""
        self.cut = 0
        self.repeats = 0

    def frames(self) -> Iterator[RawFrame]:
        """Every frame, in order of time; counts what it hands out."""
        made = frames_of(self.homes, 1000)
        before: dict[int, bytes] = {}
        number = 0
        for second in [*range(self.seconds), self.last_s]:
            now = digits(self.start_s + second, min(second, self.seconds))
            for frame in made:
                number += 1
                value, lines = self._with_faults(frame, frame.at(now), number, before)
                self.readings += lines
                yield RawFrame(frame.partition, value, lines)

    def _with_faults(
        self, frame: Frame, value: bytes, number: int, before: dict[int, bytes]
    ) -> tuple[bytes, int]:
        added = []
        last = value.rpartition(b"\n")[2]
        if number % REPEAT_EACH == 0 and frame.partition in before:
            added.append(before[frame.partition])
            self.repeats += 1
        if number % CUT_EACH == 0:
            added.append(last[: len(last) // 2])
            self.cut += 1
        before[frame.partition] = last
        return b"\n".join([value, *added]), frame.lines + len(added)


class Reference:
    """The windows of a sample of sites, by the standard library and arithmetic on single values."""

    def __init__(self, homes: Homes) -> None:
        sample = range(0, homes.n, SAMPLE_EACH)
        self._sites = {homes.device_ids[i].encode(): homes.site_ids[i] for i in sample}
        self._seen: set[tuple[str, int]] = set()
        self.windows: Windows = {}

    def add(self, frame: RawFrame) -> None:
        """Take in a frame."""
        for line in frame.value.split(b"\n"):
            site_id = self._sites.get(line.split(b'"', 4)[3])
            if site_id is None:
                continue
            try:
                reading = json.loads(line)
            except ValueError:
                continue
            name = (site_id, reading["seq"])
            if name not in self._seen:
                self._seen.add(name)
                for size_ms in SIZES_MS:
                    self._add(site_id, size_ms, reading["body"])

    def _add(self, site_id: str, size_ms: int, body: dict[str, float]) -> None:
        at = int(body["t"])
        while at < body["t"] + 1000:
            start = at // size_ms * size_ms
            end = min(int(body["t"]) + 1000, start + size_ms)
            values = self.windows.setdefault(f"{site_id}|{size_ms // 1000}|{start}", {})
            self._add_powers(values, body, (end - at) / 3_600_000, at == body["t"])
            at = end

    @staticmethod
    def _add_powers(
        values: dict[str, float], body: dict[str, float], hours: float, starts_here: bool
    ) -> None:
        values["readings"] = values.get("readings", 0) + starts_here
        values.setdefault("soc.first", body["soc"])
        values["soc.last"] = body["soc"]
        for name, short in POWERS.items():
            power_w = body[short]
            for which, part_w in (
                ("positive_wh", max(power_w, 0)),
                ("negative_wh", max(-power_w, 0)),
            ):
                key = f"{name}.{which}"
                values[key] = values.get(key, 0.0) + part_w * hours
            low, high = values.get(f"{name}.min_w", power_w), values.get(f"{name}.max_w", power_w)
            values[f"{name}.min_w"], values[f"{name}.max_w"] = (
                min(low, power_w),
                max(high, power_w),
            )

    def closed(self, until_ms: int) -> Windows:
        """The windows that end by then."""
        return {
            window_id: values
            for window_id, values in self.windows.items()
            if _end_ms(window_id) <= until_ms
        }


def _end_ms(window_id: str) -> int:
    _, size_s, start_ms = window_id.rsplit("|", 2)
    return int(start_ms) + int(size_s) * 1000
