"""Mechanisms: games around a game, which change what cooperation in it is worth."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from detente.games.annotations import annotated
from detente.games.mechanisms import families
from detente.games.mechanisms.contract import Contract
from detente.games.mechanisms.mediation import Mediation
from detente.games.mechanisms.repetition import Repetition
from detente.games.mechanisms.reputation import Reputation
from detente.games.parameters import build

__all__ = [
    "FAMILY",
    "Contract",
    "Mediation",
    "Repetition",
    "Reputation",
    "contract",
    "mediation",
    "options",
    "repetition",
    "reputation",
]

CLASSES: Mapping[str, type] = {
    "repetition": Repetition,
    "reputation": Reputation,
    "contract": Contract,
    "mediation": Mediation,
}


def repetition(**parameters: Any) -> Repetition:
    """Repetition: the same players play the game ``of`` again and again, and are told the last rounds."""
    return build(Repetition, {}, parameters)


def reputation(**parameters: Any) -> Reputation:
    """Reputation: players meet others in every round of the game ``of``, and are told what these did before."""
    return build(Reputation, {}, parameters)


def contract(**parameters: Any) -> Contract:
    """Contract: before the game ``of`` players agree on payments for what they choose, binding if all accept."""
    return build(Contract, {}, parameters)


def mediation(**parameters: Any) -> Mediation:
    """Mediation: players vote for a mediator, to whom they may delegate what they choose in the game ``of``."""
    return build(Mediation, {}, parameters)


def options(mechanism: str) -> dict[str, Any]:
    """The options of a mechanism with their types, without the game inside."""
    return {option: hint for option, hint in annotated(CLASSES[mechanism]).items() if option not in ("of", "name")}


FAMILY = replace(
    families.BASE, games={"repetition": repetition, "reputation": reputation, "contract": contract, "mediation": mediation}
)
