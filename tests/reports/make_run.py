"""Writes a run folder as training would, without training: made-up curves, and episodes of actors who follow them."""

from __future__ import annotations

import json
import math
import random
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from detente import config, games
from detente.games.base import Observation
from detente.players.base import MemorylessPlayer
from detente.records import Completion, PolicyRef, write_episodes
from detente.rollout import Match, play_matches

CONDITIONS = ("start", "CC", "CD", "DC", "DD")
HOSTILE = "</script><script>document.title = 'taken'</script><img src=x onerror=\"document.title = 'taken'\"> <A>!"
STRATEGIES = ("always_cooperate", "always_defect", "tit_for_tat", "random")
BEHAVIOUR = {  # where P(C | last joint move) ends, and the rewards (own, theirs) against STRATEGIES that go with it
    "reinforce": ((0.03, 0.04, 0.02, 0.02, 0.01), ((4.93, 0.1), (1.0, 1.05), (1.42, 0.93), (2.98, 0.52))),
    "advantage_alignment": ((0.99, 0.995, 0.03, 0.97, 0.04), ((3.0, 3.0), (0.9, 1.4), (2.99, 3.0), (2.21, 2.3))),
    "sum_of_rewards": ((0.99, 0.99, 0.98, 0.99, 0.95), ((3.0, 3.0), (0.03, 4.9), (2.98, 3.01), (1.5, 3.96))),
}


@dataclass
class Actor(MemorylessPlayer):
    """Plays by P(C | last joint move) and answers as a model does, now and then invalidly."""

    policy: PolicyRef
    given: tuple[float, ...]
    rng: random.Random
    invalid: float = 0.0
    reply: str = "I pick <A>!"

    async def act(self, observation: Observation) -> Completion:
        view = observation.view
        last = view.own[-1] + view.other[-1] if view.own else "start"
        p = self.given[CONDITIONS.index(last)]
        text = view.answers[0] if self.rng.random() < p else view.answers[1]
        if self.rng.random() < self.invalid:
            text = self.reply
        return Completion(text, self.policy, tokens=(1, 2), logprobs=(-0.1, -0.0), probabilities=(p, 1 - p))


def make_run(
    folder: Path,
    algorithm: str = "reinforce",
    *,
    seed: int = 0,
    iterations: int = 40,
    done: int | None = None,
    summary: bool = True,
    every: int = 10,
    reply: str = "I pick <A>!",
    overrides: dict[str, Any] | None = None,
) -> Path:
    """A run folder that is finished, or (``done``, ``summary=False``) stopped on the way."""
    options = {
        "preset": "ipd_pocket",
        "game": {"name": "ipd"},
        "algorithm": algorithm,
        "seed": seed,
        "iterations": iterations,
        "evaluation": {"every": every},
        "credit": {"beta": 2.0, "shaping": "causal"} if algorithm == "advantage_alignment" else {},
        "opponents": {"kept": 0.25} if algorithm == "advantage_alignment" else {},
    }
    chosen = config.build(options | (overrides or {}))
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.yaml").write_text(config.to_yaml(chosen), encoding="utf-8")
    rng = random.Random(f"{algorithm}{seed}")
    rows = [_metrics(i, iterations, algorithm, rng, every) for i in range(1, (iterations if done is None else done) + 1)]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    for i in range(1, len(rows) + 1, 5):
        _episodes(folder, i, iterations, algorithm, reply)
    if summary:
        (folder / "summary.json").write_text(json.dumps(_summary(algorithm, seed, iterations)), encoding="utf-8")
    return folder


def _given(i: int, iterations: int, algorithm: str) -> tuple[float, ...]:
    share = 1 / (1 + math.exp(-12 * (i / iterations - 0.35)))
    return tuple(0.85 + (end - 0.85) * share for end in BEHAVIOUR[algorithm][0])


def _metrics(i: int, iterations: int, algorithm: str, rng: random.Random, every: int) -> dict[str, Any]:
    given = _given(i, iterations, algorithm)
    rate = given[1] if algorithm != "reinforce" else given[4]
    noise = [rng.gauss(0, 1) for _ in range(8)]
    reward = min(3.0, max(1.0, 1 + 2 * rate + 0.04 * noise[0]))
    row: dict[str, Any] = {
        "iteration": i,
        "reward/main": reward - 0.1,
        "self_play/reward/main": reward,
        "self_play/cooperation_rate/main": min(1.0, max(0.0, rate + 0.01 * noise[1])),
        "cooperation_rate/main": rate,
        "invalid/main": max(0.0, 0.02 * (1 - i / iterations) + 0.002 * noise[2]),
        **{f"cooperate_given/main/{c}": p for c, p in zip(CONDITIONS, given, strict=True)},
        "loss/main": -0.05 + 0.01 * noise[3],
        "entropy/main": 0.4 - 0.3 * i / iterations + 0.01 * noise[4],
        "kl/main": 0.5 * i / iterations,
        "grad_norm/main": 1 + 0.2 * abs(noise[5]),
        "credit/main/std": 0.6 + 0.05 * noise[6],
        "mismatch/kl": 1e-7 * abs(noise[7]),
        "mismatch/mean_abs": 2e-6,
        "mismatch/max_abs": 3e-5,
        "audit/gap": 0.4,
        "tokens/generated": 5120,
        "time/rollout_s": 1.2,
        "time/update_s": 0.8,
        "time/total_s": 2.1,
    }
    if algorithm == "reinforce" and i > 0.8 * iterations:
        row["cooperate_given/main/CC"] = None  # nobody cooperates any more, so the state is not visited
    if algorithm == "advantage_alignment":
        row["vs/kept/reward/main"] = reward - 0.05
    if i % every == 0:
        row |= {"eval/main/self_play/reward": reward, "eval/main/self_play/cooperation_rate": rate}
        for name, (own, theirs) in zip(STRATEGIES, BEHAVIOUR[algorithm][1], strict=True):
            row |= {f"eval/main/vs/{name}/reward": own, f"eval/main/vs/{name}/opponent_reward": theirs}
    return row


def _summary(algorithm: str, seed: int, iterations: int) -> dict[str, Any]:
    given, rewards = BEHAVIOUR[algorithm]
    rate = given[4] if algorithm == "reinforce" else given[1]
    learner = {
        "algorithm": algorithm,
        "self_play": {"reward": 1 + 2 * rate, "cooperation_rate": rate},
        "against": {
            name: {"reward": own, "opponent_reward": theirs, "cooperation_rate": 0.5}
            for name, (own, theirs) in zip(STRATEGIES, rewards, strict=True)
        },
        "cooperate_given": dict(zip(CONDITIONS, given, strict=True)),
        "invalid": 0.001,
    }
    about = {"game": "ipd", "preset": "ipd_pocket", "seed": seed, "iterations": iterations, "model": "pocket"}
    return about | {"learners": {"main": learner}}


def _episodes(folder: Path, i: int, iterations: int, algorithm: str, reply: str) -> None:
    given = _given(i, iterations, algorithm)
    now, before = PolicyRef("adapter", "main", i - 1), PolicyRef("adapter", "main", max(0, i - 11))
    script = PolicyRef("script", "always_defect")
    matches = []
    for index in range(8):
        other = (now, now, before, script)[index % 4]
        behaviour = (0.0,) * 5 if other is script else _given(other.version, iterations, algorithm)
        players = (
            Actor(now, given, random.Random(f"{i} {index} a"), 0.1, reply),
            Actor(other, behaviour, random.Random(f"{i} {index} b")),
        )
        learners = ("main", "main" if other is now else None)
        matches.append(Match(games.make("ipd"), 7000 + index, players, learners, iteration=i, group=index // 4, index=index))
    write_episodes(folder / "episodes" / f"{i:06d}.jsonl", play_matches(matches))
