"""The columns of the tables: name, type, meaning, and where the value is taken from. docs/data.md has the same lists.

    TABLES ──> turns      SHARED + what a turn is
          ├──> episodes   SHARED + a player's side of an episode, with the measures of the game
          └──> metrics    metrics.jsonl in long form
    tables ──> the same, with columns for measures from outside the package

The meaning is written into the Parquet file too, as ``description`` in the metadata of the field.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar

from detente.export.rows import MetricRow, PlayerRow, Row, TurnRow
from detente.games import FAMILIES
from detente.games.family import Fact, Measure
from detente.games.sides import mean

R_contra = TypeVar("R_contra", contravariant=True)


@dataclass(frozen=True, slots=True)
class Column(Generic[R_contra]):
    """One column of a table whose rows are ``R_contra``. Where ``value`` gives None the cell is null."""

    name: str
    type: str
    meaning: str
    value: Callable[[R_contra], object]


def fact(known: Fact) -> Column[TurnRow]:
    """What a turn was in the words of its game; null in other games."""
    return Column(known.name, known.type, known.meaning, lambda row: row.facts.get(known.name))


def measure(known: Measure) -> Column[PlayerRow]:
    """A measure of the game; null in other games, and where there was nothing to average."""
    return Column(known.name, "float64", known.meaning, lambda row: row.measures.get(known.name))


def of_families(columns: Iterable[Column[R_contra]]) -> tuple[Column[R_contra], ...]:
    """The columns of all families: those of one name are one column, with what it means in each."""
    merged: dict[str, Column[R_contra]] = {}
    for column in columns:
        first = merged.get(column.name)
        merged[column.name] = replace(first, meaning=f"{first.meaning}; {column.meaning}") if first else column
    return tuple(merged.values())


def to_json(value: Any) -> str:
    """As readable JSON text."""
    return json.dumps(value, ensure_ascii=False)


SHARED: tuple[Column[Row], ...] = (
    Column("source", "string", "what was exported, as it was named: a run, an arena or a file", lambda r: r.origin.source),
    Column("file", "string", "the file of episodes, within the source", lambda r: r.origin.file),
    Column("line", "int64", "the line of that file, from 1; source, file and line name an episode", lambda r: r.origin.line),
    Column("game", "string", "the name of the game", lambda r: r.episode.game["name"]),
    Column("game_seed", "int64", "seed of all that is random in the game; a group shares it", lambda r: r.episode.seed),
    Column("iteration", "int64", "the iteration that played it, from 1; 0 outside of training", lambda r: r.episode.iteration),
    Column("group", "int64", "the group within the iteration, from 0", lambda r: r.episode.group),
    Column("episode", "int64", "the episode within the iteration, from 0", lambda r: r.episode.index),
    Column("player", "int64", "the player, from 0", lambda r: r.player),
    Column("policy_kind", "string", "what decided: adapter, base, script, human or remote", lambda r: r.policy.kind),
    Column("policy_name", "string", "the name of that policy", lambda r: r.policy.name),
    Column("policy_version", "int64", "how many updates the adapter had; 0 for other kinds", lambda r: r.policy.version),
    Column("learner", "string", "the learner that trains on the player's tokens; null if none does", lambda r: r.learner),
    Column("other_policies", "list<string>", "the other players' policies; adapters as NAME@VERSION", lambda r: r.others(r.names)),
    Column("other_kinds", "list<string>", "what kind of policy each of these is", lambda r: r.others(r.kinds)),
)

TURNS: tuple[Column[TurnRow], ...] = (
    *SHARED,
    Column("round", "int64", "the round, from 0", lambda r: r.round),
    Column("turn", "int64", "the turn within the round, from 0, in the order played", lambda r: r.number),
    Column(
        "step",
        "int64",
        "the step within the round, from 0: turns of a step were answered at once; null if unknown",
        lambda r: r.step,
    ),
    Column("phase", "string", "message or decision", lambda r: r.turn.phase),
    Column("topic", "string", "what was asked, where a round has several decisions; else empty", lambda r: r.turn.topic),
    Column("prompt", "string", "what the player was told since its last turn", lambda r: r.turn.prompt),
    Column("text", "string", "the answer as it was given", lambda r: r.answer.text),
    Column("action", "string", "what the game took it for, in JSON", lambda r: to_json(r.turn.action)),
    Column("valid", "bool", "false where the game's default action was played in place of the answer", lambda r: r.turn.valid),
    Column("replayed", "bool", "true where the answer was taken from the record of an earlier episode", lambda r: r.turn.replayed),
    Column("attempts", "int64", "how many answers it took; only the last one counts", lambda r: r.answer.attempts),
    *of_families(fact(known) for family in FAMILIES for known in family.facts),
    Column("reward", "float64", "the player's points in this round", lambda r: r.played.rewards[r.player]),
    Column("other_rewards", "list<float64>", "the other players' points in this round", lambda r: r.others(r.played.rewards)),
    Column("info", "string", "what the game put on record about the round, in JSON", lambda r: to_json(r.played.info)),
    Column("num_prompt_tokens", "int64", "the length of prompt_tokens", lambda r: len(r.answer.prompt_tokens)),
    Column("num_tokens", "int64", "the length of tokens; 0 where the tokens are not known", lambda r: len(r.answer.tokens)),
    Column("prompt_tokens", "list<int32>", "what the chat grew by before the answer", lambda r: r.answer.prompt_tokens),
    Column(
        "tokens", "list<int32>", "what was generated; prompt_tokens and tokens, joined, are the chat", lambda r: r.answer.tokens
    ),
    Column(
        "logprobs", "list<float32>", "log-probability of each generated token, when sampled, in nats", lambda r: r.answer.logprobs
    ),
    Column(
        "probabilities",
        "list<float64>",
        "of each possible answer, in the order of the game's actions",
        lambda r: r.answer.probabilities,
    ),
    Column("pattern", "string", "the regular expression that decoding was held to; null if none", lambda r: r.answer.pattern),
    Column("answer_seed", "int64", "the seed that the answer was sampled with", lambda r: r.answer.seed),
)

EPISODES: tuple[Column[PlayerRow], ...] = (
    *SHARED,
    Column("parameters", "string", "all parameters of the game, in JSON", lambda r: to_json(r.episode.game)),
    Column("rounds", "int64", "how many rounds were played", lambda r: len(r.episode.rounds)),
    Column("turns", "int64", "how many turns the player had", lambda r: len(r.turns)),
    Column("mean_reward", "float64", "the player's points per round", lambda r: mean(r.episode.rewards(r.player))),
    Column("total_reward", "float64", "the player's points in all", lambda r: sum(r.episode.rewards(r.player))),
    Column("other_mean_rewards", "list<float64>", "the other players' points per round", lambda r: r.others(r.mean_rewards)),
    Column(
        "invalid",
        "float64",
        "the share of the player's answers that were invalid",
        lambda r: mean(not turn.valid for turn in r.turns),
    ),
    Column(
        "num_tokens",
        "int64",
        "how many tokens the player generated",
        lambda r: sum(len(t.completion.tokens) for t in r.turns if not t.replayed),
    ),
    *of_families(measure(known) for family in FAMILIES for known in family.measures if not known.table),
)

METRICS: tuple[Column[MetricRow], ...] = (
    Column("source", "string", "the run folder, as it was named", lambda r: r.source),
    Column("iteration", "int64", "the iteration, from 1", lambda r: r.iteration),
    Column("metric", "string", "the name of the metric, such as reward/main", lambda r: r.metric),
    Column("value", "float64", "its value; null where nothing was seen that could be measured", lambda r: r.value),
)

TABLES: Mapping[str, tuple[Column[Any], ...]] = {"turns": TURNS, "episodes": EPISODES, "metrics": METRICS}


def tables(measures: Iterable[Measure]) -> dict[str, tuple[Column[Any], ...]]:
    """The columns of every table, with one more in episodes for each measure that is a number and has none yet."""
    taken = {column.name for column in EPISODES}
    own = {known.name: measure(known) for known in measures if not known.table and known.name not in taken}
    return {**TABLES, "episodes": (*EPISODES, *own.values())}
