"""Directories that only their owner can look into: state, logs, tokens, locks."""

from pathlib import Path


def private_directory(path: Path) -> Path:
    """Make the directory, and those above it that are missing, for its owner only.

    One that is there already keeps its mode: it may be shared on purpose (``/tmp``).
    """
    for each in (*reversed(path.parents), path):
        if not each.is_dir():
            each.mkdir(mode=0o700, exist_ok=True)
    return path
