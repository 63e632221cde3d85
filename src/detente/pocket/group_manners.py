"""How the assistant of the chats of ``pocket_groups`` answers: politely, undecided, and a little less so after others were not.

A manner is a strategy of one game, the game itself being its first argument. No answer that matters is left without probability, so
that a learner has something to choose from.
"""

from __future__ import annotations

import random
from statistics import fmean

from detente.games.bilateral_trade.rules import SELLER, Bargaining, TradeView
from detente.games.bilateral_trade.words import claimed
from detente.games.commons.rules import Commons, CommonsView
from detente.games.donor.rules import Donor, DonorView
from detente.games.family import Probabilities
from detente.games.investor.rules import INVESTOR, Investor, InvestorView
from detente.games.matrix.rules import MatrixGame, MatrixView
from detente.games.public_goods.rounds import FREE, SANCTIONING, GroupView
from detente.games.public_goods.rules import PublicGoods

ANYTHING = 0.04  # how often an amount is drawn from all that there are
LITTLE = 3 / 4  # of the maximum contribution


def public_goods(game: PublicGoods, view: GroupView, rng: random.Random) -> str:
    """Give all or half: all with .65 where the others gave all last, .35 where they gave nothing, nothing with .07 and .27."""
    if view.topic == "institution":
        return view.choose(_institution(view, rng))
    if view.topic == "sanctions":
        return view.send(_tokens(view, rng))
    if rng.random() < ANYTHING:
        return view.give(rng.choice(view.levels))
    most = view.levels[-1]
    others = fmean(row.contribution for row in view.past[-1].others) / most if view.past else 0.75
    share = rng.choices((1.0, 0.5, 0.0), (0.35 + 0.3 * others, 0.38 - 0.1 * others, 0.27 - 0.2 * others))[0]
    return view.give(share * most)


def _institution(view: GroupView, rng: random.Random) -> str:
    """The one with sanctions, with .6 where nobody else was there last, .8 where all were."""
    there = fmean(row.institution == SANCTIONING for row in view.past[-1].others) if view.past else 0.5
    return SANCTIONING if rng.random() < 0.6 + 0.2 * there else FREE


def _tokens(view: GroupView, rng: random.Random) -> list[int]:
    """Mostly none; for who gave little now and then a few negative ones, for the others now and then a positive one."""
    left, tokens = view.tokens, []
    for given in view.given:
        little = given < LITTLE * view.levels[-1]
        sent = rng.choices((0, -1, -2, -3), (0.6, 0.2, 0.1, 0.1) if little else (0.98, 0.02, 0, 0))[0]
        sent = 1 if not little and rng.random() < 0.12 else sent
        tokens.append(sent if abs(sent) <= left else 0)
        left -= abs(tokens[-1])
    return tokens


def donor(game: Donor, view: DonorView, rng: random.Random) -> str:
    """Give about 45 %: about 30 % to who gave nothing last, 60 % to who gave all."""
    if view.punishment and view.trace and view.trace[0] <= 0 and rng.random() < 0.2:
        return view.punish(0.1)
    gave = max(0, view.trace[0]) / 100 if view.trace else 0.5
    return view.gift(_about(0.3 + 0.3 * gave, 0.2, rng))


def commons(game: Commons, view: CommonsView, rng: random.Random) -> str:
    """Take an equal share of what grows back, now and then half or twice as much; more often more where others took more last."""
    share = round(view.stock * (1 - 1 / game.growth) / game.players)
    if view.phase == "message":
        words = (f"Let each of us catch at most {share} tons this month.", f"I will catch {share} tons.", "")
        return view.message(rng.choices(words, (0.8, 0.15, 0.05))[0])
    if rng.random() < ANYTHING:
        return view.ask(rng.randint(0, view.stock))
    others = [taken for seat, taken in enumerate(view.past[-1].taken) if seat != view.player] if view.past else []
    crossed = bool(others) and fmean(others) > 1.2 * view.past[-1].stock * (1 - 1 / game.growth) / game.players
    factors = (0.1, 0.35, 0.3, 0.25) if crossed else (0.15, 0.55, 0.2, 0.1)
    return view.ask(round(share * rng.choices((0.5, 1.0, 1.5, 2.0), factors)[0]))


def investor(game: Investor, view: InvestorView, rng: random.Random) -> str:
    """Invest half, less where little came back and more where much did; return a fifth, up to two fifths of a large investment."""
    if view.player == INVESTOR:
        invested, returned = next((played for played in reversed(view.past) if played[0]), (2, 1))
        return view.invest(_about(0.35 + 0.25 * min(1.5, returned / invested), 0.2, rng))
    return view.send(_about(0.2 + 0.2 * (view.invested or 0) / view.endowment, 0.12, rng))


def bargaining(game: Bargaining, view: TradeView, rng: random.Random) -> str:
    """Mostly say the truth; name it or a little more for oneself, now and then what the other claims where that is no loss."""
    favour = 1 if view.player == SELLER else -1
    if view.phase == "message":
        shade = rng.choices((0, 10, 20), (0.88, 0.07, 0.05))[0]
        return view.message("") if rng.random() < 0.03 else view.claim(view.own + favour * shade)
    other = claimed(view.heard, view.highest)
    if other is not None and favour * (other - view.own) > 0 and rng.random() < 0.2:
        return view.price(other)
    return view.price(view.own + favour * rng.choices((0, 5, 10, 20), (0.5, 0.25, 0.15, 0.1))[0])


def matrix(game: MatrixGame, view: MatrixView, rng: random.Random) -> Probabilities:
    """Each action .35 times as likely as the one before it, the cooperative one being first; with .2 what the other did last."""
    usual = [0.35**place for place in range(len(view.actions))]
    copied = 0.2 if view.other else 0.0
    return tuple(
        (1 - copied) * share / sum(usual) + copied * (view.other[-1:] == (action,))
        for action, share in zip(view.actions, usual, strict=True)
    )


def _about(mean: float, spread: float, rng: random.Random) -> float:
    """A share in [0, 1] in tenths, around a mean; now and then any."""
    share = rng.random() if rng.random() < ANYTHING else rng.gauss(mean, spread)
    return round(10 * min(1.0, max(0.0, share))) / 10
