"""In a notebook, where an event loop runs already: a real kernel runs the README's blocks, trains, and is stopped."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from threading import Thread
from typing import Any

import nbclient
import nbformat
import pytest
from nbclient.exceptions import CellExecutionError

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
OPTIONS = (
    "device=cpu threads=1 game.rounds=2 iterations={iterations} episodes=4 group_size=4 lora.rank=2 optimizer.lr=0.05 "
    "evaluation.episodes=1 evaluation.against=[tit_for_tat]"
)


class Notebook:
    """A notebook whose cells share one kernel."""

    def __init__(self, folder: Path) -> None:
        self.document = nbformat.v4.new_notebook()
        self.client = nbclient.NotebookClient(self.document, timeout=120, resources={"metadata": {"path": str(folder)}})

    def run(self, code: str) -> str:
        """What the cell prints; CellExecutionError for what it raises."""
        self.document.cells.append(nbformat.v4.new_code_cell(code))
        cell = self.client.execute_cell(self.document.cells[-1], len(self.document.cells) - 1)
        return "".join(output["text"] for output in cell.outputs if output.output_type == "stream" and output.name == "stdout")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("notebook")


@pytest.fixture(scope="module")
def notebook(folder: Path) -> Iterator[Any]:
    found = Notebook(folder)
    with found.client.setup_kernel():
        found.run("import os\nos.environ['OMP_NUM_THREADS'] = '1'\nimport detente")
        yield found


def train(model: str, run: str, iterations: int = 2) -> str:
    options = [f"model={model}", *OPTIONS.format(iterations=iterations).split()]
    return f"run = detente.train(detente.load('ipd', {options}), {run!r})"


def numbers(run: Path) -> list[object]:
    """What a run measured, without the clock."""
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    measured = [{key: value for key, value in line.items() if not key.startswith("time/")} for line in lines]
    return [*measured, json.loads((run / "summary.json").read_text())]


@pytest.mark.parametrize("code", re.findall(r"^```python\n(.*?)^```", README, flags=re.MULTILINE | re.DOTALL))
def test_the_readme_runs_in_a_notebook(notebook: Any, code: Any) -> None:
    assert notebook.run(code)


def test_training_in_a_notebook_gives_the_same_bits(notebook: Any, folder: Path, tiny_model: str) -> None:
    notebook.run(train(tiny_model, "in") + "\ndetente.report([run])")
    outside = f"import detente\n{train(tiny_model, str(folder / 'out'))}"
    subprocess.run([sys.executable, "-c", outside], check=True, timeout=120)
    assert numbers(folder / "in") == numbers(folder / "out")
    (inner,), (outer,) = ((folder / run / "adapters" / "main").glob("*/adapter_model.safetensors") for run in ("in", "out"))
    assert inner.read_bytes() == outer.read_bytes()


@pytest.mark.parametrize(
    "code",
    [
        "detente.play('ipd', ['model:{model}', 'tit_for_tat'], overrides=['game.rounds=2'])",
        "detente.arena(detente.load('ipd', ['game.rounds=2']), ['tit_for_tat', 'model:{model}'], 'arena', episodes=2)",
        "detente.api.fingerprint(detente.load('ipd', ['game.rounds=2']), ['model:{model}'], 'fingerprint', episodes=2)",
        "detente.transfer(['model:{model}'], 'ipd', 'transfer', episodes=2)",
        "from detente.cli import main\nassert main(['play', 'ipd', '--seats', 'tit_for_tat,random']) == 0",
    ],
    ids=["play", "arena", "fingerprint", "transfer", "command line"],
)
def test_everything_that_plays_plays_in_a_notebook(notebook: Any, code: str, tiny_model: str) -> None:
    notebook.run(code.format(model=tiny_model))


def test_a_sentence_reaches_the_cell_as_itself(notebook: Any) -> None:
    with pytest.raises(CellExecutionError) as failed:
        notebook.run("detente.play('ipd', ['tit_for_tat', 'axelrod:Random'], overrides=['game.rounds=0'])")
    assert (failed.value.ename, failed.value.evalue.count(".")) == ("UserError", 1)


def test_the_stop_button_stops_training_after_an_iteration_that_is_saved(notebook: Any, folder: Path, tiny_model: str) -> None:
    pid = int(notebook.run("import os; print(os.getpid())"))
    metrics = folder / "stopped" / "metrics.jsonl"

    def stop() -> None:
        while not metrics.is_file() or not metrics.stat().st_size:
            time.sleep(0.05)
        subprocess.run(["kill", "-INT", str(pid)], check=True)

    Thread(target=stop, daemon=True).start()
    with pytest.raises(CellExecutionError, match="KeyboardInterrupt"):
        notebook.run(train(tiny_model, "stopped", iterations=100_000))
    done = len(metrics.read_text().splitlines())
    assert 0 < done < 100_000
    notebook.run(train(tiny_model, "stopped", iterations=done + 1))
    assert len(metrics.read_text().splitlines()) == done + 1
