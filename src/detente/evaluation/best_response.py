"""Exploitability by training: a fresh learner against a frozen agent, by the same ``train`` as everything else.

    reinforce against AGENT ──> both sides' rewards over training ──> who gains what over cooperating, who loses what

The responder, a cooperator in its place, and the agent with itself meet on the same game seeds, from every seat; gain and loss are
differences within a game seed. For matrix games the exact best response stands beside it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from statistics import fmean
from typing import Any

from detente import jsonl
from detente.config import Config
from detente.errors import UserError
from detente.evaluation.agents import check_others, labels, seats_of
from detente.evaluation.cells import seatings
from detente.evaluation.exploitability import exploitability
from detente.evaluation.histories import UnknownProbabilitiesError
from detente.evaluation.measures import Side, measured
from detente.evaluation.statistics import Estimate, estimate
from detente.files import replace_text
from detente.games import make
from detente.games.base import Game
from detente.games.family import family_of, seats_for
from detente.games.roles import roles, seat_name
from detente.games.sides import by_group
from detente.learning.loop import train
from detente.learning.watchers import Watcher
from detente.matches import Named, in_turn, play_sync
from detente.playable import options_of
from detente.policies import Policies, located, pinned
from detente.records import Episode, PolicyRef, read_episodes

RESPONDER = (  # what a best responder changes in a preset: it learns for itself, against the frozen agent alone
    "algorithm=reinforce",
    "reward=null",
    "curriculum=none",
    "opponents.kept=0",
    "opponents.scripted=0",
    "opponents.rotate=false",
    "record.episodes_every=1",
    "evaluation.every=0",
    "evaluation.against=[]",
)


REPLACED = ("seats", "algorithm", "learners")
LEARNER = "main"  # the responder's name


def responder_config(
    preset: str, against: str, overrides: Sequence[str] = (), *, trust: bool = False, role: str | None = None
) -> Config:
    """The preset, or the game, with a fresh ``reinforce`` learner in the place of all its learners, on the seats that ``sitting``
    says."""
    for item in overrides:
        if re.split(r"[.=]", item)[0] in REPLACED:
            raise UserError(f"A best response decides by itself who sits where and learns how; leave out '{item}'.")
    game = make(**options_of(preset, overrides, trust=trust, without=REPLACED).game)
    seats = json.dumps(sitting(game, pinned(against), role))
    config = options_of(preset, [*RESPONDER, f"seats={seats}", *overrides], trust=trust, without=REPLACED)
    if against in config.learner_names:
        raise UserError(f"'{against}' is the name of a learner; name the frozen agent's run folder or adapter folder.")
    if against == "human":
        raise UserError(
            "A person would be asked thousands of times; name a strategy, a run or another agent that answers by itself."
        )
    return config


def sitting(game: Game, against: str, role: str | None = None) -> list[str]:
    """Who sits where: the responder on one seat and the agent on all others. Where seats differ the responder takes the one of its
    ``role`` and those that the agent does not take. UserError for a role that the game does not have, or that leaves no seat."""
    check_others(game)
    named, seats = roles(game), range(game.num_players)
    if role is not None and role not in named:
        have = f"; its roles are {', '.join(named)}" if named else ", for its seats do not differ"
        raise UserError(f"{game.name} has no role '{role}'{have}.")
    able = seats_of(game, *located(against, game)) if named and against != "human" else tuple(seats)
    left = [seat for seat in seats if seat not in able]
    own = {named.index(role) if role is not None else [*left, 0][0], *left}
    if len(own) == game.num_players:
        plays = " and ".join(seat_name(game, seat) for seat in able) or "nothing"
        raise UserError(f"'{against}' plays {plays} of {game.name} and nothing else, so the responder cannot; name another role.")
    return [LEARNER if seat in own else against for seat in seats]


def best_response(config: Config, run: Path, *, watchers: Sequence[Watcher] = (), memory: int | None = None) -> dict[str, Any]:
    """Train the responder in a run folder (which resumes) and write best_response.json there, which is returned."""
    against = frozen(config)
    train(config, run, watchers=watchers)
    with closing(Policies.of(config)) as policies:
        game = policies.game
        named = roles(game)
        responder, agent = policies.resolve(str(run)), policies.resolve(against)
        result = {
            "game": game.name,
            "preset": config.preset,
            "against": against,
            "label": labels([against], [agent])[0],
            **(
                {"roles": {key: " and ".join(named[seat] for seat in seats) for key, seats in places(config).items()}}
                if named
                else {}
            ),
            "algorithm": config.algorithm,
            "seed": config.seed,
            "iterations": json.loads((run / "summary.json").read_text(encoding="utf-8"))["iterations"],
            "unit": "points per round",
            "curve": curve(game, run),
            **outcome(config, policies, responder, agent),
            "exact": exact(policies, agent, memory, places(config)["agent"][0]),
        }
    replace_text(run / "best_response.json", json.dumps(result, indent=2) + "\n")
    return result


def frozen(config: Config) -> str:
    """The name of the agent in the options of a responder."""
    return next(name for name in config.seats if name not in config.learner_names)


def places(config: Config) -> dict[str, list[int]]:
    """The seats of the responder and of the agent."""
    learning = [name in config.learner_names for name in config.seats]
    return {who: [seat for seat, learns in enumerate(learning) if learns == (who == "responder")] for who in ("responder", "agent")}


def curve(game: Game, run: Path) -> list[dict[str, Any]]:
    """Both sides' rewards, and what the responder does, in every recorded iteration."""
    return [point(game, path) for path in jsonl.files(run / "episodes") if jsonl.name(path).isdecimal()]


def point(game: Game, path: Path) -> dict[str, Any]:
    """The same in the iteration whose episodes are in this file."""
    episodes = read_episodes(path)
    own: list[Side] = [(e, seat) for e in episodes for seat, learner in enumerate(e.learners) if learner == LEARNER]
    others: list[Side] = [(e, seat) for e in episodes for seat, learner in enumerate(e.learners) if learner != LEARNER]
    return {
        "iteration": int(jsonl.name(path)),
        "responder": units(game, own).to_json(),
        "agent": units(game, others).to_json(),
        "measures": {name: value for name, value in measured(game, own)[0].items() if name != "reward"},
    }


def units(game: Game, sides: Sequence[Side]) -> Estimate:
    """The mean reward with its interval over groups, or over episodes where there is only one group."""
    groups = by_group(sides)
    return estimate(groups if len(groups) > 1 else [[value] for value in groups[0]], game.reward_bounds)


def outcome(config: Config, policies: Policies, responder: PolicyRef, agent: PolicyRef) -> dict[str, Any]:
    """The trained responder, a cooperator and the agent itself against the agent, and the differences."""
    game = policies.game
    own, theirs = meeting(config, policies, responder, agent)
    scalars = {name: value for name, value in measured(game, own)[0].items() if name != "reward"}
    result: dict[str, Any] = {
        "responder": {"reward": units(game, own).to_json(), "agent_reward": units(game, theirs).to_json(), "measures": scalars},
    }
    named = roles(game)
    others = stand_ins(config, policies, agent)
    if "self_play" in others:
        alone, theirs_alone = meeting(config, policies, agent, agent)
        result["self_play"] = {"reward": units(game, alone).to_json()} | (
            {"agent_reward": units(game, theirs_alone).to_json()} if named else {}
        )
    if "cooperator" in others:
        cooperating, theirs_then = meeting(config, policies, others["cooperator"], agent)
        result["cooperator"] = {
            "name": others["cooperator"].name,
            "reward": units(game, cooperating).to_json(),
            "agent_reward": units(game, theirs_then).to_json(),
        }
        for name, more, less in (("gain", own, cooperating), ("loss", theirs_then, theirs)):
            groups = differences(more, less)
            result[name] = estimate(groups).to_json() | {"by_game_seed": [group[0] for group in groups]}
    return result


def stand_ins(config: Config, policies: Policies, agent: PolicyRef) -> dict[str, PolicyRef]:
    """Who else can sit in the responder's place: the agent itself (``self_play``) and the family's ``cooperator``."""
    game, place = policies.game, {*places(config)["responder"]}
    script = family_of(game).cooperator(game)
    itself = not roles(game) or place <= {*seats_of(game, agent, policies.folders.get(agent))}
    cooperator = script is not None and place <= {*seats_for(game, script)}
    return ({"self_play": agent} if itself else {}) | ({"cooperator": PolicyRef("script", str(script))} if cooperator else {})


def differences(first: Sequence[Side], second: Sequence[Side]) -> list[list[float]]:
    """Mean reward of the first sides less that of the second sides, [game seed][one number]."""
    return [[fmean(a) - fmean(b)] for a, b in zip(by_group(first), by_group(second), strict=True)]


def exact(policies: Policies, agent: PolicyRef, memory: int | None = None, seat: int = 1) -> dict[str, Any] | None:
    """The exact best response where there is one: in matrix games without noise, against agents on ``seat`` whose probabilities
    are known; in others against scripts whose rule has a finite description."""
    table = family_of(policies.game).normal_form(policies.game)
    possible = agent.kind == "script" if table is None else not table.noise and agent.kind != "remote"
    try:
        return exploitability(policies, agent, memory=memory, seat=seat).to_json() if possible else None
    except UnknownProbabilitiesError:
        return None
    except UserError:
        if table is None:  # no finite description
            return None
        raise


def meeting(config: Config, policies: Policies, first: PolicyRef, second: PolicyRef) -> tuple[list[Side], list[Side]]:
    """The sides of the first policy, on every seat in turn where seats are alike, else on those of the responder, and those of the
    second."""
    own: list[Side] = []
    others: list[Side] = []
    trained = tuple(int(name not in config.learner_names) for name in config.seats)
    for table in [trained] if roles(policies.game) else seatings(policies.game, 0, 1):
        episodes = _table(config, policies, [(first, second)[i] for i in table], "-".join(map(str, table)))
        own += [(episode, seat) for episode in episodes for seat, i in enumerate(table) if i == 0]
        others += [(episode, seat) for episode in episodes for seat, i in enumerate(table) if i == 1]
    return own, others


def _table(config: Config, policies: Policies, sitting: Sequence[PolicyRef], purpose: str) -> list[Episode]:
    return play_sync(
        policies,
        policies.game,
        in_turn(sitting, max(2, config.evaluation.episodes)),
        stream=Named((config.seed, "best response"), (config.seed, "best response", purpose)),
        concurrency=config.concurrency,
    )
