"""How reports read bargaining: what truthful players and those of the linear equilibrium get, and what words are worth."""

from __future__ import annotations

from functools import partial

from detente.games.bilateral_trade.rules import Bargaining
from detente.games.bilateral_trade.words import claimed
from detente.games.reading import Anchor, Meet, Notes, Plot, Reading
from detente.games.splitting.words import number
from detente.records import Round, Turn


def surplus(highest: int, least: float = 0) -> float:
    """The mean over all costs and values of what a trade is worth to both together, where it takes place if it is worth as much
    as ``least``."""
    gains = [gain for gain in range(1, highest + 1) if gain >= least]
    return sum(gain * (highest + 1 - gain) for gain in gains) / (highest + 1) ** 2


def reading(game: Bargaining, meet: Meet) -> Reading:
    """Of bargaining; nothing of it has to be played. Seats differ, so there are no verdicts."""
    best, linear = surplus(game.highest), surplus(game.highest, game.highest / 4)
    rewards = Anchor(f"truthful {best / 2:.3g}", best / 2), Anchor(f"linear {linear / 2:.3g}", linear / 2)
    efficiency = Anchor("truthful 1", 1.0), Anchor(f"linear {linear / best:.3g}", linear / best)
    plots = (
        Plot(("efficiency",), "Joint points / the most in self-play", anchors=efficiency),
        Plot(("reward",), "Points per round in self-play", anchors=rewards),
        Plot(("markup",), "How much better the price is than the truth, in points", anchors=(Anchor("truthful", 0.0),)),
    )
    words = (
        Plot(("honesty",), "Honesty of claims in self-play", (0, 1), (Anchor("truthful", 1.0),)),
        Plot(("credulity",), "Credulity in self-play", anchors=(Anchor("minds no claim", 0.0),)),
    )
    return Reading(
        facts=("reward", "efficiency", "surplus_share", "markup", *(("honesty", "credulity") if game.messages else ())),
        contrast=("reward", "efficiency", "markup"),
        rivals=("truthful",),
        contrast_rivals=("truthful", "linear", "liar"),
        anchors=rewards,
        plots=(*plots, *words) if game.messages else plots,
        note=(
            f"both truthful {best / 2:.2f} points per round each and all of the surplus, "
            f"the linear equilibrium {linear / 2:.2f} each and {linear / best:.3f} of it"
        ),
    )


def notes(game: Bargaining, played: Round) -> Notes:
    """Cost, value, what each claim is worth, and what the prices came to."""
    cost, value = played.info["worth"]
    return Notes(
        stock=_sold(played),
        held=(f"cost {cost}", f"value {value}"),
        received=tuple(f"{number(reward)} points" for reward in played.rewards),
        honest=partial(_honest, game.highest, (cost, value)),
    )


def outcome(game: Bargaining, played: Round, player: int, seed: int) -> str:
    """Whether there was a trade, and what one got."""
    return f"{'no trade' if played.info['price'] is None else 'a trade'}, you got {number(played.rewards[player])}"


def _sold(played: Round) -> str:
    price = played.info["price"]
    return "not sold" if price is None else f"sold for {number(price)}"


def _honest(highest: int, worth: tuple[int, int], message: Turn) -> bool | None:
    claim = claimed([message.action], highest)
    return None if claim is None else claim == worth[message.player]
