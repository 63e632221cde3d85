"""Splitting games: rules, games, strategies, measures."""

from __future__ import annotations

from detente.games.family import Family, always
from detente.games.splitting import measures, reading, strategies
from detente.games.splitting.allocation import allocate, greed
from detente.games.splitting.deal_or_no_deal import deal_or_no_deal
from detente.games.splitting.facing import Facing, nothing, remembers
from detente.games.splitting.item_split import split_no_comm, trust_and_split_items
from detente.games.splitting.notes import notes
from detente.games.splitting.rules import REVEAL, SplittingGame
from detente.games.splitting.trust_and_split import trust_and_split
from detente.games.splitting.words import TAGS, named, number

__all__ = ["FAMILY", "REVEAL", "TAGS", "SplittingGame", "allocate", "greed", "named", "nothing", "number", "remembers"]


def _rules(game: SplittingGame) -> str:
    return "" if isinstance(game.wording, str) else game.rules(game.wording)


def _tells_points(game: SplittingGame) -> bool:
    return "points" in game.reveal or {"values", "asks"} <= {*game.reveal}


FAMILY = Family(
    name="splitting",
    games={
        "split_no_comm": split_no_comm,
        "trust_and_split": trust_and_split,
        "trust_and_split_items": trust_and_split_items,
        "deal_or_no_deal": deal_or_no_deal,
    },
    strategies=strategies.SPLITTING,
    can_play=strategies.can_play,
    attacks=strategies.ATTACKS,
    swayed=("ask_higher", "ask_lower", "reward"),
    cooperator=always("welfare"),
    defector=always("greedy"),
    measures=measures.MEASURES,
    measure=measures.measure,
    facts=measures.FACTS,
    turn_facts=measures.turn_facts,
    responses=measures.responses,
    exploited=measures.exploited,
    reading=reading.reading,
    references=reading.references,
    notes=notes,
    rules=_rules,
    tells_points=_tells_points,
    faces=Facing,
)
