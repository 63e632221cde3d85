"""Cross-play: every agent meets every agent, itself included, on the same game seeds.

    agents ── seatings ──> episodes/I-J.jsonl.gz ──> cells [row][column] ── ranking ──> arena.json

``cells`` computes the results from the episodes. A seating that is finished is kept; an arena that was stopped continues with the
missing seatings, and ends as if it had not been stopped.
Files: arena.yaml (what was asked for), episodes/ (one file per seating, named by the agents' numbers seat by seat), arena.json.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from contextlib import closing, nullcontext, suppress
from pathlib import Path
from typing import Any, Protocol

import yaml

from detente import family_file, jsonl
from detente.config import Config
from detente.evaluation.agents import Agent, participants
from detente.evaluation.begun import begun
from detente.evaluation.cells import AgentSeating, all_seatings, episodes_file, results
from detente.files import check_same, locked, replace_text
from detente.former import renamed
from detente.games import configured
from detente.games.base import Game
from detente.games.roles import in_role, roles
from detente.matches import Named, in_turn, play_sync
from detente.policies import Policies
from detente.records import Episode, write_episodes

log = logging.getLogger(__name__)

ASKED = "arena.yaml"
ANOTHER = "give --out another folder"


class Watch(Protocol):
    """Hears how far an arena is."""

    def begin(self, seatings: int, finished: int, episodes: int) -> None: ...
    def seating(self, names: Sequence[str]) -> None: ...
    def episode(self) -> None: ...


def arena(
    config: Config,
    names: Sequence[str],
    folder: Path,
    *,
    episodes: int = 64,
    watch: Watch | None = None,
    anywhere: bool = False,
    policies: Policies | None = None,
) -> dict[str, Any]:
    """Play what is missing and write arena.json, which is returned.

    ``config`` gives the game, the way models answer and the seed. A seating plays ``episodes`` episodes, each with a game seed of
    its own that all seatings share. Where seats differ, a trained agent takes those of its training (``anywhere``: all). Several
    arenas can share their ``policies``. UserError for agents that do not exist or do not load, and for a folder that was started
    with anything else.
    """
    ours = policies is None
    policies = Policies.of(config) if policies is None else policies.within(configured(config.game, config.measures))
    game = policies.game
    agents = participants(policies, names, anywhere=anywhere)
    seatings = all_seatings(game, agents)
    policies.check_room(agent.policy for agent in agents)
    asked = request(config, game, agents, episodes) | ({"anywhere": True} if anywhere else {})
    if briefings := {agent.name: text for agent in agents if (text := policies.briefing(agent.policy))}:
        asked["briefings"] = briefings
    if anywhere and not roles(game):
        log.warning("The seats of %s do not differ: every agent sits on all of them, and --anywhere changes nothing.", game.name)
    begun(folder, ASKED, "arena", ANOTHER)
    known = family_file.content(game, ())
    folder.mkdir(parents=True, exist_ok=True)
    with closing(policies) if ours else nullcontext(), locked(folder, f"The arena {folder}", ANOTHER):
        _claim(folder, asked, agents)
        replace_text(folder / family_file.FILE, known)
        named = roles(game) or ("",) * game.num_players
        missing = [seating for seating in seatings if not complete(episodes_file(folder, seating), episodes)]
        if watch is not None:
            watch.begin(len(seatings), len(seatings) - len(missing), episodes)
        for seating in missing:
            if watch is not None:
                watch.seating([in_role(agents[i].label, role) for i, role in zip(seating, named, strict=True)])
            jsonl.remove(episodes_file(folder, seating))  # one that was damaged
            play_seating(config, policies, agents, seating, episodes_file(folder, seating), episodes, watch)
        result = results(game, agents, folder, asked)
        replace_text(folder / "arena.json", json.dumps(result, indent=2) + "\n")
    return result


def request(config: Config, game: Game, agents: Sequence[Agent], episodes: int) -> dict[str, Any]:
    """All that the result depends on, as arena.yaml holds it."""
    return {
        "preset": config.preset,
        "game": game.parameters(),
        "answer": config.answer.model_dump(mode="json"),
        "dtype": config.dtype,
        "seed": config.seed,
        "episodes": episodes,
        "agents": ",".join(agent.name for agent in agents),
        "versions": {agent.name: agent.policy.version for agent in agents if agent.policy.kind == "adapter"},
        "weights": {agent.name: agent.weights for agent in agents if agent.weights},
    }


def _claim(folder: Path, asked: dict[str, Any], agents: Sequence[Agent]) -> None:
    """Write arena.yaml, or check that the folder was started with the same; it may have the earlier fingerprints of base models."""
    stored = begun(folder, ASKED, "arena", ANOTHER)
    if stored is None:
        replace_text(folder / ASKED, yaml.safe_dump(asked, sort_keys=False, allow_unicode=True))
        return
    stored = renamed(stored, notice=False)
    before = {agent.name: agent.earlier for agent in agents if agent.earlier}
    weights = stored.get("weights")
    if isinstance(weights, dict):
        stored["weights"] = {n: asked["weights"].get(n) if w == before.get(n) else w for n, w in weights.items()}
    check_same(f"The arena {folder}", stored, asked, ANOTHER)


def complete(path: Path, episodes: int) -> bool:
    """Whether the file holds every episode of a seating; a damaged file is played again."""
    return [episode.index for episode in _whole(path)] == list(range(episodes))


def play_seating(
    config: Config,
    policies: Policies,
    agents: Sequence[Agent],
    numbers: AgentSeating,
    path: Path,
    episodes: int,
    watch: Watch | None,
) -> None:
    """Play one seating and write its episodes in order.

    Until the last episode they are in a partial file. When a seating was stopped in the middle its episodes are played again,
    unless a remote model took part: its answers cost money and cannot be repeated.
    """
    gathered, whole, packed = (path.with_name(f"{jsonl.name(path)}.{what}") for what in ("partial", "whole", "whole.gz"))
    remote = any(agents[i].policy.kind == "remote" for i in numbers)
    done = {episode.index: episode for episode in _whole(gathered)} if remote else {}
    write_episodes(whole, done.values())
    whole.replace(gathered)
    seatings = [seating for seating in in_turn([agents[i].policy for i in numbers], episodes) if seating.index not in done]
    stream = Named((config.seed, "arena game"), (config.seed, "arena", *numbers))
    with gathered.open("ab") as file:

        def finished(episode: Episode) -> None:
            file.write(episode.to_line())
            file.flush()
            if watch is not None:
                watch.episode()

        played = play_sync(policies, policies.game, seatings, stream=stream, watch=finished, concurrency=config.concurrency)
        done |= {episode.index: episode for episode in played}
    write_episodes(packed, (done[index] for index in range(episodes)))
    packed.replace(gathered)  # so that a crash leaves no more than a seating to be played again
    gathered.replace(path)


def _whole(path: Path) -> list[Episode]:
    """The episodes of a file in which some lines may be damaged."""
    episodes = []
    with suppress(ValueError):  # a compressed file may be damaged as a whole
        for line in jsonl.lines(path) if path.exists() else ():
            with suppress(ValueError, KeyError, TypeError):
                episodes.append(Episode.from_json(line))
    return episodes
