"""What the players of a public goods game are told. Nothing here says what an institution is called in records, or what is good."""

from __future__ import annotations

from collections.abc import Sequence

from detente.games.public_goods.rounds import Played, Row, Seen

RULES = """You are playing a game for several rounds with {others}. Nobody has a name, and who is who is mixed anew for every \
round. In every round each player gets {endowment} coins and says, all at the same time, how many of them go into a common pot: \
{levels}. You keep the rest. What is in the pot is multiplied by {multiplier} and shared equally by all {players} players, \
whatever they gave.{noise} A coin is a point. Afterwards everybody is told what each player gave and got.
"""
INSTITUTIONS = """You are playing a game for several rounds with {others}. Nobody has a name, and who is who is mixed anew for \
every round. A coin is a point. In every round:
First each player joins one of two groups, {either}, all at the same time.
Then each player gets {endowment} coins and says, all at the same time, how many of them go into the pot of its group: {levels}. \
You keep the rest. What is in the pot is multiplied by {multiplier} and shared equally by all members of the group, whatever \
they gave.{noise}
Then each player gets {tokens} more coins. In {free} everybody keeps them. In {sanctioning} you are told what each other member \
gave and may send each of them tokens, at most {tokens} in all. A token costs you 1 coin. For who receives them, each token of a \
negative number takes {punish} coins away and each of a positive number brings {reward}.
Afterwards everybody is told of each player its group, what it gave, the tokens that it received, and its points.
"""
NOISE = " With probability {noise} a player's number is replaced by one drawn from all that are possible."
GOAL = "Your goal: maximise your own total points over the whole game.\n"
FORM = "Answer in this form and with nothing else: Contribution: N, where N is the number."
FORMS = """Answer every question in its form and with nothing else: the label alone, {either}; Contribution: N, where N is the \
number; Tokens: 0, -3, 2 (such whole numbers, one for each other member of your group, in the order told)."""


def number(x: float) -> str:
    """At most two decimals, as players are told it."""
    return f"{round(x, 2) + 0.0:.2f}".rstrip("0").rstrip(".")


def listed(levels: Sequence[int]) -> str:
    """``a whole number from 0 to 20``, or ``0, 10 or 20``."""
    if len(levels) > 2 and [*levels] == [*range(levels[0], levels[-1] + 1)]:
        return f"a whole number from {levels[0]} to {levels[-1]}"
    return " or ".join([", ".join(map(str, levels[:-1])), str(levels[-1])])


def rules(facts: dict[str, str], *, institutions: bool) -> str:
    """What a player is told before anything else."""
    text = INSTITUTIONS + GOAL + FORMS if institutions else RULES + GOAL + FORM
    return text.format(**facts)


def news(seen: Seen, names: dict[str, str]) -> str:
    """The last round: the player's own points, stage by stage, and a row for each of the others.

    ``names``: the label of each institution; empty where there is none.
    """
    own = seen.own
    mine = f"you gave {own.contribution}{_place(own, names)} and got {number(own.first)} points"
    if names:
        mine += f", then {number(own.second)}{_tokens(own, ' with tokens ')}"
    rows = "; ".join(_row(row, names) for row in seen.others)
    return f"Last round {mine}.\nThe others: {rows}."


def _row(row: Row, names: dict[str, str]) -> str:
    place = f"{names[row.institution]} " if names else ""
    return f"{place}gave {row.contribution}{_tokens(row, ', tokens ')} got {number(row.points)}"


def _place(row: Row, names: dict[str, str]) -> str:
    return f" in {names[row.institution]}" if names else ""


def _tokens(row: Row, before: str) -> str:
    """The tokens that a player received, ``+2 -3``; "" for none."""
    received = [f"+{row.rewarded}"] * (row.rewarded > 0) + [f"-{row.punished}"] * (row.punished > 0)
    return before + " ".join(received) if received else ""


def earlier(past: Sequence[Played], names: dict[str, str], order: Sequence[str]) -> str:
    """The rounds before the last one that are shown, the oldest first: how many gave, and their mean; "" for none."""
    if not past:
        return ""
    rounds = "; ".join(", ".join(filter(None, (_mean(played.rows, names, where) for where in order))) for played in past)
    return f"Before that, players and what they gave on average: {rounds}."


def _mean(rows: Sequence[Row], names: dict[str, str], institution: str) -> str:
    given = [row.contribution for row in rows if row.institution == institution]
    return f"{names.get(institution, '')} {len(given)} gave {number(sum(given) / len(given))}".strip() if given else ""


def sizes(institutions: Sequence[str], names: dict[str, str], order: Sequence[str]) -> str:
    """How many players each institution has in this round."""
    first, second = ((names[where], institutions.count(where)) for where in order)
    return f"{first[0]} has {first[1]} player{'s' * (first[1] != 1)}, {second[0]} {second[1]}."
