"""The commands: what they pass on, and that every error is one sentence."""

from __future__ import annotations

import errno
import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from detente import cli, config
from detente.cli import listing, terminal
from detente.errors import UserError
from detente.games import GAMES
from detente.records import read_episodes
from detente.signals import Terminated

HEAVY = {"torch", "transformers", "peft", "matplotlib"}
DETENTE = Path(sys.executable).with_name("detente")


def detente(*arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run the installed console script, as a person does."""
    return subprocess.run([DETENTE, *arguments], text=True, stderr=subprocess.PIPE, timeout=120, **options)


@pytest.fixture
def preset(tmp_path: Path) -> str:
    path = tmp_path / "tiny.yaml"
    path.write_text("game: {name: ipd, rounds: 3}\niterations: 2\nalgorithms: {sum_of_rewards: {iterations: 7}}\n")
    return str(path)


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[tuple[config.Config, Path]]:
    """What the command asked ``train`` to do, instead of training; the test stands in an empty folder."""
    calls: list[tuple[config.Config, Path]] = []
    monkeypatch.setattr("detente.learning.loop.train", lambda options, run, watchers: calls.append((options, run)))
    monkeypatch.chdir(tmp_path)
    return calls


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("train ipdd", "did you mean 'ipd'?"),
        ("train ipd iteratons=5", "did you mean 'iterations'?"),
        ("train ipd credit.betta=5", "did you mean 'credit.beta'?"),
        ("train ipd game.name=ipdd", "did you mean 'ipd'?"),
        ("train ipd algorithm=reinforced", "did you mean 'reinforce'?"),
        ("train ipd iterations=many", "iterations"),
        ("train ipd iterations", "key=value"),
        ("train ipd game.payoffs=high", "not 'high'"),
        ("train runs/none", "runs/none is not a run folder"),
        ("train ipd --dryrun", "--dry-run"),
        ("train", "PRESET"),
        ("trian ipd", "'train'"),
        ("list gams", "did you mean 'games'?"),
        ("play ipd", "--seats"),
        ("play ipdd --seats tit_for_tat,tit_for_tat", "did you mean 'ipd'?"),
        ("play ipd --seats tit_for_tatt,tit_for_tat", "'tit_for_tat'"),
        ("play ipd --seats tit_for_tat,tit_for_tat game.roundz=3", "roundz"),
        ("play ipd --seats tit_for_tat,tit_for_tat seed=3", "'seed=3' is no option of playing"),
        ("play ipd --seats tit_for_tat,tit_for_tat answer.retry=3", "did you mean 'answer.retries'?"),
        ("play stag_hunt --seats tit_for_tat,tit_for_tat remote.timout=3", "did you mean 'remote.timeout'?"),
        ("play ipd --seats openai:m@localhost:8000,tit_for_tat", "does not begin with http:// or https://"),
        ("report runs/none", "runs/none"),
        ("export runs/none --format cvs", "Invalid value for '--format': 'cvs' is not one of 'parquet', 'csv'"),
    ],
)
def test_bad_input_is_answered_by_one_sentence(
    line: str, expected: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(terminal, "PATIENCE_S", 60.0)  # on a busy machine, what keeps one waiting is said too
    assert cli.main(line.split()) == 2
    said = capsys.readouterr()
    assert expected in said.err
    assert said.err.count("\n") == 1
    assert said.err.rstrip()[-1] in ".?)"
    assert said.out == ""


def test_the_status_and_the_sentence_reach_the_shell() -> None:
    done = detente("list", "gams")
    names = "algorithms, axelrod, games, models, players, presets, suites"
    assert (done.returncode, done.stderr) == (2, f"There is no list 'gams'; there are: {names}; did you mean 'games'?\n")


def test_a_full_disk_is_named() -> None:
    with open("/dev/full", "w") as full:
        done = detente("list", "games", stdout=full)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert done.stderr.startswith("The disk is full")


def test_a_reader_that_has_seen_enough_is_no_error() -> None:
    read, write = os.pipe()
    os.close(read)
    done = detente("list", "games", stdout=write)
    os.close(write)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("error", "status", "expected"),
    [
        (UserError("The model is missing."), 2, "The model is missing."),
        (ExceptionGroup("tasks", [UserError("The model is missing.")]), 2, "The model is missing."),
        (KeyboardInterrupt(), 130, "Stopped."),
        (Terminated(), 143, "Stopped, as asked from outside."),
        (PermissionError(errno.EACCES, "Permission denied", "runs/x"), 2, "runs/x cannot be used: permission denied."),
        (RuntimeError("writer failed: No space left on device"), 2, "The disk is full; make room and run the same"),
        (MemoryError(), 2, "Memory ran out; end other programs or ask for less at once"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes."), 2, "Memory ran out; end"),
        (ValueError("a\nb"), 1, "detente failed: ValueError a b; this is a fault of ours, run again with --debug"),
    ],
)
def test_every_error_has_a_sentence_and_a_status(error: BaseException, status: int, expected: str) -> None:
    sentence, code = terminal.explain(error)
    assert code == status
    assert sentence.startswith(expected)


@pytest.mark.parametrize("line", ["--debug list gams", "list gams --debug"])
def test_debug_shows_the_traceback_wherever_it_stands(line: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(line.split()) == 2
    assert "Traceback" in capsys.readouterr().err


@pytest.mark.parametrize("kind", sorted(set(listing.LISTS) - {"axelrod"}))  # that library loads torch
def test_lists_answer_without_loading_torch(kind: str) -> None:
    code = (
        f"import sys; from detente.cli import main; main(['list', '{kind}']); print({{'torch', 'transformers'}} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=180)
    *lines, loaded = done.stdout.splitlines()
    assert loaded == "set()", done.stderr
    assert lines
    assert all(len(line.split(maxsplit=1)) == 2 for line in lines), "a name without a description"


def test_list_names_every_game_once(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["list", "games"]) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == list(GAMES)


def test_dry_run_prints_options_that_make_the_same_run(preset: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["train", preset, "algorithm=sum_of_rewards", "credit.gamma=0.5", "--seed", "42", "--dry-run"]) == 0
    printed = capsys.readouterr().out
    again = tmp_path / "again.yaml"
    again.write_text(printed)
    options = config.load(str(again))
    assert (options.algorithm, options.iterations, options.credit.gamma, options.seed) == ("sum_of_rewards", 7, 0.5, 42)
    assert options == config.load(preset, ["algorithm=sum_of_rewards", "credit.gamma=0.5", "seed=42"])
    assert not (tmp_path / "runs").exists()


def test_train_names_a_folder_after_what_was_asked(preset: str, trained: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["train", preset, "algorithm=sum_of_rewards", "model=a/b", "--seed", "3"]) == 0
    assert cli.main(["train", preset, "--run", "here"]) == 0
    (first, folder), (_, here) = trained
    assert (first.algorithm, first.seed, first.model) == ("sum_of_rewards", 3, "a/b")
    assert folder == Path("runs/tiny/sum_of_rewards-seed3-model=a_b")
    assert here == Path("here")
    assert str(folder) in capsys.readouterr().out


def test_a_run_folder_goes_on_with_its_own_options(preset: str, trained: Any) -> None:
    stored = config.load(preset, ["iterations=5", "seed=9"])
    run = Path("runs/x")
    run.mkdir(parents=True)
    (run / "config.yaml").write_text(config.to_yaml(stored))
    assert cli.main(["train", "runs/x"]) == 0
    assert cli.main(["train", "runs/x", "iterations=6"]) == 0
    assert cli.main(["train", "runs/x", "--seed", "10", "--run", "runs/y"]) == 0
    assert trained == [
        (stored, run),
        (stored.model_copy(update={"iterations": 6}), run),
        (stored.model_copy(update={"seed": 10}), Path("runs/y")),
    ]


@pytest.mark.parametrize(("begun", "sentence"), [(True, "Stopped; run the same command again to go on.\n"), (False, "Stopped.\n")])
def test_ctrl_c_says_how_to_go_on_where_there_is_a_folder(
    begun: bool, sentence: str, preset: str, trained: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def stop(_: Any, run: Path, **__: Any) -> None:
        if begun:
            run.mkdir(parents=True)
        raise KeyboardInterrupt

    monkeypatch.setattr("detente.learning.loop.train", stop)
    assert cli.main(["train", preset]) == 130
    assert capsys.readouterr().err == sentence


def test_who_has_made_no_folder_is_not_asked_to_go_on(tmp_path: Path) -> None:
    for folder, end in ((tmp_path / "none", "run the same command again."), (tmp_path, "run the same command again to go on.")):
        with pytest.raises(OSError, match="No space") as caught, terminal.kept(folder):
            raise OSError(errno.ENOSPC, "No space left on device")
        assert terminal.explain(caught.value) == (f"The disk is full; make room and {end}", 2)


def test_ctrl_c_inside_a_library_that_is_imported_is_no_fault_of_ours() -> None:
    """A library in C may answer with an error of its own."""
    error = ImportError("initialization failed")
    error.__cause__ = KeyboardInterrupt()
    assert terminal.explain(error) == ("Stopped.", 130)


def test_ctrl_c_while_the_commands_are_imported_is_one_line(tmp_path: Path) -> None:
    """With a library that gets Ctrl-C as soon as it is imported, in place of the first one that commands import."""
    (tmp_path / "typer.py").write_text("import os, signal, time\nos.kill(os.getpid(), signal.SIGINT)\ntime.sleep(60)\n")
    code = f"import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler); sys.path.insert(0, {str(tmp_path)!r}); "
    code += "from detente.cli import main; sys.exit(main(['--version']))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "Stopped.\n")


def test_play_prints_and_saves_the_episodes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    saved = tmp_path / "played.jsonl"
    line = f"play ipd --seats tit_for_tat,always_defect --seed 5 --episodes 2 --save {saved}"
    assert cli.main(line.split()) == 0
    episodes = read_episodes(saved)
    # tit-for-tat against always-defect over ten rounds: one sucker's payoff, then mutual defection
    assert [episode.mean_reward(0) for episode in episodes] == [0.9, 0.9]
    assert [episode.mean_reward(1) for episode in episodes] == [1.4, 1.4]
    said = capsys.readouterr().out
    assert "episode 2" in said
    assert said.count("always_defect") >= 2
    known = json.loads((tmp_path / "family.json").read_text())
    assert "cooperation_rate" in [measure["name"] for measure in known["measures"]]


def test_games_saved_in_one_folder_share_what_is_known_of_them(tmp_path: Path) -> None:
    for name, seats in (("ipd", "tit_for_tat,random"), ("example_games:Trust", "kind,mean")):
        assert cli.main(["play", name, "--seats", seats, "game.rounds=1", "--save", str(tmp_path / f"{name}.jsonl")]) == 0
    measures = [measure["name"] for measure in json.loads((tmp_path / "family.json").read_text())["measures"]]
    assert {"cooperation_rate", "kindness"} <= {*measures}
    assert len({*measures}) == len(measures)


def test_nothing_is_played_beside_a_damaged_family_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "family.json").write_text("{")
    line = f"play ipd --seats tit_for_tat,random --save {tmp_path}/played.jsonl"
    assert cli.main(line.split()) == 2
    assert "family.json cannot be read as what is known of a game" in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "played.jsonl").exists()


@pytest.mark.parametrize("game", ["ipd", "stag_hunt", "detente.games.matrix:chicken"])
def test_play_takes_options_of_a_preset_or_a_game(game: str, tmp_path: Path) -> None:
    saved = tmp_path / "played.jsonl"
    assert cli.main(["play", game, "game.rounds=3", "--seats", "always_cooperate,always_defect", "--save", str(saved)]) == 0
    assert [len(episode.rounds) for episode in read_episodes(saved)] == [3]


def test_version_is_the_installed_one(capsys: pytest.CaptureFixture[str]) -> None:
    project = (Path(__file__).parents[1] / "pyproject.toml").read_text()
    assert cli.main(["--version"]) == 0
    assert f'version = "{capsys.readouterr().out.strip()}"' in project


def test_without_a_command_the_help_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([]) == 0
    said = capsys.readouterr().out
    assert all(command in said for command in ("train", "play", "report", "list"))


def test_a_preset_is_described(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["train", "ipd", "--dry-run"]) == 0
    assert yaml.safe_load(capsys.readouterr().out)["description"]


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
@pytest.mark.parametrize(
    "line",
    [
        ["list", "games"],
        ["play", "ipd", "game.rounds=2", "--seats", "tit_for_tat,random"],
        ["play", "trust_and_split", "game.rounds=1", "--seats", "welfare,greedy"],
        ["train", "ipd", "--dry-run"],
        ["play", "ipd", "--seats", "Ж,é"],
        ["--help"],
    ],
    ids=lambda line: " ".join(line)[:24].encode("ascii", "replace").decode(),
)
def test_a_character_that_cannot_be_shown_ends_no_command(encoding: str, line: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    out, err = (io.TextIOWrapper(io.BytesIO(), encoding=encoding) for _ in range(2))
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setattr(sys, "stderr", err)
    status = cli.main(line)
    out.flush()
    err.flush()
    said = (out.buffer.getvalue() + err.buffer.getvalue()).decode(encoding)
    assert status == (2 if line[-1] == "Ж,é" else 0), said
    assert said.strip()
    assert "fault of ours" not in said


@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&-", ">&- 2>&- <&-"])
def test_a_stream_that_is_closed_ends_no_command(closed: str, tmp_path: Path) -> None:
    command = f"{sys.executable} -m detente.cli play ipd --seats tit_for_tat,random game.rounds=1 {closed}"
    assert subprocess.run(["sh", "-c", command], cwd=tmp_path, capture_output=True, timeout=180).returncode == 0
