"""Chats that cannot fit are refused before anybody plays, by the name of what is too short."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM, MistralConfig, MistralForCausalLM

from detente import api, config, models
from detente.errors import UserError
from detente.evaluation.arena import arena
from detente.games import make
from detente.players.chat import ChatFormat, FakeChat
from detente.room import check_room, minimum_tokens

SIZES: dict[str, Any] = {
    "vocab_size": 512,
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
}
SIZES |= {"num_key_value_heads": 1}


def save(folder: Path, tokenizer_of: Any, model: Any) -> Any:
    model.save_pretrained(folder)
    AutoTokenizer.from_pretrained(tokenizer_of).save_pretrained(folder)
    return str(folder)


@pytest.fixture(scope="module")
def windowed(tiny_model: str, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A model that attends to the last 32 tokens."""
    folder = tmp_path_factory.mktemp("model") / "windowed"
    return save(folder, tiny_model, MistralForCausalLM(MistralConfig(sliding_window=32, max_position_embeddings=2048, **SIZES)))


@pytest.fixture(scope="module")
def short(tiny_model: str, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A model that has 100 positions."""
    folder = tmp_path_factory.mktemp("model") / "short"
    return save(folder, tiny_model, LlamaForCausalLM(LlamaConfig(max_position_embeddings=100, **SIZES)))


WINDOW = r"^An episode of ipd takes at least \d+ tokens, more than the 32 of the sliding window of attention of '.*windowed'; play"
CONTEXT = r"^An episode of ipd takes at least \d+ tokens, more than the 100 of the context of '.*short'; play fewer rounds"


def test_play_says_so_at_the_start(windowed: Any, short: Any) -> None:
    with pytest.raises(UserError, match=WINDOW):
        api.play("ipd", [f"model:{windowed}", "tit_for_tat"])
    with pytest.raises(UserError, match=CONTEXT):
        api.play("ipd", ["tit_for_tat", f"model:{short}"], overrides=["game.rounds=30"])
    api.play("ipd", ["tit_for_tat", f"model:{short}"], overrides=["game.rounds=1"])


def test_training_and_arenas_say_so_at_the_start(windowed: Any, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=WINDOW):
        api.train(config.load("ipd", [f"model={windowed}", "device=cpu"]), tmp_path / "run")
    with pytest.raises(UserError, match=WINDOW):
        arena(config.load("ipd", ["device=cpu"]), [f"model:{windowed}", "random"], tmp_path / "arena")
    assert not (tmp_path / "arena").exists()


def test_what_outgrows_a_model_in_play_is_named_too(short: Any) -> None:
    with pytest.raises(UserError, match=r"^A chat has grown to \d+ tokens, more than the 100 of the model's context; play fewer"):
        api.play("ipd", [f"model:{short}"] * 2, overrides=["game.rounds=2", "answer.decoding=free", "answer.max_tokens=400"])


@pytest.mark.parametrize("name", ["ipd", "trust_and_split", "deal_or_no_deal", "split_no_comm"])
def test_no_episode_is_shorter_than_the_estimate(name: str, tiny_model: str) -> None:
    game, chat = make(name, rounds=2), ChatFormat(AutoTokenizer.from_pretrained(tiny_model))
    (episode,) = api.play(game, ["model:pocket"] * 2)
    pocket = ChatFormat(AutoTokenizer.from_pretrained(models.folder("pocket")))
    played = [
        sum(len(turn.completion.prompt_tokens) + len(turn.completion.tokens) for turn in episode.turns(seat)) for seat in (0, 1)
    ]
    assert 0 < minimum_tokens(game, pocket) <= max(played)
    assert minimum_tokens(make(name, rounds=4), chat) > minimum_tokens(game, chat)


def test_a_random_horizon_counts_by_its_shortest_draw() -> None:
    game = make("ipd", continuation=0.5, max_rounds=50)
    fixed = minimum_tokens(make("ipd", rounds=1), FakeChat())
    assert fixed <= minimum_tokens(game, FakeChat()) < minimum_tokens(make("ipd", rounds=50), FakeChat())
    check_room(game, FakeChat(), "m", 10_000, "context")
