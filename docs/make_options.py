"""Writes docs/options.md and docs/commands.md from the options of a run and the command line: ``make reference``; a test says when
they are out of date."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import typer

from detente.cli.commands import app
from detente.config import DIFFERING, Config
from detente.options import LearnerConfig
from detente.variation_options import Variation

OPTIONS = """# Options of a run

What a preset says, and `KEY=VALUE` on the command line: `detente train ipd episodes=32 loss.entropy=0.2`. `make reference` writes
this page from the code. `detente train ipd --dry-run` prints the value that each option has in a preset. The options of games,
`game.NAME`, are in [games.md](games.md).
"""
SHARED = ", ".join(f"`{name}`" for name in DIFFERING if name in Config.model_fields)
LEARNERS = f"The options of the learner NAME, which sits on a seat: {SHARED}, as above, and"
COMMANDS = """# Commands

What `detente COMMAND --help` says; `make reference` writes this page. `--debug` may stand anywhere and shows the traceback of an
error.
"""
BOUNDS = {"minimum": "at least", "exclusiveMinimum": "above", "maximum": "at most", "exclusiveMaximum": "below"}
TYPES = {
    "integer": "whole number",
    "number": "number",
    "boolean": "true, false",
    "string": "text",
    "array": "list",
    "object": "mapping",
}
Schema = Mapping[str, Any]


def options() -> str:
    """The page of the options: those of the run, those of each group, and those that learners and games have for themselves."""
    run = Config.model_json_schema()
    groups = {key: run["$defs"][name] for key, value in run["properties"].items() if (name := group(value))}
    own = LearnerConfig.model_json_schema()
    vary = run["$defs"][Variation.__name__]
    sections = [
        ("The run", "Options without a group.", listed(run, "", groups)),
        *((name, schema["description"], listed(schema, f"{name}.")) for name, schema in groups.items()),
        ("learners", LEARNERS, listed(own, "learners.NAME.", run["properties"])),
        ("vary", vary["description"], listed(vary, "vary.PARAMETER.")),
    ]
    return "\n".join([OPTIONS, *(f"## {title}\n\n{marked(words)}\n\n{rows}\n" for title, words, rows in sections)])


def group(value: Schema) -> str:
    """The name of the group of options that an option is; "" of any other."""
    return str(value.get("$ref", "")).rpartition("/")[2]


def listed(schema: Schema, before: str, without: Iterable[str] = ()) -> str:
    """The options of a group as a table."""
    own = {name: value for name, value in schema["properties"].items() if name not in set(without)}
    return grid(
        ("option", "what it can be", "default", "meaning"),
        ((f"`{before}{name}`", in_words(value), default(value), value.get("description", "")) for name, value in own.items()),
    )


def in_words(value: Schema) -> str:
    """What an option can be: its type and bounds, or its alternatives."""
    if "anyOf" in value:
        return " or ".join(in_words(part) for part in value["anyOf"] if part != {"type": "null"})
    if "enum" in value:
        return ", ".join(f"`{each}`" for each in value["enum"])
    return ", ".join([TYPES[value["type"]], *(f"{words} {number(value[name])}" for name, words in BOUNDS.items() if name in value)])


def number(value: float) -> str:
    """A bound: 100,000 or 1e+30."""
    return f"{value:,}" if value < 10**10 else f"{value:g}"


def default(value: Schema) -> str:
    """What an option is where nothing is said; "" where there is no such value, as YAML on one line."""
    return f"`{json.dumps(value['default'])}`" if value.get("default") not in (None, "") else "unset"


def commands() -> str:
    """The page of the commands: what each does, how it is called, and what its arguments mean."""
    names = typer.main.get_command(app)
    with names.make_context("detente", ["list", "games"]) as context:
        parts = [command(name, names.get_command(context, name), context) for name in names.list_commands(context)]
    return "\n".join([COMMANDS, *parts])


def command(name: str, called: Any, context: Any) -> str:
    """One command."""
    usage = " ".join(["detente", name, *called.collect_usage_pieces(context)])
    records = [record for argument in called.params if (record := argument.get_help_record(context))]
    rows = grid(("argument", "meaning"), ((f"`{argument}`", meaning.replace("\\[", "[")) for argument, meaning in records))
    return f"## detente {name}\n\n{marked(called.help)}\n\n```text\n{usage}\n```\n\n{rows}\n"


def grid(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    """A table in Markdown."""
    lines = [head, tuple("---" for _ in head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def marked(words: str) -> str:
    """A docstring as Markdown."""
    return re.sub(r"``(.+?)``", r"`\1`", words)


PAGES = {Path(__file__).parent / "options.md": options, Path(__file__).parent / "commands.md": commands}

if __name__ == "__main__":
    for path, page in PAGES.items():
        path.write_text(page(), encoding="utf-8")
