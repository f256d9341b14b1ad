"""Python environments of their own, for programs whose packages are not ours."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path


def interpreter(folder: Path, *requirements: str) -> Path:
    """The interpreter of a new environment in the folder that has these packages."""
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    python = folder / "bin" / "python"
    install = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*install, *requirements], check=True)
    return python
