"""Tokenizers with more tokens than their model has embeddings, and with fewer: what has no embedding or no text is never drawn."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from detente import api, config, models
from detente.errors import UserError
from detente.records import read_episodes
from detente.vocabulary import within

MORE = 64  # rows or tokens too many


@pytest.fixture(scope="module")
def more_tokens(lively_model: str, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The lively model with added tokens that have no embedding, as public models come with them."""
    folder = tmp_path_factory.mktemp("model") / "more"
    shutil.copytree(lively_model, folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.add_special_tokens({"pad_token": "[PAD]"})
    tokenizer.add_tokens(["<A>", "<picture>"])
    tokenizer.save_pretrained(folder)
    return str(folder)


@pytest.fixture(scope="module")
def more_rows(lively_model: str, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The lively model with rows that no token has, by far the likeliest ones."""
    folder = tmp_path_factory.mktemp("model") / "rows"
    tokenizer = AutoTokenizer.from_pretrained(lively_model)
    model = AutoModelForCausalLM.from_pretrained(lively_model)
    model.resize_token_embeddings(len(tokenizer) + MORE, mean_resizing=False)
    with torch.no_grad():
        model.get_input_embeddings().weight[len(tokenizer) :] = 100 * torch.randn(MORE, model.config.hidden_size)  # type: ignore[operator]
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


def embeddings(folder: Path) -> Any:
    return len(AutoModelForCausalLM.from_pretrained(folder).get_input_embeddings().weight)  # type: ignore[arg-type]


def tokens_of(episodes: Any) -> Any:
    return {t for e in episodes for turn in e.turns() for t in (*turn.completion.prompt_tokens, *turn.completion.tokens)}


@pytest.mark.parametrize("answer", ["constrained", "free"])
@pytest.mark.parametrize("name", ["more_tokens", "more_rows"])
def test_plays_and_trains_on_tokens_that_exist(
    name: str, answer: str, request: pytest.FixtureRequest, lively_model: str, tmp_path: Path
) -> None:
    model = request.getfixturevalue(name)
    known = min(len(AutoTokenizer.from_pretrained(lively_model)), embeddings(model))
    options = (
        "device=cpu threads=1 game.rounds=2 iterations=2 episodes=4 group_size=4 lora.rank=2 evaluation.episodes=0 "
        f"answer.decoding={answer} answer.max_tokens=6 record.audit_turns=8 record.episodes_every=1 model={model}"
    )
    run = tmp_path / "run"
    api.train(config.load("ipd", options.split()), run)
    episodes = [e for path in sorted((run / "episodes").iterdir()) for e in read_episodes(path)]
    assert len(episodes) == 8
    assert max(tokens_of(episodes)) < known
    metrics = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert all(metric["audit/gap"] < 1e-3 for metric in metrics)


def test_what_a_text_says_is_spelled_with_tokens_that_exist(more_tokens: Any) -> None:
    loaded = models.load(more_tokens, device="cpu")
    rows = embeddings(more_tokens)
    for text in ("<A>", "[PAD]", "a <picture> of [PAD]"):
        assert max(loaded.tokenizer.encode(text, add_special_tokens=False)) < rows
        assert loaded.tokenizer.decode(loaded.tokenizer.encode(text, add_special_tokens=False)) == text
    assert len(loaded.tokenizer) == rows
    assert loaded.tokenizer.pad_token is None


def test_a_tokenizer_that_fits_stays_itself(lively_model: str) -> None:
    tokenizer = AutoTokenizer.from_pretrained(lively_model)
    assert within(tokenizer, len(tokenizer)) is tokenizer
    assert within(tokenizer, len(tokenizer) + 7) is tokenizer


def test_a_template_that_writes_a_token_without_embedding_is_refused(more_tokens: Any, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(more_tokens, folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.chat_template = "[PAD]" + tokenizer.chat_template
    tokenizer.save_pretrained(folder)
    with pytest.raises(UserError, match=r"^The chat template of '.*' writes '\[PAD\]', for which the model has no embedding; use"):
        models.load(str(folder), device="cpu")


def test_a_vocabulary_that_is_too_large_is_refused(lively_model: str) -> None:
    tokenizer = AutoTokenizer.from_pretrained(lively_model)
    with pytest.raises(UserError, match=r"has 300 embeddings, too few for its tokenizer's tokens, such as '"):
        within(tokenizer, 300)


def test_a_tokenizer_of_another_kind_is_refused() -> None:
    class Other:
        name_or_path = "some/model"

    with pytest.raises(UserError, match=r"^The tokenizer of 'some/model' is of a kind that guided decoding cannot use"):
        within(Other(), 10)  # type: ignore[arg-type]
