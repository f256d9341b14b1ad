"""Writes docs/api.md out of the sources of the public modules; ``--check`` says whether it is up to date.

Law: sources are read, never imported; the same sources give the same page. The examples stand in
``docs/api``, one file a module (see ``api_examples``); a test runs them, and wants one of every name.
"""

from __future__ import annotations

import ast
import re
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from api_examples import examples
from written_page import write_or_check

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "api.md"
COMMAND = "python docs/generate_api.py"

#: What vendors and authors of control planes may import; ``*`` stands for every module of the package.
MODULES = (
    "lbdrivers.document",
    "lbdrivers.errors",
    "lbdrivers.features",
    "lbdrivers.model.*",
    "lbdrivers.drivers.*",
    "lbdrivers.registry",
    "lbdrivers.settings",
    "lbdrivers.store.store",
    "lbdrivers.store.entry",
    "lbdrivers.reconcile.engine",
    "lbdrivers.reconcile.outcome",
    "lbdrivers.reconcile.worker",
    "lbdrivers.memory.records",
    "lbdrivers.octavia.provider_driver",
    "lbdrivers.testing.*",
)
_HEAD = f"""# API

The public names, out of the sources: written by `{COMMAND}`, so do not edit it.
The examples are run by the tests; what stands at the head of a module goes before each of its examples.
How a driver is made of these: [writing-a-driver.md](writing-a-driver.md).
"""
_LINE = 110  # characters after which a signature gets a line for each parameter

#: What a docstring says of a parameter, of the result and of errors.
_MARK = re.compile(r":(param \*{0,2}\w+|returns|raises(?: \w+)?):")

Function = ast.FunctionDef | ast.AsyncFunctionDef
Anchors = Mapping[tuple[str, str], str]


@dataclass(frozen=True)
class Module:
    """A module's source. ``name`` as it is imported."""

    name: str
    source: str

    @property
    def body(self) -> list[ast.stmt]:
        """Its statements."""
        return ast.parse(self.source).body

    def comment(self, statement: ast.stmt) -> str:
        """The ``#:`` comment above a constant."""
        lines = self.source.splitlines()[: statement.lineno - 1]
        found: list[str] = []
        while lines and lines[-1].startswith("#:"):
            found.insert(0, lines.pop()[2:].strip())
        return " ".join(found)


def modules() -> Iterator[Module]:
    """The public modules, in the order of ``MODULES``."""
    for pattern in MODULES:
        if not pattern.endswith(".*"):
            yield module(pattern)
            continue
        package = pattern.removesuffix(".*")
        folder = ROOT / package.replace(".", "/")
        inner = (file.parent for file in folder.glob("*/__init__.py"))
        for file in sorted((*folder.glob("*.py"), *inner)):
            if file.stem != "__init__":
                yield module(f"{package}.{file.stem}")


def module(name: str) -> Module:
    """The module of that name, be it a file or a package."""
    path = ROOT / name.replace(".", "/")
    file = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    return Module(name, file.read_text())


def page() -> str:
    """The whole text."""
    listed = tuple(modules())
    anchors = _anchors(listed)
    text = "\n".join((_HEAD, *(_section(one, anchors) for one in listed)))
    return re.sub(r"\n{3,}", "\n\n", text).rstrip() + "\n"


def _anchors(listed: tuple[Module, ...]) -> Anchors:
    """(module, name) -> where the name's heading is found. Markdown numbers headings that are alike."""
    found: dict[tuple[str, str], str] = {}
    times: Counter[str] = Counter()
    for one in listed:
        for name in ("", *(_name(statement) for _source, statement in _public(one))):
            plain = re.sub(r"[^\w-]", "", (name or one.name).lower())
            found[one.name, name] = f"{plain}-{times[plain]}" if times[plain] else plain
            times[plain] += 1
    return found


def _section(one: Module, anchors: Anchors) -> str:
    given = examples(one.name)
    parts = [f"## {one.name}\n", _paragraph(ast.get_docstring(ast.parse(one.source))) + "\n"]
    parts.append(given.head.markdown())
    for source, statement in _public(one):
        parts.append(_described(source, statement))
        name = _name(statement)
        found = given.of(name)
        parts += [passage.markdown() for passage in found if passage.names[0] == name]
        parts += [
            f"Example: see [{passage.names[0]}](#{anchors[one.name, passage.names[0]]}).\n"
            for passage in found
            if passage.names[0] != name
        ]
    return "\n".join(part for part in parts if part)


def public_names(name: str) -> tuple[str, ...]:
    """The public names of a module."""
    return tuple(_name(statement) for _source, statement in _public(module(name)))


def _public(one: Module) -> Iterator[tuple[Module, ast.stmt]]:
    """Public statements with the module that has their source: a package shows what it passes on, too."""
    for statement in one.body:
        if isinstance(statement, ast.ClassDef | Function):
            if not statement.name.startswith("_"):
                yield one, statement
        elif (name := _constant(statement)) and not name.startswith("_") and not _is_tool(statement):
            yield one, statement
        elif isinstance(statement, ast.ImportFrom) and _passes_on(one, statement):
            names = {alias.name for alias in statement.names}
            there = module(str(statement.module))
            yield from (pair for pair in _public(there) if _name(pair[1]) in names)


def _is_tool(statement: ast.stmt) -> bool:
    """Whether it is a type variable or a logger: nobody imports those."""
    value = getattr(statement, "value", None)
    return isinstance(value, ast.Call) and ast.unparse(value.func) in ("TypeVar", "logging.getLogger")


def _passes_on(one: Module, statement: ast.ImportFrom) -> bool:
    exported = re.search(r"^__all__ = \[(.*?)\]", one.source, re.MULTILINE | re.DOTALL)
    return exported is not None and all(f'"{alias.name}"' in exported[1] for alias in statement.names)


def _name(statement: ast.stmt) -> str:
    return statement.name if isinstance(statement, ast.ClassDef | Function) else _constant(statement)


def _constant(statement: ast.stmt) -> str:
    """The name that the statement gives a value to, or ""."""
    target: ast.expr | None = None
    if isinstance(statement, ast.Assign) and len(statement.targets) == 1:
        target = statement.targets[0]
    elif isinstance(statement, ast.AnnAssign):
        target = statement.target
    return target.id if isinstance(target, ast.Name) and target.id != "__all__" else ""


def _described(one: Module, statement: ast.stmt) -> str:
    if isinstance(statement, ast.ClassDef):
        return _class(statement)
    if isinstance(statement, Function):
        return f"### {statement.name}\n\n{_code(_signature(statement))}\n{_text(statement)}"
    return f"### {_name(statement)}\n\n{_code(_value(statement))}\n{_plain(one.comment(statement))}\n"


def _value(statement: ast.stmt) -> str:
    """What stands for a constant's type: its annotation, else its value unless that is long."""
    if isinstance(statement, ast.AnnAssign) and ast.unparse(statement.annotation) != "TypeAlias":
        return f"{_name(statement)}: {ast.unparse(statement.annotation)}"
    value = statement.value if isinstance(statement, ast.Assign | ast.AnnAssign) else None
    text = f"{_name(statement)} = {ast.unparse(value) if value else '...'}"
    return text if len(text) <= 2 * _LINE else f"{_name(statement)} = ..."


def _class(statement: ast.ClassDef) -> str:
    bases = ", ".join(ast.unparse(base) for base in statement.bases)
    fields = [f"    {ast.unparse(one)}" for one in statement.body if _is_field(one)]
    head = f"class {statement.name}{f'({bases})' if bases else ''}" + (":" if fields else "")
    parts = [f"### {statement.name}\n", _code("\n".join((head, *fields))), _text(statement)]
    for one in statement.body:
        if isinstance(one, Function) and (one.name == "__init__" or not one.name.startswith("_")):
            decorated = "property " if any("property" in ast.unparse(mark) for mark in one.decorator_list) else ""
            parts.append(f"- {decorated}`{_signature(one, method=True, wrapped=False)}`{_nested(_text(one))}")
    return "\n".join((*parts, ""))


def _nested(text: str) -> str:
    """Below an item of a list."""
    lines = [line for line in text.split("\n") if line]
    return "".join(f"\n  {line}" for line in lines)


def _is_field(statement: ast.stmt) -> bool:
    name = _constant(statement)
    return bool(name) and not name.startswith("_") and name != "model_config"


def _signature(function: Function, *, method: bool = False, wrapped: bool = True) -> str:
    arguments = function.args
    if method and arguments.args and arguments.args[0].arg in ("self", "cls"):
        arguments.args.pop(0)
    returns = f" -> {ast.unparse(function.returns)}" if function.returns is not None else ""
    plain = f"{function.name}({ast.unparse(arguments)}){returns}"
    if not wrapped or len(plain) <= _LINE:
        return plain
    lines = "".join(f"    {part},\n" for part in _split(ast.unparse(arguments)))
    return f"{function.name}(\n{lines}){returns}"


def _split(arguments: str) -> Iterator[str]:
    """Parameters one by one: commas outside of brackets part them."""
    depth, start = 0, 0
    for place, letter in enumerate(arguments):
        depth += (letter in "([{") - (letter in ")]}")
        if letter == "," and depth == 0:
            yield arguments[start:place].strip()
            start = place + 1
    yield arguments[start:].strip()


def _code(text: str) -> str:
    return f"```text\n{text}\n```\n"


def _text(statement: ast.ClassDef | Function) -> str:
    """First paragraph, laws, then parameters, result and errors, of a docstring."""
    documentation = ast.get_docstring(statement) or ""
    found = [_paragraph(documentation)]
    found += [_paragraph(part) for part in documentation.split("\n\n")[1:] if part.lstrip().startswith("Law")]
    laws = len(found)
    # Split by a pattern with one group: the text before the first mark, then marks and texts in turn.
    _, *rest = _MARK.split(documentation)
    for mark, text in zip(rest[::2], rest[1::2], strict=True):
        words = _plain(text.split("\n\n")[0])  # a paragraph below a mark belongs to the whole
        found.append(f"- {_told(mark)}: {words}")
    text, items = [part for part in found[:laws] if part], found[laws:]
    return "\n\n".join((*text, "\n".join(items))).rstrip() + "\n" if found else ""


def _told(mark: str) -> str:
    word, _, name = mark.partition(" ")
    return f"`{name}`" if word == "param" else f"{word} `{name}`" if name else word


def _paragraph(documentation: str | None) -> str:
    """The first paragraph, up to the first mark."""
    return _plain(_MARK.split((documentation or "").strip().split("\n\n")[0], maxsplit=1)[0])


def _plain(text: str) -> str:
    return " ".join(text.split()).replace("``", "`")


def main(arguments: list[str]) -> int:
    """Write the page, or with --check compare it. :returns: exit status."""
    return write_or_check(PAGE, page(), COMMAND, arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
