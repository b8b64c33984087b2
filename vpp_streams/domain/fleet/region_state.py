"""State of the region role: windows that can still change, and the decision on each request.

Shares: each partition's newest share of each window, for a day; one that is applied twice is the
same share. Decisions: the newest state of each request, so that a successor neither decides
again nor publishes twice. A snapshot is the entries that changed.
"""

from collections.abc import Iterable, Mapping

from schemas.encoding import decode_json, encode_json
from schemas.windows import RegionWindowPartial
from vpp_streams.domain.fleet.columnar import Recovered, Snapshot
from vpp_streams.domain.fleet.region_pace import WindowKey
from vpp_streams.domain.moments import DAY_MS

RETENTION_MS = DAY_MS
"""In stream time: windows that ended longer ago than this before the newest are forgotten."""
_SHARE, _REQUEST = "share", "request"


class RegionState:
    """Shares and decisions, and the offset of ``region.partials`` that they include."""

    def __init__(self) -> None:
        self.applied_offset = -1
        self._shares: dict[WindowKey, dict[int, RegionWindowPartial]] = {}
        self._decisions: dict[str, str] = {}
        self._changed: dict[str, bytes | None] = {}
        """Entries changed since the last snapshot; None = removed."""

    def of(self, window: WindowKey) -> Mapping[int, RegionWindowPartial]:
        """Partition -> its newest share of the window."""
        return self._shares.get(window, {})

    def put(self, share: RegionWindowPartial) -> bool:
        """Keep a share; False where a newer one of its partition is known."""
        window = WindowKey(share.region, share.size_s, share.start_ms)
        shares = self._shares.setdefault(window, {})
        known = shares.get(share.partition)
        if known is not None and known.revision > share.revision:
            return False
        shares[share.partition] = share
        self._changed[_share_name(window, share.partition)] = encode_json(share)
        return True

    def expire(self, newest_ms: int) -> list[WindowKey]:
        """Forget the windows that ended the retention time before ``newest_ms``; return them."""
        before_ms = newest_ms - RETENTION_MS
        gone = [w for w in self._shares if w.start_ms + w.size_s * 1000 <= before_ms]
        for window in gone:
            for partition in self._shares.pop(window):
                self._changed[_share_name(window, partition)] = None
        return gone

    def windows(self) -> Iterable[WindowKey]:
        """Every window that has a share, oldest first."""
        return sorted(self._shares, key=lambda window: window.start_ms)

    @property
    def decisions(self) -> Mapping[str, str]:
        """The newest decided state of every request."""
        return self._decisions

    def decide(self, request_id: str, state: str | None) -> None:
        """Keep a decision (None = forget)."""
        if state is None:
            self._decisions.pop(request_id, None)
        else:
            self._decisions[request_id] = state
        self._changed[f"{_REQUEST}|{request_id}"] = None if state is None else state.encode()

    @property
    def unsaved(self) -> bool:
        """Whether anything has changed since the last snapshot."""
        return bool(self._changed)

    def snapshot(self) -> Snapshot:
        """The changes since the last snapshot."""
        changed, self._changed = self._changed, {}
        kept = {name: value for name, value in changed.items() if value is not None}
        dropped = tuple(name for name, value in changed.items() if value is None)
        return Snapshot(self.applied_offset, b"", kept, dropped)

    def restore(self, recovered: Recovered) -> None:
        """Take the place of the state whose snapshots these are."""
        self.applied_offset = recovered.offset
        for name, value in recovered.blocks.items():
            kind, rest = name.split("|", 1)
            if kind == _REQUEST:
                self._decisions[rest] = value.decode()
            else:
                share = decode_json(value, RegionWindowPartial)
                window = WindowKey(share.region, share.size_s, share.start_ms)
                self._shares.setdefault(window, {})[share.partition] = share

    def begin_log(self) -> None:
        """Go on with another log, whose offsets begin again."""
        self.applied_offset = -1


def _share_name(window: WindowKey, partition: int) -> str:
    return f"{_SHARE}|{window.region}|{window.size_s}|{window.start_ms}|{partition}"
