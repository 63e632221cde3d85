"""Measures of splitting games: how much a policy asks for, of what, after what, and whether its messages are true and believed.

An invalid answer counts as what was played in its place: silence, or an ask for nothing.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from detente.games.family import Fact, Measure, Response
from detente.games.sides import Scalars, Side, Tables, mean
from detente.games.splitting.allocation import greed
from detente.games.splitting.deals import Amounts, Deal, Known, Values
from detente.games.splitting.rules import SplittingGame
from detente.games.splitting.words import named
from detente.records import Episode, Round

TREATMENT = ("start", "fair", "greedy")  # what the other did in the last round that showed it
CLAIMS = ("upper", "lower", "nothing")  # whose value the other's messages said is the higher one
BINS = 10  # of the share that the other asked for last
GIVEN = {"start": "", "fair": "", "greedy": ""}  # which of these have a column while a run trains
PRIVATE = "splitting games with private values"
HIGHER = "units asked of items worth more to the player than to the other"
LOWER = "units asked of items worth less to the player than to the other"
MEASURES = (
    Measure("efficiency", "splitting games: mean over rounds of joint points / maximum joint points", "", "efficiency", (0, 1)),
    Measure("ask_higher", f"splitting games: mean {HIGHER}", "asks, valued more", "ask higher"),
    Measure("ask_lower", f"splitting games: mean {LOWER}", "asks, valued less", "ask lower"),
    Measure("inequality", "splitting games: difference of the players' points / their sum, from 0 to 1", bounds=(0, 1)),
    Measure("agreement", "deal_or_no_deal: the share of rounds with a deal", bounds=(0, 1)),
    Measure("ask_higher_given", f"splitting games: mean {HIGHER}, by what the other did last", table=GIVEN),
    Measure(
        "ask_lower_given", f"splitting games: mean {LOWER}, by what the other did last", table=GIVEN | {"greedy": "after greedy"}
    ),
    Measure("truthfulness", f"{PRIVATE}: the share of messages that name the truth and only it", "", "truthful", (0, 1)),
    Measure("believed", f"{PRIVATE}: the share of asks that follow the other player's claim", bounds=(0, 1)),
    Measure(
        "ask_told",
        f"{PRIVATE}: mean units asked, by whose value is the higher one as the other says",
        table=dict.fromkeys(CLAIMS, ""),
    ),
)
FACTS = (
    Fact("asked", "list<int64>", "splitting games, decisions: units asked for, item by item"),
    Fact("values", "list<int64>", "splitting games, decisions: what a unit of each item is worth to the player"),
    Fact("received", "list<float64>", "splitting games, decisions: units received, item by item"),
    Fact("ask_higher", "float64", f"splitting games, decisions: mean {HIGHER}"),
    Fact("ask_lower", "float64", f"splitting games, decisions: mean {LOWER}"),
    Fact("truthful", "bool", f"{PRIVATE}, messages: whether it names the truth and only it"),
)


@dataclass(frozen=True, slots=True)
class OwnRound:
    """A round from the point of view of one of its players."""

    deal: Deal
    known: Known
    values: Values
    asked: Amounts  # units, item by item
    other_asked: Amounts
    said: tuple[frozenset[str], ...]  # the words that each message named
    heard: tuple[frozenset[str], ...]
    truth: frozenset[str]  # the words that an honest player names
    points: tuple[float, float]  # own, the other's
    granted: float  # units received by both, of everything


def measure(game: SplittingGame, sides: Iterable[Side]) -> tuple[Scalars, Tables]:
    """The game's scalars, and the tables ``reciprocity`` and, where messages tell what is private, ``ask_told``.

    Means over rounds (of asks: over rounds and items; of inequality: over episodes). efficiency: joint points / maximum joint
    points. ask_higher and ask_lower: units asked of what one values more, and less, than the other does. inequality: |difference
    of the points| / their sum. agreement, where there may be none: rounds with a deal. Where messages tell what is private,
    truthfulness: the share of messages that name the truth and only it; believed: where the other named something usable, the
    share of asks on that side of half the stock that the claim calls for.
    """
    by_side = [list(own_rounds(game, side)) for side in sides]
    rounds = [round_ for side in by_side for round_ in side]
    asks = [ask for round_ in rounds for ask in contested(round_)]
    scalars: Scalars = {
        "efficiency": mean(sum(round_.points) / round_.deal.best for round_ in rounds),
        **mean_asks(asks),
        "inequality": mean(inequality(side) for side in by_side),
    }
    tables: Tables = {"reciprocity": reciprocity(by_side)}
    if game.exact:
        scalars["agreement"] = mean(float(round_.granted > 0) for round_ in rounds)
    if game.messages and any(round_.known.values is None for round_ in rounds):
        answered = [ask for round_ in rounds for ask in asks_by_claim(round_)]
        scalars["truthfulness"] = mean(float(words == round_.truth) for round_ in rounds for words in round_.said)
        scalars["believed"] = mean(float(believes(*ask)) for ask in answered if ask[0] != "nothing")
        tables["ask_told"] = {claim: mean(units for claimed, units, _ in answered if claimed == claim) for claim in CLAIMS}
    return scalars, tables


def turn_facts(game: SplittingGame, episode: Episode) -> Iterator[Mapping[str, Any]]:
    """Whether each message is true, and what each ask was for."""
    sides = [list(own_rounds(game, (episode, player))) for player in range(episode.num_players)]
    for played, by_player in zip(episode.rounds, zip(*sides, strict=True), strict=True):
        said = [iter(own.said) for own in by_player]
        for turn in played.turns:
            own = by_player[turn.player]
            talk = turn.phase == "message"
            yield _message(own, next(said[turn.player])) if talk else _ask(own, played.info["received"][turn.player])


def _message(own: OwnRound, words: frozenset[str]) -> Mapping[str, Any]:
    """Whether a message is true, where there is something to tell that the other does not see."""
    return {"truthful": words == own.truth} if own.known.values is None else {}


def _ask(own: OwnRound, received: Sequence[float]) -> Mapping[str, Any]:
    return {"asked": own.asked, "values": own.values.own, "received": received, **mean_asks(contested(own))}


def mean_asks(asks: Iterable[tuple[str, int]]) -> Scalars:
    """``ask_higher`` and ``ask_lower``: the mean of the units asked under either name."""
    listed = list(asks)
    return {measure: mean(units for name, units in listed if name == measure) for measure in ("ask_higher", "ask_lower")}


def reciprocity(by_side: Iterable[Iterable[OwnRound]]) -> dict[str, Scalars]:
    """[start, fair, greedy][ask_higher, ask_lower]: mean units asked, given what the other did in the last round that showed it.

    It was greedy if it asked for more than half of what oneself values more.
    """
    asks: dict[str, list[tuple[str, int]]] = defaultdict(list)
    for rounds in by_side:
        last = "start"
        for round_ in rounds:
            asks[last] += contested(round_)
            share = greed(round_.other_asked, round_.values.other, round_.values.own, round_.deal.stock)
            if share is not None:
                last = "greedy" if share > 0.5 else "fair"
    return {last: mean_asks(asks[last]) for last in TREATMENT}


def responses(game: SplittingGame, side: Side) -> Iterator[Response]:
    """(claim, last, share of the stock asked for) of every ask for an item.

    ``claim``: whose value is higher according to the other's message or, where values are public, in fact: upper (one's own),
    lower, nothing (no usable message). ``last``: the share, rounded to a tenth, that the other asked for of what the player itself
    values more, in the last round that showed it; None before any did.
    """
    last: float | None = None
    for round_ in own_rounds(game, side):
        for claim, share in _shares(game, round_):
            yield claim, last, share
        greedy = greed(round_.other_asked, round_.values.other, round_.values.own, round_.deal.stock)
        if greedy is not None:
            last = round(greedy * BINS) / BINS


def _shares(game: SplittingGame, round_: OwnRound) -> Iterator[tuple[str, float]]:
    """(claim, share of the stock asked for) of every item; see ``responses``."""
    if round_.known.values is None and game.messages:
        yield from ((claim, units / stock) for claim, units, stock in asks_by_claim(round_) if stock)
        return
    values = round_.values
    stocks = (stock for stock, own, other in zip(round_.deal.stock, values.own, values.other, strict=True) if own != other)
    for (measure, units), stock in zip(contested(round_), stocks, strict=True):
        if stock:
            yield {"ask_higher": "upper", "ask_lower": "lower"}[measure], units / stock


def exploited(game: SplittingGame, episode: Episode) -> list[list[int]]:
    """[round][players exploited]: asked for at most half of what the other values more, while the other asked for more."""
    return [_exploited(round_) for round_ in own_rounds(game, (episode, 0))]


def _exploited(round_: OwnRound) -> list[int]:
    values, stock = round_.values, round_.deal.stock
    takes = _takes(round_.asked, values.own, values.other, stock)
    is_taken = _takes(round_.other_asked, values.other, values.own, stock)
    return [] if takes == is_taken else [0] if is_taken else [1]


def _takes(asks: Amounts, values: Amounts, others: Amounts, stock: Amounts) -> bool:
    """Whether a player asks for more than half of what the other values more."""
    share = greed(asks, values, others, stock)
    return share is not None and share > 0.5


def own_rounds(game: SplittingGame, side: Side) -> Iterator[OwnRound]:
    """The rounds of an episode from the point of view of a player."""
    episode, player = side
    vocabulary = game.vocabulary or game.items
    for played in episode.rounds:
        deal, other = _deal(played), 1 - player
        talk: tuple[list[frozenset[str]], list[frozenset[str]]] = ([], [])
        asks = {}
        for turn in played.turns:
            if turn.phase == "message":
                talk[turn.player].append(_named(turn.action, vocabulary))
            else:
                asks[turn.player] = tuple(turn.action[item] for item in game.items)
        yield OwnRound(
            deal=deal,
            known=_known(game, deal, player),
            values=Values(deal.values[player], deal.values[other]),
            asked=asks[player],
            other_asked=asks[other],
            said=tuple(talk[player]),
            heard=tuple(talk[other]),
            truth=frozenset(deal.truth[player]),
            points=(played.rewards[player], played.rewards[other]),
            granted=sum(map(sum, played.info["received"])),
        )


def contested(round_: OwnRound) -> Iterator[tuple[str, int]]:
    """``ask_higher`` or ``ask_lower``, and the units asked, of every item whose value differs between the players."""
    for units, own, other in zip(round_.asked, round_.values.own, round_.values.other, strict=True):
        if own != other:
            yield "ask_higher" if own > other else "ask_lower", units


def asks_by_claim(round_: OwnRound) -> Iterator[tuple[str, int, int]]:
    """(claim, units asked, stock) of every item. The claim: whose value is higher if the other's messages are true.

    It is "nothing" for all items where the messages name nothing that could be true. An item that would be worth the same to both
    is left out.
    """
    asked, stocks = round_.asked, round_.deal.stock
    claim = round_.known.if_named.get(frozenset().union(*round_.heard))
    if claim is None:
        yield from (("nothing", units, stock) for units, stock in zip(asked, stocks, strict=True))
        return
    for units, stock, own, other in zip(asked, stocks, claim.own, claim.other, strict=True):
        if own != other:
            yield "upper" if own > other else "lower", units, stock


def believes(claim: str, units: int, stock: int) -> bool:
    """Whether an ask is more than half the stock after "upper", less than half after "lower"."""
    return 2 * units > stock if claim == "upper" else 2 * units < stock


def inequality(rounds: Iterable[OwnRound]) -> float:
    """|difference of the seats' points| / their sum, in [0, 1]; 0 where neither has any."""
    points = [round_.points for round_ in rounds]
    own, other = sum(own for own, _ in points), sum(other for _, other in points)
    return abs(own - other) / (own + other) if own + other else 0.0


def _deal(played: Round) -> Deal:
    values, truth = played.info["values"], played.info["truth"]
    return Deal(tuple(played.info["stock"]), tuple(map(tuple, values)), tuple(map(tuple, truth)))


# The episodes of a group share their deals, and each message is read once for either player.
@lru_cache(maxsize=4096)
def _known(game: SplittingGame, deal: Deal, player: int) -> Known:
    return game.known(deal, player)


@lru_cache(maxsize=4096)
def _named(text: str, words: tuple[str, ...]) -> frozenset[str]:
    return named(text, words)
