"""The chats that ``pocket_groups`` learns from, and the model: prompts of the games, valid answers, a mild reaction."""

from __future__ import annotations

import random
import re
from collections import Counter
from pathlib import Path

import pytest
from transformers import PreTrainedTokenizerFast

import detente
from detente import models
from detente.pocket import group_manners as manners
from detente.pocket.build import FOLDER, GROUPS, encode
from detente.pocket.group_chats import KINDS, Kind, played, recorded

KINDS_BY_NAME = {kind.draw.__name__: kind for kind in KINDS}
MODEL = "model:pocket_groups"


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerFast:
    return PreTrainedTokenizerFast.from_pretrained(GROUPS)


@pytest.mark.parametrize("kind", KINDS, ids=KINDS_BY_NAME)
def test_every_answer_is_valid_and_the_prompts_are_those_of_the_game(kind: Kind) -> None:
    for seed in range(20):
        rng = random.Random(seed)
        game = kind.draw(rng)
        episode, seat = played(game, kind.manner, rng)
        turns = list(episode.turns(seat))
        assert all(turn.valid for turn in turns)
        assert all(turn.prompt.startswith(game.observe(game.reset(rng), seat).text[:40]) for turn in turns[:1])


def test_a_seed_gives_a_chat_and_shares_add_up() -> None:
    kind = KINDS_BY_NAME["goods"]
    first, second = (recorded(kind.draw(random.Random(5)), kind.manner, random.Random(6)) for _ in range(2))
    assert first == second
    assert [message["role"] for message in first] == ["user", "assistant"] * (len(first) // 2)
    assert sum(kind.share for kind in KINDS) == pytest.approx(1)


def test_the_assistant_gives_less_where_the_others_gave_little() -> None:
    game = detente.make("public_goods", players=3, institutions=False, levels=[0, 10, 20], rounds=2)
    given: dict[tuple[int, ...], Counter[str]] = {}
    for seed in range(600):
        episode, seat = played(game, manners.public_goods, random.Random(seed))
        before, after = episode.rounds
        others = tuple(sorted(level for player, level in enumerate(before.info["contributions"]) if player != seat))
        given.setdefault(others, Counter())[str(after.info["contributions"][seat])] += 1
    shares = {others: {level: count / counts.total() for level, count in counts.items()} for others, counts in given.items()}
    # By hand: 4 in 100 are drawn from all three levels, the rest by the means of the others.
    assert shares[20, 20]["20"] == pytest.approx(0.96 * 0.65 + 0.04 / 3, abs=0.1)
    assert shares[0, 0]["20"] == pytest.approx(0.96 * 0.35 + 0.04 / 3, abs=0.15)
    assert shares[0, 0]["0"] > shares[20, 20]["0"]


@pytest.mark.parametrize(
    ("name", "parameters", "first", "later"),
    [
        ("public_goods", {"players": 3, "institutions": False, "multiplier": 1.8, "levels": [0, 10, 20], "window": 1}, 60, 25),
        ("public_goods", {"levels": [0, 10, 20], "window": 1}, 100, 80),
        ("donor", {}, 80, 60),
        ("commons", {}, 60, 50),
        ("investor", {}, 60, 25),
        ("bargaining", {}, 80, 50),
        ("trust_game", {}, 120, 10),
        ("travelers_dilemma", {}, 250, 10),
    ],
)
def test_prompts_are_few_tokens(
    name: str, parameters: dict[str, object], first: int, later: int, tokenizer: PreTrainedTokenizerFast
) -> None:
    game = detente.make(name, rounds=4, **parameters)
    (episode,) = detente.play(game, ["random"] * game.num_players, seed=3)
    for seat in range(game.num_players):
        lengths = [len(encode(tokenizer, [{"role": "user", "content": turn.prompt}])[0]) for turn in episode.turns(seat)]
        assert lengths[0] <= first
        assert max(lengths[1:]) <= later


def test_a_number_up_to_100_is_one_token(tokenizer: PreTrainedTokenizerFast) -> None:
    assert all(len(tokenizer.encode(str(number), add_special_tokens=False)) == 1 for number in range(101))


@pytest.mark.parametrize("name", ["public_goods", "donor", "commons", "investor", "bargaining", "trust_game"])
def test_the_model_answers_validly_without_constraints(name: str) -> None:
    game = detente.make(name, rounds=4)
    count = max(1, 12 // game.num_players)
    episodes = detente.play(game, [MODEL] * game.num_players, episodes=count, overrides=["answer.decoding=free"])
    valid = [turn.valid for episode in episodes for turn in episode.turns()]
    assert sum(valid) / len(valid) > 0.9


def test_both_models_are_small_and_have_heads_that_servers_know() -> None:
    files: list[Path] = [file for folder in (FOLDER, GROUPS) for file in folder.iterdir()]
    assert sum(file.stat().st_size for file in files) <= 12e6
    config = models.load("pocket_groups", device="cpu").model.config
    assert config.hidden_size // config.num_attention_heads == 32


def test_a_scripted_answer_reads_as_the_manual_says() -> None:
    kind = KINDS_BY_NAME["sanctions"]
    for seed in range(10):
        for answer in recorded(kind.draw(random.Random(seed)), kind.manner, random.Random(seed))[1::2]:
            assert re.fullmatch(r"<[AB]>|Contribution: \d+|Tokens: -?\d+(, -?\d+)*", answer["content"])
