"""Answers that are none count: what is read of a free answer is what is played."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from detente import config, fingerprint, play
from detente.errors import UserError
from detente.games import make
from detente.games.family import measured
from detente.games.matrix.measures import invalid
from detente.players.llm import after_tries
from detente.records import Episode
from detente.reports.fingerprint_tables import tables

EPISODES = 400
HOT = ("game.rounds=1", "answer.temperature=3", "answer.max_tokens=6")


def close(share: float, p: float) -> bool:
    """Within four standard errors of a share of so many episodes."""
    return abs(share - p) <= 4 * math.sqrt(p * (1 - p) / EPISODES)


def shares(episodes: list[Episode]) -> tuple[float, float]:
    """How often the first player played C, and how often its answer was invalid."""
    turns = [episode.rounds[0].turns[0] for episode in episodes]
    return sum(turn.action == "C" for turn in turns) / len(turns), sum(not turn.valid for turn in turns) / len(turns)


@pytest.mark.parametrize(("decoding", "default"), [("free", None), ("free", "D"), ("retry", "D")])
def test_what_is_read_is_what_is_played(decoding: str, default: str | None) -> None:
    overrides = [*HOT, f"answer.decoding={decoding}", "answer.retries=2", *([f"game.default={default}"] if default else [])]
    episodes = play("ipd", ["model:pocket", "always_cooperate"], episodes=EPISODES, overrides=overrides)
    read = episodes[0].rounds[0].turns[0].completion.probabilities
    cooperated, wrong = shares(episodes)
    assert close(wrong, 1 - sum(read))
    assert close(cooperated, read[0] + (1 - sum(read)) * (default is None))
    assert 0.5 < wrong < 0.95
    game = make(**episodes[0].game)
    _, given = measured(game, [(episode, 0) for episode in episodes])
    assert given["cooperate_given"]["start"] == pytest.approx(read[0] + (1 - sum(read)) * (default is None), abs=1e-3)


def test_guided_answers_say_nothing_of_others() -> None:
    (episode,) = play("ipd", ["model:pocket", "always_cooperate"], overrides=["game.rounds=1", "answer.temperature=3"])
    assert sum(episode.rounds[0].turns[0].completion.probabilities) == pytest.approx(1)


def test_several_tries_are_valid_more_often() -> None:
    assert after_tries((0.2, 0.5), 1) == (0.2, 0.5)
    assert after_tries((0.2, 0.5), 2) == pytest.approx((0.2 + 0.3 * 0.2, 0.5 + 0.3 * 0.5))
    assert after_tries((0.0, 0.0), 3) == (0.0, 0.0)
    assert after_tries((), 3) == ()
    assert [invalid((0.2, 0.5)), invalid(()), invalid((0.3, 0.7 - 1e-9))] == pytest.approx([0.3, 0, 0])


def test_the_default_action_is_an_option() -> None:
    import random

    game: Any = make("ipd", default="D")
    assert game.default_action(game.reset(random.Random(0)), 0) == "D"
    assert make(**game.parameters()) == game
    assert "default" not in make("ipd").parameters()
    with pytest.raises(UserError, match=r"The default action is one of C, D, not 'cooperate'\."):
        make("ipd", default="cooperate")


def test_a_fingerprint_shows_invalid_answers(tmp_path: Path) -> None:
    free = config.load(
        "ipd", ["answer.decoding=free", "answer.temperature=3", "answer.max_tokens=4", "game.rounds=2", "game.default=D"]
    )
    (agent,) = fingerprint(free, ["model:pocket"], tmp_path)["agents"]
    assert agent["invalid"] > 0.5
    assert agent["memory_one"]["start"] < 0.3  # an invalid answer is a defection
    table = tables(json.loads((tmp_path / "fingerprint.json").read_text()))[0]
    assert table.heads[-1] == "invalid"
    assert table.rows[0][1][-1] == agent["invalid"]
    (sure,) = fingerprint("ipd", ["tit_for_tat"], tmp_path / "sure")["agents"]
    assert sure["invalid"] == 0
    assert tables({"agents": [sure]})[0].heads[-1] == "DD"
