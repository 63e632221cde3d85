"""What was measured of an adapter already, in its run's folder or where commands write beside it; nothing is measured here.

arena.json  best_response.json  worst_case.json  fingerprint.json ── is one of its agents this adapter? ──> Measured
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from detente import adapters, stored
from detente.errors import UserError, counted
from detente.evaluation.statistics import in_words
from detente.policies import adapter_folder
from detente.reports import best_response as responses
from detente.reports import worst_case as searches

log = logging.getLogger(__name__)

COMMANDS = {  # the file of a measurement, and the folder that its command writes to
    "arena.json": "arena",
    "best_response.json": "best-response",
    "worst_case.json": "worst-case",
    "fingerprint.json": "fingerprint",
}


@dataclass(frozen=True)
class Table:
    """A measurement as rows of text beneath heads, and as sentences."""

    title: str
    heads: tuple[str, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()
    sentences: tuple[str, ...] = ()


@dataclass(frozen=True)
class Measured:
    """The rows of arenas, and what is known of how far the adapter can be exploited."""

    cross_play: tuple[Table, ...] = ()
    exploited: tuple[Table, ...] = ()


def measured(folder: Path, run: Path) -> Measured:
    """All that lies in the folder of a run, or beside it, about the adapter in ``folder``."""
    return Measured(
        cross_play=tuple(_tables(run, "arena.json", stored.arena, lambda path, content: _rows_of(content, folder))),
        exploited=(
            *_tables(run, "best_response.json", stored.best_response, lambda path, content: _best_response(path, content, folder)),
            *_tables(run, "worst_case.json", stored.worst_case, lambda path, content: _worst_case(path, content, folder)),
            *_tables(run, "fingerprint.json", stored.fingerprint, lambda path, content: _exact(content, folder)),
        ),
    )


def _tables(
    run: Path,
    name: str,
    read: Callable[[Path], dict[str, Any]],
    about: Callable[[Path, dict[str, Any]], Iterator[Table]],
) -> Iterator[Table]:
    for path in _files(run, name):
        try:
            yield from about(path, read(path))
        except UserError as error:
            log.warning("The card does without a measurement: %s", error)


def _files(run: Path, name: str) -> list[Path]:
    """The files of that name in the folder of a run, in those beside it, and where its command writes to in the folders around."""
    command = COMMANDS[name]
    around = [path for pattern in (name, f"*/{name}") for path in (*run.glob(pattern), *run.parent.glob(pattern))]
    for top in (run.parent, run.parent.parent):
        around += [path for depth in ("", "*/", "*/*/") for path in top.glob(f"{command}/{depth}{name}")]
    return sorted({path for path in around if path.is_file()})


def _is(name: object, version: object, folder: Path) -> bool:
    """Whether an agent of that name, at that version where its name says none, is the adapter in the folder."""
    try:
        place = Path(str(name))
        named = adapters.newest(place, int(str(version))) if version and adapters.named_by(place) else adapter_folder(str(name))
    except (UserError, OSError, ValueError):
        return False
    return named.resolve() == folder.resolve()


def _rows_of(arena: Mapping[str, Any], folder: Path) -> Iterator[Table]:
    """The row of the adapter in an arena, where it took part."""
    agents = arena["agents"]
    for number, agent in enumerate(agents):
        if _is(agent.get("name"), agent.get("version"), folder):
            cells = [cell for cell in arena["cells"] if cell["row"] == number]
            roles = ("as",) if any(cell.get("role") for cell in cells) else ()
            rows = tuple(
                (agents[cell["column"]]["label"], *(cell.get("role", "") for _ in roles), *map(in_words, _both(cell)))
                for cell in cells
            )
            yield Table(f"{_title(arena)}, points per round", ("against", *roles, "gets", "the other gets"), rows)


def _both(cell: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """What both sides of a cell get."""
    return cell["reward"], cell["opponent_reward"]


def _best_response(path: Path, result: dict[str, Any], folder: Path) -> Iterator[Table]:
    """Who trained against the adapter, what that gained, and what is exact."""
    if _is(result.get("against"), None, folder):
        trained = f"after {counted(result['iterations'], 'iteration')} of a fresh learner, " if "iterations" in result else ""
        title = f"{_title(result)}, best response, {trained}points per round"
        sentences = tuple(responses.sentences(result, responses.known(path.parent, result)))
        yield Table(title, ("against it", "gets", "the agent gets"), tuple(responses.rows(result)), sentences)


def _worst_case(path: Path, result: dict[str, Any], folder: Path) -> Iterator[Table]:
    """The worst of all adversaries that were trained against the adapter."""
    if _is(result.get("against"), None, folder):
        title = f"{_title(result)}, worst of {len(result['adversaries'])} adversaries, points per round"
        yield Table(title, ("question", "worst adversary", "in play", "exact"), tuple(searches.worst_rows(result)))


def _exact(prints: dict[str, Any], folder: Path) -> Iterator[Table]:
    """The exact best response to the adapter and its floor, as a fingerprint has them."""
    for agent in prints["agents"]:
        exact = agent.get("exact")
        if exact and _is(agent.get("name"), agent.get("version"), folder):
            rows = ((f"exact {what}", *map(responses.bounds, pairs)) for what, *pairs in responses.extremes(exact))
            title = f"{_title(prints)}, exact ({exact['method']}), points in {exact['rounds']} rounds"
            yield Table(title, ("against it", "gets", "the agent gets"), tuple(rows))


def _title(content: Mapping[str, Any]) -> str:
    """Which game, and by which preset where that is not its name."""
    game, preset = str(content.get("game", "")), str(content.get("preset", ""))
    return game if preset in ("", game) else f"{game} (preset {preset})"
