"""Files that a user names: their content, or one line that says why there is none."""

import gzip
import zlib
from pathlib import Path

from schemas.assets import Site
from vpp_streams.domain.files.asset_files import format_of, sites_of
from vpp_streams.domain.registry.registry import Registry
from vpp_streams.errors import InputError

MOST_PRICE_BYTES = 256 * 1024 * 1024
"""Of a price file, unpacked: a year of five-minute prices of a market is a tenth of it."""


def read_sites(file: Path, known: Registry, now_ms: int = 0) -> list[Site]:
    """The sites of an asset file. Raises `InputError` with every problem, one per line.

    Devices of the registry ``known`` keep their tokens, and its sites their history, in which
    ``now_ms`` is the time of what the file changes.
    """
    format_of(str(file))
    return sites_of(text_of(file), str(file), known, now_ms)


def text_of(file: Path) -> str:
    """A text file's content. Raises `InputError`."""
    try:
        return file.read_text(encoding="utf-8")
    except OSError as error:
        raise InputError(f"{file}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise InputError(f"{file}: not UTF-8 text; save it as UTF-8") from None


def price_bytes(file: Path) -> bytes:
    """A price file's content, unpacked where it is packed with gzip. Raises `InputError`."""
    try:
        with file.open("rb") as plain:
            packed = plain.peek(2).startswith(b"\x1f\x8b")
            unpacked = gzip.GzipFile(fileobj=plain) if packed else plain
            data = unpacked.read(MOST_PRICE_BYTES + 1)
    except (EOFError, zlib.error, gzip.BadGzipFile):
        raise InputError(f"{file}: it cannot be unpacked: it is cut or damaged") from None
    except OSError as error:
        raise InputError(f"cannot read {file}: {error.strerror}") from None
    if len(data) > MOST_PRICE_BYTES:
        raise InputError(
            f"{file}: it holds more than {MOST_PRICE_BYTES >> 20} MiB, which is no price file"
        )
    return data
