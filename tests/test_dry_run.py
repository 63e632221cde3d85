"""A dry run refuses what the run would refuse, with the same sentence, and neither loads a model nor leaves a folder."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from detente import cli, config, models, presets
from detente.errors import UserError
from detente.learning import loop
from detente.learning.checks import check

FAULTS = [
    (["seats=[tit_for_tat,random]"], "No seat learns"),
    (["seats=[main]"], "The game ipd has 2 seats; 1 player was named"),
    (["seats=[main,main,main]"], "The game ipd has 2 seats; 3 players were named"),
    (["seats=[main,human]"], "A person cannot sit in training"),
    (["seats=[main,tit_for_tatt]"], "did you mean 'tit_for_tat'?"),
    (["seats=[main,greedy]"], "The strategy 'greedy' cannot play ipd"),
    (["seats=[main,runs/none]"], "There is no run or adapter folder 'runs/none'."),
    (["seats=[main,runs/none@3]"], "There is no run or adapter folder 'runs/none'."),
    (["seats=[main,empty]"], "is neither a run (config.yaml) nor an adapter"),
    (["seats=[main,begun]"], "has no adapter yet"),
    (["seats=[main,begun@x]"], "should end in a version number"),
    (["seats=[main,'openai:m@ftp://x']"], "begins with ftp://"),
    (["seats=[main,'openai:@http://x']"], "the model is missing"),
    (["seats=[main,'model:./nowhere']"], "cannot be loaded"),
    (["seats=[main,'model:empty']"], "holds no model"),
    (["seats=[main,served]", "learners.served.update_every=1"], "A learner cannot be named 'served'"),
    (["seats=[main,scored4]", "learners.scored4.update_every=1"], "A learner cannot be named 'scored4'"),
    (["iterations=3", "learners.main.update_every=4"], "The learner 'main' would never be updated"),
    (["evaluation.against=[allways_defect]"], "did you mean 'always_defect'?"),
    (["evaluation.against=[algorithm]"], "There is no strategy 'algorithm'"),
    (["seats=[main]"], "The game ipd has 2 seats; 1 player was named: main."),
    (["algorithm=nowhere:x"], "modules are looked for in the present folder and where Python finds them."),
    (["evaluation.against=[human]"], "'human' is no scripted strategy"),
    (["evaluation.against=[greedy]"], "The strategy 'greedy' cannot play ipd"),
    (["opponents.scripted=0.5", "opponents.scripts=[grim]"], "The strategy 'grim' cannot play ipd"),
    (["opponents.scripted=0.5", "opponents.scripts=[tit_for_tatt]"], "did you mean 'tit_for_tat'?"),
    (["opponents.scripts=['model:pocket']"], "'model:pocket' is no scripted strategy"),
    (["game.name=stag_hunt", "evaluation.against=[extort]"], "The strategy 'extort' cannot play stag_hunt"),
    (["game.round=5"], "did you mean 'game.rounds'?"),
    (["seats=[main,'openai:m@https://example.com/v1']"], "wants to know who asks"),
    (["seats=[main,'openai:m']"], "wants to know who asks"),
    (["device=nonsense"], "There is no device 'nonsense' here"),
    (["device=cuda:99"], "There is no device 'cuda:99' here"),
    (["device=meta"], "There is no device 'meta' here"),
    (["--run", "taken"], "The folder taken is not empty and is no run"),
    (["--run", "begun", "seed=7"], "The run begun was started with seed=0 and not 7"),
    (["--run", "begun", "game.rounds=3"], "The run begun was started with game.rounds=10 and not 3"),
    (["model=./nowhere"], "The model './nowhere' cannot be loaded"),
    (["model=empty"], "The folder 'empty' holds no model"),
    (["model=a/b/c"], "The model 'a/b/c' cannot be loaded"),
    (["learners.main.credit.betta=1"], "credit.beta'?"),
]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder and a run that has not got far; whoever loads a model fails."""
    (tmp_path / "empty").mkdir()
    (tmp_path / "begun").mkdir()
    (tmp_path / "begun" / "config.yaml").write_text(config.to_yaml(config.load("ipd")))
    (tmp_path / "begun" / "metrics.jsonl").write_text('{"iteration": 1}\n')
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "notes.txt").write_text("mine")
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    monkeypatch.setattr(models, "load", lambda *_, **__: pytest.fail("a model was loaded"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(("words", "sentence"), FAULTS)
def test_a_dry_run_refuses_what_the_run_refuses(
    words: Any, sentence: Any, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = sorted(folder.rglob("*"))
    said = []
    for more in (["--dry-run"], []):
        assert cli.main(["train", "ipd", "--run", "new", *words, *more]) == 2
        captured = capsys.readouterr()
        said.append(captured.err)
        assert sentence in captured.err
        assert captured.err.count("\n") == 1
    assert said[0] == said[1]
    assert sorted(folder.rglob("*")) == before


def test_from_python_too(folder: Path) -> None:
    with pytest.raises(UserError, match="No seat learns"):
        loop.train(config.load("ipd", ["seats=[random,random]"]), folder / "new")
    assert not (folder / "new").exists()


@pytest.mark.parametrize("preset", presets.preset_names())
def test_presets_pass(preset: str) -> None:
    assert check(config.load(preset)).num_players == len(config.load(preset).seats)


def test_a_dry_run_loads_no_model_library(tmp_path: Path) -> None:
    code = (
        "import sys; from detente.cli import main; main(['train', 'ipd', '--dry-run']); "
        "print(sorted({'torch', 'transformers'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=180, cwd=tmp_path)
    assert done.stdout.splitlines()[-1] == "[]"
