"""Writes docs/reference.md from the docstrings: ``make reference``; a test says when it is out of date."""

from __future__ import annotations

import importlib
import inspect
import re
from collections.abc import Iterator
from dataclasses import is_dataclass
from pathlib import Path
from typing import Any

import detente

INTRODUCTION = """# Reference

The public names, from their docstrings (`make reference` writes this page). What begins with `detente.` alone is imported with
`import detente`; the options of a run are in [options.md](options.md), the commands in [commands.md](commands.md), the words in
[concepts.md](concepts.md).
"""
SECTIONS = {
    "The library": ("detente", None),
    "Games of your own": ("detente.games", None),
    "Records": ("detente.records", ("Round", "Turn", "Completion", "PolicyRef", "Seating")),
    "Playing": ("detente.matches", ("play", "play_sync", "in_turn", "Counted", "Named", "Pairs", "Probes")),
    "Credit": ("detente.learning.credit", None),
    "Annealing": ("detente.learning.annealing", None),
    "Values of episodes that begin alike": ("detente.learning.branch_values", None),
    "Loss": ("detente.learning.loss", None),
    "Statistics": ("detente.evaluation.statistics", None),
}


def page() -> str:
    """The whole page."""
    return "\n".join([INTRODUCTION, *(line for title, home in SECTIONS.items() for line in section(title, *home))])


def section(title: str, module: str, names: tuple[str, ...] | None) -> Iterator[str]:
    """A module: its first words, then every name."""
    home = importlib.import_module(module)
    yield f"## {title}\n"
    if module != "detente":
        yield f"`{module}`: {first_sentence(home)}\n"
    for name in names or public(home):
        yield from entry(f"{module}.{name}", getattr(home, name))


def public(module: Any) -> list[str]:
    """The functions and classes of ``__all__`` that are listed nowhere above, or those that the module defines itself."""
    if hasattr(module, "__all__"):
        above = detente.__all__ if module is not detente else []
        names = [name for name in module.__all__ if name not in above]
        return [name for name in names if inspect.isfunction(getattr(module, name)) or is_class(getattr(module, name))]
    own = (name for name, value in vars(module).items() if getattr(value, "__module__", None) == module.__name__)
    return [name for name in own if not name.startswith("_")]


def is_class(value: Any) -> bool:
    """Whether this is a class of ours."""
    return inspect.isclass(value) and value.__module__.startswith("detente")


def entry(path: str, value: Any) -> Iterator[str]:
    """A function, or a class with its public methods."""
    yield f"### `{path}`\n"
    yield f"```text\n{signature(path.rpartition('.')[2], value)}\n```\n"
    yield text(value) + "\n"
    if inspect.isclass(value):
        methods = {name: method for name, method in vars(value).items() if is_documented(value, name, method)}
        for name, method in methods.items():
            yield f"- **`{head(name, method)}`** {' '.join(text(method).split())}"
        if methods:
            yield ""


def is_documented(owner: type, name: str, member: Any) -> bool:
    """Whether a member of a class belongs on the page: what is no field, has no underscore and says what it is."""
    shown = isinstance(member, (property, staticmethod)) or inspect.isfunction(member)
    field = name in getattr(owner, "__dataclass_fields__", ())
    return shown and not field and not name.startswith("_") and bool(inspect.getdoc(member))


def head(name: str, member: Any) -> str:
    """A method with its arguments, a property without."""
    if isinstance(member, property):
        return name
    function = getattr(member, "__func__", member)
    arguments = [argument for argument in inspect.signature(function).parameters if argument != "self"]
    return f"{name}({', '.join(arguments)})"


def signature(name: str, value: Any) -> str:
    """What a call looks like: one line, or one per argument; of a dataclass its fields."""
    if inspect.isclass(value) and not is_dataclass(value):
        return f"class {name}"
    call = inspect.signature(value)
    parts, kinds = [], [argument.kind for argument in call.parameters.values()]
    for number, argument in enumerate(call.parameters.values()):
        if argument.kind is argument.KEYWORD_ONLY and argument.KEYWORD_ONLY not in kinds[:number]:
            parts.append("*")
        parts.append(parameter(argument))
    end = "" if inspect.isclass(value) else f" -> {call.return_annotation}"
    line = f"{name}({', '.join(parts)}){end}"
    return line if len(line) <= 100 else f"{name}(\n" + "".join(f"    {part},\n" for part in parts) + f"){end}"


def parameter(argument: inspect.Parameter) -> str:
    """An argument with its type and what it is by default; functions by their names."""
    stars = {argument.VAR_POSITIONAL: "*", argument.VAR_KEYWORD: "**"}.get(argument.kind, "")
    annotated = "" if argument.annotation is argument.empty else f": {argument.annotation}"
    if argument.default is argument.empty:
        return f"{stars}{argument.name}{annotated}"
    default = getattr(argument.default, "__name__", repr(argument.default))
    return f"{argument.name}{annotated} = {'...' if default == '<factory>' else default}"


def text(value: Any) -> str:
    """A docstring as Markdown: ``code`` becomes `code`, and what is set in columns a block."""
    paragraphs = re.sub(r"``(.+?)``", r"`\1`", inspect.getdoc(value) or "").split("\n\n")
    columns = (re.search(r"^ {2,}|\S {2,}\S", paragraph, flags=re.MULTILINE) for paragraph in paragraphs)
    return "\n\n".join(
        f"```text\n{paragraph}\n```" if in_columns else paragraph for paragraph, in_columns in zip(paragraphs, columns, strict=True)
    )


def first_sentence(module: Any) -> str:
    """The first line of a module's docstring."""
    return text(module).split("\n", 1)[0]


PAGES = {Path(__file__).parent / "reference.md": page}

if __name__ == "__main__":
    for path, made in PAGES.items():
        path.write_text(made(), encoding="utf-8")
