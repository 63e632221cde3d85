"""The chats that updates are measured on: made of random tokens, or played.

    synthetic(...)            16 chats of 512 random tokens, a tenth of them drawn, nothing in common
    played(preset, ...)       episodes by the in-process engine ── one chat per seat

Both give every round a credit, so that a baseline knows what the learner computes from the rewards: with ``OPTIONS`` the credit is
the discounted return less the mean of the others in the group.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from benchmarks.common import prepare
from detente import config as configs
from detente.learning.batch import Trajectory, trajectories, with_credit
from detente.learning.credit import discounted_returns, leave_one_out
from detente.learning.session import Session, open_session
from detente.matches import Named, play_sync
from detente.records import Episode, PolicyRef, Seating

GAMMA = 0.9
OPTIONS = ["algorithm=reinforce", f"credit.gamma={GAMMA}", "credit.baseline=group", "credit.whiten=false"]


def synthetic(count: int, length: int, vocab: int, *, share: float = 0.1, rounds: int = 10, seed: int = 0) -> list[Trajectory]:
    """Chats of one group, all tokens random, ``share`` of them drawn in one run of tokens per round, the last at the end."""
    rng = np.random.default_rng(seed)
    answered = max(1, round(share * length))
    rounds = min(rounds, answered)
    drawn = _answers(length, answered, rounds)
    return [_trajectory(rng, rng.integers(0, vocab, length), *drawn, rounds) for _ in range(count)]


def _answers(length: int, drawn: int, rounds: int) -> tuple[np.ndarray, np.ndarray]:
    """Positions of the drawn tokens, and the round of each: round r ends at (r + 1) / rounds of the chat with its answer."""
    pieces = np.array_split(np.arange(drawn), rounds)
    ends = [(r + 1) * length // rounds for r in range(rounds)]
    positions = [end - len(piece) + np.arange(len(piece)) for end, piece in zip(ends, pieces, strict=True)]
    return np.concatenate(positions), np.repeat(np.arange(rounds), [len(piece) for piece in pieces])


def _trajectory(rng: np.random.Generator, tokens: np.ndarray, drawn: np.ndarray, rounds: np.ndarray, count: int) -> Trajectory:
    """The one place that builds a trajectory by hand."""
    return Trajectory(
        group=0,
        seat=0,
        rewards=torch.from_numpy(rng.normal(size=(2, count)).T.copy()),
        tokens=tokens.astype(np.int64),
        drawn=drawn.astype(np.int64),
        rounds=rounds.astype(np.int64),
        logprobs=np.zeros(len(drawn)),  # see with_logprobs
        allowed=None,
        starts=(np.arange(count) * len(tokens) // count).astype(np.int64),
        generated=len(drawn),
        spoken=0,
    )


def with_logprobs(found: Sequence[Trajectory], logprobs: Sequence[Any]) -> list[Trajectory]:
    """The same, as if an engine had drawn them with these log-probabilities (N,) each."""
    return [replace(one, logprobs=np.asarray(some, dtype=np.float64)) for one, some in zip(found, logprobs, strict=True)]


def credited(found: Sequence[Trajectory]) -> list[Trajectory]:
    """With the credit that a learner with OPTIONS computes."""
    return with_credit(found, lambda group: leave_one_out(discounted_returns(group.own, GAMMA)), None)


def open_on(preset: str, model: str, dtype: str, device: str, *, rank: int = 16, more: Sequence[str] = ()) -> Session:
    """A session of a preset on this model, with LoRA of this rank on every linear layer."""
    words = [f"model={model}", f"dtype={dtype}", f"device={device}", f"lora.rank={rank}", f"lora.alpha={2 * rank}"]
    return open_session(configs.load(preset, [*words, *OPTIONS, "loss.entropy_final=null", *more]))


def play(
    session: Session, episodes: int, *, group_size: int = 8, seed: int = 0, policies: Sequence[PolicyRef] = ()
) -> list[Episode]:
    """Self-play of the learner; with ``policies`` the chats take turns among them."""
    sitting = list(policies) or [session.present["main"]]
    seats = range(session.game.num_players)
    seatings = [
        Seating(
            tuple(sitting[(index * len(seats) + seat) % len(sitting)] for seat in seats),
            tuple("main" for _ in seats),
            iteration=1,
            group=index // group_size,
            index=index,
        )
        for index in range(episodes)
    ]
    return play_sync(session.policies, session.game, seatings, stream=Named(("benchmark game", seed), ("benchmark", seed)))


def chats_of(session: Session, episodes: Sequence[Episode]) -> list[Trajectory]:
    """One trajectory per seat."""
    return trajectories(episodes, "main", session.learners["main"].options.credit.reward_divisor, session.hosts["main"].grammar)


def played(
    preset: str, model: str, device: str, threads: int | None, chats: int, rank: int, more: Sequence[str] = ()
) -> list[Trajectory]:
    """So many chats of one group of the preset's game, played in fp32 (bf16 on a GPU)."""
    prepare(threads)
    dtype = "bfloat16" if device.startswith("cuda") else "float32"
    episodes = chats // 2
    session = open_on(preset, model, dtype, device, rank=rank, more=[f"episodes={episodes}", f"group_size={episodes}", *more])
    session.publish()
    return chats_of(session, play(session, episodes, group_size=episodes))
