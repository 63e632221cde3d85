"""What commands leave in folders, read and checked: one function per kind of file.

    config.yaml ── options     metrics.jsonl ── metrics, newest_metrics     summary.json ── summary     changes.json ── changes
    arena.json ── arena        fingerprint.json ── fingerprint            best_response.json ── best_response
    worst_case.json ── worst_case         imitation.json ── imitated

A folder may be foreign, cut short, or damaged. What these return has the shape that their readers rely on; everything else
is a UserError of one sentence that names the file and the first thing wrong with it. Fields that nobody asks for pass. Must not
import torch.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson
from pydantic import ValidationError

from detente import stored_measurements as measurements
from detente import stored_shapes as shapes
from detente.errors import UserError, counted
from detente.faults import first_fault
from detente.files import LARGEST, read_text, reason
from detente.plain_yaml import SIZE, parse

TAIL = 1 << 18  # bytes at the end of metrics.jsonl that surely hold a line
PRINTS = ("memory_one", "memory_two", "forgiveness", "responses", "measures")


def options(path: Path) -> dict[str, Any]:
    """The config.yaml of a run, of this version or another: whatever options it had, among them those that every reader needs."""
    with _readable(path, "a run's options"):
        return _checked(shapes.Options, parse(read_text(path, SIZE)))


def metrics(path: Path) -> tuple[dict[str, Any], ...]:
    """The finished lines of metrics.jsonl; () where there is no file. A run that is being written may end in half a line."""
    if not path.is_file():
        return ()
    with _readable(path, "metrics"):
        finished, _, _ = read_text(path, LARGEST).rpartition("\n")
    return tuple(_row(path, f"line {number} ", line) for number, line in enumerate(finished.split("\n"), 1) if line.strip())


def newest_metrics(path: Path) -> Iterator[dict[str, Any]]:
    """The finished lines at the end of metrics.jsonl, the last one first. Reads no more than the end of the file."""
    if not path.is_file():
        return
    with _readable(path, "metrics"), path.open("rb") as file:
        start = max(0, path.stat().st_size - TAIL)
        file.seek(start)
        finished, _, _ = file.read(TAIL).rpartition(b"\n")
    lines = finished.split(b"\n")[1 if start else 0 :]  # the first one may lack its beginning
    for number, line in enumerate(reversed(lines)):
        if line.strip():
            yield _row(path, f"line {number + 1} from its end " if number else "its last line ", line)


def summary(path: Path) -> dict[str, Any] | None:
    """The final evaluation; None where there is no file, as of a run that is not finished."""
    return _json(path, "a run's evaluation", shapes.Summary) if path.is_file() else None


def changes(path: Path) -> tuple[dict[str, Any], ...]:
    """Which learning rates changed while a run was trained; () where there is no file."""
    if not path.is_file():
        return ()
    what = "the changes of a run's learning rates"
    with _readable(path, what):
        content = orjson.loads(read_text(path, LARGEST))
        if not isinstance(content, list):
            raise ValueError("it is no list")
        return tuple(_checked(shapes.Change, change) for change in content)


def arena(path: Path) -> dict[str, Any]:
    """The result of an arena; every agent that it speaks of is one of its agents, and no pair has two cells in one role."""
    content = _json(path, "the result of an arena", shapes.Arena)
    with _readable(path, "the result of an arena"):
        count = len(content["agents"])
        sides = [(cell["row"], cell["column"], cell.get("role", "")) for cell in content["cells"]]
        if len(set(sides)) < len(sides):
            raise ValueError("it has two cells for one pair of agents")
        numbers = [number for cell in content["cells"] for table in cell["tables"] for number in table]
        numbers += [number for row, column, _ in sides for number in (row, column)]
        rankings = [content.get(part) or () for part in ("ranking", "tournament", "population")]
        numbers += [line["agent"] for ranking in rankings for line in ranking]
        numbers += [line["worst_against"] for line in content["ranking"] if line.get("worst_against") is not None]
        if max(numbers, default=0) >= count:
            raise ValueError(f"it speaks of agent {max(numbers)} and has {counted(count, 'agent')}")
    return content


def fingerprint(path: Path) -> dict[str, Any]:
    """What agents do after what: all of them in a matrix game, all in a splitting game, or all in one of another family."""
    content = _json(path, "a fingerprint", measurements.Fingerprint)
    with _readable(path, "a fingerprint"):
        kinds = {tuple(key for key in PRINTS if agent.get(key) is not None) for agent in content["agents"]}
        if kinds not in ({PRINTS[:3]}, {PRINTS[3:4]}, {PRINTS[4:]}):
            raise ValueError("its agents do not all have the tables of a matrix game, all responses, or all measures")
        if len({tuple(tuple(agent[key]) for key in PRINTS[:2] if key in agent) for agent in content["agents"]}) > 1:
            raise ValueError("its agents have different tables")
    return content


def best_response(path: Path) -> dict[str, Any]:
    """What is gained against an agent."""
    return _json(path, "a best response", measurements.BestResponse)


def worst_case(path: Path) -> dict[str, Any]:
    """How bad the worst adversary is for an agent."""
    return _json(path, "the worst case of an agent", measurements.WorstCase)


def imitated(path: Path) -> dict[str, Any] | None:
    """What the learner of a run imitates; None where there is no file."""
    return _json(path, "what a learner imitates", measurements.Imitated) if path.is_file() else None


def _row(path: Path, where: str, line: str | bytes) -> dict[str, Any]:
    with _readable(path, "metrics", where):
        return _checked(shapes.Row, orjson.loads(line))


def _json(path: Path, what: str, model: type[shapes.Stored]) -> dict[str, Any]:
    with _readable(path, what):
        return _checked(model, orjson.loads(read_text(path, LARGEST)))


def _checked(model: type[shapes.Stored], content: Any) -> dict[str, Any]:
    """What was found, as it is, if it has the shape of the model."""
    try:
        model.model_validate(content)
    except ValidationError as error:
        raise ValueError(first_fault(error)) from None
    return dict(content)


@contextmanager
def _readable(path: Path, what: str, where: str = "") -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read as {what}: {where}{reason(error)}.") from error
