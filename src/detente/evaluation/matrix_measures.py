"""What a policy is in a matrix game with a cooperative action: how often it cooperates, and after what."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

from detente.evaluation.sides import Scalars, Side, Tables, mean
from detente.games.matrix import MatrixGame

JOINT_MOVES = ("start", "CC", "CD", "DC", "DD")  # one's own last move first


def measured(game: MatrixGame, sides: Sequence[Side]) -> tuple[Scalars, Tables]:
    """The cooperation rate and the table ``cooperate_given``; nothing where no action is cooperative."""
    if game.cooperative is None:
        return {}, {}
    turns = (turn for episode, player in sides for turn in episode.turns(player))
    rate = mean(float(turn.action == game.cooperative) for turn in turns)
    return {"cooperation_rate": rate}, {"cooperate_given": cooperate_given(game, sides)}


def cooperate_given(game: MatrixGame, sides: Iterable[Side]) -> Scalars:
    """Mean probability of the cooperative action after each last joint move; None for a move that was never seen.

    The probability is the policy's own where it was recorded, else 1 or 0 for what was played.
    """
    found: dict[str, list[float]] = defaultdict(list)
    cooperative = game.actions.index(game.cooperative or game.actions[0])
    for episode, player in sides:
        last = "start"
        for one_round in episode.rounds:
            by_player = {turn.player: turn for turn in one_round.turns}
            own = by_player[player]
            known = own.completion.probabilities
            found[last].append(known[cooperative] if known else float(own.action == game.cooperative))
            last = "".join("C" if by_player[p].action == game.cooperative else "D" for p in (player, 1 - player))
    return {move: mean(found[move]) for move in JOINT_MOVES}
