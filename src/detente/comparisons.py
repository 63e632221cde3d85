"""Agents under several mechanisms, played and drawn: what ``detente arena --mechanism`` and ``detente coopeval`` do.

    settings ──> an arena each ──> their pages, mechanisms.json and a page that has them beside each other

Must not import torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from detente.config import Config, load_game
from detente.errors import UserError
from detente.evaluation import coopeval as protocol
from detente.evaluation.mechanisms import Watch, compare, settings
from detente.reports.cross_play import cross_play_page
from detente.reports.mechanisms import mechanisms_page


def under_mechanisms(
    config: Config,
    agents: Sequence[str],
    folder: Path,
    mechanisms: Sequence[str],
    episodes: int,
    watch: Any,
    anywhere: bool,
) -> dict[str, Any]:
    """An arena for the game alone and one under each mechanism, with their pages; what mechanisms.json holds."""
    chosen = settings(config.game, mechanisms, agents, config.preset)
    return compared(compare(config, chosen, folder, episodes=episodes, watch=watch, anywhere=anywhere), folder)


def compared(content: dict[str, Any], folder: Path, **published: Any) -> dict[str, Any]:
    """Write the pages of a comparison of mechanisms, and those of its arenas."""
    for entry in content["entries"]:
        cross_play_page(folder / entry["folder"])
    mechanisms_page(folder, content, **published)
    return content


def coopeval(
    agents: Sequence[str],
    folder: str | Path,
    overrides: Sequence[str] = (),
    *,
    games: Sequence[str] = (),
    mechanisms: Sequence[str] = (),
    episodes: int = 16,
    watch: Watch | None = None,
) -> dict[str, Any]:
    """Let agents and scripts play the games of CoopEval without and with its mechanisms; goes on where it was stopped.

    ``overrides`` are options of how models answer, and the seed. Returns what mechanisms.json holds; index.html has the published
    numbers beside it. See ``detente.evaluation.coopeval``.
    """
    if games_given := [override for override in overrides if override.partition("=")[0].split(".")[0] == "game"]:
        raise UserError(f"CoopEval has games of its own, so it takes no {games_given[0]}; name those to play with --games.")
    config = load_game("ipd", overrides)
    chosen = protocol.settings(agents, games, mechanisms)
    content = compare(config, chosen, Path(folder), episodes=episodes, watch=watch)
    return compared(content, Path(folder), published=protocol.PUBLISHED, credit=protocol.CREDIT)
