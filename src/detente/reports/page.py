"""The report: one self-contained HTML page for one run or several, and a PNG of each plot beside it.

    read_runs ──> Study ── sections ──> Jinja templates (autoescape on) ──> index.html, *.png

The page loads nothing from anywhere: style, script, drawings and transcripts are inside. Must not import torch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from jinja2 import ChoiceLoader, Environment, PackageLoader, Undefined
from markupsafe import Markup, escape

from detente.errors import UserError, counted
from detente.evaluation.statistics import ends
from detente.games.roles import in_role
from detente.reports.run import read_runs

if TYPE_CHECKING:
    from detente.reports.sections import Section
    from detente.reports.study import Study


def report(runs: Sequence[str | Path], out: str | Path | None = None) -> Path:
    """Write the page and return its path.

    ``out`` is the page's file: by default RUN/report/index.html for one run and report.html beside the first of several. The
    PNG files lie in the page's folder; those of a page that is not called index.html in a folder of the page's name. Raises
    UserError for a folder that is missing or is no run.
    """
    from detente.reports.plots import save  # matplotlib is slow to import and nothing else here needs it
    from detente.reports.sections import sections
    from detente.reports.study import Study

    if not runs:
        raise UserError("A report needs at least one run folder.")
    folders = [Path(run) for run in runs]
    study = Study(read_runs(folders))
    parts = sections(study)
    page = Path(out) if out else folders[0] / "report" / "index.html" if len(runs) == 1 else folders[0].parent / "report.html"
    pictures = page.parent if page.stem == "index" else page.with_suffix("")
    pictures.mkdir(parents=True, exist_ok=True)
    for section in parts:
        if section.picture is not None:
            save(section.picture, pictures / f"{section.name}.png")
    page.write_text(_html(study, parts), encoding="utf-8")
    return page


def environment(*packages: str) -> Environment:
    """The templates of these packages, then those of reports; everything is escaped."""
    loader = ChoiceLoader([PackageLoader(package) for package in (*packages, "detente.reports")])
    made = Environment(loader=loader, autoescape=True, trim_blocks=True, lstrip_blocks=True)
    made.filters |= {
        "number": _number,
        "breakable": _breakable,
        "interval": _interval,
        "in_role": in_role,
        "counted": _counted,
        "rate": _rate,
    }
    return made


def _html(study: Study, sections: Sequence[Section]) -> str:
    return environment().get_template("page.html").render(study=study, sections=sections)


def _counted(number: int | Undefined | None, noun: str) -> str:
    """``2 iterations``; a question mark where the number is not known."""
    return f"? {noun}s" if number is None or isinstance(number, Undefined) else counted(number, noun)


def _number(value: float | Undefined | None) -> str:
    """Two decimals, or a dash for what is not known."""
    return "–" if value is None or isinstance(value, Undefined) else f"{value:.2f}"


def _rate(value: float | None) -> str:
    """A learning rate as short as it can be told."""
    return "unset" if value is None else f"{value:g}"


def _interval(estimate: Mapping[str, float | None]) -> str:
    """[low, high], that all units are alike, or a dash where there is no interval."""
    return ends(estimate) or "–"


def _breakable(name: str) -> Markup:
    """A name that may break after an underscore."""
    return escape(name).replace("_", Markup("_<wbr>"))
