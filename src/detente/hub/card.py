"""The model card: what the hub reads of an adapter (metadata), and what people do, both made from the record.

Source, pictures, Measured ──> YAML between two lines of ---, then Markdown
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from jinja2 import Environment, PackageLoader

from detente.games.reading import Result
from detente.hub.measured import Measured, Table
from detente.hub.source import Source
from detente.provenance import provenance
from detente.reports.run import Run

# The options that say what was trained on what; the others say where and how fast, and may name machines and folders.
OPTIONS = (
    *("game", "seats", "learners", "algorithm", "reward", "iterations", "episodes", "group_size", "vary", "credit"),
    *("social", "loss", "optimizer", "lora", "opponents", "curriculum", "answer", "evaluation"),
)


@dataclass(frozen=True)
class Play:
    """What the learner does in the end, in one of its roles: tables of self-play, of scripts, and of what it does after what."""

    role: str
    verdict: str
    meaning: str
    tables: tuple[Table, ...]


def card(source: Source, repository: str, pictures: Mapping[str, str], known: Measured) -> str:
    """The text of README.md. ``pictures`` are the files beside it with what they show."""
    environment = Environment(loader=PackageLoader("detente.hub"), trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True)
    environment.filters["cell"] = cell
    run = source.run
    text = environment.get_template("card.md").render(
        source=source,
        repository=repository,
        title=repository.rpartition("/")[2],
        run=run,
        options="" if run is None else yaml.safe_dump(shown_options(run), sort_keys=False, allow_unicode=True),
        facts=[] if run is None else facts(source, run),
        plays=[] if run is None or not source.final else list(plays(source, run)),
        pictures=pictures,
        known=known,
        trained=_in_words({} if run is None else (run.summary or {}).get("detente", {})),
        published=_in_words(provenance()),
        example=example(run),
    )
    return f"---\n{yaml.safe_dump(card_data(source, repository), sort_keys=False, allow_unicode=True)}---\n\n{text}"


def card_data(source: Source, repository: str) -> dict[str, Any]:
    """The metadata as the hub takes it; a base model that it does not have is left out."""
    from huggingface_hub import EvalResult, ModelCardData

    run = source.run
    game = "" if run is None else str(run.options["game"]["name"])
    algorithm = "" if run is None else run.result(source.learner).algorithm
    data = ModelCardData(
        base_model=source.hub_id or None,
        language="en",
        library_name="peft",
        license=source.licence,
        pipeline_tag="text-generation",
        tags=[
            "detente",
            "lora",
            "multi-agent-reinforcement-learning",
            "social-dilemma",
            *map(_tag, filter(None, (game, algorithm))),
        ],
    )
    if run is not None and source.final and (scores := list(_scores(source, run))):
        data.model_name = repository.rpartition("/")[2]
        data.eval_results = [
            EvalResult("reinforcement-learning", _tag(game), game, "mean_reward", value, metric_name=f"points per round, {how}")
            for how, value in scores
        ]
    plain: dict[str, Any] = data.to_dict()  # type: ignore[no-untyped-call]
    return plain


def _scores(source: Source, run: Run) -> Iterator[tuple[str, float]]:
    """(with whom, points per round) of the final evaluation."""
    for role in run.roles(source.learner):
        result, place = run.result(source.learner, role), f", as {role}" if role else ""
        if "reward" in result.self_play:
            yield f"{run.together}{place}", round(result.self_play["reward"], 4)
        for name, numbers in result.against.items():
            if "reward" in numbers:
                yield f"against {name}{place}", round(numbers["reward"], 4)


def _tag(name: str) -> str:
    """A name as a tag of the hub: letters, digits, dots, dashes."""
    return re.sub(r"[^A-Za-z0-9.]+", "-", name).strip("-")


def facts(source: Source, run: Run) -> list[tuple[str, str]]:
    """What the adapter is, a line each."""
    parameters = {key: value for key, value in run.options["game"].items() if key != "name"}
    seats = run.options.get("seats") or ()
    return [
        ("game", str(run.options["game"]["name"])),
        ("its parameters", ", ".join(f"{key}={value}" for key, value in parameters.items()) or "as by default"),
        ("preset", str(run.options.get("preset") or "none")),
        ("seats", ", ".join(str(public(seat)) for seat in seats) or source.learner),
        ("learner", source.learner),
        ("algorithm", run.result(source.learner).algorithm),
        ("version", f"after {source.version} of {run.options.get('iterations', '?')} iterations"),
        ("seed", str(run.options.get("seed", 0))),
    ]


def _in_words(detente: Mapping[str, str]) -> str:
    """``0.2.0, commit 1c5a0e2f9d3b``; empty where it is not recorded."""
    return ", commit ".join(text for key in ("version", "commit") if (text := detente.get(key)))


def plays(source: Source, run: Run) -> Iterator[Play]:
    """What the final evaluation says of the learner, role by role."""
    reading = run.known.reading
    for role in run.roles(source.learner):
        result = run.result(source.learner, role)
        word = reading.verdict(result)
        yield Play(role, word, reading.meanings.get(word, ""), tuple(table for table in _tables(run, result) if table.rows))


def _tables(run: Run, result: Result) -> Iterator[Table]:
    words, interval = run.known.words, result.interval
    ends = {} if interval is None else {"reward": f" [{interval[0]:.2f}, {interval[1]:.2f}]"}
    alone = ((words(name), f"{value:.2f}{ends.get(name, '')}") for name, value in result.self_play.items())
    yield Table(run.together.capitalize(), ("measure", "value"), tuple(alone))
    against = (
        (name, *(f"{numbers[key]:.2f}" if key in numbers else "–" for key in ("reward", "opponent_reward")))
        for name, numbers in result.against.items()
    )
    yield Table("Against scripted strategies, points per round", ("against", "gets", "the strategy gets"), tuple(against))
    for chapter in run.known.reading.chapters:
        rows = ((column.title, f"{result.given[column.key]:.2f}") for column in chapter.columns if column.key in result.given)
        yield Table(chapter.title, ("condition", chapter.caption), tuple(rows), (chapter.text,))


def shown_options(run: Run) -> dict[str, Any]:
    """The options that say what was trained on what."""
    return {name: public(run.options[name]) for name in OPTIONS if run.options.get(name) not in (None, {}, [])}


def public(value: Any) -> Any:
    """An option without what it tells of this machine: of a full path the last part, of a remote model no address."""
    if isinstance(value, Mapping):
        return {key: public(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [public(inner) for inner in value]
    if isinstance(value, str):
        name = value.partition("@http")[0]
        return f"…/{Path(name).name}" if os.path.isabs(name) or name.startswith("~") else name
    return value


def example(run: Run | None) -> str:
    """The preset or the game by which somebody else can play with the adapter; a strategy takes the other seats."""
    if run is None:
        return "ipd"
    preset, game = str(run.options.get("preset") or ""), str(run.options["game"]["name"])
    from detente.presets import preset_names

    return preset if preset in preset_names() else game


def cell(text: object) -> str:
    """A text within a cell of a table or a line of Markdown."""
    return " ".join(re.sub(r"([\\`|<>\[\]])", r"\\\1", str(text)).split())
