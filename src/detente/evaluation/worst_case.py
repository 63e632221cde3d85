"""The worst case of an agent: many adversaries train against it, all of them meet it, and the worst of them counts.

    adversaries ──┐
    cooperator ───┼── same game seeds ──> points of both ──> even seeds choose the worst, odd seeds say how bad it is
    agent itself ─┘

The worst of many means, on the seeds that made it the worst, is worse than it really is; on other seeds it is not.
Files: worst_case.yaml (the agent and the starts, with their versions), adversaries/ (a run folder each), worst_case.json.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

import yaml

from detente import family_file
from detente.config import Config
from detente.errors import UserError
from detente.evaluation.adversaries import AGENT, BASE, SHAPER, Task, Watch, planned, resolved_starts, tasks, train_all
from detente.evaluation.agents import labels
from detente.evaluation.begun import begun
from detente.evaluation.best_response import exact, frozen, meeting, places, responder_config, stand_ins
from detente.evaluation.measures import Side, measured
from detente.evaluation.shapers import while_learning
from detente.evaluation.statistics import Bounds, estimate
from detente.files import check_same, locked, replace_text
from detente.games.roles import roles
from detente.games.sides import by_group
from detente.policies import Policies, pinned

ASKED, RESULT = "worst_case.yaml", "worst_case.json"
ANOTHER = "give --run another folder"
ITSELF = "the agent itself"
QUESTIONS = {"reward": 1, "gain": 1, "agent_reward": -1, "margin": 1}  # what is worst: the largest (1) or smallest (-1) mean


@dataclass(frozen=True)
class Points:
    """Points per round by game seed of whoever met the agent, of the agent, and of both with a cooperator in its place."""

    own: Sequence[float]
    agent: Sequence[float]
    cooperator: Sequence[float] = ()
    agent_with_cooperator: Sequence[float] = ()

    def values(self) -> dict[str, list[float]]:
        """What is reported, by game seed: ``gain`` and ``loss`` are differences to a cooperator, where there is one."""
        values = {"reward": list(self.own), "agent_reward": list(self.agent), "margin": _less(self.own, self.agent)}
        if self.cooperator:
            values |= {"gain": _less(self.own, self.cooperator), "loss": _less(self.agent_with_cooperator, self.agent)}
        return values


def worst_case(
    preset: str,
    against: str,
    folder: Path,
    overrides: Sequence[str] = (),
    *,
    aims: Sequence[str] = ("own", "harm", "margin"),
    starts: Sequence[str] = ("base",),
    seeds: Sequence[int] = (0,),
    jobs: int = 1,
    memory: int | None = None,
    watch: Watch | None = None,
    trust: bool = False,
    role: str | None = None,
) -> dict[str, Any]:
    """Train every adversary that is not trained yet, let all meet the agent, and write worst_case.json, which is returned.

    UserError for aims, starts, seeds, options and folders that do not fit, before anything is written.
    """
    before = _begun(folder)
    named = {against, *({*starts} - {BASE, AGENT})}
    versions = {name: pinned(name) for name in sorted(named)} | before.get("versions", {})
    agent = versions[against]
    config = responder_config(preset, agent, overrides, trust=trust, role=role)
    pairs, left_out = resolved_starts(
        [versions[name] if name in named - {BASE, AGENT} else name for name in starts], agent, config.game
    )
    work = tasks(planned(aims, pairs, seeds), preset, agent, folder, overrides, trust=trust, role=role)
    asked = {"preset": config.preset, "against": agent}
    if before:
        check_same(f"The search {folder}", {key: before.get(key) for key in asked}, asked, ANOTHER)
    with closing(Policies.of(config)) as policies:
        known = family_file.content(policies.game, ())
        folder.mkdir(parents=True, exist_ok=True)
        with locked(folder, f"The search {folder}", ANOTHER):
            replace_text(folder / ASKED, yaml.safe_dump(asked | {"versions": versions}, sort_keys=False, allow_unicode=True))
            replace_text(folder / family_file.FILE, known)
            train_all(work, jobs, watch)
            if watch is not None:
                watch.measuring()
            result = measure(config, policies, work, memory) | {"left_out": left_out}
            replace_text(folder / RESULT, json.dumps(result, indent=2) + "\n")
    return result


def measure(config: Config, policies: Policies, work: Sequence[Task], memory: int | None = None) -> dict[str, Any]:
    """The content of worst_case.json: everybody against the agent on the same game seeds."""
    agent, bounds = policies.resolve(frozen(config)), policies.game.reward_bounds
    others = {policy.name if who == "cooperator" else ITSELF: policy for who, policy in stand_ins(config, policies, agent).items()}
    script = next((name for name in others if name != ITSELF), None)
    trained = {task.adversary.name: task for task in work}
    met = {task.adversary.name: policies.resolve(str(task.adapter)) for task in work} | others
    sides = {name: meeting(config, policies, policy, agent) for name, policy in met.items()}
    means = {name: [_by_seed(side) for side in pair] for name, pair in sides.items()}
    points = {name: Points(*pair, *means[script] if script else ()) for name, pair in means.items()}
    named = roles(policies.game)
    taken = {who: " and ".join(named[seat] for seat in seats) for who, seats in places(config).items()} if named else {}
    return {
        "game": policies.game.name,
        "preset": config.preset,
        "against": frozen(config),
        "label": labels([frozen(config)], [agent])[0],
        **({"roles": taken} if taken else {}),
        "algorithm": config.algorithm,
        "seed": config.seed,
        "iterations": config.iterations,
        "unit": "points per round",
        "adversaries": [
            {
                "name": name,
                **_about(trained.get(name)),
                **_estimates(points[name].values(), bounds),
                "measures": _scalars(policies, own),
            }
            for name, (own, _) in sides.items()
        ],
        "worst": worst(points, bounds),
        "exact": exact(policies, agent, memory, places(config)["agent"][0]),
    }


def worst(points: Mapping[str, Points], bounds: Bounds | None = None) -> list[dict[str, Any]]:
    """For each question the name with the worst mean on the even game seeds, and its numbers on the odd ones; points lie
    within ``bounds``. Who gets most points is asked only where no gain over a cooperator is known."""
    values = {name: met.values() for name, met in points.items()}
    known = [question for question in QUESTIONS if all(question in numbers for numbers in values.values())]
    lines = []
    for question in [question for question in known if question != "reward" or "gain" not in known]:
        name = max(values, key=lambda name: QUESTIONS[question] * fmean(values[name][question][::2]))
        measured_on = {key: by_seed[1::2] for key, by_seed in values[name].items()}
        line = {"question": question, "adversary": name, **_estimates(measured_on, bounds), "by_game_seed": measured_on[question]}
        lines.append(line)
    return lines


def _about(task: Task | None) -> dict[str, Any]:
    if task is None:
        return {}
    adversary = task.adversary
    trials = while_learning(task.config, task.run) if adversary.aim == SHAPER else None
    about = {"aim": adversary.aim, "start": adversary.start, "seed": adversary.seed}
    return about | ({} if trials is None else {"while_learning": trials})


def _estimates(values: Mapping[str, Sequence[float]], bounds: Bounds | None) -> dict[str, Any]:
    limits = dict.fromkeys(("reward", "agent_reward"), bounds)  # of differences none are known
    return {key: estimate([[value] for value in by_seed], limits.get(key)).to_json() for key, by_seed in values.items()}


def _scalars(policies: Policies, sides: Sequence[Side]) -> dict[str, float | None]:
    return {name: value for name, value in measured(policies.game, sides)[0].items() if name != "reward"}


def _by_seed(sides: Sequence[Side]) -> list[float]:
    return [fmean(group) for group in by_group(sides)]


def _less(first: Sequence[float], second: Sequence[float]) -> list[float]:
    return [a - b for a, b in zip(first, second, strict=True)]


def _begun(folder: Path) -> dict[str, Any]:
    """What a search that was begun in the folder was asked for; {} of a new one. UserError for any other folder."""
    asked = begun(folder, ASKED, "search for the worst case", ANOTHER)
    if asked is not None and not isinstance(asked.get("versions"), dict):
        raise UserError(f"{folder / ASKED} names no versions of the agent and the starts; {ANOTHER}.")
    return asked or {}
