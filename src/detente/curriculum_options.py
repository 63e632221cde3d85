"""The options of a curriculum over opponents and parameters of the game. Must not import torch."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from detente.options import Options

USED: dict[str, tuple[str, ...]] = {  # the options that each method takes into account
    "none": (),
    "uniform": (),
    "plr": ("replay", "buffer"),
    "pfsp": ("spread",),
    "maestro": ("replay", "spread", "buffer"),
}


class CurriculumOptions(Options):
    """With which setting of the game, and with which co-player, each group of episodes is played; ``curriculum=maestro`` is short
    for ``curriculum.method=maestro``. A setting is what ``vary`` draws by ``choices`` and ``range``."""

    method: Literal["none", "uniform", "plr", "pfsp", "maestro"] = Field(
        "none",
        description="none: opponents by their shares, settings as vary draws them; uniform: both evenly; plr: settings of great "
        "regret again; pfsp: co-players that win more often; maestro: co-players of great regret, with settings of great regret",
    )
    replay: float = Field(
        0.5,
        gt=0,
        le=1,
        description="plr, maestro: how likely a group plays a setting again; new ones are scored, not trained on",
    )
    spread: float = Field(0.1, ge=0, le=1, description="pfsp and maestro: share of the groups whose co-player is drawn evenly")
    buffer: int = Field(100, ge=1, le=10_000, description="plr and maestro: at most so many settings are kept, per co-player")

    @property
    def replays(self) -> bool:
        """Whether settings are played again, and new ones scored first."""
        return "replay" in USED[self.method]
