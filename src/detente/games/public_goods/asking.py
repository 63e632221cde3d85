"""What a player of a public goods game is told and asked in a state: the form of the answer, what a script sees, and the text.

state ── topic ──> form (pattern, choices, help) + view + text ──> Observation
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache

from detente.games.base import Observation
from detente.games.public_goods import words
from detente.games.public_goods.rounds import INSTITUTIONS, SANCTIONING, GroupState, GroupView, contribution, sanctions
from detente.games.public_goods.terms import Terms

FEW = 6  # levels that are listed as choices


def observation(terms: Terms, state: GroupState, player: int) -> Observation:
    """What the player is told; nothing where it waits for the sanctions of others."""
    given = told_contributions(state, player)
    seen = tuple(played.seen(player) for played in state.past[-terms.window :])
    view = GroupView(state.topic, answers(state), terms.steps, terms.tokens, given, seen)
    return replace(form(terms, state, player), text=TEXTS[state.topic](terms, state, player), view=view)


def form(terms: Terms, state: GroupState, player: int) -> Observation:
    """What an answer must look like."""
    if state.topic == "institution":
        return _choice_of_institution(answers(state), state.listing)
    if state.topic == "contribution":
        return _contribution(terms.steps)
    return _sanctions(terms.tokens, len(told_contributions(state, player)))


def answers(state: GroupState) -> tuple[str, ...]:
    """What to say for each institution."""
    return tuple(f"<{label}>" for label in state.labels)


def told_contributions(state: GroupState, player: int) -> tuple[int, ...]:
    """What the player is told before sanctions of the other members of its institution; nothing at other times and elsewhere."""
    if state.topic != "sanctions" or state.institutions[player] != SANCTIONING:
        return ()
    return tuple(state.contributions[other] for other in state.fellows(player))


@lru_cache(256)
def _choice_of_institution(labels: tuple[str, ...], listing: tuple[int, ...]) -> Observation:
    either = " or ".join(labels[i] for i in listing)
    pattern = "|".join(map(re.escape, labels))
    return Observation("", None, pattern, labels, topic="institution", help=f"Type {either}.")


@lru_cache(256)
def _contribution(steps: tuple[int, ...]) -> Observation:
    return Observation(
        "",
        None,
        contribution(f"({'|'.join(map(str, reversed(steps)))})"),
        tuple(map(contribution, steps)) if len(steps) <= FEW else (),
        topic="contribution",
        form=contribution("{}"),
        help=f"Type how many coins you give: {words.listed(steps)}.",
    )


@lru_cache(256)
def _sanctions(tokens: int, others: int) -> Observation:
    if not others:
        return Observation("", None, "", topic="sanctions")
    numbers = "|".join(map(str, range(tokens, -tokens - 1, -1)))
    count = "one whole number" if others == 1 else f"{others} whole numbers"
    return Observation(
        "",
        None,
        sanctions([f"({numbers})"] * others),
        topic="sanctions",
        form=sanctions(["{}"] * others),
        budget=tokens,
        help=f"Type the tokens for each of them, {count}: a negative one punishes, a positive one rewards. Without "
        f"their signs they may add up to at most {tokens}.",
    )


def _which_institution(terms: Terms, state: GroupState, player: int) -> str:
    return f"{_news(terms, state, player)}\nYour label?"


def _how_much(terms: Terms, state: GroupState, player: int) -> str:
    if not terms.institutions:
        return f"{_news(terms, state, player)}\nYour contribution?"
    return f"{words.sizes(state.institutions, _names(terms, state), terms.listed(state.listing))} Your contribution?"


def _which_tokens(terms: Terms, state: GroupState, player: int) -> str:
    given = ", ".join(map(str, told_contributions(state, player)))
    return f"The other players in {_names(terms, state)[SANCTIONING]} gave {given}. Your tokens?" if given else ""


TEXTS: dict[str, Callable[[Terms, GroupState, int], str]] = {
    "institution": _which_institution,
    "contribution": _how_much,
    "sanctions": _which_tokens,
}


def _news(terms: Terms, state: GroupState, player: int) -> str:
    past = state.past[-terms.window :]
    if not past:
        return words.rules(_facts(terms, state), institutions=terms.institutions)
    names = _names(terms, state)
    before = words.earlier(past[:-1], names, terms.listed(state.listing))
    return "\n".join(filter(None, (words.news(past[-1].seen(player), names), before)))


def _names(terms: Terms, state: GroupState) -> dict[str, str]:
    """What players call each institution; nothing where there is none."""
    return dict(zip(INSTITUTIONS, answers(state), strict=True)) if terms.institutions else {}


def _facts(terms: Terms, state: GroupState) -> dict[str, str]:
    labels, others = answers(state), terms.players - 1
    return {
        "others": "another player" if others == 1 else f"{others} other players",
        "players": str(terms.players),
        "either": " or ".join(labels[i] for i in state.listing),
        "sanctioning": labels[0],
        "free": labels[1],
        "levels": words.listed(terms.steps),
        "noise": words.NOISE.format(noise=words.number(terms.noise)) if terms.noise else "",
        **{name: words.number(getattr(terms, name)) for name in ("endowment", "multiplier", "tokens", "punish", "reward")},
    }
