"""The matrix games by name: a payoff table each, and what its actions are called."""

from __future__ import annotations

from typing import Any

from detente.errors import UserError
from detente.games.matrix.rules import MatrixGame, Payoffs
from detente.games.parameters import build


def ipd(**parameters: Any) -> MatrixGame:
    """The iterated prisoner's dilemma: mutual cooperation pays 3, mutual defection 1, defecting on a cooperator 5 and 0."""
    return _game({"name": "ipd", "actions": ("C", "D"), "cooperative": "C", "payoffs": _symmetric(3, 0, 5, 1)}, parameters)


def stag_hunt(**parameters: Any) -> MatrixGame:
    """The stag hunt: hunting the stag together is best, a hare is safe (Rousseau; Skyrms, 2004)."""
    return _game({"name": "stag_hunt", "actions": ("C", "D"), "cooperative": "C", "payoffs": _symmetric(4, 0, 3, 2)}, parameters)


def chicken(**parameters: Any) -> MatrixGame:
    """Chicken, or hawk and dove: yielding to a defector beats a crash (Maynard Smith and Price, 1973)."""
    return _game({"name": "chicken", "actions": ("C", "D"), "cooperative": "C", "payoffs": _symmetric(3, 1, 4, 0)}, parameters)


def matching_pennies(**parameters: Any) -> MatrixGame:
    """Matching pennies: the row player wants the same label, the column player a different one; zero-sum."""
    table = (((1, -1), (-1, 1)), ((-1, 1), (1, -1)))
    return _game({"name": "matching_pennies", "actions": ("H", "T"), "payoffs": table}, parameters)


def trust_game(**parameters: Any) -> MatrixGame:
    """The trust game: an investor trusts or keeps 6 points, a trustee shares 10 and 10 or takes 20."""
    table = (((10, 10), (0, 20)), ((6, 2), (4, 4)))
    defaults = {"name": "trust_game", "actions": ("C", "D"), "cooperative": "C", "payoffs": table, "roles": ("investor", "trustee")}
    return _game(defaults, parameters)


def travelers_dilemma(**parameters: Any) -> MatrixGame:
    """The traveler's dilemma: claims of 2 to 5; both get the lower one, and who named it 2 from the other (Basu, 1994)."""
    claims = (5, 4, 3, 2)
    table = tuple(tuple((_claimed(own, other), _claimed(other, own)) for other in claims) for own in claims)
    defaults = {
        "name": "travelers_dilemma",
        "actions": tuple(map(str, claims)),
        "cooperative": "5",
        "payoffs": table,
        "labels": ("A", "B", "C", "D"),
    }
    return _game(defaults, parameters)


def matrix(**parameters: Any) -> MatrixGame:
    """Any table: ``payoffs=[[[3, 3], [0, 5]], [[5, 0], [1, 1]]]``, with ``actions`` and ``labels`` for more than two rows."""
    if "payoffs" not in parameters:
        raise UserError("The game 'matrix' needs a payoff table, e.g. game.payoffs=[[[3,3],[0,5]],[[5,0],[1,1]]].")
    payoffs = parameters["payoffs"]
    size = len(payoffs) if isinstance(payoffs, list | tuple) else 2
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
    actions = ("C", "D") if size == 2 else tuple(letters[:size])
    defaults = {"name": "matrix", "actions": actions, "cooperative": "C" if size == 2 else None, "labels": tuple(letters[:size])}
    return _game(defaults, parameters)


def _game(defaults: dict[str, Any], parameters: dict[str, Any]) -> MatrixGame:
    return build(MatrixGame, defaults, parameters)


def _claimed(own: int, other: int, bonus: int = 2) -> int:
    """What a claim earns: the lower claim of the two, with the bonus for who made it and less as much for the other."""
    return min(own, other) + bonus * ((own < other) - (own > other))


def _symmetric(reward: float, sucker: float, temptation: float, punishment: float) -> Payoffs:
    return (
        ((reward, reward), (sucker, temptation)),
        ((temptation, sucker), (punishment, punishment)),
    )
