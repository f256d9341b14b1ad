"""How much of each pure module the tests reach: ``python -m tests.support.pure_coverage`` after ``coverage run``.

The list of pure modules is that of ``.importlinter``, so that what must not act is also what must be tested whole.
"""

from __future__ import annotations

import configparser
import json
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
#: Lines and branches, in percent, of each module.
FLOOR = 95.0


def pure_modules() -> tuple[str, ...]:
    """Modules and packages of the contract that nothing pure acts."""
    parser = configparser.ConfigParser()
    parser.read(ROOT / ".importlinter")
    return tuple(parser["importlinter:contract:pure"]["source_modules"].split())


def measured() -> dict[str, tuple[float, list[int], int]]:
    """Module -> percent, lines that nothing reached, and branches that nothing took."""
    with tempfile.NamedTemporaryFile(suffix=".json") as file:
        command = [sys.executable, "-m", "coverage", "json", "--quiet", "-o", file.name]
        subprocess.run(command, check=True, cwd=ROOT)
        report = json.loads(Path(file.name).read_text())
    found = {}
    for name, values in report["files"].items():
        module = ".".join(Path(name).with_suffix("").parts).removesuffix(".__init__")
        summary = values["summary"]
        found[module] = (summary["percent_covered"], values["missing_lines"], summary["missing_branches"])
    return found


def main() -> int:
    """Print a line for each pure module. :returns: 1 when one is below the floor."""
    pure = pure_modules()
    rows = {
        module: values
        for module, values in measured().items()
        if any(module == one or module.startswith(f"{one}.") for one in pure)
    }
    low = 0
    for module, (percent, lines, branches) in sorted(rows.items(), key=lambda row: row[1][0]):
        mark = "LOW " if percent < FLOOR else "    "
        low += percent < FLOOR
        where = f"lines {', '.join(map(str, lines[:12]))}" if lines else ""
        print(f"{mark}{percent:6.1f} %  {module:<45} {f'{branches} branches' if branches else '':<12} {where}".rstrip())
    print(f"{len(rows)} pure modules, {low} below {FLOOR:.0f} %")
    return 1 if low or not rows else 0


if __name__ == "__main__":
    sys.exit(main())
