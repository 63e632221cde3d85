"""Generator, verifier, refiner: learners who answer in turn, trained by a tree of answers (after Motwani et al., 2024).

    python experiments/malt.py     # trains the three on pocket, prints the values of a tree, exports rows for SFT and DPO

One of two labels is right. The generator and the verifier each hear a witness, who is right in a share ``reliable`` of the games;
the generator answers, the verifier says what it thinks, the refiner gives the final answer, and all get 1 point if that is right.
Each answers three times to each beginning: 27 episodes of a group, for which 39 answers are asked, not 81.

    leaves (27,) ── tree_mean ──> V of 3, 9 and 27 answers ── less the mean of their siblings ──> credit
                                        └── above a half or not ──> sft.jsonl, dpo.jsonl for a trainer of one's choice
"""

from __future__ import annotations

import argparse
import json
import random
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import chain, groupby, product
from pathlib import Path
from statistics import fmean
from typing import Any, NamedTuple

import torch

import detente
from detente import config, presets
from detente.cli.terminal import console, explain, hush
from detente.errors import UserError
from detente.files import replace_text
from detente.games import Observation, Step, make
from detente.learning.credit import Group, leave_one_out, tree_mean
from detente.options import AlgorithmOptions
from detente.progress import Progress
from detente.records import Episode, Turn

ROLES = ("generator", "verifier", "refiner")
LABELS = ("<A>", "<B>")
SIZES = (3, 3, 3)  # answers of each player to each beginning
OPTIONS = "tree=[3,3,3] group_size=27 episodes=216 lora.rank=8 lora.alpha=16 optimizer.lr=1e-3 loss.entropy=0.02"
RULES = """You are playing a game with two other players. One of two labels, <A> or <B>, is the right one. The first of you hears
a witness, who may be wrong, and answers. The second hears another one, and says which label it thinks is right. The third gives the
final answer. If that is right, all three get 1 point. Answer with exactly one label, <A> or <B>, and nothing else."""


class State(NamedTuple):
    """The right label, what the witnesses of the first two players say, and what the players have said so far."""

    truth: str
    heard: tuple[str, ...]
    said: tuple[str, ...] = ()


@dataclass(frozen=True)
class Malt:
    """A question, and a round in which the three players answer one after another."""

    reliable: float = 0.8

    name = "experiments.malt:Malt"
    num_players = 3
    reward_bounds = (0.0, 1.0)
    symmetric = False
    roles = ROLES

    def __post_init__(self) -> None:
        if not 0.5 <= self.reliable <= 1:
            raise UserError(f"reliable is a share from 0.5 to 1, not {self.reliable}.")

    def parameters(self) -> dict[str, Any]:
        return {"name": self.name, **asdict(self)}

    def reset(self, rng: random.Random) -> State:
        truth, wrong = rng.sample(LABELS, 2)
        return State(truth, tuple(truth if rng.random() < self.reliable else wrong for _ in ROLES[:2]))

    def to_act(self, state: State) -> tuple[int, ...]:
        return (len(state.said),)

    def observe(self, state: State, player: int) -> Observation:
        news = f"The {ROLES[len(state.said) - 1]} says {state.said[-1]}." if state.said else RULES
        heard = state.heard[player : player + 1]
        asked = "".join([*(f" Your witness says {label}." for label in heard), " Your label?"]) if player == len(state.said) else ""
        return Observation(news + asked, (*state.said, *heard), "|".join(LABELS), LABELS)

    def parse(self, state: State, player: int, text: str) -> str | None:
        return text.strip() if text.strip() in LABELS else None

    def default_action(self, state: State, player: int) -> str:
        return LABELS[0]

    def step(self, state: State, actions: Mapping[int, str]) -> Step:
        said = (*state.said, *actions.values())
        done, right = len(said) == len(ROLES), float(said[-1] == state.truth)
        return Step(state._replace(said=said), (right,) * 3 if done else None, done, {"truth": state.truth})


def siblings(group: Group, options: AlgorithmOptions) -> torch.Tensor:
    """Credit of an answer: its value less the mean of those in its place, (1, 27, 1, 3) -> (1, 27, 1)."""
    values = tree_mean(group.own[..., 0], SIZES)[group.seat + 1]  # (1, 3), (1, 9) or (1, 27)
    compared = leave_one_out(values.unflatten(-1, (-1, SIZES[group.seat], 1))).flatten(1)
    return compared.repeat_interleave(group.rewards.shape[1] // compared.shape[1], 1)[..., None]


class Node(NamedTuple):
    """An answer in the tree of a group: whose, under which answer of the player before (its number), and its value."""

    seat: int
    parent: int
    turn: Turn
    value: float
    positive: bool  # above a half

    @property
    def chat(self) -> list[dict[str, str]]:
        return [{"role": "user", "content": self.turn.prompt}, {"role": "assistant", "content": self.turn.completion.text}]

    def __str__(self) -> str:
        return f"{self.turn.action} {self.value:.2f} {'+' if self.positive else '-'}"


def nodes(group: Sequence[Episode]) -> list[Node]:
    """Every answer of a group once, level by level."""
    levels = tree_mean(torch.tensor([episode.rewards(0)[0] for episode in group]), SIZES)[1:]
    return [
        Node(seat, place // SIZES[seat], episode.rounds[0].turns[seat], float(value), bool(value > 0.5))
        for seat, level in enumerate(levels)
        for place, (value, episode) in enumerate(zip(level, group[:: len(group) // len(level)], strict=True))
    ]


def sft_rows(tree: Sequence[Node]) -> list[dict[str, Any]]:
    """What each role should say: the positive answers, as chats."""
    return [{"role": ROLES[n.seat], "messages": n.chat} for n in tree if n.positive]


def dpo_rows(tree: Sequence[Node]) -> list[dict[str, Any]]:
    """What verifier and refiner should rather say to a beginning: answers worth more than a half, and others, in the mean."""
    same: dict[tuple[int, str, str], list[Node]] = {}
    for n in tree:
        same.setdefault((n.seat, n.turn.prompt, n.turn.completion.text), []).append(n)
    means = [(key[:2], alike[0].chat, fmean(n.value for n in alike)) for key, alike in sorted(same.items()) if key[0]]
    pairs = [(begun, a, b) for (begun, a, high), (other, b, low) in product(means, means) if begun == other and high > 0.5 >= low]
    return [{"role": ROLES[seat], "prompt": a[:1], "chosen": a[1:], "rejected": b[1:]} for (seat, _), a, b in pairs]


def drawn(tree: Sequence[Node]) -> str:
    """The tree as text: each answer with its value, + where that is above a half."""
    first, second, last = ([n for n in tree if n.seat == seat] for seat in range(3))
    lines = [f"A tree, {fmean(n.value for n in first):.2f} of its final answers right: generator, verifier, refiner"]
    for place, node in enumerate(second):
        before, after = "" if place % SIZES[1] else first[node.parent], [str(n) for n in last if n.parent == place]
        lines.append(f"  {before!s:<12}{node}   {', '.join(after)}")
    return "\n".join(lines)


def table(episodes: Sequence[Episode], last: int) -> str:
    """How often each player is right, in the first and in the last five iterations."""
    parts = [[e.rounds[0] for e in episodes if first <= e.iteration < first + 5] for first in (1, last - 4)]
    right = [[fmean(r.turns[seat].action == r.info["truth"] for r in part) for part in parts] for seat in range(3)]
    rows = [f"{role:<12}{first:>18.2f}{then:>17.2f}" for role, (first, then) in zip(ROLES, right, strict=True)]
    return "\n".join(["right         first iterations  last iterations", *rows])


def main(words: Sequence[str] | None = None) -> int:
    """Train, print what came of it, and export rows."""
    parser = argparse.ArgumentParser(description="Generator, verifier and refiner, trained by a tree of answers.")
    parser.add_argument("--iterations", type=int, default=30, help="of the training (default: 30); may be raised")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("runs/malt"), help="the run's folder (default: runs/malt)")
    parser.add_argument("options", nargs="*", metavar="key=value", help="a parameter of the game: reliable=0.8")
    given = parser.parse_args(words)
    hush()
    try:
        presets.check_free(given.options, ["name"])
        game = make(Malt.name, **presets.given(given.options))
        own = [f"seats=[{','.join(ROLES)}]", *(f"learners.{role}.algorithm=experiments.malt:siblings" for role in ROLES)]
        own += [f"game={json.dumps(game.parameters())}", f"iterations={given.iterations}", f"seed={given.seed}"]
        chosen = config.load_game(Malt.name, [*OPTIONS.split(), "evaluation.episodes=0", *own])
        with Progress(console(stderr=True)) as progress:
            detente.train(chosen, given.out, watchers=[progress])
        episodes = detente.read_episodes(given.out)
        trees = [nodes([*group]) for _, group in groupby(episodes, key=lambda episode: (episode.iteration, episode.group))]
        for name, rows in (("sft", sft_rows), ("dpo", dpo_rows)):
            lines = [json.dumps(row) + "\n" for row in rows([*chain(*trees)])]
            replace_text(given.out / f"{name}.jsonl", "".join(lines))
            print(f"{given.out / name}.jsonl: {len(lines)} rows of {len(trees)} questions", file=sys.stderr)
    except (UserError, OSError, KeyboardInterrupt) as error:
        sentence, status = explain(error)
        print(sentence.replace("--run", "--out"), file=sys.stderr)
        return status
    print(drawn(max(trees, key=lambda tree: len(dpo_rows(tree)))), table(episodes, given.iterations), sep="\n\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
