"""docs/api.md says what the sources say, of every public module, and shows every public name at work."""

from __future__ import annotations

import doctest
import subprocess
import sys
from pathlib import Path

import generate_api
import pytest
from api_examples import FOLDER, Passage, examples

ROOT = Path(__file__).parents[2]
GENERATOR = ROOT / "docs" / "generate_api.py"
MODULES = tuple(module.name for module in generate_api.modules())
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


def test_the_page_is_up_to_date() -> None:
    done = subprocess.run([sys.executable, GENERATOR, "--check"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_page_has_the_verbs_and_the_checks() -> None:
    text = (ROOT / "docs" / "api.md").read_text()
    provider = text.partition("### Provider\n")[2].partition("\n### ")[0]
    for verb in ("features", "apply", "remove", "observe", "known", "failover"):
        assert f"- `{verb}(" in provider
    assert "Law: addresses stay" in provider
    assert "raises `PermanentError`: when no such load balancer is known" in provider
    assert ">>> provider.failover(web.id)" in provider
    for name in ("check_remove_leaves_nothing", "checks_for", "examine", "run_start_hooks", "TemporaryError"):
        assert f"### {name}\n" in text


def test_what_is_out_of_date_is_told_with_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(generate_api, "PAGE", tmp_path / "api.md")
    assert generate_api.main(["--check"]) == 1
    assert "out of date; write it anew with: python docs/generate_api.py" in capsys.readouterr().err
    assert generate_api.main([]) == generate_api.main(["--check"]) == 0


@pytest.mark.parametrize("module", MODULES)
def test_every_public_name_is_shown(module: str) -> None:
    given, public = examples(module), generate_api.public_names(module)
    missing = [name for name in public if not given.of(name)]
    assert not missing, f"docs/api/{module}.md shows nothing of {', '.join(missing)}"
    for passage in given.passages:
        for name in passage.names:
            assert name in public, f"{name} is no public name of {module}"
            assert passage.shows(name) or given.head.shows(name), f"an example for {name} does not use it"


@pytest.mark.parametrize("module", MODULES)
def test_the_examples_run(module: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LBDRIVERS_STATE_PATH", raising=False)
    given = examples(module)
    for passage in given.passages:
        text = f"{given.head.text}\n{passage.text}"
        name = f"docs/api/{module}.md, {', '.join(passage.names)}"
        told: list[str] = []
        test = doctest.DocTestParser().get_doctest(text, {"__name__": "__main__"}, name, None, None)
        assert test.examples
        doctest.DocTestRunner(optionflags=FLAGS, verbose=False).run(test, out=told.append)
        assert not told, "".join(told)


def test_every_file_is_of_a_public_module() -> None:
    assert {file.stem for file in FOLDER.glob("*.md")} == set(MODULES)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (">>> from package import thing\n", False),
        (">>> 'a thing'\n", False),
        (">>> thing(1)\n", True),
        (">>> package.thing\n", True),
        (">>> laws()\nthing: kept\n", True),
    ],
)
def test_a_name_is_shown_where_it_is_used_or_answered_with(text: str, shown: bool) -> None:
    assert Passage((), text).shows("thing") is shown
