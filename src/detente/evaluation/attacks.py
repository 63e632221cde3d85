"""Attacks through messages: how far they move an agent, against the same player who says the truth alone.

    agent against the attack ─┐
                              ├─ the same game seeds and random numbers ──> difference of each measure, game seed by game seed
    agent against the honest ─┘

Which scripts attack, whom each equals but for its words, and what they may move, the family of the game says.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from detente.config import Config
from detente.errors import UserError
from detente.evaluation.agents import Agent, participants
from detente.evaluation.statistics import estimate
from detente.games.base import Game
from detente.games.family import family_of, measures, strategies_for
from detente.games.sides import Scalars, Side
from detente.matches import Named, on_seats, play_sync
from detente.policies import Policies
from detente.records import PolicyRef

BySeed = Mapping[int, Scalars]  # the measures of the agent in the episode on each game seed


def attacks(policies: Policies, names: Sequence[str], config: Config, *, episodes: int = 64) -> dict[str, Any]:
    """What each attack does to each agent, as plain values: its measures against the attack and against the honest player, and the
    difference, with 95 % intervals over game seeds.

    Every agent plays ``episodes`` episodes against each script, on its seats in turn. UserError for a game without attacks.
    """
    game = policies.game
    family, possible = family_of(game), strategies_for(game)
    honest = {attack: calm for attack, calm in family.attacks.items() if attack in possible}
    if not honest:
        raise UserError(
            f"No script attacks through messages in {game.name}; some do where players talk, such as in trust_and_split."
        )
    agents = participants(policies, names)
    policies.check_room(agent.policy for agent in agents)
    words = {measure.name: measure.words or measure.name for measure in family.measures} | {"reward": "points per round"}
    return {
        "game": game.name,
        "preset": config.preset,
        "seed": config.seed,
        "episodes": episodes,
        "measures": {name: words[name] for name in family.swayed},
        "agents": [agent.to_json() | {"attacks": _of(policies, agent, config, honest, episodes)} for agent in agents],
    }


def _of(policies: Policies, agent: Agent, config: Config, honest: Mapping[str, str], episodes: int) -> list[dict[str, Any]]:
    """What each attack does to one agent."""
    met = {script: _met(policies, agent, config, script, episodes) for script in dict.fromkeys((*honest.values(), *honest))}
    names = family_of(policies.game).swayed
    return [
        {"attack": attack, "honest": calm, "measures": {name: moved(met[calm], met[attack], name) for name in names}}
        for attack, calm in honest.items()
    ]


def moved(honest: BySeed, attacked: BySeed, name: str) -> dict[str, dict[str, float | None]] | None:
    """{"honest", "attacked", "difference"} of a measure, over the game seeds on which both are known; None where there are none."""
    pairs = [
        (before, after)
        for seed in honest
        if (before := honest[seed].get(name)) is not None and (after := attacked[seed].get(name)) is not None
    ]
    if not pairs:
        return None
    values: dict[str, Iterable[float]] = {
        "honest": [before for before, _ in pairs],
        "attacked": [after for _, after in pairs],
        "difference": [after - before for before, after in pairs],
    }
    return {what: estimate([value] for value in listed).to_json() for what, listed in values.items()}


def _met(policies: Policies, agent: Agent, config: Config, script: str, episodes: int) -> BySeed:
    """The agent's measures on each game seed, the script on all other seats. The agent draws the same random numbers whomever it
    meets."""
    taken = [agent.seats[index % len(agent.seats)] for index in range(episodes)]
    seatings = on_seats(agent.policy, PolicyRef("script", script), taken, policies.game.num_players)
    stream = Named((config.seed, "attacks"), (config.seed, "attacked"))
    played = play_sync(policies, policies.game, seatings, stream=stream, concurrency=config.concurrency)
    return {side[0].group: _measures(policies.game, side) for side in zip(played, taken, strict=True)}


def _measures(game: Game, side: Side) -> Scalars:
    return measures(game, [side])
