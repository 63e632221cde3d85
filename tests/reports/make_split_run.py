"""Writes the run folder of a splitting game without training: real episodes of scripts, ever more often of another one."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from detente import config, games
from detente.evaluation.final import evaluate, flat
from detente.evaluation.measures import measures
from detente.games.base import Game, Observation
from detente.players.base import MemorylessPlayer
from detente.players.scripted import Scripted, scripted
from detente.policies import Policies
from detente.records import Completion, Episode, PolicyRef, write_episodes
from detente.rollout import Match, play_matches

ENDS = {"reinforce": "liar", "advantage_alignment": "reciprocator", "sum_of_rewards": "welfare"}  # what welfare turns into
AGAINST = ["greedy", "welfare", "reciprocator", "random"]


@dataclass
class Learner(MemorylessPlayer):
    """Plays as a script does under a policy of its own; now and then its answer is ``reply``, which is invalid."""

    policy: PolicyRef
    script: Scripted
    rng: random.Random
    reply: str
    invalid: float = 0.03

    async def act(self, observation: Observation) -> Completion:
        done = await self.script.act(observation)
        text = self.reply if self.rng.random() < self.invalid else done.text
        return Completion(text, self.policy, tokens=(1, 2), logprobs=(-0.1, -0.0))


def make_split_run(
    folder: Path,
    algorithm: str = "reinforce",
    *,
    game: str = "trust_and_split",
    seed: int = 0,
    iterations: int = 12,
    done: int | None = None,
    summary: bool = True,
    reply: str = "I take all of it!",
    against: Sequence[str] = AGAINST,
) -> Path:
    """A run folder that is finished, or (``done``, ``summary=False``) stopped on the way."""
    options = {
        "preset": game,
        "game": {"name": game},
        "algorithm": algorithm,
        "seed": seed,
        "iterations": iterations,
        "evaluation": {"episodes": 24, "against": list(against)},
    }
    chosen = config.build(options)
    made = games.make(game)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.yaml").write_text(config.to_yaml(chosen), encoding="utf-8")
    finished = iterations if done is None else done
    with (folder / "metrics.jsonl").open("w", encoding="utf-8") as metrics:
        for i in range(1, finished + 1):
            episodes = _episodes(made, i, iterations, algorithm, seed, reply)
            write_episodes(folder / "episodes" / f"{i:06d}.jsonl", episodes)
            row = _metrics(made, i, episodes)
            if i == finished:
                row |= flat({"main": _evaluation(chosen, made, algorithm)})
            metrics.write(json.dumps(row) + "\n")
    if summary:
        about = {"game": game, "preset": game, "seed": seed, "iterations": iterations, "model": "pocket"}
        found = about | {"learners": {"main": _evaluation(chosen, made, algorithm)}}
        (folder / "summary.json").write_text(json.dumps(found), encoding="utf-8")
    return folder


def _episodes(game: Game, i: int, iterations: int, algorithm: str, seed: int, reply: str) -> list[Episode]:
    now, before = PolicyRef("adapter", "main", i - 1), PolicyRef("adapter", "main", max(0, i - 4))
    matches = []
    for index in range(8):
        rng = random.Random(f"{algorithm} {seed} {i} {index}")
        other = before if index % 4 == 3 else now
        players = []
        for policy in (now, other):
            turned = rng.random() < policy.version / (0.6 * iterations)
            script = scripted(ENDS[algorithm] if turned else "welfare", rng.randrange(10**6), game)
            players.append(Learner(policy, script, random.Random(rng.random()), reply))
        learners = ("main", "main" if other is now else None)
        matches.append(Match(game, 7000 + index, players, learners, iteration=i, group=index // 4, index=index))
    return play_matches(matches)


def _metrics(game: Game, i: int, episodes: Sequence[Episode]) -> dict[str, Any]:
    sides = [(e, seat) for e in episodes for seat, learner in enumerate(e.learners) if learner]
    together = [(e, seat) for e, seat in sides if None not in e.learners]
    kept = [(e, seat) for e, seat in sides if None in e.learners]
    row: dict[str, Any] = {"iteration": i}
    for key, value in measures(game, sides).items():
        table, *condition = key.split("/")
        row["/".join([table, "main", *condition])] = value
    for prefix, chosen in (("self_play", together), ("vs/kept", kept)):
        row |= {
            f"{prefix}/{key}/main": value for key, value in measures(game, chosen).items() if "/" not in key and key != "invalid"
        }
    return row | {"loss/main": -0.05, "kl/main": 0.02 * i, "mismatch/kl": 1e-7, "time/total_s": 2.1}


def _evaluation(chosen: config.Config, game: Game, algorithm: str) -> dict[str, Any]:
    present = {"main": PolicyRef("script", ENDS[algorithm])}
    return evaluate(chosen, game, Policies(game, chosen.answer), present, 0, lambda _: None)["main"] | {"algorithm": algorithm}
