"""How the embedded model plays before any training: the table of docs/models.md.

python experiments/pocket.py
"""

from __future__ import annotations

import detente
from detente.evaluation.measures import JOINT_MOVES, measures

EPISODES = 256
OPPONENTS = ("model:pocket", "random", "always_cooperate", "always_defect")


def main() -> None:
    """Play and print the table in Markdown."""
    print("| game | against | cooperates | " + " | ".join(f"P(C) {move}" for move in JOINT_MOVES) + " |")
    print("|---|---|---|" + "---|" * len(JOINT_MOVES))
    for game in (detente.make("ipd"), detente.make("ipd", counterbalance=True)):
        name = "ipd, labels counterbalanced" if game.counterbalance else "ipd"
        for opponent in OPPONENTS:
            episodes = detente.play(game, ["model:pocket", opponent], episodes=EPISODES)
            found = measures(game, [(episode, 0) for episode in episodes])
            given = [found[f"cooperate_given/{move}"] for move in JOINT_MOVES]
            cells = " | ".join("-" if p is None else f"{p:.2f}" for p in given)
            print(f"| {name} | {opponent} | {found['cooperation_rate']:.2f} | {cells} |")


if __name__ == "__main__":
    main()
