"""Transfer: what trained agents do in games that they were not trained in.

    runs ── groups (alike but for the seed) ┐
    suite ── rows: a game and partners ─────┴─> episodes/AGENT-ROW-PARTNER ──> a table, row by group ──> transfer.json

In every row an agent plays with itself and with each partner, which takes all other seats, on game seeds that all agents and
partners share. Points are also told relative to the game's scripts: 0 is mutual defection, 1 mutual cooperation. What is finished
is kept; a transfer that was stopped goes on.
Files: transfer.yaml (what was asked for), episodes/ (the partner's number, 0 for the agent itself), transfer.json.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from detente import jsonl
from detente.config import Config, load_game, read
from detente.errors import UserError
from detente.evaluation.agents import Agent, labels
from detente.evaluation.arena import ANOTHER, Watch, complete
from detente.evaluation.begun import begun
from detente.evaluation.suites import Row, Suite, game
from detente.evaluation.transfer_table import Place, Unit, episodes_file, table
from detente.files import check_same, locked, replace_text
from detente.foreign import is_foreign
from detente.games import configured, names
from detente.games.base import Game
from detente.games.family import PLAIN, family_of, lists_choices
from detente.matches import Named, on_seats, play_sync
from detente.policies import Policies, located
from detente.records import write_episodes

ASKED = "transfer.yaml"
UNTOLD = ("seed", "threads", "device", "concurrency", "record", "evaluation")  # options in which runs of one group may differ


@dataclass(frozen=True)
class Subject:
    """An agent with the options that its answers follow; ``run``: those of the run in which it was trained.

    ``trained_in`` None: not known.
    """

    agent: Agent
    config: Config
    run: bool
    trained_in: Game | None
    policies: Policies


def transfer(
    names: Sequence[str], suite: Suite, folder: Path, *, episodes: int | None = None, seed: int = 0, watch: Watch | None = None
) -> dict[str, Any]:
    """Play what is missing and write transfer.json, which is returned.

    Runs that differ in nothing but their seed are one group, told by one line per row: with an interval over its seeds, and one
    within them. UserError for names that are no runs, adapters or models, and for a folder that was started with anything else.
    """
    count = suite.episodes if episodes is None else episodes
    begun(folder, ASKED, "transfer", ANOTHER)
    with ExitStack() as opened:
        subjects = _subjects(names, suite, opened)
        asked = _request(subjects, suite, count, seed)
        misfits = {(a, r): why for a, s in enumerate(subjects) for r, row in enumerate(suite.rows) if (why := misfit(s, game(row)))}
        planned = [place for place in _places(len(subjects), suite) if place[:2] not in misfits]
        folder.mkdir(parents=True, exist_ok=True)
        opened.enter_context(locked(folder, f"The transfer {folder}", ANOTHER))
        _claim(folder, asked)
        missing = [place for place in planned if not complete(episodes_file(folder, place), count)]
        if watch is not None:
            watch.begin(len(planned), len(planned) - len(missing), count)
        for place in missing:
            _play(subjects[place[0]], suite.rows[place[1]], place, folder, count, seed, watch)
        content = {"suite": suite.description, **asked, **table(_groups(subjects), suite, misfits, folder)}
        replace_text(folder / "transfer.json", json.dumps(content, indent=2) + "\n")
    return content


# ---- who is measured


def _subjects(names: Sequence[str], suite: Suite, opened: ExitStack) -> list[Subject]:
    """The agents of these names, loaded; agents that answer alike share what they load."""
    first = game(suite.rows[0])
    for name in names:
        if names.count(name) > 1:
            raise UserError(f"The run {name} is named twice.")
        if not _measurable(name, first):
            raise UserError(f"'{name}' is no run, adapter or model; transfer measures what was trained, and base models beside it.")
    known: dict[str, Policies] = {}
    resolved = []
    for name in names:
        _, folder = located(name, first)
        options = None if folder is None else _options(folder)
        config = load_game(first.name) if options is None else read(options)
        alike = json.dumps([config.answer.model_dump(mode="json"), config.dtype, config.device])
        if alike not in known:
            known[alike] = opened.enter_context(closing(Policies(first, config.answer, dtype=config.dtype, device=config.device)))
        resolved.append((name, known[alike].resolve(name), config, options, known[alike]))
    short = labels([name for name, *_ in resolved], [policy for _, policy, *_ in resolved])
    weights = [policies.weights(policy) for _, policy, _, _, policies in resolved]
    for number, digest in enumerate(weights):
        if digest is not None and digest in weights[:number]:
            raise UserError(f"{names[weights.index(digest)]} and {names[number]} have the same weights; name one of them.")
    return [
        Subject(
            Agent(name, label, policy, tuple(range(first.num_players)), policies.weights(policy)),
            config,
            options is not None,
            None if options is None else _trained_in(config),
            policies,
        )
        for label, (name, policy, config, options, policies) in zip(short, resolved, strict=True)
    ]


def _measurable(name: str, first: Game) -> bool:
    return name != "human" and located(name, first)[0].kind in ("adapter", "base", "remote")


def _options(adapter: Path) -> Path | None:
    """The options of the run in which an adapter lies, RUN/adapters/LEARNER/VERSION; None for one that lies elsewhere."""
    place = adapter.resolve()
    inside = len(place.parents) > 2 and place.parent.parent.name == "adapters"
    return options if inside and (options := place.parents[2] / "config.yaml").is_file() else None


def _trained_in(config: Config) -> Game | None:
    """The run's game; None where its code is somebody's own, which is not run for this."""
    return None if any(map(is_foreign, names(config.game))) else configured(config.game)


def misfit(subject: Subject, played: Game) -> str:
    """Why an agent cannot play a game, in a few words; "" where it can.

    Whoever learned to pick from a list can pick from another one. Other answers are known within their family alone.
    """
    before = subject.trained_in
    alike = before is None or family_of(before).name == family_of(played).name != PLAIN.name
    if before is not None and not alike and not (lists_choices(before) and lists_choices(played)):
        return f"it learned the answers of {before.name}, which are no answers here"
    try:
        subject.policies.within(played).check_room([subject.agent.policy])
    except UserError as error:
        return str(error).rstrip(".")
    return ""


def _groups(subjects: Sequence[Subject]) -> list[Unit]:
    """The runs that are alike but for the seed, and every other agent by itself."""
    alike: dict[str, list[int]] = {}
    for number, subject in enumerate(subjects):
        options = subject.config.model_dump(mode="json", exclude={*UNTOLD})
        own = (options, _learner(subject), subject.agent.policy.version) if subject.run else subject.agent.name
        alike.setdefault(json.dumps(own, sort_keys=True), []).append(number)
    titles = [subjects[numbers[0]].config.algorithms for numbers in alike.values()]

    def label(numbers: list[int], title: str) -> str:
        unique = len(numbers) > 1 and titles.count(title) == 1
        return f"{title}, {len(numbers)} seeds" if unique else ", ".join(subjects[number].agent.label for number in numbers)

    return [Unit(label(numbers, title), tuple(numbers)) for numbers, title in zip(alike.values(), titles, strict=True)]


def _learner(subject: Subject) -> str:
    """The name of the learner whose adapter this is."""
    return subject.policies.folders[subject.agent.policy].resolve().parent.name


# ---- play


def _places(agents: int, suite: Suite) -> Iterator[Place]:
    for agent in range(agents):
        for number, row in enumerate(suite.rows):
            yield from ((agent, number, partner) for partner in range(1 + len(row.partners or ())))


def _play(subject: Subject, row: Row, place: Place, folder: Path, count: int, seed: int, watch: Watch | None) -> None:
    """Play an agent's episodes with a partner: it takes every seat in turn, on each game seed once from each."""
    agent, number, partner = place
    played = game(row)
    policies = subject.policies.within(played)
    me = subject.agent.policy
    other = me if partner == 0 else policies.resolve((row.partners or ())[partner - 1])
    if watch is not None:
        watch.seating([f"{subject.agent.label} in '{row.name}'", "itself" if partner == 0 else (row.partners or ())[partner - 1]])
    policies.check_room([other])
    seats = range(played.num_players)
    taken = [index % len(seats) for index in range(count)]
    seatings = [replace(seating, group=seating.index // len(seats)) for seating in on_seats(me, other, taken, len(seats))]
    stream = Named((seed, "transfer game"), (seed, "transfer", number, partner, agent))
    tell: Callable[[Any], None] | None = None if watch is None else lambda _: watch.episode()
    done = play_sync(policies, played, seatings, stream=stream, watch=tell, concurrency=subject.config.concurrency)
    path = episodes_file(folder, place)
    partial = path.with_name(f"{jsonl.name(path)}.partial.gz")
    write_episodes(partial, done)
    jsonl.remove(path)
    partial.replace(path)


# ---- the folder


def _request(subjects: Sequence[Subject], suite: Suite, episodes: int, seed: int) -> dict[str, Any]:
    """All that the result depends on, as transfer.yaml holds it."""
    return {
        "agents": [subject.agent.name for subject in subjects],
        "versions": {s.agent.name: s.agent.policy.version for s in subjects if s.agent.policy.kind == "adapter"},
        "weights": {s.agent.name: s.agent.weights for s in subjects if s.agent.weights},
        "answer": {s.agent.name: s.config.answer.model_dump(mode="json") for s in subjects},
        "seed": seed,
        "episodes": episodes,
        "rows": [row.model_dump(mode="json") for row in suite.rows],
    }


def _claim(folder: Path, asked: dict[str, Any]) -> None:
    """Write transfer.yaml, or check that the folder was started with the same."""
    stored = begun(folder, ASKED, "transfer", ANOTHER)
    if stored is None:
        replace_text(folder / ASKED, yaml.safe_dump(asked, sort_keys=False, allow_unicode=True))
    else:
        check_same(f"The transfer {folder}", stored, asked, ANOTHER)
