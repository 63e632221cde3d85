"""Agents under several mechanisms, played and drawn: what ``detente arena --mechanism`` and ``detente coopeval`` do.

    settings ──> an arena each ── after each of them ──> its page, mechanisms.json and a page with all so far beside each other

Must not import torch.
"""

from __future__ import annotations

import json
from collections.abc import Generator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from detente.config import Config, load_game
from detente.errors import UserError
from detente.evaluation import coopeval as protocol
from detente.evaluation.mechanisms import Watch, compare, settings
from detente.files import replace_text
from detente.reports.cross_play import cross_play_page
from detente.reports.mechanisms import mechanisms_page

FILE = "mechanisms.json"


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
    return written(compare(config, chosen, folder, episodes=episodes, watch=watch, anywhere=anywhere), folder, watch)


def written(contents: Generator[dict[str, Any], None, None], folder: Path, watch: Watch | None, **published: Any) -> dict[str, Any]:
    """Write mechanisms.json and the pages after every arena; returns the content of the last.

    Arenas that an earlier call has shown are shown by it until there are more of them.
    """
    content: dict[str, Any] = {}
    with closing(contents):
        for content in contents:
            newest = folder / content["entries"][-1]["folder"]
            shown = (newest / "index.html").exists()
            cross_play_page(newest)
            if not shown or len(content["entries"]) == content["arenas"]:
                replace_text(folder / FILE, json.dumps(content, indent=2) + "\n")
                mechanisms_page(folder, content, **published)
            if watch is not None:
                watch.compared(content)
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
    contents = compare(config, chosen, Path(folder), episodes=episodes, watch=watch)
    return written(contents, Path(folder), watch, published=protocol.PUBLISHED, credit=protocol.CREDIT)
