"""From a name to a policy, and to its players: scripts, people, base models, trained adapters and remote models.

    "tit_for_tat"  "human"  "model:pocket"  "runs/x"  "runs/x@40"  "runs/x/adapters/rival@40"   ──> PolicyRef ──> Player
    "axelrod:Gradual"  "openai:gpt-5@https://api.openai.com/v1"  "briefed:liar:model:pocket"

``Policies`` loads a model only when the first name needs one.
"""

from __future__ import annotations

import copy
import logging
import os
from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from detente import briefing, foreign, models
from detente.config import Config, read
from detente.engine_options import EngineOptions
from detente.engines.base import Sampling
from detente.errors import UserError, counted
from detente.games import configured
from detente.games.base import Game
from detente.games.family import seats_for, strategies_for
from detente.games.roles import seat_name
from detente.hosts import Host, opened
from detente.options import AnswerOptions, DecodingOptions, RemoteOptions
from detente.players import axelrod_library
from detente.players.address import PREFIX, parsed
from detente.players.base import Player
from detente.players.scripted import checked, scripted
from detente.records import PolicyRef

if TYPE_CHECKING:
    from peft import PeftModel

    from detente.models import LanguageModel

READERS = ("base", "adapter", "remote")  # the kinds of policies that a briefing means something to


log = logging.getLogger(__name__)


def check_seats(game: Game, names: Sequence[str], learners: Collection[str] = ()) -> None:
    """UserError unless there is one name per player, and every strategy among them can take its seat; no learner is a strategy."""
    if len(names) != game.num_players:
        seats, players = counted(game.num_players, "seat"), counted(len(names), "player")
        were = "was" if len(names) == 1 else "were"
        raise UserError(f"The game {game.name} has {seats}; {players} {were} named: {', '.join(names)}.")
    if "" in names:
        raise UserError("A player has no name; separate names by single commas, e.g. tit_for_tat,random.")
    for seat, name in enumerate(names):
        if name not in learners:
            check_seat(game, name, seat)


def check_seat(game: Game, name: str, seat: int) -> None:
    """UserError for a strategy that cannot take this seat."""
    able = seats_for(game, name)
    if seat not in able:
        others = " or ".join(seat_name(game, other) for other in able)
        raise UserError(
            f"The strategy '{name}' cannot play {seat_name(game, seat)} of {game.name}; it plays {others or 'nothing'}."
        )


def pinned(name: str) -> str:
    """The name of the newest version of a run or of a learner in it, ``runs/x@40`` for ``runs/x``: what stays the same when the run
    trains on."""
    if name.startswith(briefing.PREFIX):
        text, reader = briefing.parsed(name)
        return f"{briefing.PREFIX}{text}:{pinned(reader)}"
    if not os.path.isdir(name):
        return name
    from detente import adapters

    if not adapters.named_by(Path(name)):
        return name
    return f"{name}@{int(adapters.newest(Path(name)).name)}"


def located(name: str, game: Game) -> tuple[PolicyRef, Path | None]:
    """The policy that a name stands for and, of an adapter, its folder; UserError where there is none. Loads no model."""
    if name.startswith(briefing.PREFIX):
        policy, folder = located(briefing.unbriefed(name), game)
        if policy.kind not in READERS:
            raise UserError(f"'{name}': {policy.name} reads no briefing, only language models do; the form is {briefing.FORM}.")
        return replace(policy, name=name), folder
    if name == "human":
        return PolicyRef("human", "human"), None
    if name.startswith("model:"):
        models.check_name(name.removeprefix("model:"))
        return PolicyRef("base", name), None
    if name.startswith(axelrod_library.PREFIX):
        return PolicyRef("script", axelrod_library.checked(name, game)), None
    if name.startswith(PREFIX):
        parsed(name)
        return PolicyRef("remote", name), None
    if name in strategies_for(game) or foreign.is_strategy(name):
        return PolicyRef("script", checked(name, game)), None
    path, _ = _versioned(name)
    if os.path.isdir(path):  # unlike Path.is_dir, it calls a name that is too long no folder
        folder = adapter_folder(name)
        return PolicyRef("adapter", str(Path(path)), int(folder.name) if folder.name.isdecimal() else 0), folder
    if "/" in name:
        raise UserError(f"There is no run or adapter folder '{path}'.")
    return PolicyRef("script", checked(name, game)), None


def _versioned(name: str) -> tuple[str, str | None]:
    """``runs/x@40`` -> the folder and what follows the @, None where the name has no version."""
    path, at, version = name.rpartition("@")
    return (path, version) if at and not os.path.isdir(name) else (name, None)


def adapter_folder(name: str) -> Path:
    """The folder of an adapter that is named by it, by its run, or by its learner's folder in the run; UserError for others."""
    from detente import adapters

    place, version = _versioned(name)
    if not os.path.isdir(place):
        raise UserError(f"There is no run or adapter folder '{place}'.")
    path = Path(place)
    if adapters.named_by(path):
        if version is not None and not version.isdecimal():
            raise UserError(f"'{name}' should end in a version number, such as {path}@40.")
        return adapters.newest(path, version=None if version is None else int(version))
    if not (path / "adapter_config.json").exists():
        raise UserError(
            f"The folder {path} is neither a run (config.yaml) nor an adapter (adapter_config.json), and holds no versions of one."
        )
    if version is not None:
        raise UserError(f"{path} is an adapter folder, one version; name it without '@{version}'.")
    return path


class Policies:
    """The policies that can take a seat of a game. Each base model is loaded once, with one engine for it and its adapters."""

    def __init__(
        self,
        game: Game,
        answer: AnswerOptions,
        *,
        dtype: str = "float32",
        device: str = "auto",
        remote: RemoteOptions = RemoteOptions(),  # noqa: B008 (frozen)
        engine: EngineOptions = EngineOptions(),  # noqa: B008 (frozen)
    ) -> None:
        self.game, self.answer, self.dtype, self.device, self.engine = game, answer, dtype, device, engine
        from detente.players.remote import Remotes

        self.remote = Remotes(answer, remote)
        self.briefings: dict[PolicyRef, str] = {}
        self.folders: dict[PolicyRef, Path] = {}  # where the adapters that were asked for by name lie
        self.hosts: list[Host] = []
        self.homes: dict[PolicyRef, Host] = {}  # of those who were asked for by name
        self.learners: dict[str, tuple[Host, DecodingOptions]] = {}  # of a run that trains: every version's, and how it answers

    @staticmethod
    def of(config: Config) -> Policies:
        """The policies of a run's game, with its options."""
        game = configured(config.game, config.measures)
        return Policies(game, config.answer, dtype=config.dtype, device=config.device, remote=config.remote, engine=config.engine)

    def within(self, game: Game) -> Policies:
        """The same policies in another game; what is loaded for either serves both."""
        there = copy.copy(self)
        there.game = game
        return there

    def use(self, base: LanguageModel, model: PeftModel | None = None, *, overlap: bool = False) -> Host:
        """Let language models on this base play; ``model`` is the base with learners' adapters.

        ``overlap``: also while these train, for which an engine of this process gets a copy of the base.
        """
        beside = None
        if overlap:
            here = self.engine.kind == "transformers"
            beside = models.load(base.name, dtype=self.dtype, device=self.device) if here else base
        self.hosts.append(opened(base, self.folders, model, self.engine, beside))
        return self.hosts[-1]

    def close(self) -> None:
        """Close the engines, after the last episode."""
        for host in self.hosts:
            host.engine.close()

    def home(self, policy: PolicyRef) -> Host:
        """What serves a language model."""
        return self.homes[policy] if policy in self.homes else self.learners[policy.name][0]

    def answering(self, policy: PolicyRef) -> DecodingOptions:
        """How a language model answers: a learner by its own options, every other policy by those of the run."""
        return self.answer if policy in self.homes or policy.name not in self.learners else self.learners[policy.name][1]

    def resolve(self, name: str) -> PolicyRef:
        """The policy that a name stands for, ready to play; UserError where there is none."""
        policy, folder = located(name, self.game)
        if name.startswith(briefing.PREFIX):
            self.briefings[policy] = briefing.read(briefing.parsed(name)[0])
        if policy.kind == "base":
            self.homes[policy] = self._host(briefing.unbriefed(name).removeprefix("model:"), self.dtype)
        elif policy.kind == "remote":
            self.remote.resolve(briefing.unbriefed(name))
        elif folder is not None:
            self._serve(policy, folder)
        return policy

    def briefing(self, policy: PolicyRef) -> str:
        """What this policy is told after a game's first words; "" for nothing."""
        return self.briefings.get(policy, "")

    def player(self, policy: PolicyRef, *, chat: str, seed: int) -> Player:
        """A player for one seat of one episode."""
        if policy.kind == "human":
            from detente.players.human import Human

            return Human()
        if policy.kind == "script":
            make = axelrod_library.axelrod_player if policy.name.startswith(axelrod_library.PREFIX) else scripted
            return make(policy.name, seed, self.game)
        if policy.kind == "remote":
            return self.remote.player(policy)
        from detente.players.llm import LLMPlayer

        host, answer = self.home(policy), self.answering(policy)
        sampling = Sampling(answer.temperature, answer.max_tokens)
        return LLMPlayer(host.engine, host.chat(answer), policy, chat, seed, answer.decoding, answer.retries, sampling)

    def check_room(self, sitting: Iterable[PolicyRef]) -> None:
        """UserError where the game is surely too long for a model of theirs."""
        from detente.room import check_room

        answers = {self.home(policy): self.answering(policy) for policy in sitting if policy.kind in ("base", "adapter")}
        for host, answer in answers.items():
            check_room(self.game, host.chat(answer), host.base.name, host.engine.longest, host.engine.limit)

    def weights(self, policy: PolicyRef) -> str | None:
        """The fingerprint of the weights of a policy that was resolved by name; None for policies without weights here."""
        from detente import adapters

        if policy in self.folders:
            return adapters.digest(self.folders[policy])
        return self.home(policy).base.fingerprint if policy.kind == "base" else None

    def earlier_weights(self, policy: PolicyRef) -> str | None:
        """The fingerprint of a base model in earlier versions; None for other policies."""
        return self.home(policy).base.earlier if policy.kind == "base" else None

    def at_once(self, sitting: Sequence[PolicyRef]) -> int | None:
        """How many episodes between these are played at the same time; None for all."""
        kinds = {policy.kind for policy in sitting}
        if "human" in kinds:  # a person plays one episode at a time
            return 1
        # More would not end sooner, and leave more of them unfinished where a limit of requests ends play.
        return self.remote.options.concurrency if "remote" in kinds else None

    def _serve(self, policy: PolicyRef, folder: Path) -> None:
        """Have the adapter of a folder served, on a base model in the number format of its run."""
        from detente import adapters

        place = Path(briefing.unbriefed(policy.name))
        options = (place.parent.parent if place.parent.name == "adapters" else place) / "config.yaml"
        host = self.homes[policy] = self._host_of(folder, read(options).dtype if options.exists() else self.dtype)
        self.folders[policy] = folder
        if not host.engine.serves(policy):
            weights, config = adapters.load(folder, host.base)
            host.engine.serve(policy, weights, config)

    def _host_of(self, folder: Path, dtype: str) -> Host:
        """What can serve an adapter: its base model by fingerprint, else by name. One that names none goes on the first."""
        from detente import adapters
        from detente.models import MODELS

        called, fingerprint = adapters.trained_on(folder)
        for host in self.hosts:
            if host.base.known_as(fingerprint or "") or not (called or fingerprint):
                return host
        if not called:
            raise UserError(f"The adapter {folder} does not say which base model it belongs to (base_model_name_or_path).")
        name = adapters.base_of(folder)
        if name not in MODELS and self._loaded(name) is None:
            log.warning("Loading the base model %r, which the adapter %s names.", name, folder)
        return self._host(name, dtype)

    def _loaded(self, model: str) -> Host | None:
        """The host of a model by its name, or by its folder however that is written."""
        place = models.own_folder(model)
        return next((host for host in self.hosts if host.base.name == model or (place and host.base.folder == place)), None)

    def _host(self, model: str, dtype: str) -> Host:
        host = self._loaded(model)
        if host is None:
            host = self.use(models.load(model, dtype=dtype, device=self.device))
        return host
