"""Figures as tables: on the terminal, and in docs/performance.md between markers.

SUBJECT-DEVICE.json ── the subject's ``tables`` ──> Table ──> terminal, or <!-- SUBJECT --> ... <!-- /SUBJECT --> of the page
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

import typer

from benchmarks.common import console, say
from benchmarks.curves import draw

SUBJECTS = ("update", "profile", "learners", "rollout", "arms", "overlap", "loop", "startup", "disk", "scaling")
ON_GPU = "gpu"  # measured by ``make gpu`` alone
FOLDER, PAGE = Path("benchmarks") / "results", Path("docs") / "performance.md"
NO_GPU = "GPU figures are missing: no GPU machine was at hand."


@dataclass(frozen=True)
class Table:
    """Cells are text already."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]


def tables_of(result: Mapping[str, Any]) -> list[Table]:
    """What a subject shows of its figures."""
    found: list[Table] = import_module(f"benchmarks.{result['subject']}").tables(result["figures"])
    return found


def show(result: Mapping[str, Any]) -> None:
    """Print a result."""
    from rich.table import Table as RichTable

    for table in tables_of(result):
        drawn = RichTable(title=table.title, title_justify="left")
        for index, column in enumerate(table.columns):
            drawn.add_column(column, justify="right" if index else "left", overflow="fold")
        for row in table.rows:
            drawn.add_row(*row)
        console.print(drawn)


def markdown(result: Mapping[str, Any]) -> str:
    """A result as it stands in the page: the command, the machine, the date, the tables."""
    about = result["machine"]
    device = "" if about["device"] == "cpu" else f", {about['device']}"
    versions = ", ".join(f"{name} {about[name]}" for name in ("torch", "transformers", "peft"))
    head = f"`{result['command']}`  \n{about['cpu']}, {about['threads']} threads{device}; {versions}; {result['date']}"
    drawn = [f"![time and memory against the size of the work]({picture(result)})"] if result["subject"] == "scaling" else []
    return "\n\n".join([head, *drawn, *map(_markdown, tables_of(result))])


def picture(result: Mapping[str, Any]) -> str:
    """The file of the curves, beside the page."""
    return f"performance-scaling-{'cpu' if result['machine']['device'] == 'cpu' else 'cuda'}.png"


def _markdown(table: Table) -> str:
    lines = [table.columns, ["---", *["---:"] * (len(table.columns) - 1)], *table.rows]
    return f"{table.title}:\n\n" + "\n".join("| " + " | ".join(line) + " |" for line in lines)


def refreshed(page: str, results: Sequence[Mapping[str, Any]]) -> str:
    """The page with the tables of these results; a subject without one keeps what stands there."""
    for subject in (*SUBJECTS, ON_GPU):
        of_it = [result for result in results if result["subject"] == subject]
        if of_it:
            parts = [markdown(result) for result in of_it]
            if all(result["machine"]["device"] == "cpu" for result in of_it) and subject in ("update", "rollout"):
                parts.append(NO_GPU)
            body = f"<!-- {subject} -->\n" + "\n\n".join(parts) + f"\n<!-- /{subject} -->"
            page = re.sub(rf"<!-- {subject} -->.*?<!-- /{subject} -->", body.replace("\\", r"\\"), page, flags=re.DOTALL)
    return page


def table(
    results: Annotated[Path, typer.Option(help="Folder of the JSON files.")] = FOLDER,
    page: Annotated[Path, typer.Option(help="The page whose tables are refreshed.")] = PAGE,
) -> None:
    """Refresh the tables of docs/performance.md from the JSON files."""
    found = [json.loads(file.read_text(encoding="utf-8")) for file in sorted(results.glob("*.json"))]
    page.write_text(refreshed(page.read_text(encoding="utf-8"), found), encoding="utf-8")
    for one in found:
        if one["subject"] == "scaling":
            draw(one["figures"], page.parent / picture(one))
    say(f"{page}: {', '.join(sorted({one['subject'] for one in found})) or 'nothing to show'}")


# ---- cells


def digits(value: float, unit: str = "") -> str:
    """Three significant digits, without an exponent."""
    text = f"{value:,.0f}" if abs(value) >= 100 else f"{value:#.3g}".rstrip(".")
    return f"{text} {unit}".strip()


def size(count: float) -> str:
    """Bytes in words."""
    for unit, scale in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= scale:
            return digits(count / scale, unit)
    return f"{count:.0f} B"


def between(found: Mapping[str, float], unit: str = "") -> str:
    """A median and its spread."""
    return f"{digits(found['median'], unit)} ({digits(found['least'])} to {digits(found['greatest'])})"
