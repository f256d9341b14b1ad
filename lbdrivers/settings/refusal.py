"""What oslo.config throws, in our words: where the value stands, what it is, and why it is refused."""

from __future__ import annotations

import re
from pathlib import Path

from lbdrivers.errors import InvalidInput, Problem

# oslo.config says where in one sentence: "Value for option NAME from LocationInfo(..., detail='FILE')
# is not valid: REASON".
_VALUE = re.compile(
    r"Value for option (?P<option>\S+) from LocationInfo\(.*detail='(?P<file>.*?)'\) is not valid: (?P<why>.*)", re.S
)


def refusal(error: Exception) -> InvalidInput:
    """The error to raise for one that came out of reading an option."""
    found = _VALUE.fullmatch(str(error).strip())
    if found is None:
        return InvalidInput((Problem("configuration", "", str(error).strip()),))
    option, file = found["option"], found["file"]
    return InvalidInput((Problem(option, "", f"is refused: {found['why']}", "", _location(Path(file), option)),))


def _location(file: Path, option: str) -> str:
    """File and, when the option stands there once, its line."""
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return str(file)
    start = re.compile(rf"{re.escape(option)}\s*[=:]")
    numbers = [number for number, line in enumerate(lines, start=1) if start.match(line)]
    return f"{file}:{numbers[0]}" if len(numbers) == 1 else str(file)
