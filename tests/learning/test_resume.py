"""A run that was killed, or stopped, and started again ends exactly as one that was left alone.

The reference is trained in this process; the killed runs are processes of their own, with another hash seed as after a real
restart, which send themselves the signal at a named moment.
"""

from __future__ import annotations

import json
import random
import subprocess
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from detente import config
from detente.learning import loop

OPTIONS = (
    "device=cpu game.rounds=3 game.counterbalance=true iterations=4 episodes=8 group_size=4 lora.rank=4 optimizer.lr=0.01 "
    "opponents.keep_every=2 opponents.kept=0.5 opponents.scripted=0.25 opponents.scripts=[tit_for_tat,random] "
    "evaluation.every=2 evaluation.episodes=2 evaluation.against=[tit_for_tat] loss.entropy_final=null"
)
VARIANTS = {
    "every iteration is saved": ("record.episodes_every=1",),
    "every third is saved": ("record.checkpoint_every=3", "record.episodes_every=2"),
    "two learners, one of them slow, one with a critic": (
        "seats=[row,column]",
        "learners.row.update_every=2",
        "learners.column.algorithm=reinforce",
        "learners.column.credit.baseline=critic",
        "evaluation.every=0",
    ),
    "a learner collects": (
        "seats=[row,column]",
        "learners.row.update_every=3",
        "learners.row.collect=all",
        "learners.column.algorithm=reinforce",
        "evaluation.every=0",
    ),
    "trials against copies that start anew": (
        "seats=[row,column]",
        "algorithm=reinforce",
        "opponents.kept=0",
        "opponents.scripted=0",
        "learners.row.update_every=2",
        "learners.row.collect=trial",
        "learners.row.briefing=counts",
        "learners.row.credit.baseline=batch",
        "learners.column.copies=2",
        "learners.column.lifetime=2",
        "evaluation.every=0",
    ),
    "few are kept": ("opponents.keep_every=1", "opponents.max_kept=2", "evaluation.every=0"),
    "few are kept, every third is saved": (
        "opponents.keep_every=1",
        "opponents.max_kept=2",
        "record.checkpoint_every=3",
        "evaluation.every=0",
    ),
    "two base models, one of the learners slow": (
        "seats=[main,rival]",
        "learners.rival.model={other}",
        "learners.rival.lora.rank=2",
        "learners.rival.answer.temperature=0.7",
        "learners.rival.update_every=2",
        "evaluation.every=0",
    ),
    "names rotate, more than there are seats": (
        "seats=[row,column,tit_for_tat]",
        "learners.row.update_every=2",
        "learners.row.collect=all",
        "learners.column.copies=2",
        "opponents.rotate=true",
        "evaluation.every=0",
    ),
    "a rollout beside every update": ("overlap=1", "record.checkpoint_every=2"),
    "a frozen model opposite": ("seats=[main,model:{model}]", "evaluation.every=0"),
}

SIGNALS = """
import os, shutil, signal, time
from pathlib import Path
import torch
from detente import files, rollout
from detente.engines.transformers import TransformersEngine
from detente import adapters
from detente.learning import checkpoint, loop, resuming, run_folder

def at(owner, name, *counts, after=False, number=signal.SIGKILL):
    '''Send this process a signal at the given calls of owner.name, before it does anything or after it is done.'''
    original, calls = getattr(owner, name), 0
    def counted(*args, **kwargs):
        nonlocal calls
        calls += 1
        now = calls in counts
        if now and not after:
            os.kill(os.getpid(), number)
        result = original(*args, **kwargs)
        if now and after:
            os.kill(os.getpid(), number)
        return result
    setattr(owner, name, counted)

def half_a_line(self, iteration, metrics, episodes):
    self.metrics.open("a").write('{"iteration": %d, "rew' % iteration)
    os.kill(os.getpid(), signal.SIGKILL)

def half_removed(folder, **options):
    if folder.parent.name == "checkpoint" and folder.name.isdigit():
        max(folder.glob("*.safetensors")).unlink()
        os.kill(os.getpid(), signal.SIGKILL)
    removed(folder, **options)

def half_dropped(folder, **options):
    if folder.parent.parent.name == "adapters" and folder.exists():
        (folder / "adapter_model.safetensors").unlink()
        os.kill(os.getpid(), signal.SIGKILL)
    removed(folder, **options)
removed = shutil.rmtree

def full(owner, name, count):
    '''The disk is full at the given call of owner.name.'''
    original, calls = getattr(owner, name), 0
    def counted(*args, **kwargs):
        nonlocal calls
        calls += 1
        if calls == count:
            raise OSError(28, os.strerror(28))
        return original(*args, **kwargs)
    setattr(owner, name, counted)
"""
# Each process of a chain dies at its moment and the next one goes on from there. An iteration has 16 answers a round, one Adam
# step a learner and two files in its checkpoint; every second iteration keeps an adapter and evaluates.
CHAINS = {
    "beginning and rollout": [
        "at(loop, 'open_session', 1)",
        "at(Path, 'replace', 1)",  # the options under their temporary name
        "at(rollout, 'play_match', 5)",
        "at(TransformersEngine, 'generate', 20)",
        "at(TransformersEngine, 'generate', 130)",
        "at(run_folder.RunFolder, 'forget_adapters', 1)",
        "at(loop, 'check_served', 2)",
    ],
    "update and adapters": [
        "at(torch.optim.Adam, 'step', 1)",
        "at(torch.optim.Adam, 'step', 1, after=True)",
        "at(torch.Tensor, 'backward', 3)",
        "at(adapters, 'write_synced', 1)",
        "at(adapters, 'write_synced', 1, after=True)",
        "at(loop, 'evaluate', 1, after=True)",
    ],
    "metrics, episodes and checkpoint": [
        "at(checkpoint, 'write_synced', 1, after=True)",  # the tensors are there, the state is not
        "run_folder.RunFolder.write = half_a_line",
        "at(run_folder, 'write_episodes', 1, after=True)",
        "at(checkpoint, 'write_synced', 4, after=True)",  # all is there but under its temporary name
        "at(checkpoint, 'remove_older', 2)",  # two checkpoints side by side
        "checkpoint.shutil.rmtree = half_removed",
        "at(run_folder.RunFolder, 'write', 1, after=True)",
    ],
    "a file that two checkpoints share": [
        "at(os, 'link', 1)",  # after iteration 3, in which the slow learner was not trained
        "at(os, 'link', 1, after=True)",
        "at(checkpoint, 'write_synced', 2)",
        "at(checkpoint, 'remove_older', 2)",
        "checkpoint.shutil.rmtree = half_removed",
    ],
    "adapters that leave the pool": [
        "at(resuming, 'write_due', 3, after=True)",  # the pool has let version 1 go, the checkpoint still names it
        "at(checkpoint, 'write', 1, after=True)",
        "adapters.shutil.rmtree = half_dropped",  # the resumed run finds out, and is killed over it
        "at(adapters, 'remove', 1)",
        "at(adapters, 'remove', 1, after=True)",
    ],
    "end": [
        "at(loop, 'evaluate', 3)",
        "at(loop, 'replace_text', 1)",  # all but summary.json
        "at(loop, 'replace_text', 1, after=True)",
        "at(run_folder.RunFolder, 'begin', 1, after=True)",
    ],
}
VARIANT_OF = {
    "a file that two checkpoints share": "two learners, one of them slow, one with a critic",
    "adapters that leave the pool": "few are kept",
}


FULL_DISK = [
    "full(files.os, 'fsync', 1)",  # the options
    "full(run_folder, 'write_episodes', 1)",
    "full(checkpoint, 'write_synced', 4)",
    "full(adapters, 'write_synced', 1)",
    "full(run_folder.RunFolder, 'write', 1)",  # the metrics
    "full(loop, 'replace_text', 1)",  # the summary
]


@pytest.fixture(scope="module")
def reference(tiny_model: str, qwen_model: str, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The options of a variant and a run that was left alone, made once."""
    made = {}

    def make(variant: Any) -> Any:
        if variant not in made:
            names = {"model": tiny_model, "other": qwen_model}
            changes = [item.format(**names) for item in (*OPTIONS.split(), f"model={tiny_model}", *VARIANTS[variant])]
            options = config.load("ipd", changes)
            made[variant] = options, loop.train(options, tmp_path_factory.mktemp("reference") / "run")
        return made[variant]

    return make


def training(options: Any, run: Any, before: str = "", preset: Path | None = None) -> Any:
    """Code that trains as the command line does: its exit status is the command's. The options are written to ``preset``."""
    run.parent.mkdir(exist_ok=True)
    preset = preset or run.with_suffix(".yaml")
    preset.write_text(config.to_yaml(options))
    words = ["train", str(preset), "--run", str(run), "--no-report"]
    return f"{SIGNALS}\n{before}\nimport sys\nfrom detente.cli import main\nsys.exit(main({words!r}))"


def metrics(run: Any) -> Any:
    """The lines of metrics.jsonl, without how long things took."""
    lines = (run / "metrics.jsonl").read_text().splitlines()
    return [{key: value for key, value in json.loads(line).items() if not key.startswith("time/")} for line in lines]


def contents(run: Any) -> Any:
    return {str(p.relative_to(run)): p.read_bytes() for p in run.rglob("*") if p.is_file() and p.name != "metrics.jsonl"}


def assert_same(run: Any, expected: Any) -> None:
    """The same metrics, and the same bytes in every other file: adapters, optimizer, episodes, options, summary."""
    for ours, theirs in zip(metrics(run), metrics(expected), strict=True):
        assert ours == theirs
    ours, theirs = contents(run), contents(expected)
    assert sorted(ours) == sorted(theirs)
    assert [name for name in ours if ours[name] != theirs[name]] == []


@pytest.mark.parametrize("chain", CHAINS)
def test_a_killed_run_ends_like_one_left_alone(chain: Any, reference: Any, processes: Any, tmp_path: Path) -> None:
    options, expected = reference(VARIANT_OF.get(chain, "every iteration is saved"))
    run = tmp_path / "run"
    for moment in CHAINS[chain]:
        process = processes(training(options, run, moment), tmp_path)
        assert process.wait() == -9, f"{moment}: {process.out}{process.err}"
    process = processes(training(options, run), tmp_path)
    assert process.wait() == 0, process.err
    assert_same(run, expected)


@pytest.mark.parametrize("variant", [variant for variant in VARIANTS if variant != "every iteration is saved"])
def test_every_kind_of_run_can_be_killed(variant: Any, reference: Any, processes: Any, tmp_path: Path) -> None:
    options, expected = reference(variant)
    run = tmp_path / "run"
    process = processes(training(options, run, "at(torch.optim.Adam, 'step', 4)"), tmp_path)
    assert process.wait() == -9, f"{process.out}{process.err}"
    process = processes(training(options, run), tmp_path)
    assert process.wait() == 0, process.err
    assert_same(run, expected)


def test_killed_at_any_time_until_it_is_done(reference: Any, processes: Any, tmp_path: Path) -> None:
    options, expected = reference("every iteration is saved")
    run, longest, status = tmp_path / "run", 0.5, -9
    while status == -9:
        process = processes(training(options, run), tmp_path)
        time.sleep(random.uniform(0, longest))
        process.kill()
        status = process.wait()
        longest *= 1.2
    assert status == 0, process.err
    assert_same(run, expected)


def test_what_a_crash_leaves_behind_does_no_harm(reference: Any, processes: Any, tmp_path: Path) -> None:
    options, expected = reference("every iteration is saved")
    run = tmp_path / "run"
    assert processes(training(options, run, "at(loop, 'save', 3)"), tmp_path).wait() == -9
    for folder in ("checkpoint/partial", "adapters/main/000004.partial", "adapters/main/000004"):
        (run / folder).mkdir()
        (run / folder / "adapter_model.safetensors").write_bytes(b"half")
    (run / "summary.json.partial").write_text("{")
    (run / "summary.json").write_text("{}")
    (run / "metrics.jsonl.partial").write_text("{")
    process = processes(training(options, run), tmp_path)
    assert process.wait() == 0, process.err
    assert_same(run, expected)


SENTENCE = "The disk is full; make room and run the same command again{}.\n"


def test_a_disk_that_is_full_at_any_moment_stops_the_run_and_no_more(reference: Any, processes: Any, tmp_path: Path) -> None:
    options, expected = reference("every iteration is saved")
    run = tmp_path / "run"
    for moment in FULL_DISK:
        process = processes(training(options, run, moment), tmp_path)
        assert process.wait() == 2, f"{moment}: {process.out}{process.err}"
        assert process.err == SENTENCE.format(" to go on" if run.exists() else "")
    process = processes(training(options, run), tmp_path)
    assert process.wait() == 0, process.err
    assert_same(run, expected)


def disk_usage(folder: Path) -> Any:
    return sum(path.stat().st_blocks * 512 for path in folder.rglob("*"))


class SmallDisk:
    """A disk of so many bytes at ``path``, for whoever enters; it goes with the process that holds it, and that one with ours.

    Only a process that begins with the code ``enter`` sees it at ``path``; ``seen`` is where this process does.
    """

    HOLD = 'mount -t tmpfs -o "size=$1" tmpfs "$2" && echo && read -r _ && mount -o remount,size=64m "$2" && echo && read -r _'

    def __init__(self, path: Path, size: int) -> None:
        path.mkdir()
        words = ["unshare", "--mount", "sh", "-c", self.HOLD, "sh", str(size), str(path)]
        pipe = subprocess.PIPE
        self._holder = subprocess.Popen(words, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, text=True)
        self.there = self._holder.stdout.readline() != ""
        self.seen = Path(f"/proc/{self._holder.pid}/root{path}")
        space = f"os.open('/proc/{self._holder.pid}/ns/mnt', os.O_RDONLY)"
        self.enter = f"import ctypes, os\nassert ctypes.CDLL(None).setns({space}, 0) == 0"

    def grow(self) -> None:
        self._holder.stdin.write("\n")
        self._holder.stdin.flush()
        assert self._holder.stdout.readline()

    def close(self) -> None:
        self._holder.communicate()


def test_a_real_disk_that_is_full(reference: Any, processes: Any, tmp_path: Path) -> None:
    """It has room for the finished run, but not for another checkpoint beside the one there is."""
    options, expected = reference("every iteration is saved")
    disk = SmallDisk(tmp_path / "disk", disk_usage(expected) + disk_usage(expected / "checkpoint") // 2)
    run = tmp_path / "disk" / "run"
    code, seen = training(options, run, disk.enter, preset=tmp_path / "run.yaml"), disk.seen / "run"
    with closing(disk):
        if not disk.there:
            pytest.skip("only root can mount a small disk")
        process = processes(code, tmp_path)
        assert process.wait() == 2
        assert process.err == SENTENCE.format(" to go on")
        (done,) = (int(folder.name) for folder in (seen / "checkpoint").glob("0*"))
        disk.grow()
        process = processes(code, tmp_path)
        assert process.wait() == 0, process.err
        assert f"going on after iteration {done}" in process.out
        assert_same(seen, expected)


def test_ctrl_c_stops_after_saving_and_the_run_goes_on(reference: Any, processes: Any, tmp_path: Path) -> None:
    options, expected = reference("every third is saved")
    run = tmp_path / "run"
    process = processes(training(options, run, "at(TransformersEngine, 'generate', 20, number=signal.SIGINT)"), tmp_path)
    assert process.wait() == 130
    assert process.err == "Stopped; run the same command again to go on.\n"
    assert "stopping after this iteration is saved" in process.out
    assert metrics(run) == metrics(expected)[:1]
    assert [folder.name for folder in (run / "checkpoint").iterdir()] == ["000001"]
    assert processes(training(options, run), tmp_path).wait() == 0
    assert_same(run, expected)


def test_a_second_ctrl_c_stops_at_once(reference: Any, processes: Any, tmp_path: Path) -> None:
    options, expected = reference("every third is saved")
    run = tmp_path / "run"
    process = processes(training(options, run, "at(TransformersEngine, 'generate', 20, 25, number=signal.SIGINT)"), tmp_path)
    assert process.wait() == 130
    assert process.err == "Stopped; run the same command again to go on.\n"
    assert metrics(run) == []
    assert not (run / "checkpoint").exists()
    assert processes(training(options, run), tmp_path).wait() == 0
    assert_same(run, expected)


def test_ctrl_c_in_the_final_evaluation_stops_at_once(reference: Any, processes: Any, tmp_path: Path) -> None:
    options, expected = reference("every third is saved")
    run = tmp_path / "run"
    process = processes(training(options, run, "at(loop, 'evaluate', 3, number=signal.SIGINT)"), tmp_path)
    assert process.wait() == 130
    assert process.out.count("evaluating") == 2  # one line for each evaluation on the way, after 2 and after 4
    assert len(metrics(run)) == 4
    assert not (run / "summary.json").exists()
    assert processes(training(options, run), tmp_path).wait() == 0
    assert_same(run, expected)


def test_a_finished_run_can_be_made_longer(reference: Any, tmp_path: Path) -> None:
    """Nothing here depends on the number of iterations, so three and then one more are four."""
    options, expected = reference("every iteration is saved")
    run = tmp_path / "run"
    loop.train(options.model_copy(update={"iterations": 3}), run)
    assert json.loads((run / "summary.json").read_text())["iterations"] == 3
    loop.train(options, run)
    assert metrics(run) == metrics(expected)
    assert (run / "summary.json").read_bytes() == (expected / "summary.json").read_bytes()
