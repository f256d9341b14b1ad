"""Files on the appliance's disk, written so that nobody ever sees half of one.

Law: a write replaces the whole file at once and follows no symbolic link at its end; modes are set
before content is there. Removing what is absent is success.
"""

from __future__ import annotations

import os
import secrets
import shutil
from pathlib import Path


def replace_file(path: Path, content: bytes, mode: int) -> None:
    """Write ``content`` under ``path``; a link that stands there is replaced, not followed."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o755)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, mode)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            os.fchmod(stream.fileno(), mode)
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def read_file(path: Path) -> bytes | None:
    """Content, or None when there is no such file."""
    try:
        return path.read_bytes()
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        return None


def remove(path: Path) -> None:
    """Remove a file, link or whole folder."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def names(folder: Path) -> tuple[str, ...]:
    """Names in the folder, sorted; empty when there is none."""
    try:
        return tuple(sorted(entry.name for entry in folder.iterdir()))
    except (FileNotFoundError, NotADirectoryError):
        return ()
