"""The rollout's baseline plays the same game by the same rules."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from transformers import LlamaForCausalLM

from benchmarks import chats, rollout


def session(preset: Any, *more: Any) -> Any:
    return chats.open_on(preset, "pocket", "float32", "cpu", rank=4, more=["game.rounds=2", "episodes=2", "group_size=2", *more])


@pytest.mark.parametrize("preset", ["ipd", "trust_and_split"])
def test_without_chance_both_say_the_same(preset: str) -> None:
    cold = session(preset, "answer.temperature=0.001")
    own, plain = (play(cold)(3, 0) for play in (rollout.ours, rollout.baseline))
    said = [
        [(turn.completion.text, turn.completion.tokens) for episode in some for turn in episode.turns()] for some in (own, plain)
    ]
    assert said[0] == said[1]
    assert [episode.rewards(0) for episode in own] == [episode.rewards(0) for episode in plain]


def test_answers_of_the_baseline_keep_to_their_patterns_and_vary() -> None:
    hot = session("trust_and_split", "answer.temperature=2", "answer.max_tokens=400", "game.message_chars=20")
    turns = [turn for episode in rollout.baseline(hot)(4, 0) for turn in episode.turns()]
    assert all(re.fullmatch(turn.completion.pattern, turn.completion.text) for turn in turns)
    assert len({turn.completion.text for turn in turns}) > 4


def test_the_baseline_asks_the_model_no_more_often_than_there_are_tokens_in_the_longest_answer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """An answer ends with its pattern, whether or not a token for the end of a turn follows."""
    asked, forward = [], LlamaForCausalLM.forward
    monkeypatch.setattr(LlamaForCausalLM, "forward", lambda *args, **more: (asked.append(1), forward(*args, **more))[1])
    play = rollout.baseline(session("ipd", "game.rounds=3"))
    turns = [turn for episode in play(2, 0) for turn in episode.turns()]
    assert {len(turn.completion.tokens) for turn in turns} == {1}
    assert len(asked) == 3


def test_figures_of_a_rollout_are_complete(here: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "r.json"
    rollout.rollout(["pocket"], ["trust_and_split"], device="cpu", repeats=2, episodes=2, rounds=1, rank=4, json=file)
    (row,) = json.loads(file.read_text())["figures"]["rows"]
    assert row["ratio"]["median"] > 0
    for variant in row["variants"].values():
        assert variant["turns"] == 2 * 2 * 2  # episodes, seats, a message and a proposal each
        assert variant["valid"] == 1
        assert variant["generated_tokens"] == pytest.approx(4 * (variant["message_tokens"] + variant["decision_tokens"]))
        assert variant["peak_bytes"] > 0
    assert "Seconds per rollout" in capsys.readouterr().out
