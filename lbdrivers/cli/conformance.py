"""``lbdrivers conformance``: the kit's laws on an installed provider, told while they are tried.

Law: every law and every feature is told with its verdict, those that could not be tried, too. What the
provider still holds in the end is removed, and what cannot be removed is named.
"""

from __future__ import annotations

import time
from argparse import Namespace
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml
from pydantic import TypeAdapter, ValidationError
from rich.table import Table
from rich.text import Text

from lbdrivers import drawing, registry
from lbdrivers.cli.output import Output
from lbdrivers.cli.session import Session, read_document
from lbdrivers.drivers.provider import Provider
from lbdrivers.errors import DriverError, InvalidInput, Problem
from lbdrivers.features import Feature
from lbdrivers.store.store import Store
from lbdrivers.testing import report
from lbdrivers.testing.check import Patience
from lbdrivers.testing.check_provider import ProviderFixture
from lbdrivers.testing.report import Finding, Report, Verdict
from lbdrivers.testing.surroundings import Surroundings

_STYLES = {
    Verdict.KEPT: "green",
    Verdict.BROKEN: "bold red",
    Verdict.NOT_SHOWN: "yellow",
    Verdict.REFUSED: "cyan",
    Verdict.NOT_CLAIMED: "dim",
}
_FEATURES = frozenset(Feature)


def examine(session: Session, output: Output, arguments: Namespace) -> int:
    """Try every law. :returns: 0 when the provider conforms."""
    around = Surroundings() if arguments.around is None else _surroundings(arguments.around)
    # A database of its own, whatever is configured: what the kit makes is no business of a running site.
    store = Store(f"sqlite:///{session.settings.state_path.absolute() / 'conformance.sqlite'}")
    began = time.monotonic()
    try:

        def make() -> Provider:
            context = registry.make_context(session.configuration, store.records)
            provider: Provider = registry.load(registry.PROVIDERS, arguments.name, context)
            return provider

        fixture = ProviderFixture(make, around, Patience(arguments.timeout), arguments.histories)
        try:
            found = report.examine(fixture, lambda finding: output.say(_line(finding)))
        finally:
            left = _tidied(fixture, output)
    finally:
        store.close()
    output.answer(_answer(found, left))
    output.say(_summary(found, time.monotonic() - began))
    return 0 if found.conforms and not left else 1


def _surroundings(file: Path) -> Surroundings:
    """:raises InvalidInput: when the file is no mapping of fields of ``Surroundings``."""
    try:
        fields = yaml.safe_load(read_document(str(file)))
    except yaml.YAMLError as error:
        raise InvalidInput((Problem(str(file), "", f"is not YAML: {error}"),)) from error
    known = Surroundings.__dataclass_fields__
    if not isinstance(fields, dict) or (unknown := [str(one) for one in fields if one not in known]):
        problem = Problem(
            str(file), ", ".join(unknown) if isinstance(fields, dict) else "", "is no mapping of known fields"
        )
        raise InvalidInput((problem,))
    try:
        return TypeAdapter(Surroundings).validate_python(fields)
    except ValidationError as error:
        problems = (Problem(str(file), "", f"{'.'.join(map(str, one['loc']))}: {one['msg']}") for one in error.errors())
        raise InvalidInput(tuple(problems)) from error


def _tidied(fixture: ProviderFixture, output: Output) -> tuple[str, ...]:
    """Remove what broken laws have left behind. :returns: the ids of what is still there."""
    try:
        provider = fixture.make()
        for load_balancer_id in provider.known():
            provider.remove(load_balancer_id)
        left = tuple(sorted(provider.known()))
    except DriverError as error:
        output.complain("what the provider still holds cannot be removed", error.operator)
        return ("unknown",)
    if left:
        output.complain(f"the provider still holds {', '.join(left)}")
    return left


def _line(finding: Finding) -> Text:
    """One finding, as soon as it is there."""
    subject = str(finding.subject).removeprefix("check_").replace("_", " ")
    verdict = Text(f"{finding.verdict:>13}  ", style=_STYLES[finding.verdict])
    line = verdict + drawing.literal(subject)
    return line + drawing.literal(f"\n{'':15}{finding.text}", "red") if finding.verdict is Verdict.BROKEN else line


def _summary(found: Report, seconds: float) -> Table:
    table = Table.grid(padding=(0, 2))
    laws = Counter(one.verdict for one in found.laws)
    table.add_row("laws", _counted(laws))
    table.add_row("features", Text(f"{len(found.claimed)} claimed: ") + _counted(_verdicts(found.features, True)))
    table.add_row(
        "", Text(f"{len(_FEATURES - found.claimed)} not claimed: ") + _counted(_verdicts(found.features, False))
    )
    verdict = Text("conforms", "bold green") if found.conforms else Text("does not conform", "bold red")
    table.add_row(drawing.literal(found.provider, "bold"), verdict + Text(f"  in {drawing.duration(seconds)}", "dim"))
    return table


def _verdicts(features: Iterable[Finding], claimed: bool) -> Counter[Verdict]:
    return Counter(one.verdict for one in features if one.claimed is claimed)


def _counted(verdicts: Counter[Verdict]) -> Text:
    parts = [Text(f"{count} {verdict}", _STYLES[verdict]) for verdict, count in sorted(verdicts.items())]
    return Text(", ").join(parts) if parts else Text("none")


def _answer(found: Report, left: Iterable[str]) -> dict[str, Any]:
    """Stable keys, as in ``answers``: findings have ``subject``, ``verdict`` and ``text``."""

    def plain(findings: Iterable[Finding]) -> list[dict[str, Any]]:
        return [{"subject": str(one.subject), "verdict": one.verdict.value, "text": one.text} for one in findings]

    return {
        "provider": found.provider,
        "conforms": found.conforms,
        "laws": plain(found.laws),
        "features": plain(found.features),
        "claimed": sorted(found.claimed),
        "proved": sorted(found.proved),
        "refused": sorted(found.refused),
        "left": list(left),
    }
