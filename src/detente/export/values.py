"""What lies on disk as Python values, for a script or a notebook: the tables of an export without its files.

    run folders, arena folders, episode files ──> read_episodes   Episode, Episode, ...
                                             ├──> read_turns      one dictionary per turn: the columns of turns.parquet
                                             └──> read_metrics    one dictionary per iteration: every metric a key

Everything is held in memory; ``detente export`` is for what does not fit. Must not import torch or pyarrow.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from detente import stored
from detente.export import columns
from detente.export.rows import Origin, turn_rows
from detente.export.sources import Source, find, lines, located
from detente.records import Episode


def read_episodes(*sources: str | Path) -> list[Episode]:
    """Every episode of run folders, arena folders and files of episodes, in the order played.

    What a run that is being written, or was killed, has not finished is left out. UserError for what is no source, and for a
    damaged line, with its place.
    """
    return [episode for _, episode in _episodes(sources)]


def read_by_source(*sources: str | Path) -> list[list[Episode]]:
    """What ``read_episodes`` reads, source by source."""
    _found(sources)
    return [read_episodes(source) for source in sources]


def read_turns(*sources: str | Path) -> list[dict[str, Any]]:
    """One dictionary per turn with the columns of turns.parquet (docs/data.md): ``pandas.DataFrame(detente.read_turns("runs/x"))``.

    Reads what ``read_episodes`` reads. A value that does not apply is None.
    """
    turns = (row for origin, episode in _episodes(sources) for row in turn_rows(origin, episode))
    return [{column.name: column.value(row) for column in columns.TURNS} for row in turns]


def read_metrics(*sources: str | Path) -> list[dict[str, Any]]:
    """One dictionary per iteration: ``source``, ``iteration`` and every metric: ``DataFrame(detente.read_metrics("runs/x"))``.

    All of them have the same keys, in the order in which the names were first written; a metric that an iteration does not have, or
    that could not be measured in it, is None. UserError for what is no source, and for a damaged line, with its place.
    """
    lines_of = [(source.name, line) for source in _found(sources) if source.metrics for line in stored.metrics(source.metrics)]
    names = dict.fromkeys(name for _, line in lines_of for name in ("iteration", *line))
    return [{"source": source} | {name: line.get(name) for name in names} for source, line in lines_of]


def _found(sources: tuple[str | Path, ...]) -> list[Source]:
    return find([Path(source) for source in sources])


def _episodes(sources: tuple[str | Path, ...]) -> Iterator[tuple[Origin, Episode]]:
    for source in _found(sources):
        for path in source.episodes:
            for line in lines(path, []):
                with located(path, line.number, "episode"):
                    episode = Episode.from_json(line.text)
                yield Origin(source.name, source.inside(path), line.number), episode
