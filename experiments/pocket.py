"""How the embedded models play before any training: the tables of docs/models.md.

python experiments/pocket.py [pocket | pocket_groups]
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from dataclasses import dataclass

import detente
from detente.evaluation.measures import measures
from detente.games import Game
from detente.games.matrix.measures import JOINT_MOVES
from detente.games.sides import Scalars, Side

POCKET, GROUPS = "model:pocket", "model:pocket_groups"
FREE = ("answer.decoding=free",)  # so that answers can be invalid
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

COPIES = "its copies"  # on all other seats, in place of a script


@dataclass(frozen=True)
class Table:
    """A game of so many players, or the preset that has it, its opponents, and the measures that are told of it."""

    game: str | Game
    players: int
    opponents: tuple[str, str, str]
    measures: str
    options: tuple[str, ...] = ()


TABLES = {
    "public_goods": Table("public_goods", 3, (COPIES, "giver", "free_rider"), "contribution"),
    "public_goods_sanctions": Table(
        "public_goods_sanctions",
        7,
        (COPIES, "sanctioner_3", "free_rider"),
        "contribution sanctioned tokens_sent punish_share",
        ("game.rounds=5",),
    ),
    "donor": Table(detente.make("donor"), 12, (COPIES, "giver", "selfish"), "donation"),
    "commons": Table("commons", 5, (COPIES, "sustainable", "greedy"), "survival efficiency overuse"),
    "investor": Table("investor", 2, (COPIES, "fair", "selfish"), "invested returned"),
    "bargaining": Table("bargaining", 2, (COPIES, "truthful", "linear"), "efficiency surplus_share honesty markup"),
    "trust_game": Table("trust_game", 2, (COPIES, "always_cooperate", "always_defect"), "cooperation_rate"),
    "travelers_dilemma": Table("travelers_dilemma", 2, (COPIES, "always_cooperate", "always_defect"), "cooperation_rate"),
}


def played(game: Game, opponent: str, episodes: int) -> Scalars:
    """What was measured of pocket on the first seat."""
    return measures(game, [(episode, 0) for episode in detente.play(game, [POCKET, opponent], episodes=episodes)])


def row(label: str, opponent: str, values: Iterable[float | None]) -> str:
    """A line of a Markdown table; a dash for what was never seen."""
    return f"| {label} | {opponent} | " + " | ".join("-" if v is None else f"{v:.2f}" for v in values) + " |"


def pocket() -> None:
    """Play and print the tables of ``pocket`` in Markdown."""
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


def pocket_groups(episodes: int) -> None:
    """Play and print the table of ``pocket_groups`` in Markdown."""
    print("| game | against | valid answers | what it does |\n|---|---|---|---|")
    for label, table in TABLES.items():
        for opponent in table.opponents:
            sides = seated(table, opponent, episodes)
            values = measures(detente.make(**sides[0][0].game), sides)
            told = ", ".join(f"{name} {values[name]:.2f}" for name in table.measures.split() if values.get(name) is not None)
            valid = [turn.valid for episode, player in sides for turn in episode.turns(player)]
            print(f"| {label} | {opponent} | {sum(valid) / len(valid):.4f} of {len(valid)} | {told} |", flush=True)


def seated(table: Table, opponent: str, episodes: int) -> list[Side]:
    """What the model played without constraints: on all seats, or on the first and on the last, against a script on the others."""
    if opponent == COPIES:
        played = detente.play(table.game, [GROUPS] * table.players, episodes=episodes, overrides=(*table.options, *FREE))
        return [(episode, seat) for episode in played for seat in range(table.players)]
    sides: list[Side] = []
    for seat in (0, table.players - 1):
        players = [opponent] * table.players
        players[seat] = GROUPS
        sides += [(e, seat) for e in detente.play(table.game, players, episodes=episodes, overrides=(*table.options, *FREE))]
    return sides


def main() -> None:
    """Play the model that is named, by default ``pocket``."""
    parser = argparse.ArgumentParser(description="How the embedded models play before any training.")
    parser.add_argument("model", nargs="?", choices=("pocket", "pocket_groups"), default="pocket")
    parser.add_argument("--episodes", type=int, default=16, help="of pocket_groups, against each opponent")
    given = parser.parse_args()
    pocket() if given.model == "pocket" else pocket_groups(given.episodes)


if __name__ == "__main__":
    main()
