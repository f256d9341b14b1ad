"""A package as pip leaves it, made of its setup.cfg: its entry points are found, nothing is installed."""

from __future__ import annotations

import configparser
from pathlib import Path


def plant(folder: Path, setup_cfg: str) -> None:
    """Put the metadata into the folder, which has to be on the path."""
    parsed = configparser.ConfigParser()
    parsed.read_string(setup_cfg)
    name, version = parsed["metadata"]["name"], parsed["metadata"]["version"]
    information = folder / f"{name.replace('-', '_')}-{version}.dist-info"
    information.mkdir(parents=True, exist_ok=True)
    (information / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    points = (f"[{group}]{lines}\n" for group, lines in parsed["options.entry_points"].items())
    (information / "entry_points.txt").write_text("".join(points))
