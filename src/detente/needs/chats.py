"""How much is said in an iteration: chats of language models, and their tokens.

    game ── episodes in which every answer is empty, with room for those that could be given ──> Said, an upper estimate
    episodes of the real model ──> Said, measured

Must not import torch.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from re import _parser  # type: ignore[attr-defined]
from statistics import fmean

from detente.games.base import Game, Observation
from detente.matches import Counted, Guest, Scripts, in_turn, play_sync
from detente.players.base import MemorylessPlayer
from detente.records import Completion, Episode, PolicyRef, write_episodes

CHARACTERS = 4  # of a token, where the tokenizer is not known
MARKS = 12  # tokens that a chat template puts around a turn and its answer
EPISODES = 4  # played where answers are empty, for some games draw their length
PER_TOKEN, PER_TURN = 10, 30  # bytes of an episode's file, compressed, where none is measured
LISTENER = PolicyRef("script", "listener")


@dataclass(frozen=True)
class Said:
    """The chats of a seat over an episode: tokens (the longest, the mean, the first prompt, all answers), the number of answers,
    and bytes of an episode's file. ``measured``: in real episodes."""

    longest: int
    mean: float
    opening: int
    generated: float
    answers: float
    stored: float
    measured: bool = False


@dataclass
class Listener(MemorylessPlayer):
    """Answers nothing, and notes what it was told and how long its answers could be."""

    heard: list[Observation]
    policy: PolicyRef = LISTENER

    async def act(self, observation: Observation) -> Completion:
        """No text."""
        self.heard.append(observation)
        return Completion("", self.policy)


def expected(game: Game, max_tokens: int) -> Said:
    """The most that chats hold, tokens of CHARACTERS each: every message as long as its pattern and ``max_tokens`` allow."""
    heard: list[list[Observation]] = []

    def listener() -> Listener:
        heard.append([])
        return Listener(heard[-1])

    seats = game.num_players
    silence = Guest(Scripts(game), LISTENER, listener)
    play_sync(silence, game, in_turn([LISTENER] * seats, EPISODES), stream=Counted())
    lengths, answered, openings = [], [], []
    for start in range(0, len(heard), seats):
        episode = heard[start : start + seats]
        said = [sum(answer_tokens(observation, max_tokens) for observation in seat) for seat in episode]
        aloud = [sum(answer_tokens(o, max_tokens) for o in seat if o.phase == "message") for seat in episode]
        for seat, observations in enumerate(episode):
            told = [math.ceil(len(observation.text) / CHARACTERS) + MARKS for observation in observations] or [0]
            lengths.append(sum(told) + said[seat] + sum(aloud) - aloud[seat])
            openings.append(told[0])
        answered += said
    answers = fmean(map(len, heard))
    stored = seats * (PER_TOKEN * fmean(answered) + PER_TURN * answers)
    return Said(max(lengths), fmean(lengths), max(openings), fmean(answered), answers, stored)


def answer_tokens(observation: Observation, max_tokens: int) -> int:
    """The most tokens of an answer, where a token is CHARACTERS."""
    longest: int = _parser.parse(observation.pattern).getwidth()[1]
    return min(max_tokens, math.ceil(longest / CHARACTERS) + 1)


def measured(episodes: Sequence[Episode]) -> Said:
    """What language models said in these episodes; ValueError where none did."""
    answers = [[t.completion for t in e.turns(seat) if t.completion.tokens] for e in episodes for seat in range(e.num_players)]
    chats = [chat for chat in answers if chat]
    if not chats:
        raise ValueError("no language model played")
    lengths = [sum(len(answer.prompt_tokens) + len(answer.tokens) for answer in chat) for chat in chats]
    return Said(
        longest=max(lengths),
        mean=fmean(lengths),
        opening=max(len(chat[0].prompt_tokens) for chat in chats),
        generated=fmean(sum(len(answer.tokens) for answer in chat) for chat in chats),
        answers=fmean(map(len, chats)),
        stored=_stored(episodes) / len(episodes),
        measured=True,
    )


def _stored(episodes: Sequence[Episode]) -> int:
    """Bytes of the file of these episodes."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "episodes.jsonl.gz"
        write_episodes(file, episodes)
        return file.stat().st_size
