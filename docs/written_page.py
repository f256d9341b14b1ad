"""A page that a program writes: writing it anew, and telling that it is out of date."""

from __future__ import annotations

import sys
from pathlib import Path


def write_or_check(page: Path, text: str, command: str, arguments: list[str]) -> int:
    """Write the page, or with --check compare it. :returns: exit status: 1 when it is out of date."""
    if arguments == ["--check"]:
        if page.exists() and page.read_text() == text:
            return 0
        sys.stderr.write(f"{page.name} is out of date; write it anew with: {command}\n")
        return 1
    page.write_text(text)
    return 0
