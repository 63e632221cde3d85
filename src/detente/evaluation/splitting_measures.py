"""What a policy is in a splitting game: how much it asks for, of what, after what, and whether its word is true and believed.

An invalid answer counts as what was played in its place: silence, or an ask for nothing.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache

from detente.evaluation.sides import Scalars, Side, Tables, mean
from detente.games.deals import Amounts, Deal, Known, Values
from detente.games.splitting import SplittingGame, greed, named
from detente.records import Round

TREATMENT = ("start", "fair", "greedy")  # what the other did in the last round that showed it
TOLD = ("upper", "lower", "nothing")  # whose value the other's messages said is the higher one


@dataclass(frozen=True, slots=True)
class Lived:
    """A round as one of its players lived it."""

    deal: Deal
    known: Known
    values: Values
    own: Amounts  # units asked
    other: Amounts
    said: tuple[frozenset[str], ...]  # the words that each message named
    heard: tuple[frozenset[str], ...]
    truth: frozenset[str]  # the words that an honest player names
    points: tuple[float, float]  # own, the other's
    granted: float  # units received by both, of everything


def measured(game: SplittingGame, sides: Iterable[Side]) -> tuple[Scalars, Tables]:
    """The game's scalars, and the tables ``reciprocity`` and, where messages tell what is private, ``ask_told``.

    Means over rounds (of asks: over rounds and items; of inequality: over episodes). efficiency: joint points / greatest joint
    points. ask_higher and ask_lower: units asked of what one values more, and less, than the other does. inequality: |difference
    of the points| / their sum. agreement, where there may be none: rounds with a deal. Where messages tell what is private,
    truthfulness: the share of messages that name the truth and only it; believed: where the other named something usable, the
    share of asks on that side of half the stock that the claim calls for.
    """
    by_side = [list(lived(game, side)) for side in sides]
    rounds = [one for side in by_side for one in side]
    asked = [(measure, units) for one in rounds for measure, units in contested(one)]
    scalars: Scalars = {
        "efficiency": mean(sum(one.points) / one.deal.best for one in rounds),
        **{kind: mean(units for measure, units in asked if measure == kind) for kind in ("ask_higher", "ask_lower")},
        "inequality": mean(inequality(side) for side in by_side),
    }
    tables: Tables = {"reciprocity": reciprocity(by_side)}
    if game.exact:
        scalars["agreement"] = mean(float(one.granted > 0) for one in rounds)
    if game.messages and any(one.known.values is None for one in rounds):
        claims = [claim for one in rounds for claim in told(one)]
        scalars["truthfulness"] = mean(float(words == one.truth) for one in rounds for words in one.said)
        scalars["believed"] = mean(float(believes(*claim)) for claim in claims if claim[0] != "nothing")
        tables["ask_told"] = {word: mean(units for claimed, units, _ in claims if claimed == word) for word in TOLD}
    return scalars, tables


def reciprocity(by_side: Iterable[Iterable[Lived]]) -> dict[str, Scalars]:
    """[start, fair, greedy][ask_higher, ask_lower]: mean units asked, given what the other did in the last round that showed it.

    It was greedy if it asked for more than half of what oneself values more.
    """
    found: dict[tuple[str, str], list[float]] = defaultdict(list)
    for rounds in by_side:
        last = "start"
        for one in rounds:
            for measure, units in contested(one):
                found[last, measure].append(units)
            share = greed(one.other, one.values.other, one.values.own, one.deal.stock)
            if share is not None:
                last = "greedy" if share > 0.5 else "fair"
    return {last: {measure: mean(found[last, measure]) for measure in ("ask_higher", "ask_lower")} for last in TREATMENT}


def lived(game: SplittingGame, side: Side) -> Iterator[Lived]:
    """The rounds of an episode as the player lived them."""
    episode, player = side
    vocabulary = game.vocabulary or game.items
    for one in episode.rounds:
        deal, other = _deal(one), 1 - player
        talk: tuple[list[frozenset[str]], list[frozenset[str]]] = ([], [])
        asks = {}
        for turn in one.turns:
            if turn.phase == "message":
                talk[turn.player].append(_named(turn.action, vocabulary))
            else:
                asks[turn.player] = tuple(turn.action[item] for item in game.items)
        yield Lived(
            deal=deal,
            known=_known(game, deal, player),
            values=Values(deal.values[player], deal.values[other]),
            own=asks[player],
            other=asks[other],
            said=tuple(talk[player]),
            heard=tuple(talk[other]),
            truth=frozenset(deal.truth[player]),
            points=(one.rewards[player], one.rewards[other]),
            granted=sum(map(sum, one.info["received"])),
        )


def contested(one: Lived) -> Iterator[tuple[str, int]]:
    """``ask_higher`` or ``ask_lower``, and the units asked, of every item whose value differs between the players."""
    for units, own, other in zip(one.own, one.values.own, one.values.other, strict=True):
        if own != other:
            yield "ask_higher" if own > other else "ask_lower", units


def told(one: Lived) -> Iterator[tuple[str, int, int]]:
    """Whose value is the higher one if the other's messages are true, the units asked, and the stock, of every item.

    "nothing" of all items where the messages name nothing that could be true. An item that would be worth the same to both is
    left out.
    """
    claim = one.known.if_named.get(frozenset().union(*one.heard))
    if claim is None:
        yield from (("nothing", units, stock) for units, stock in zip(one.own, one.deal.stock, strict=True))
        return
    for units, stock, own, other in zip(one.own, one.deal.stock, claim.own, claim.other, strict=True):
        if own != other:
            yield "upper" if own > other else "lower", units, stock


def believes(claimed: str, units: int, stock: int) -> bool:
    """Whether an ask is more than half the stock after "upper", less than half after "lower"."""
    return 2 * units > stock if claimed == "upper" else 2 * units < stock


def inequality(rounds: Iterable[Lived]) -> float:
    """|difference of the seats' points| / their sum, in [0, 1]; 0 where nobody has any."""
    points = [one.points for one in rounds]
    own, other = sum(own for own, _ in points), sum(other for _, other in points)
    return abs(own - other) / (own + other) if own + other else 0.0


def _deal(one: Round) -> Deal:
    values, truth = one.info["values"], one.info["truth"]
    return Deal(tuple(one.info["stock"]), tuple(map(tuple, values)), tuple(map(tuple, truth)))


# The episodes of a group share their deals, and each message is read once for either player.
@lru_cache(maxsize=4096)
def _known(game: SplittingGame, deal: Deal, player: int) -> Known:
    return game.known(deal, player)


@lru_cache(maxsize=4096)
def _named(text: str, words: tuple[str, ...]) -> frozenset[str]:
    return named(text, words)
