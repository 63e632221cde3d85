"""One torch thread in every test, without loading torch for tests that do not need it."""

from __future__ import annotations

import importlib.util
import itertools
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from torch import Tensor

    from detente.models import LanguageModel


os.environ["OMP_NUM_THREADS"] = "1"
os.environ["DETENTE_REPORT"] = "0"  # a training writes its report where a test asks for it: drawing takes seconds
sys.path.insert(0, str(Path(__file__).parent))  # games of tests are named "example_games:Trust"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes longest first, so that at the end no process waits for another."""
    items.sort(key=lambda item: [item.get_closest_marker(marker) is None for marker in ("slow", "browser")])


@pytest.fixture(scope="session")
def script() -> Callable[[str], Any]:
    """A program of the folder ``experiments``, by its name, as a module."""

    def load(name: str) -> Any:
        spec = importlib.util.spec_from_file_location(name, Path(__file__).parents[1] / "experiments" / f"{name}.py")
        assert spec
        assert spec.loader
        sys.modules[name] = module = importlib.util.module_from_spec(spec)  # where dataclasses look their module up
        spec.loader.exec_module(module)
        return module

    return load


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, Any, Any]:
    """What a test says of text that is no UTF-8 must itself be UTF-8: pytest-xdist sends it to another process."""
    report = yield
    if report.failed:
        report.longrepr = _sendable(str(report.longrepr))
    report.sections = [(title, _sendable(text)) for title, text in report.sections]
    return report


def _sendable(text: str) -> str:
    return text.encode(errors="backslashreplace").decode()


@pytest.fixture(autouse=True)
def one_thread() -> None:
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A folder with a model shaped like pocket that never was trained, and a tokenizer from a few chats about matrix games."""
    import random

    from detente.pocket.build import build_model, build_tokenizer
    from detente.pocket.chats import matrix_chat

    folder = tmp_path_factory.mktemp("model") / "tiny"
    rng = random.Random(0)
    tokenizer = build_tokenizer(512, (matrix_chat(rng) for _ in range(300)))
    build_model(tokenizer, seed=0).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


class Process:
    """A piece of code that runs in a process of its own; see zygote.py."""

    def __init__(self, ask: Callable[..., Any], code: str, folder: Path, log: Path) -> None:
        self._ask, self._log = ask, log
        log.with_suffix(".out").touch()
        log.with_suffix(".err").touch()
        self.pid = ask({"start": code, "folder": str(folder), "log": str(log.with_suffix(""))})

    def kill(self, number: Any = signal.SIGKILL) -> None:
        os.kill(self.pid, number)

    def wait(self, seconds: float = 180.0) -> int:
        """The exit status; minus the signal's number where one ended it."""
        end = time.monotonic() + seconds
        while (status := self._ask({"status": self.pid})) is None:
            if time.monotonic() > end:
                self.kill()
                pytest.fail(f"still running after {seconds} seconds: {self.out}{self.err}")
            time.sleep(0.01)
        return status

    @property
    def out(self) -> str:
        return self._log.with_suffix(".out").read_text()

    @property
    def err(self) -> str:
        return self._log.with_suffix(".err").read_text()


@pytest.fixture(scope="session")
def processes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Any]]:
    """Starts code in a new process that has torch loaded already: ``processes(code, folder) -> Process``."""
    zygote = subprocess.Popen(
        [sys.executable, Path(__file__).with_name("zygote.py")], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    logs, count = tmp_path_factory.mktemp("processes"), itertools.count()

    def ask(order: dict[str, Any]) -> int | None:
        zygote.stdin.write(json.dumps(order) + "\n")
        zygote.stdin.flush()
        return json.loads(zygote.stdout.readline())

    yield lambda code, folder: Process(ask, code, folder, logs / f"{next(count)}.log")
    zygote.stdin.close()
    zygote.wait(60)


@pytest.fixture
def command(processes: Callable[..., Any], tmp_path: Path) -> Callable[..., Any]:
    """Starts the command line in a process of its own: ``command("train", "ipd") -> Process``."""

    def start(*arguments: Path | int | str, folder: Path = tmp_path, before: str = "") -> Process:
        words = [str(argument) for argument in arguments]
        return processes(f"{before}\nimport sys\nfrom detente.cli import main\nsys.exit(main({words!r}))", folder)

    return start


# ---- engine and learner tests


@pytest.fixture(scope="session")
def lively_model(tiny_model: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A folder with the tiny model, its logits five times as large, so that a wrong token or weight shows."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = tmp_path_factory.mktemp("model") / "lively"
    model = AutoModelForCausalLM.from_pretrained(tiny_model)
    with torch.no_grad():
        model.get_input_embeddings().weight *= 5  # type: ignore[assignment, operator]
    model.save_pretrained(folder)
    AutoTokenizer.from_pretrained(tiny_model).save_pretrained(folder)
    return str(folder)


@pytest.fixture(scope="session")
def qwen_model(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A folder with a tiny random Qwen2 and a tokenizer of its own: in all of it other than the tiny model."""
    import random

    import torch
    from transformers import AutoModelForCausalLM, Qwen2Config

    from detente.pocket.build import build_tokenizer
    from detente.pocket.chats import matrix_chat

    folder, rng = tmp_path_factory.mktemp("model") / "qwen", random.Random(1)
    tokenizer = build_tokenizer(400, (matrix_chat(rng) for _ in range(100)))
    sizes: dict[str, Any] = {
        "hidden_size": 16,
        "intermediate_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
    }
    torch.manual_seed(0)
    AutoModelForCausalLM.from_config(Qwen2Config(vocab_size=len(tokenizer), **sizes)).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


@pytest.fixture
def base(lively_model: str) -> LanguageModel:
    """The lively model, loaded afresh."""
    from detente import models

    return models.load(lively_model, device="cpu")


@pytest.fixture(scope="session")
def random_adapter() -> Callable[..., Any]:
    """``random_adapter(model, seed)`` gives the weights and the configuration of a LoRA whose matrices are all random."""
    import copy

    import torch
    from peft import LoraConfig, get_peft_model, get_peft_model_state_dict

    def make(model: Any, seed: int, rank: int = 4, scale: float = 0.1) -> tuple[dict[str, Tensor], Any]:
        config = LoraConfig(r=rank, lora_alpha=2 * rank, target_modules="all-linear", task_type="CAUSAL_LM")
        wrapped = get_peft_model(copy.deepcopy(model), config)
        generator = torch.Generator().manual_seed(seed)
        weights = get_peft_model_state_dict(wrapped)
        return {key: scale * torch.randn(w.shape, generator=generator) for key, w in weights.items()}, wrapped.peft_config[
            "default"
        ]

    return make


class Run:
    """A session of the prisoner's dilemma and the rollout of an iteration."""

    def __init__(self, options: dict[str, str]) -> None:
        from detente.config import build
        from detente.learning.session import open_session

        defaults = {
            "game": {"name": "ipd", "rounds": 3},
            "device": "cpu",
            "episodes": 4,
            "group_size": 4,
            "optimizer": {"lr": 0.01},
            "lora": {"rank": 4, "alpha": 8},
            "answer": {"max_tokens": 4},
        }
        self.config = build(defaults | options)
        self.session = open_session(self.config)
        self.learners = self.session.learners
        self.host = self.session.hosts[self.config.learner_names[0]]
        self.base, self.engine, self.model = self.host.base, self.host.engine, self.session.models[self.host]

    def shake(self, seed: int = 1, size: float = 0.05) -> Run:
        """Give every adapter random matrices, as if it had been trained."""
        import torch

        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for learner in self.learners.values():
                for parameter in learner.parameters:
                    parameter += size * torch.randn(parameter.shape, generator=generator)  # type: ignore[misc]
        return self

    def play(self, iteration: int = 0, tables: Any = None, publish: bool = True) -> Any:
        """Serve the present weights and play; by default everybody on their own seat."""
        from detente.learning.opponents import seatings
        from detente.rollout import Match, play_matches
        from detente.seeding import derive

        if publish:
            self.session.publish()
        tables = tables or seatings(self.config, iteration, self.session.present, {name: [] for name in self.learners})
        matches = [
            Match(
                self.session.game,
                seed=1000 * iteration + group,
                players=[
                    self.session.policies.player(policy, chat=f"{group}/{k}/{seat}", seed=derive("test", iteration, group, k, seat))
                    for seat, policy in enumerate(seating.policies)
                ],
                learners=seating.learners,
                iteration=iteration,
                group=group,
                index=group * self.config.group_size + k,
            )
            for group, row in enumerate(tables)
            for k, seating in enumerate(row)
        ]
        return play_matches(matches)

    def trajectories(self, episodes: Any, name: str = "main") -> Any:
        from detente.learning.batch import trajectories

        credit = self.learners[name].options.credit
        return trajectories(episodes, name, credit.reward_divisor, self.engine.grammar, depth=credit.depth)  # type: ignore[attr-defined]


@pytest.fixture
def open_run(lively_model: str) -> Callable[..., Any]:
    """``open_run(key=value)`` opens a session on the lively model with these options."""
    return lambda **options: Run({"model": lively_model} | options)


@pytest.fixture(scope="session")
def small_run(tiny_model: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run on the tiny model, with the adapter versions 1 and 2."""
    from detente import config
    from detente.learning import loop

    options = (
        "device=cpu game.rounds=2 iterations=2 episodes=4 group_size=4 lora.rank=2 optimizer.lr=0.05 opponents.keep_every=1 "
        "credit.beta=2 evaluation.episodes=1 evaluation.against=[tit_for_tat]"
    )
    return loop.train(config.load("ipd", [*options.split(), f"model={tiny_model}"]), tmp_path_factory.mktemp("small") / "run")
