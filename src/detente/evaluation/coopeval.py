"""The protocol of CoopEval: a frozen model in social dilemmas without and with mechanisms, beside what frontier models got there.

Xiao et al., CoopEval: benchmarking cooperation-sustaining mechanisms and LLM agents in social dilemmas, ICML 2026
(arXiv 2604.15267). Its games, mechanisms and numbers; the wording of the prompts, the details of proposals, and the scripts that
play beside the model are ours. Must not import torch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from detente.errors import UserError, unknown
from detente.evaluation.mechanisms import NONE, Setting, able, taking_part, under
from detente.games import configured
from detente.games.base import Game
from detente.games.family import family_of
from detente.policies import located

GAMES: Mapping[str, Mapping[str, Any]] = {
    "prisoners_dilemma": {"name": "ipd", "rounds": 1, "payoffs": [[[2, 2], [0, 3]], [[3, 0], [1, 1]]]},
    "public_goods": {
        "name": "public_goods",
        "rounds": 1,
        "players": 3,
        "institutions": False,
        "endowment": 1,
        "levels": [0, 1],
        "multiplier": 1.5,
    },
    "travelers_dilemma": {"name": "travelers_dilemma", "rounds": 1},
    "trust_game": {"name": "trust_game", "rounds": 1},
    "stag_hunt": {"name": "stag_hunt", "rounds": 1},
    "matching_pennies": {"name": "matching_pennies", "rounds": 1},
}
ROUNDS = "continuation=0.8,max_rounds=15,look_back=3"  # 15 rounds with a discount of .8, the last three shown
MECHANISMS: Mapping[str, str] = {
    "none": NONE,
    "repetition": f"repetition:{ROUNDS}",
    "reputation": f"reputation:{ROUNDS},told=moves",
    "higher_order_reputation": f"reputation:{ROUNDS},told=joint",
    "mediation": "mediation",
    "contracting": "contract",
}
ALL_COOPERATE = {"prisoners_dilemma": 2.0, "public_goods": 1.5, "travelers_dilemma": 5.0, "trust_game": 10.0}

# Points of six frontier models against each other, three runs each: the mean over models, and the smallest and largest of them.
PUBLISHED: Mapping[str, Mapping[str, tuple[float, float, float]]] = {
    "prisoners_dilemma": {
        "none": (1.10, 0.50, 1.33),
        "repetition": (1.77, 1.64, 1.91),
        "reputation": (1.41, 0.93, 1.80),
        "mediation": (1.83, 1.08, 2.08),
        "contracting": (1.84, 1.42, 2.08),
    },
    "public_goods": {
        "none": (1.02, 0.93, 1.06),
        "repetition": (1.17, 1.12, 1.21),
        "reputation": (1.09, 0.96, 1.23),
        "mediation": (1.24, 1.04, 1.36),
        "contracting": (1.44, -0.40, 2.36),
    },
    "travelers_dilemma": {
        "none": (2.19, 1.17, 2.92),
        "repetition": (3.08, 2.17, 4.04),
        "reputation": (2.12, 1.48, 2.80),
        "mediation": (4.00, 2.33, 5.00),
        "contracting": (4.13, 1.83, 5.67),
    },
    "trust_game": {
        "none": (4.56, 3.50, 6.67),
        "repetition": (9.31, 8.61, 9.87),
        "reputation": (8.00, 6.49, 9.43),
        "mediation": (8.83, 5.83, 10.0),
        "contracting": (8.67, 5.33, 11.3),
    },
}
CREDIT = (
    "Xiao et al., CoopEval: benchmarking cooperation-sustaining mechanisms and LLM agents in social dilemmas, ICML 2026 "
    "(arXiv 2604.15267): mean payoffs of six frontier models against each other in three runs, with the smallest and the largest "
    "of them. What differs here: the agents, the wording of the prompts, the form of proposals; the discount of repeated games is "
    "the probability that there is another round, and a mean is over the rounds that were played; payments of a contract are "
    "nothing, half or all of the span of a round's points. There is one published number for reputation, of either order."
)


def settings(agents: Sequence[str], games: Sequence[str] = (), mechanisms: Sequence[str] = ()) -> list[Setting]:
    """Every game under every mechanism, or those named, with the agents and the scripts of each.

    UserError for a name that there is not, a name that comes twice, and where nobody plays or an agent plays nowhere.
    """
    if not agents:
        raise UserError("CoopEval needs at least one agent that plays beside its scripts, such as a run folder, a model or random.")
    for noun, named, known in (("game", games, GAMES), ("mechanism", mechanisms, MECHANISMS)):
        for name in named:
            if name not in known:
                raise unknown(noun, name, known, "CoopEval")
            if named.count(name) > 1:
                raise UserError(f"The {noun} of CoopEval {name} is named twice.")
    result = []
    for game in games or GAMES:
        for mechanism in mechanisms or MECHANISMS:
            parameters = under(GAMES[game], MECHANISMS[mechanism])
            names = dict.fromkeys([*agents, *scripts(configured(parameters))])
            result.append(Setting(game, mechanism, parameters, able([*names], configured(parameters))))
    taking_part(agents, result)
    for name in agents:
        _check_able(name, [setting for setting in result if name in setting.agents])
    return result


def _check_able(name: str, where: Sequence[Setting]) -> None:
    """UserError for an agent that cannot play one of the games; it names those that it can."""
    refused: dict[str, UserError] = {}
    for setting in where:
        try:
            located(name, configured(setting.parameters))
        except UserError as error:
            refused.setdefault(setting.game, error)
    able = list(dict.fromkeys(setting.game for setting in where if setting.game not in refused))
    if refused and not able:
        raise next(iter(refused.values()))
    if refused:
        raise UserError(f"'{name}' cannot play {', '.join(refused)}; name the games that it can with --games {','.join(able)}.")


def scripts(game: Game) -> list[str]:
    """Who cooperates and who defects, whatever happens, and who uses the mechanism; nobody where nothing counts as cooperation."""
    family = family_of(game)
    known = [name for name in (family.cooperator(game), family.defector(game)) if name is not None]
    return known + [name for name in ("reciprocal", "signer", "delegator") if known and name in family.strategies]
