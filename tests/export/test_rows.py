"""What is in the tables, value by value against the episodes that were exported."""

from __future__ import annotations

import json
import re
import statistics
from array import array
from collections.abc import Callable
from itertools import accumulate
from pathlib import Path
from typing import Any

import pytest

from detente.export.columns import TABLES
from detente.games import FAMILIES
from detente.records import Completion, Episode, PolicyRef, Round, Turn, read_episodes, write_episodes

ODD = (
    "",
    'a "quoted" \\ line\nbreak\r\n',
    "\u2028\u2029\x85\x00\x1f",
    "🗝 ключ 鍵 e\u0301 \u202e",
    "=1+1,';--",
    "</script>",
    "null",
)
FACTS = {known.name for family in FAMILIES for known in family.facts}
SPLITTING = ("asked", "values", "received", "ask_higher", "ask_lower", "truthful")
TALKS = {  # game: a liar never tells the truth and silence tells nothing
    "trust_and_split": ("liar", "welfare"),
    "trust_and_split_items": ("welfare", "silent"),
    "split_no_comm": ("random", "greedy"),
    "deal_or_no_deal": ("welfare", "greedy"),
}
MEASURES = {known.name for family in FAMILIES for known in family.measures if not known.table}


def shared(source: Path, file: str, line: int, episode: Episode, player: int) -> dict[str, Any]:
    others = [policy for number, policy in enumerate(episode.policies) if number != player]
    return {
        "source": str(source),
        "file": file,
        "line": line,
        "game": episode.game["name"],
        "game_seed": episode.seed,
        "iteration": episode.iteration,
        "group": episode.group,
        "episode": episode.index,
        "player": player,
        "policy_kind": episode.policies[player].kind,
        "policy_name": episode.policies[player].name,
        "policy_version": episode.policies[player].version,
        "learner": episode.learners[player] if episode.learners else None,
        "other_policies": [f"{p.name}@{p.version}" if p.kind == "adapter" else p.name for p in others],
        "other_kinds": [p.kind for p in others],
    }


def turns(source: Path, file: str, episodes: list[Episode]) -> list[dict[str, Any]]:
    """The rows that turns.parquet should have, without what the turn was in the words of its game."""
    return [
        shared(source, file, line, episode, turn.player)
        | {
            "round": number,
            "turn": place,
            "step": next((step for step, end in enumerate(accumulate(played.steps)) if place < end), None),
            "phase": turn.phase,
            "topic": turn.topic,
            "prompt": turn.prompt,
            "text": turn.completion.text,
            "action": turn.action,
            "valid": turn.valid,
            "replayed": turn.replayed,
            "attempts": turn.completion.attempts,
            "reward": played.rewards[turn.player],
            "other_rewards": [points for player, points in enumerate(played.rewards) if player != turn.player],
            "info": played.info,
            "num_prompt_tokens": len(turn.completion.prompt_tokens),
            "num_tokens": len(turn.completion.tokens),
            "prompt_tokens": list(turn.completion.prompt_tokens),
            "tokens": list(turn.completion.tokens),
            "logprobs": array("f", turn.completion.logprobs).tolist(),  # of 32 bits, as torch gave them
            "probabilities": list(turn.completion.probabilities),
            "pattern": turn.completion.pattern,
            "answer_seed": turn.completion.seed,
        }
        for line, episode in enumerate(episodes, start=1)
        for number, played in enumerate(episode.rounds)
        for place, turn in enumerate(played.turns)
    ]


def sides(source: Path, file: str, episodes: list[Episode]) -> list[dict[str, Any]]:
    """The rows that episodes.parquet should have, without the measures of a game."""
    found = []
    for line, episode in enumerate(episodes, start=1):
        totals = [sum(played.rewards[player] for played in episode.rounds) for player in range(len(episode.policies))]
        for player, total in enumerate(totals):
            own = [turn for played in episode.rounds for turn in played.turns if turn.player == player]
            means = [points / len(episode.rounds) for points in totals]
            found.append(
                shared(source, file, line, episode, player)
                | {
                    "parameters": episode.game,
                    "rounds": len(episode.rounds),
                    "turns": len(own),
                    "mean_reward": pytest.approx(means[player]),
                    "total_reward": pytest.approx(total),
                    "other_mean_rewards": pytest.approx([mean for number, mean in enumerate(means) if number != player]),
                    "invalid": pytest.approx(sum(not turn.valid for turn in own) / len(own)),
                    "num_tokens": sum(len(turn.completion.tokens) for turn in own),
                }
            )
    return found


def without(rows: list[dict[str, Any]], *names: str) -> list[dict[str, Any]]:
    """The rows without these columns, what is in JSON read as JSON."""
    read = {"action", "info", "parameters"}
    return [{k: json.loads(v) if k in read else v for k, v in row.items() if k not in names} for row in rows]


def check(tables: dict[str, Any], source: Path, file: str, episodes: list[Episode]) -> None:
    """Compare every row, in order, in every column that is there in any game."""
    assert without(tables["turns"], *FACTS) == turns(source, file, episodes)
    assert without(tables["episodes"], *MEASURES) == sides(source, file, episodes)


@pytest.mark.parametrize(("game", "seats"), [("ipd", ("random", "tit_for_tat")), *TALKS.items()])
def test_the_tables_hold_what_the_episodes_hold(
    game: str, seats: tuple[str, str], played: Callable[..., Any], exported: Callable[..., Any]
) -> None:
    path, episodes = played(game, seats)
    tables = exported(path)
    check(tables, path, path.name, episodes)
    assert tables["metrics"] == []
    assert all([*tables[name][0]] == [column.name for column in TABLES[name]] for name in ("turns", "episodes"))


def test_matrix_games_say_who_cooperated(played: Callable[..., Any], exported: Callable[..., Any]) -> None:
    path, episodes = played("ipd", ("random", "tit_for_tat"))
    rows = exported(path)["turns"]
    assert [row["cooperated"] for row in rows] == [turn.action == "C" for e in episodes for turn in e.turns()]
    assert {row["cooperated"] for row in rows} == {True, False}
    assert all(row[name] is None for row in rows for name in SPLITTING)


@pytest.mark.parametrize("game", TALKS)
def test_splitting_games_say_what_was_asked_and_whether_words_are_true(
    game: str, played: Callable[..., Any], exported: Callable[..., Any]
) -> None:
    path, _ = played(game, TALKS[game])
    for row in exported(path)["turns"]:
        info, player = json.loads(row["info"]), row["player"]
        own, other = info["values"][player], info["values"][1 - player]
        if row["phase"] == "message":
            assert row["truthful"] is (row["policy_name"] not in ("liar", "silent"))
            assert all(row[name] is None for name in SPLITTING[:-1])
            continue
        asks = list(json.loads(row["action"]).values())
        assert (row["asked"], row["values"], row["received"]) == (asks, own, info["received"][player])
        assert row["reward"] == pytest.approx(sum(units * value for units, value in zip(row["received"], own, strict=True)))
        for name, sign in (("ask_higher", 1), ("ask_lower", -1)):
            units = [ask for ask, a, b in zip(asks, own, other, strict=True) if sign * (a - b) > 0]
            assert row[name] == (statistics.mean(units) if units else None)
        assert (row["truthful"], row["cooperated"]) == (None, None)


@pytest.mark.parametrize(
    ("game", "seats", "expected"),
    [  # by pencil, from the rules: who asks for what, and what is there
        ("ipd", ("tit_for_tat", "always_defect"), {"mean_reward": 0.9, "total_reward": 9, "cooperation_rate": 0.1}),
        ("ipd", ("always_defect", "tit_for_tat"), {"mean_reward": 1.4, "total_reward": 14, "cooperation_rate": 0}),
        ("trust_and_split", ("greedy", "greedy"), {"efficiency": 0.55, "ask_higher": 10, "ask_lower": 10, "truthfulness": 1}),
        ("trust_and_split", ("liar", "welfare"), {"truthfulness": 0, "agreement": None}),
        ("trust_and_split_items", ("welfare", "welfare"), {"efficiency": 1, "inequality": 0, "believed": 1, "ask_lower": 0}),
        ("deal_or_no_deal", ("greedy", "greedy"), {"agreement": 0, "efficiency": 0, "inequality": 0, "total_reward": 0}),
    ],
)
def test_the_measures_of_a_side(
    game: str, seats: tuple[str, str], expected: dict[str, Any], played: Callable[..., Any], exported: Callable[..., Any]
) -> None:
    path, _ = played(game, seats, episodes=1)
    first, second = exported(path)["episodes"]
    assert {name: first[name] for name in expected} == pytest.approx(expected)
    assert (first["cooperation_rate"] is None, second["cooperation_rate"] is None) == (game != "ipd", game != "ipd")


def test_a_run_of_a_model(small_run: Path, tiny_model: str, exported: Callable[..., Any]) -> None:
    from transformers import AutoTokenizer

    tables = exported(small_run)
    files = sorted(path.name for path in (small_run / "episodes").iterdir())
    assert files
    for name in files:
        rows = {table: [r for r in tables[table] if r["file"] == f"episodes/{name}"] for table in ("turns", "episodes")}
        check(rows, small_run, f"episodes/{name}", read_episodes(small_run / "episodes" / name))
    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    learned = [row for row in tables["turns"] if row["learner"] == "main"]
    assert {(row["policy_kind"], row["policy_version"], row["iteration"]) for row in learned} == {
        ("adapter", 0, 1),
        ("adapter", 1, 2),
    }
    for row in learned:
        assert tokenizer.decode(row["tokens"], skip_special_tokens=True) == row["text"]
        assert len(row["logprobs"]) == row["num_tokens"] > 0
        assert re.fullmatch(row["pattern"], row["text"])
    for place in {(row["file"], row["line"], row["player"]) for row in learned}:
        turns_of = [row for row in learned if (row["file"], row["line"], row["player"]) == place]
        chat = tokenizer.decode([token for row in turns_of for token in (*row["prompt_tokens"], *row["tokens"])])
        assert re.search(".*".join(re.escape(part) for row in turns_of for part in (row["prompt"], row["text"])), chat, re.DOTALL)  # type: ignore[arg-type]
    assert tables["metrics"] == [
        {"source": str(small_run), "iteration": line["iteration"], "metric": metric, "value": value}
        for line in map(json.loads, (small_run / "metrics.jsonl").read_text().splitlines())
        for metric, value in line.items()
        if metric != "iteration"
    ]
    assert {"reward/main", "cooperation_rate/main"} <= {row["metric"] for row in tables["metrics"]}


@pytest.mark.parametrize("text", ODD)
def test_hostile_text_and_a_game_that_nobody_knows(text: str, tmp_path: Path, exported: Callable[..., Any]) -> None:
    def turn(player: int, action: object, attempts: int) -> Turn:
        answer = Completion(text, policies[player], 2**63 - 1, (1, 2**31 - 1), (7,), (-0.5,), text, (0.25, 0.75), attempts)
        return Turn(player, text, action, player == 1, answer, "decision")

    policies = (PolicyRef("human", text), PolicyRef("adapter", text, 40), PolicyRef("remote", "x"))
    actions = [{text: [1, None, text]}, text, 0.1]
    rounds = (Round(tuple(turn(p, actions[p], p + 1) for p in (2, 0, 1)), (-1.5, 0.0, 9.0), {"said": text}),)
    episode = Episode({"name": f"mine:{text}", "x": text}, 2**63 - 1, policies, rounds, (None, text, "b"), 3, 4, 5)
    write_episodes(tmp_path / "odd.jsonl", [episode, episode])
    tables = exported(tmp_path / "odd.jsonl")
    check(tables, tmp_path / "odd.jsonl", "odd.jsonl", [episode, episode])
    assert all(row[name] is None for row in tables["turns"] for name in ("cooperated", *SPLITTING))
    assert all(row[name] is None for row in tables["episodes"] for name in MEASURES)
