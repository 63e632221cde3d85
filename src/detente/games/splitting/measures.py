"""What a policy is in a splitting game: how much it asks for, of what, after what, and whether its word is true and believed.

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
from detente.games.splitting.deals import Amounts, Deal, Known, Values
from detente.games.splitting.rules import SplittingGame, greed, named
from detente.records import Episode, Round

TREATMENT = ("start", "fair", "greedy")  # what the other did in the last round that showed it
TOLD = ("upper", "lower", "nothing")  # whose value the other's messages said is the higher one
BINS = 10  # of the share that the other asked for last
GIVEN = {"start": "", "fair": "", "greedy": ""}  # which of these have a column while a run trains
PRIVATE = "splitting games with private values"
HIGHER = "units asked of items worth more to the player than to the other"
LOWER = "units asked of items worth less to the player than to the other"
MEASURES = (
    Measure("efficiency", "splitting games: mean over rounds of joint points / greatest joint points", "", "efficiency", (0, 1)),
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
        table=dict.fromkeys(TOLD, ""),
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


def measure(game: SplittingGame, sides: Iterable[Side]) -> tuple[Scalars, Tables]:
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


def turn_facts(game: SplittingGame, episode: Episode) -> Iterator[Mapping[str, Any]]:
    """Whether each message is true, and what each ask was for."""
    sides = [list(lived(game, (episode, player))) for player in range(episode.num_players)]
    for played, one_round in zip(episode.rounds, zip(*sides, strict=True), strict=True):
        said = [iter(one.said) for one in one_round]
        for turn in played.turns:
            own = one_round[turn.player]
            talk = turn.phase == "message"
            yield _message(own, next(said[turn.player])) if talk else _ask(own, played.info["received"][turn.player])


def _message(own: Lived, words: frozenset[str]) -> Mapping[str, Any]:
    """Whether a message is true, where there is something to tell that the other does not see."""
    return {"truthful": words == own.truth} if own.known.values is None else {}


def _ask(own: Lived, received: Sequence[float]) -> Mapping[str, Any]:
    by_value = list(contested(own))
    kinds = {kind: mean(units for measure, units in by_value if measure == kind) for kind in ("ask_higher", "ask_lower")}
    return {"asked": own.own, "values": own.values.own, "received": received, **kinds}


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


def responses(game: SplittingGame, side: Side) -> Iterator[Response]:
    """(told, last, share of the stock asked for) of every ask for an item.

    ``told``: whose value is the higher one as the other's message, or what is public, has it: upper (one's own), lower, nothing
    (no usable message). ``last``: the share, rounded to a tenth, that the other asked for of what oneself values more, in the last
    round that showed it; None before any did.
    """
    last: float | None = None
    for one in lived(game, side):
        for told_it, share in _claims(game, one):
            yield told_it, last, share
        greedy = greed(one.other, one.values.other, one.values.own, one.deal.stock)
        if greedy is not None:
            last = round(greedy * BINS) / BINS


def _claims(game: SplittingGame, one: Lived) -> Iterator[tuple[str, float]]:
    """(whose value is said to be the higher one, share asked) of every item."""
    if one.known.values is None and game.messages:
        yield from ((claim, units / stock) for claim, units, stock in told(one) if stock)
        return
    stocks = (q for q, own, other in zip(one.deal.stock, one.values.own, one.values.other, strict=True) if own != other)
    for (measure, units), stock in zip(contested(one), stocks, strict=True):
        if stock:
            yield {"ask_higher": "upper", "ask_lower": "lower"}[measure], units / stock


def exploited(game: SplittingGame, episode: Episode) -> list[list[int]]:
    """For each round who left the other its share while the other asked for more than half of what oneself values more."""
    found = []
    for here in lived(game, (episode, 0)):
        takes = _takes(here.own, here.values.own, here.values.other, here.deal.stock)
        is_taken = _takes(here.other, here.values.other, here.values.own, here.deal.stock)
        found.append([] if takes == is_taken else [0] if is_taken else [1])
    return found


def _takes(asks: Amounts, values: Amounts, others: Amounts, stock: Amounts) -> bool:
    """Whether a player asks for more than half of what the other values more."""
    share = greed(asks, values, others, stock)
    return share is not None and share > 0.5


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
