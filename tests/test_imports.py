"""Who may import whom, read from the sources; and what must not load torch, seen in a fresh process."""

from __future__ import annotations

import ast
import subprocess
import sys
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Any

import pytest

PACKAGE = Path(__file__).parents[1] / "src" / "detente"
MODULES = {
    ".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted(PACKAGE.rglob("*.py"))
    if path != PACKAGE / "__init__.py"
}

BASE = {"errors", "foreign", "jsonl", "plain_yaml", "records", "seeding", "signals", "visible"}
PLAY = BASE | {"games", "players", "engines.base", "matches", "rollout", "together"}
TRAIN = BASE | {"copies", "adapters", "backbone", "files", "finite", "config", "options", "models", "engines", "learning"}

# A module may import what the longest matching line allows, and its own package.
ALLOWED: dict[str, set[str]] = {
    "errors": set(),
    "jsonl": set(),
    "records": {"jsonl"},
    "seeding": set(),
    "fingerprints": set(),
    "screen": {"visible"},
    "signals": set(),
    "together": set(),
    "visible": set(),
    "files": {"errors", "visible"},
    "finite": set(),
    "foreign": {"errors"},
    "former": {"errors"},
    "plain_yaml": set(),
    "provenance": set(),
    "faults": set(),
    "stored": {"errors", "faults", "files", "plain_yaml", "stored_measurements", "stored_shapes"},
    "stored_measurements": {"stored_shapes"},
    "stored_shapes": {"faults"},
    "options": {"errors", "foreign"},
    "engine_options": {"options"},
    "unused": {"curriculum_options", "errors", "options"},
    "validation": {"errors", "options"},
    "briefing": {"errors", "files", "visible"},
    "executor_options": {"options"},
    "curriculum_options": {"options"},
    "variation_options": {"options"},
    "config": {
        "briefing",
        "curriculum_options",
        "engine_options",
        "errors",
        "executor_options",
        "files",
        "foreign",
        "former",
        "options",
        "plain_yaml",
        "players.address",
        "presets",
        "unused",
        "validation",
        "variation_options",
        "visible",
    },
    "copies": {"config", "records"},
    "rotation": {"config", "games", "seeding"},
    "playable": {"config", "errors", "games", "presets"},
    "explained": {"errors", "evaluation", "export", "files", "visible", "learning.watchers"},
    "comparisons": {"config", "errors", "evaluation", "files", "reports"},
    "games": BASE | {"games"},
    "backbone": {"errors", "finite"},
    "adapters": {"errors", "files", "finite", "models", "options"},
    "engines": {"backbone", "errors", "finite", "records"},
    "engines.vllm": {"backbone", "engines", "engine_options", "errors", "records", "together"},
    "vocabulary": {"errors"},
    "players": BASE | {"games", "engines.base", "screen"},
    "players.address": {"errors"},
    "players.endpoint": {"errors", "options", "players.address", "players.base", "players.guiding", "players.wire", "together"},
    "players.guiding": set(),
    "players.wire": {"errors", "players.address"},
    "players.remote": BASE | {"briefing", "games", "players", "options"},
    "rollout": BASE | {"games", "players", "together"},
    "extras": {"errors"},
    "environments": BASE | {"extras", "games", "rollout"},
    "environments.seat": PLAY | {"playable", "policies"},
    "environments.verifiers": {"environments.seat", "extras", "players", "rollout"},
    "environments.openenv": {"environments.seat", "errors", "extras", "games", "together"},
    "matches": BASE | {"games", "players", "rollout", "together"},
    "family_file": BASE | {"files", "games", "matches", "faults", "stored_shapes"},
    "room": BASE | {"games", "players", "matches"},
    "smollm2": {"errors"},
    "models": {"errors", "smollm2", "finite", "fingerprints", "players.chat", "pocket", "backbone", "vocabulary"},
    "hosts": BASE | {"adapters", "engine_options", "engines", "models", "options", "players.chat", "learning.audit"},
    "policies": PLAY | {"adapters", "briefing", "room", "config", "engine_options", "hosts", "options", "models", "engines"},
    "trackers": {"config", "errors", "files", "foreign", "learning.watchers", "stored"},
    "trackers.base": set(),
    "learning": TRAIN,
    "learning.algorithms": {"config", "errors", "foreign", "options", "validation"},
    "learning.cluster": {
        "config",
        "errors",
        "executor_options",
        "learning.rollout_worker",
        "learning.session",
        "matches",
        "records",
    },
    "learning.cluster_learners": {"config", "errors"}
    | {f"learning.{name}" for name in ("cluster", "gradient_worker", "learner", "vectors", "work")},
    "learning.gradient_worker": {"config"}
    | {f"learning.{name}" for name in ("learner", "loading", "rollout_worker", "vectors", "work")},
    "learning.rollout_worker": {
        "config",
        "copies",
        "learning.loading",
        "learning.variation",
        "matches",
        "models",
        "policies",
        "records",
    },
    "learning.branches": {"config", "copies", "errors", "games", "options", "records", "room"},
    "learning.checks": TRAIN | PLAY | {"policies", "room", "rotation", "trackers"},
    "learning.credit": {"options"},
    "learning.loss": set(),
    "learning.segments": set(),
    "learning.tiles": set(),
    "learning.ranks": set(),
    "learning.rates": {"config", "files", "stored"},
    "learning.versions": {"config", "learning.checks", "policies"},
    "learning.run_folder": TRAIN | {"records", "stored"},
    "learning.session": TRAIN | {"games", "hosts", "matches", "players.chat", "policies"},  # puts together what the loop runs
    "learning.loop": TRAIN | PLAY | {"family_file", "policies", "evaluation", "provenance", "trackers"},
    "learning.metrics": BASE | {"games", "evaluation.measures"},
    "learning.opponents": TRAIN | {"games", "records", "rotation", "seeding"},
    "learning.starting": TRAIN | {"policies"},
    "learning.shaping": {"errors", "foreign", "games.guard", "games.sides", "options", "records"},
    "learning.watchers": {"config", "errors"},
    "learning.curriculum": {"records"},
    "learning.planning": BASE | {"config", "copies", "games", "rotation"},
    "learning.regret": {"evaluation.exact", "games", "players.scripted", "records"},
    "learning.state": {"options", "records"},
    "learning.trials": BASE | {"config", "copies", "games", "matches"},
    "learning.variation": {"config", "errors", "games", "seeding", "variation_options"},
    "learning.fitting": set(),
    "needs": PLAY
    | {
        "config",
        "curriculum_options",
        "copies",
        "files",
        "models",
        "options",
        "policies",
        "rotation",
        "learning",
        "engines.mixing",
    },
    "needs.check": set(),
    "needs.servers": {"engine_options", "errors", "hosts", "needs.check"},
    "needs.shape": {"errors", "files"},
    "needs.memory": {"config", "copies", "errors", "options", "rotation", "learning.fitting"},
    "needs.plan": {"config", "learning.fitting"},
    "evaluation": PLAY | {"briefing", "copies", "family_file", "files", "former", "config", "playable", "policies", "rotation"},
    "evaluation.suites": PLAY | {"faults", "files", "policies", "stored_shapes"},
    "evaluation.statistics": set(),
    "evaluation.axelrod_ranking": set(),
    "evaluation.measures": BASE | {"games"},
    "evaluation.adversaries": PLAY
    | {"files", "config", "policies", "presets"}
    | {f"learning.{name}" for name in ("checks", "loop", "processes", "run_folder", "session", "starting", "watchers")},
    "evaluation.imitation": PLAY
    | {"config", "files", "playable", "stored"}
    | {f"learning.{name}" for name in ("loop", "run_folder", "shaping", "variation", "watchers")},
    "evaluation.shapers": PLAY | {"config", "policies", "learning.run_folder"},
    "evaluation.best_response": PLAY | {"files", "config", "playable", "policies", "learning.loop", "learning.watchers"},
    "reports": PLAY | {"family_file", "files", "stored", "stored_shapes", "evaluation.measures", "evaluation.statistics"},
    "export": BASE | {"family_file", "games"},
    "export.values": BASE | {"games", "stored"},
    "sweeps": BASE
    | {"config", "export", "faults", "files", "games", "options", "presets", "reports", "stored", "stored_shapes"}
    | {"evaluation.begun", "evaluation.statistics"}
    | {f"learning.{name}" for name in ("checks", "processes", "run_folder")},
    "web": PLAY
    | {"briefing", "config", "family_file", "options", "presets", "stored", "models", "policies", "reports", "files"}
    | {"evaluation.statistics"},
    "hub": BASE
    | {"adapters", "files", "games", "models", "policies", "presets", "provenance", "reports", "stored"}
    | {"evaluation.statistics"},
    "hub.service": {"errors", "files"},
    "progress": {"config", "games", "records", "rotation", "screen", "visible", "learning.watchers"},
    "pocket": BASE | {"games", "players", "rollout"},
    "presets": {"engine_options", "errors", "files", "former", "plain_yaml"},
    "suites": set(),
}
TOP = {"cli", "api", "inspect", "__main__"}  # on top of everything

# What else they may import beside the standard library; a line that is missing means anything.
OUTSIDE: dict[str, set[str]] = {
    "errors": set(),
    "jsonl": set(),
    "records": {"orjson", "pydantic"},
    "seeding": set(),
    "fingerprints": {"torch"},
    "screen": {"rich"},
    "signals": set(),
    "together": set(),
    "visible": set(),
    "files": {"orjson"},
    "finite": {"torch"},
    "foreign": set(),
    "former": set(),
    "plain_yaml": {"yaml"},
    "faults": {"pydantic"},
    "stored": {"orjson", "pydantic"},
    "stored_measurements": {"pydantic"},
    "stored_shapes": {"pydantic"},
    "games": set(),
    "rollout": set(),
    "extras": set(),
    "environments.pettingzoo": {"gymnasium", "numpy", "pettingzoo"},
    "environments.openenv": {"openenv", "uvicorn"},
    "environments.verifiers": {"verifiers"},
    "environments.pettingzoo_game": set(),
    "environments.replayed": set(),
    "environments.textarena": {"textarena"},
    "matches": set(),
    "engines.base": set(),
    "players.base": set(),
    "players.address": set(),
    "players.endpoint": {"openai", "httpx2"},
    "players.wire": {"openai", "httpx2"},
    "players.remote": set(),
    "players.scripted": set(),
    "players.axelrod_library": {"axelrod", "numpy"},
    "evaluation.axelrod_ranking": set(),
    "learning.cluster": {"ray"},
    "learning.credit": {"torch"},
    "learning.loss": {"torch"},
    "learning.ranks": set(),
    "trackers": set(),
    "trackers.tensorboard": {"tensorboard"},
    "trackers.trackio": {"trackio"},
    "trackers.wandb": {"wandb"},
}


def within(module: str, packages: set[str]) -> bool:
    return any(module == package or module.startswith(package + ".") for package in packages)


def longest(module: str, table: dict[str, set[str]]) -> str | None:
    return max((line for line in table if within(module, {line})), key=len, default=None)


def imports(source: str) -> set[str]:
    """Every module that the source imports, at its top or inside a function, with its full name."""
    names = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            inner = {f"{node.module}.{alias.name}" for alias in node.names}
            modules = {name for name in inner if name.removeprefix("detente.") in MODULES}
            names |= modules | ({node.module} if modules != inner else set())  # type: ignore[arg-type]
    return names


def faults(module: str, source: str) -> list[str]:
    """The imports of a module that the tables do not allow."""
    names = imports(source)
    inner = {name.removeprefix("detente.") for name in names if name.startswith("detente.")}
    outer = {name.partition(".")[0] for name in names} - {"detente"} - sys.stdlib_module_names
    own, outside = longest(module, ALLOWED), longest(module, OUTSIDE)
    if own is None:
        return [] if module.partition(".")[0] in TOP else [f"{module} has no line in ALLOWED"]
    package = {module.rpartition(".")[0] or module} if ALLOWED[own] else set()
    wrong = {name for name in inner if not within(name, ALLOWED[own] | package)}
    wrong |= outer - OUTSIDE[outside] if outside is not None else set()
    return [f"{module} must not import {name}" for name in sorted(wrong)]


@pytest.mark.parametrize("module", MODULES)
def test_dependency_direction(module: Any) -> None:
    assert faults(module, MODULES[module].read_text(encoding="utf-8")) == []


@pytest.mark.parametrize("module", MODULES)
def test_a_file_is_read_at_a_sitting(module: str) -> None:
    assert len(MODULES[module].read_text(encoding="utf-8").splitlines()) <= 300


def test_no_circle() -> None:
    """Imports inside of functions count too."""
    graph = {
        module: {name[8:] for name in imports(path.read_text(encoding="utf-8")) if name.startswith("detente.")} & MODULES.keys()
        for module, path in MODULES.items()
    }
    assert len(list(TopologicalSorter(graph).static_order())) == len(MODULES)
    with pytest.raises(CycleError):
        TopologicalSorter(graph | {"errors": {"cli"}}).prepare()


def test_nobody_but_the_engines_names_one_of_them() -> None:
    named = [module for module, path in MODULES.items() if "TransformersEngine" in path.read_text(encoding="utf-8")]
    assert {module.partition(".")[0] for module in named} == {"engines"}


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("games.chess", "from detente.players import base"),
        ("games.chess", "import numpy"),
        ("records", "from detente.errors import UserError"),
        ("rollout", "def f():\n    import torch"),
        ("learning.credit", "from detente.config import CreditOptions"),
        ("learning.loss", "import transformers"),
        ("learning.batch", "from detente import rollout"),
        ("engines.vllm", "from detente.players.base import Player"),
        ("evaluation.measures", "from detente.config import Config"),
        ("evaluation.arena", "from detente.learning.loop import train"),
        ("reports.page", "from detente.learning import batch"),
        ("web.matches", "from detente.learning.loop import train"),
        ("players.llm", "from detente.engines.transformers import TransformersEngine"),
        ("somewhere", "import json"),
    ],
)
def test_the_tables_forbid(module: str, source: str) -> None:
    assert len(faults(module, source)) == 1


GAME_CLASSES = {
    node.name
    for module, path in MODULES.items()
    if within(module, {"games"})
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
    if isinstance(node, ast.ClassDef)
}


def checks(source: str) -> set[str]:
    """The classes of games, views, states and what else games are made of that the source asks an object whether it is one."""
    names = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("isinstance", "issubclass"):
            names |= {ast.unparse(each).rpartition(".")[2] for each in ast.walk(node.args[1]) if isinstance(each, ast.expr)}
        elif isinstance(node, ast.MatchClass):
            names.add(ast.unparse(node.cls).rpartition(".")[2])
    return names & GAME_CLASSES


@pytest.mark.parametrize("module", [module for module in MODULES if not within(module, {"games"})])
def test_nobody_asks_what_kind_of_game_it_is(module: Any) -> None:
    """A family says what is special about its games."""
    assert checks(MODULES[module].read_text(encoding="utf-8")) == set()


@pytest.mark.parametrize(
    "source",
    ["isinstance(game, MatrixGame)", "isinstance(view, (int, matrix.MatrixView))", "match state:\n case SplitState(): pass"],
)
def test_who_asks_is_found(source: str) -> None:
    assert checks(source)


@pytest.mark.parametrize(
    "names",
    [
        "detente.games, detente.games.contract, detente.matches, detente.reports, detente.evaluation.measures, detente.export",
        "detente, detente.api",
        "detente.web",
        "detente.players.axelrod_library, detente.policies",
        "detente.config, detente.players.scripted, detente.players.human, detente.players.llm, detente.engines.base, detente.cli",
        "detente.players.remote, detente.policies",
    ],
)
def test_torch_stays_outside(names: str) -> None:
    integrations = ("tensorboard", "gymnasium", "pettingzoo", "textarena", "inspect_ai", "openenv", "verifiers")
    heavy = ("torch", "transformers", "peft", "matplotlib", "pyarrow", "openai", "axelrod", *integrations)
    code = f"import {names}, sys; print([m for m in {heavy} if m in sys.modules])"
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert printed.strip() == "[]"


@pytest.mark.parametrize(
    ("names", "unneeded"),
    [
        ("detente.cli", ("rich", "pydantic", "yaml", "asyncio")),
        ("detente.config, detente.games, detente.policies", ("rich", "asyncio", "jinja2")),  # what a dry run takes
        ("detente.api, detente.reports.transcript", ("jinja2", "starlette")),  # what play takes
    ],
)
def test_commands_start_without_what_they_do_not_need(names: str, unneeded: tuple[str, ...]) -> None:
    code = f"import {names}, sys; print([m for m in {unneeded} if m in sys.modules])"
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert printed.strip() == "[]"
