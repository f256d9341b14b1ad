"""A report on a provider: which laws it keeps, and which of the features that it claims are proved.

Law: nothing is skipped in silence; what could not be shown says so.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from lbdrivers.errors import PermanentError
from lbdrivers.features import ALL, Feature
from lbdrivers.testing.check import Check
from lbdrivers.testing.check_provider import CHECKS, ProviderFixture, check_feature, check_refusal


class Verdict(enum.StrEnum):
    KEPT = "kept"
    BROKEN = "broken"
    NOT_SHOWN = "not shown"
    REFUSED = "refused"
    NOT_CLAIMED = "not claimed"


@dataclass(frozen=True)
class Finding:
    """One law or feature with what came out.

    :param subject: name of the check, or of the feature.
    :param text: the law that was kept, or how it was broken.
    :param claimed: for a feature, whether the provider says that it can do it.
    """

    subject: str
    verdict: Verdict
    text: str = ""
    claimed: bool = True


@dataclass(frozen=True)
class Report:
    """What the kit found out about one provider."""

    provider: str
    laws: tuple[Finding, ...]
    features: tuple[Finding, ...]

    @property
    def claimed(self) -> frozenset[Feature]:
        """What the provider says that it can do."""
        return frozenset(Feature(one.subject) for one in self.features if one.claimed)

    @property
    def proved(self) -> frozenset[Feature]:
        """What the kit saw it do."""
        return frozenset(Feature(one.subject) for one in self.features if one.verdict is Verdict.KEPT)

    @property
    def refused(self) -> frozenset[Feature]:
        """What the kit saw it refuse, as it must refuse what it does not claim."""
        return frozenset(Feature(one.subject) for one in self.features if one.verdict is Verdict.REFUSED)

    @property
    def conforms(self) -> bool:
        """Whether nothing is broken."""
        return all(one.verdict is not Verdict.BROKEN for one in (*self.laws, *self.features))


def examine(fixture: ProviderFixture, tell: Callable[[Finding], None] = lambda _finding: None) -> Report:
    """Run every check on the provider.

    :param tell: receives each finding as soon as it is there.
    """
    provider = fixture.make()
    claimed = provider.features()

    def told(findings: Iterable[Finding]) -> tuple[Finding, ...]:
        found = []
        for finding in findings:
            tell(finding)
            found.append(finding)
        return tuple(found)

    laws = told(_law(check, fixture, claimed) for check in CHECKS)
    return Report(provider.name, laws, told(_features(fixture, claimed, laws)))


def _law(check: Check[ProviderFixture], fixture: ProviderFixture, claimed: frozenset[Feature]) -> Finding:
    if not check.needs <= claimed:
        return Finding(check.name, Verdict.NOT_CLAIMED, check.law, claimed=False)
    broken = _broken(lambda: check(fixture))
    return (
        Finding(check.name, Verdict.KEPT, check.law) if broken is None else Finding(check.name, Verdict.BROKEN, broken)
    )


def _features(fixture: ProviderFixture, claimed: frozenset[Feature], laws: tuple[Finding, ...]) -> Iterator[Finding]:
    verdicts = {law.subject: law.verdict for law in laws}
    by_law = {feature: verdicts[check.name] for check in CHECKS for feature in check.proves}
    for feature in sorted(ALL):
        if feature not in claimed:
            yield _refusal(fixture, feature)
        elif feature in by_law:
            yield Finding(feature, by_law[feature])
        else:
            yield _feature(fixture, feature)


def _feature(fixture: ProviderFixture, feature: Feature) -> Finding:
    shown: list[bool] = []
    broken = _broken(lambda: shown.append(check_feature(fixture, feature)))
    if broken is not None:
        return Finding(feature, Verdict.BROKEN, broken)
    return Finding(feature, Verdict.KEPT if all(shown) else Verdict.NOT_SHOWN)


def _refusal(fixture: ProviderFixture, feature: Feature) -> Finding:
    shown: list[bool] = []
    broken = _broken(lambda: shown.append(check_refusal(fixture, feature)))
    if broken is not None:
        return Finding(feature, Verdict.BROKEN, broken, claimed=False)
    return Finding(feature, Verdict.REFUSED if all(shown) else Verdict.NOT_CLAIMED, claimed=False)


def _broken(run: Callable[[], None]) -> str | None:
    """How the law was broken, or None."""
    try:
        run()
    except PermanentError as error:
        return error.user if error.operator == error.user else f"{error.user} ({error.operator.strip()})"
    except AssertionError as error:
        return str(error)
    except Exception as error:  # noqa: BLE001 the contract names what a driver may raise; all else is a breach
        return f"{type(error).__name__}, which the contract does not allow here: {error}"
    return None
