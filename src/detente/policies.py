"""From a name to somebody who plays: scripts, people, base models and trained adapters.

    "tit_for_tat"  "human"  "model:pocket"  "runs/x"  "runs/x@40"  "runs/x/adapters/main/000040"   ──> PolicyRef ──> Player

``Policies`` loads a model only when the first name needs one.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from detente.config import read
from detente.engines.base import Engine, Sampling
from detente.errors import UserError
from detente.games.base import Game
from detente.options import AnswerOptions
from detente.players.base import Player
from detente.players.human import Human
from detente.players.scripted import scripted, scripted_names
from detente.records import PolicyRef

if TYPE_CHECKING:
    from detente.engines.transformers import TransformersEngine
    from detente.models import LanguageModel


def check_seats(game: Game, names: Sequence[str]) -> None:
    """UserError unless there is one name per player."""
    if len(names) != game.num_players:
        raise UserError(f"The game {game.name} has {game.num_players} seats; {len(names)} players were named: {', '.join(names)}.")


class Policies:
    """Everybody who can sit down at a table. Language models share one base model and one engine."""

    def __init__(self, game: Game, answer: AnswerOptions, *, dtype: str = "float32", device: str = "auto") -> None:
        self.game, self.answer, self.dtype, self.device = game, answer, dtype, device
        self.folders: dict[PolicyRef, Path] = {}  # where the adapters that were asked for by name lie
        self.base: LanguageModel | None = None
        self.engine: TransformersEngine | None = None

    def use(self, base: LanguageModel, engine: TransformersEngine) -> None:
        """Let language models play through this engine."""
        from detente.players.chat import ChatFormat

        self.base, self.engine, self._chat = base, engine, ChatFormat(base.tokenizer)

    def resolve(self, name: str) -> PolicyRef:
        """The policy that a name stands for, ready to play; UserError where there is none."""
        if name == "human":
            return PolicyRef("human", "human")
        if name.startswith("model:"):
            self._need_base(name.removeprefix("model:"))
            return PolicyRef("base", name)
        if name in scripted_names(self.game):
            return PolicyRef("script", name)
        path, _, version = (name, "", "") if "@" not in name or Path(name).is_dir() else name.rpartition("@")
        if Path(path).is_dir():
            return self._adapter(Path(path), version, name)
        if "/" in name:
            raise UserError(f"There is no run or adapter folder '{path}'.")
        scripted(name, 0)  # raises with the nearest name where there is no such script
        raise UserError(
            f"The strategy '{name}' cannot play {self.game.name}; those that can: {', '.join(scripted_names(self.game))}."
        )

    def player(self, policy: PolicyRef, *, chat: str, seed: int) -> Player:
        """A player for one seat of one episode."""
        if policy.kind == "human":
            return Human()
        if policy.kind == "script":
            return scripted(policy.name, seed)
        from detente.players.llm import LLMPlayer

        engine: Engine | None = self.engine
        assert engine is not None
        sampling = Sampling(self.answer.temperature, self.answer.max_tokens)
        return LLMPlayer(engine, self._chat, policy, chat, seed, self.answer.policy, self.answer.retries, sampling)

    def _adapter(self, path: Path, version: str, name: str) -> PolicyRef:
        from detente.learning import adapters

        if (path / "config.yaml").exists():
            if version and not version.isdigit():
                raise UserError(f"'{name}' should end in a version number, such as {path}@40.")
            run = read(path / "config.yaml")
            if self.base is None:
                self.dtype = run.dtype
            self._need_base(run.model)
            folder = adapters.newest(path, version=int(version) if version else None)
        elif (path / "adapter_config.json").exists():
            folder = path
            self._need_base(adapters.base_model(folder) if self.base is None else self.base.name)
        else:
            raise UserError(f"The folder {path} is neither a run (config.yaml) nor an adapter (adapter_config.json).")
        assert self.base is not None
        assert self.engine is not None
        number = int(folder.name) if folder.name.isdigit() else 0
        policy = PolicyRef("adapter", str(path), number)
        self.folders[policy] = folder
        if not self.engine.serves(policy):
            weights, config = adapters.load(folder, self.base)
            self.engine.serve(policy, weights, config)
        return policy

    def _need_base(self, model: str) -> None:
        if self.base is None:
            from detente import models
            from detente.engines.transformers import TransformersEngine
            from detente.players.chat import ChatFormat

            base = models.load(model, dtype=self.dtype, device=self.device)
            self.use(base, TransformersEngine(base.model, base.tokenizer, ChatFormat(base.tokenizer).end_tokens))
        elif self.base.name != model:
            raise UserError(f"All language models at one table share a base model; this one is '{self.base.name}', not '{model}'.")
