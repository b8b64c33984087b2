"""Files that survive a kill and a power cut: each is there completely, or not at all."""

import os
from pathlib import Path


def write_durably(path: Path, data: bytes) -> None:
    """Replace a file durably, completely or not at all."""
    draft = path.with_name(f".{path.name}.draft")
    draft.write_bytes(data)
    rename_durably(draft, path)


def rename_durably(draft: Path, path: Path) -> None:
    """Give a file that was written the name under which others find it, in the same directory."""
    with draft.open("rb") as file:
        os.fsync(file.fileno())
    draft.replace(path)
    sync_directory(path.parent)


def sync_directory(path: Path) -> None:
    """Make the names in a directory durable."""
    directory = os.open(path, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
