"""The parts of a report, one at a time, of runs that may still train.

    runs ── stamp (grew?) ──> study, kept until it changes ──> part(name) ──> HTML

Must not import torch; matplotlib comes with the first drawing.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from jinja2 import Environment

from detente.family_file import FILE
from detente.reports.run import Run, read_runs
from detente.web.pages import templates
from detente.web.runs import state

if TYPE_CHECKING:
    from detente.reports.study import Study

ELSEWHERE = ("transcripts",)  # has pages of its own
CURVES = ("training", "opponents", "diagnostics", "options")  # need no scripted references
WATCHED = ("config.yaml", "metrics.jsonl", "summary.json", FILE)

Stamp = tuple[tuple[int, int] | None, ...]

_drawing = threading.Lock()  # matplotlib's style is global


def stamp(paths: Sequence[Path]) -> Stamp:
    """Size and time of the files that a page is made from: it changes when a page would."""
    files = [path / name for path in paths for name in WATCHED]
    return tuple((file.stat().st_size, file.stat().st_mtime_ns) if file.is_file() else None for file in files)


def heading(paths: Sequence[Path]) -> list[tuple[Run, str]]:
    """The runs and their states."""
    return list(zip(_study(tuple(paths), stamp(paths)).runs, map(state, paths), strict=True))


def names(paths: Sequence[Path]) -> list[str]:
    """The parts that a page about these runs may have, in order."""
    from detente.reports.sections import parts

    return [name for name in parts(_study(tuple(paths), stamp(paths))) if name not in ELSEWHERE]


def part(paths: Sequence[Path], name: str) -> str:
    """The HTML of one part; "" where the runs hold nothing for it. KeyError for a name that is no part."""
    return _part(tuple(paths), stamp(paths), name)


@lru_cache(maxsize=64)
def _part(paths: tuple[Path, ...], when: Stamp, name: str) -> str:
    from detente.reports.sections import parts

    study = _study(paths, when)
    make = parts(study)[name]
    if name not in CURVES:
        _ = study.references  # may play many games, so before the lock
    with _drawing:
        section = make(study)
    return "" if section is None else _templates().get_template("section.html").render(study=study, section=section)


@lru_cache(maxsize=8)
def _study(paths: tuple[Path, ...], _: Stamp) -> Study:
    """The runs as they are; the stamp tells one state from another."""
    from detente.reports.study import Study

    return Study(read_runs(paths))


@lru_cache(maxsize=1)
def _templates() -> Environment:
    return templates()
