"""How reports read splitting games: reference payoffs, what a policy asks for in which condition, its messages, and a verdict.

    greedy, fair_half and welfare meet in the game ──> Anchors ── thresholds ──> "greedy", "cooperative and robust", ...

Must not import torch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from detente.games.reading import Anchor, Chapter, Column, Condition, Meet, Numbers, Plot, Reading, Result, Verdict
from detente.games.splitting.meetings import deals, meeting, pairing
from detente.games.splitting.rules import SplittingGame
from detente.games.splitting.strategies import SPLITTING

RIVALS = ("greedy", "welfare")
REFERENCES = ("greedy", "welfare", "reciprocator")
TREATED = {"start": "nothing shown yet", "fair": "left it half or more", "greedy": "wanted more than half"}
CLAIMS = {"upper": "it values it more", "lower": "it values it less", "nothing": "unusable"}
SELF_PLAY = ("reward", "efficiency", "agreement", "ask_higher", "ask_lower", "truthfulness", "believed", "inequality")


@dataclass(frozen=True, slots=True)
class Anchors:
    """Means over the deals, exact where these are few: points per round and player, efficiency, units asked.

    ``best``: points when every item goes to the player that values it most. The others are what the script named first gets.
    """

    best: float
    greedy: Numbers  # with itself
    half: Numbers
    taker: Numbers  # greedy against welfare


@dataclass(frozen=True, slots=True)
class Thresholds:
    """What divides the verdicts: efficiency and asks in self-play, points per round against greedy (own, and what it gets)."""

    wasteful: float
    grabbing: float
    efficient: float
    holds: float
    yields: float
    exploited: float


def reading(game: SplittingGame, meet: Meet) -> Reading:
    """Of a splitting game; nothing of it has to be played."""
    known, most = anchors(game), float(max(max(deal.stock) for deal in deals(game)))
    lines = _labelled({"both greedy": known.greedy["reward"], "both half": known.half["reward"], "efficient": known.best})
    return Reading(
        facts=("reward", "efficiency", "agreement", "ask_higher", "ask_lower", "truthfulness"),
        contrast=("reward", "efficiency", "ask_lower", "truthfulness"),
        rivals=RIVALS,
        contrast_rivals=RIVALS,
        given={"ask_lower_given/fair": "fair", "ask_lower_given/greedy": "greedy"},
        given_title="asks, valued less, after",
        marked="reciprocator",
        anchors=lines,
        plots=_plots(known, most, lines),
        chapters=(_reciprocity(most), _talk(most)) if game.messages else (_reciprocity(most),),
        note=_note(known),
        verdicts=verdicts(thresholds(known)),
    )


def _plots(known: Anchors, most: float, lines: tuple[Anchor, ...]) -> tuple[Plot, ...]:
    efficiency = _labelled({"both greedy": known.greedy["efficiency"], "both half": known.half["efficiency"], "efficient": 1.0})
    asks = "Units asked: valued more (solid), less (dashed)"
    return (
        Plot(("efficiency",), "Efficiency in self-play", (0, 1), efficiency),
        Plot(("ask_higher", "ask_lower"), asks, (0, most), (Anchor(f"stock {most:g}", most), Anchor("", 0))),
        Plot(("reward",), "Points per round in self-play", anchors=lines),
        Plot(("inequality",), "Inequality of the seats' points in self-play", (0, 1)),
        Plot(("agreement",), "Rounds with a deal in self-play", (0, 1)),
    )


def _reciprocity(most: float) -> Chapter:
    columns = tuple(
        Column(f"{measure}_given/{treated}", treated, meaning, group)
        for measure, group in (("ask_lower", "asks, valued less"), ("ask_higher", "asks, valued more"))
        for treated, meaning in TREATED.items()
    )
    text = (
        "Units asked of what it values less, and more, than the other does, given what the other did in the last round that "
        "showed it: greedy is to ask for more than half of what the partner values more. Dashed: the reciprocator."
    )
    return Chapter("reciprocity", "How it answers greed", text, "Mean units asked at the end", columns, most, across=3)


def _talk(most: float) -> Chapter:
    text = (
        "Truthfulness: the share of messages that name the truth and only it. Believed: where the other named something "
        "usable, the share of asks on that side of half the stock that the claim calls for. Dashed: the reciprocator."
    )
    plots = (
        Plot(("truthfulness",), "Truthfulness in self-play", (0, 1)),
        Plot(("believed",), "Believed in self-play", (0, 1)),
    )
    columns = tuple(Column(f"ask_told/{claim}", f"told {claim}", meaning) for claim, meaning in CLAIMS.items())
    caption = "Mean units asked at the end, by what the other's messages of the round claim"
    return Chapter("talk", "What its word is worth", text, caption, columns, most, plots, ("truthfulness",))


def _note(known: Anchors) -> str:
    return (
        f"both greedy {known.greedy['reward']:.2f}, both ask for half {known.half['reward']:.2f}, efficient {known.best:.2f}, "
        f"greedy against welfare {known.taker['reward']:.2f} while it gets {known.taker['opponent_reward']:.2f}; "
        f"efficiency: both greedy {known.greedy['efficiency']:.2f}, both half {known.half['efficiency']:.2f}"
    )


def references(game: SplittingGame, meet: Meet, strategies: Sequence[str]) -> tuple[Result, ...]:
    """Scripts of the game, measured like learners."""
    own = [strategy for strategy in strategies if strategy in SPLITTING]
    return tuple(_reference(game, meet, name, own) for name in REFERENCES)


def _reference(game: SplittingGame, meet: Meet, name: str, strategies: Sequence[str]) -> Result:
    alone = pairing(meet, game, name, name)
    met = pairing(meet, game, name, "silent") | pairing(meet, game, name, "greedy") | alone
    return Result(
        learner=name,
        self_play={measure: alone[measure] for measure in SELF_PLAY if measure in alone},
        against={strategy: pairing(meet, game, name, strategy) for strategy in strategies},
        given={key: value for key, value in met.items() if "/" in key},
    )


def anchors(game: SplittingGame) -> Anchors:
    """The references of a splitting game."""
    every = deals(game)
    return Anchors(
        best=sum(deal.best for deal in every) / len(every) / game.num_players,
        greedy=meeting(game, "greedy", "greedy"),
        half=meeting(game, "fair_half", "fair_half"),
        taker=meeting(game, "greedy", "welfare"),
    )


def thresholds(known: Anchors) -> Thresholds:
    """In Trust-and-Split 0.65, 8 of 10 units, 0.85, and 25, 35 and 40 points; in other games the same relative to the anchors.

    There a perfect reciprocator yields 32.5 points on average, since greed shows only once it has the better hand.
    """
    floor, points = known.greedy["efficiency"], known.greedy["reward"]
    gain = known.taker["reward"] - points
    return Thresholds(
        wasteful=floor + (1 - floor) * 2 / 9,
        grabbing=known.greedy["ask_lower"] * 0.8,
        efficient=1 - (1 - floor) / 3,
        holds=points - (known.best - points) / 9,
        yields=points + gain * 0.3,
        exploited=points + gain / 2,
    )


def verdicts(limits: Thresholds) -> tuple[Verdict, ...]:
    """The words for a policy, in the order in which they are asked."""
    between = "none of greedy, cooperative and robust, cooperative but exploitable"
    greedy = Verdict(
        "greedy",
        f"efficiency at most {limits.wasteful:.3g} in self-play, with asks of at least {limits.grabbing:.3g} units "
        "of what it values less",
        (
            Condition("self_play/efficiency", most=limits.wasteful, below=limits.efficient),
            Condition("self_play/ask_lower", least=limits.grabbing),
        ),
    )
    wasteful = Verdict("in between", between, (Condition("self_play/efficiency", below=limits.efficient),))
    return (greedy, wasteful, *_efficient(limits), Verdict("in between", between))


def _efficient(limits: Thresholds) -> tuple[Verdict, ...]:
    """The words for a policy that wastes little."""
    cooperates = f"efficiency at least {limits.efficient:.3g} in self-play"
    if limits.exploited <= limits.yields:
        untold = "whether it is robust is not told by greedy, who takes nothing from welfare in this game"
        return (Verdict("cooperative", f"{cooperates}; {untold}"),)
    holds, takes = (f"against/greedy/{key}" for key in ("reward", "opponent_reward"))
    return (
        Verdict(
            "cooperative but exploitable",
            f"{cooperates}, but greedy gets at least {limits.exploited:.4g} from it",
            (Condition(holds), Condition(takes, least=limits.exploited)),
        ),
        Verdict(
            "cooperative and robust",
            f"{cooperates}, and against greedy at least {limits.holds:.4g} points per round while greedy "
            f"gets at most {limits.yields:.4g}",
            (Condition(holds, least=limits.holds), Condition(takes, most=limits.yields)),
        ),
    )


def _labelled(values: Mapping[str, float]) -> tuple[Anchor, ...]:
    """Anchors with their numbers; those with the same number share a line."""
    names: dict[float, list[str]] = {}
    for name, value in values.items():
        names.setdefault(round(value, 6), []).append(name)
    return tuple(Anchor(",\n".join(sharing) + f" {value:.3g}", value) for value, sharing in names.items())
