"""How the embedded model plays before any training: the tables of docs/models.md.

python experiments/pocket.py
"""

from __future__ import annotations

from collections.abc import Iterable

import detente
from detente.evaluation.measures import measures
from detente.games import Game
from detente.games.matrix.measures import JOINT_MOVES
from detente.games.sides import Scalars

POCKET = "model:pocket"
SPLITTING = {
    "efficiency": "efficiency",
    "ask_higher": "asks of the higher",
    "ask_lower": "of the lower",
    "ask_lower_given/fair": "after fair",
    "ask_lower_given/greedy": "after greedy",
    "truthfulness": "truthful",
    "believed": "believed",
    "agreement": "deals",
}


def played(game: Game, opponent: str, episodes: int) -> Scalars:
    """What was measured of pocket on the first seat."""
    return measures(game, [(episode, 0) for episode in detente.play(game, [POCKET, opponent], episodes=episodes)])


def row(label: str, opponent: str, values: Iterable[float | None]) -> str:
    """A line of a Markdown table; a dash for what was never seen."""
    return f"| {label} | {opponent} | " + " | ".join("-" if v is None else f"{v:.2f}" for v in values) + " |"


def main() -> None:
    """Play and print the tables in Markdown."""
    print("| game | against | cooperates | " + " | ".join(f"P(C) {move}" for move in JOINT_MOVES) + " |")
    print("|---|---|---|" + "---|" * len(JOINT_MOVES))
    matrix_games = {"ipd": detente.make("ipd"), "ipd, labels counterbalanced": detente.make("ipd", counterbalance=True)}
    for name, game in matrix_games.items():
        for opponent in (POCKET, "random", "always_cooperate", "always_defect"):
            values = played(game, opponent, 256)
            print(row(name, opponent, [values["cooperation_rate"], *(values[f"cooperate_given/{move}"] for move in JOINT_MOVES)]))
    print(f"\n| game | against | {' | '.join(SPLITTING.values())} |\n|---|---|" + "---|" * len(SPLITTING))
    for name in ("split_no_comm", "trust_and_split", "trust_and_split_items", "deal_or_no_deal"):
        for opponent in (POCKET, "greedy", "welfare"):
            values = played(detente.make(name), opponent, 64)
            print(row(name, opponent, [values.get(measure) for measure in SPLITTING]))


if __name__ == "__main__":
    main()
