"""The training state on disk: what goes in comes out, bit for bit, and damage never goes unnoticed."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors.torch import load, save

from detente.errors import UserError
from detente.learning import checkpoint
from detente.learning.checkpoint import Checkpoint, capture, read_newest, restore, write
from detente.learning.state import RunState
from detente.records import Completion, Episode, PolicyRef, Round, Turn

POOL = {"main": (10, 20), "other": ()}
KEPT = {name: list(versions) for name, versions in POOL.items()}  # as state.json has it


def learner(seed: int = 0, steps: int = 0) -> Any:
    """What a checkpoint needs of a learner: tensors that Adam has moved a few times, and a version."""
    torch.manual_seed(seed)
    parameters = [torch.nn.Parameter(torch.randn(3, 2)), torch.nn.Parameter(torch.randn(4))]
    optimizer = torch.optim.Adam(parameters, lr=0.1)
    one = SimpleNamespace(version=0, optimizer=optimizer, parameters=parameters)
    for _ in range(steps):
        step(one)
    return one


def step(one: Any) -> None:
    one.optimizer.zero_grad()
    sum((p**2).sum() for p in one.parameters).backward()
    one.optimizer.step()
    one.version += 1


def state(iteration: Any, seed: int = 0, steps: int = 3) -> Any:
    """A version names the tensors, so another seed goes with other steps."""
    return captured(iteration, {"main": learner(seed, steps), "other": learner(1)})


def captured(iteration: Any, learners: Any, **counters: Any) -> Any:
    return capture(RunState(iteration, {name: one.version for name, one in learners.items()}, POOL, **counters), learners)


def newest(folder: Path) -> Any:
    found = read_newest(folder)
    assert found is not None
    return found


def test_without_a_folder_there_is_no_state(tmp_path: Path) -> None:
    assert read_newest(tmp_path / "checkpoint") is None


def test_a_restored_learner_goes_on_exactly_as_the_first_would_have(tmp_path: Path) -> None:
    first = {"main": learner(0, 3), "other": learner(1, 0)}
    write(tmp_path, captured(3, first))
    again = {"main": learner(5, 1), "other": learner(6, 2)}
    found = newest(tmp_path)
    restore(found, again)
    assert found.state == RunState(3, {"main": 3, "other": 0}, POOL)
    for name in first:
        assert again[name].version == first[name].version
        for _ in range(2):
            step(first[name])
            step(again[name])
        for ours, theirs in zip(again[name].parameters, first[name].parameters, strict=True):
            assert torch.equal(ours, theirs)


def test_the_newest_state_is_read_and_the_older_ones_go(tmp_path: Path) -> None:
    for iteration in (9, 10, 11):
        write(tmp_path, state(iteration, steps=iteration))
    assert [folder.name for folder in tmp_path.iterdir()] == ["000011"]
    found, expected = newest(tmp_path), state(11, steps=11)
    assert found.state.iteration == 11
    assert_same_tensors(found, expected)


def assert_same_tensors(found: Any, expected: Any) -> None:
    assert found.tensors.keys() == expected.tensors.keys()
    for name, tensors in expected.tensors.items():
        assert found.tensors[name].keys() == tensors.keys()
        assert all(torch.equal(found.tensors[name][key], tensors[key]) for key in tensors)


def file(folder: Path, iteration: Any, name: Any) -> Any:
    return folder / f"{iteration:06d}" / f"{name}.safetensors"


def test_a_learner_that_was_not_trained_keeps_its_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    learners = {"main": learner(0, 2), "other": learner(1, 5)}
    write(tmp_path, captured(1, learners))
    before = {name: file(tmp_path, 1, name).stat() for name in learners}
    step(learners["main"])
    written = []
    monkeypatch.setattr(checkpoint, "write_synced", lambda path, payload: written.append(path.name) or path.write_bytes(payload))
    write(tmp_path, captured(2, learners))
    after = {name: file(tmp_path, 2, name).stat() for name in learners}
    assert written == ["main.safetensors", "state.json"]
    assert after["main"].st_ino != before["main"].st_ino
    assert (after["other"].st_ino, after["other"].st_mtime_ns) == (before["other"].st_ino, before["other"].st_mtime_ns)
    assert after["other"].st_nlink == 1  # the name in the folder before is gone
    assert_same_tensors(newest(tmp_path), captured(2, learners))


def test_an_unchanged_file_is_not_read_again(tmp_path: Path) -> None:
    """Only its digest is carried on, so that damage does not go unnoticed."""
    write(tmp_path, state(1))
    flip(file(tmp_path, 1, "other"), -1)
    write(tmp_path, state(2, steps=4))
    with pytest.raises(UserError, match="is damaged"):
        read_newest(tmp_path)


def refuse(*paths: Any) -> None:
    raise OSError(1, os.strerror(1))


@pytest.mark.parametrize("lack", ["a disk without links", "a file that is gone", "a damaged state before"])
def test_where_a_file_cannot_be_taken_over_it_is_written(lack: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, state(1))
    if lack == "a disk without links":
        monkeypatch.setattr("os.link", refuse)
    elif lack == "a file that is gone":
        file(tmp_path, 1, "other").unlink()
    else:
        edit(tmp_path / "000001", iteration=7)
    write(tmp_path, state(2, steps=3))
    assert newest(tmp_path).state.iteration == 2
    assert_same_tensors(newest(tmp_path), state(2))


def test_a_version_that_comes_back_is_written_where_the_state_before_holds_another(tmp_path: Path) -> None:
    """A run that was put back to a state trains the same version numbers again."""
    for iteration, steps in ((1, 3), (2, 4), (3, 3)):
        write(tmp_path, state(iteration, steps=steps))
    assert_same_tensors(newest(tmp_path), state(3))


def as_before(folder: Path, **counters: Any) -> None:
    """Write a state as it was when one file held all learners' tensors."""
    one = state(1)
    counters = {"iteration": 1, "versions": dict(one.state.learners), "kept": KEPT, "base": "", "spent": {}} | counters
    counters = {key: value for key, value in counters.items() if value is not None}
    flat = {f"{name}/{key}": value.detach() for name, tensors in one.tensors.items() for key, value in tensors.items()}
    payload = save(flat)
    digest = hashlib.sha256(json.dumps(counters, sort_keys=True).encode() + payload).hexdigest()
    (folder / "000001").mkdir()
    (folder / "000001" / "tensors.safetensors").write_bytes(payload)
    (folder / "000001" / "state.json").write_text(json.dumps(counters | {"sha256": digest}))


def test_a_state_of_the_layout_before_is_read_and_followed_by_one_of_this(tmp_path: Path) -> None:
    as_before(tmp_path, spent={"requests": 3})
    found = newest(tmp_path)
    assert found.state == RunState(1, state(1).state.learners, POOL, {"requests": 3})
    assert_same_tensors(found, state(1))
    write(tmp_path, state(2))
    assert sorted(path.name for path in (tmp_path / "000002").iterdir()) == ["main.safetensors", "other.safetensors", "state.json"]
    assert_same_tensors(newest(tmp_path), state(2))


@pytest.mark.parametrize("damage", ["a bit of the tensors", "another pool"])
def test_damage_in_the_layout_before_is_one_sentence(damage: str, tmp_path: Path) -> None:
    as_before(tmp_path)
    if damage == "another pool":
        edit(tmp_path / "000001", kept={})
    else:
        flip(tmp_path / "000001" / "tensors.safetensors", -1)
    with pytest.raises(UserError, match="is damaged"):
        read_newest(tmp_path)


def test_what_a_crash_leaves_does_no_harm(tmp_path: Path) -> None:
    write(tmp_path, state(1))
    (tmp_path / "partial").mkdir()
    (tmp_path / "partial" / "main.safetensors").write_bytes(b"half")
    os.link(file(tmp_path, 1, "other"), tmp_path / "partial" / "other.safetensors")
    assert newest(tmp_path).state.iteration == 1
    write(tmp_path, state(2))
    assert [folder.name for folder in tmp_path.iterdir()] == ["000002"]
    assert_same_tensors(newest(tmp_path), state(2))


def test_a_full_disk_leaves_the_state_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, state(1))

    def full(descriptor: Any) -> None:
        raise OSError(28, os.strerror(28))

    with monkeypatch.context() as patched:
        patched.setattr("os.fsync", full)
        with pytest.raises(OSError, match="No space left on device"):
            write(tmp_path, state(2))
    assert newest(tmp_path).state.iteration == 1
    write(tmp_path, state(2))
    assert newest(tmp_path).state.iteration == 2


def flip(path: Any, at: Any) -> None:
    """Change one bit."""
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.write_bytes(content)


def edit(folder: Path, **changes: Any) -> None:
    path = folder / "state.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


DAMAGE = {
    "tensors cut short": lambda folder: os.truncate(folder / "main.safetensors", 500),
    "tensors empty": lambda folder: os.truncate(folder / "main.safetensors", 0),
    "tensors missing": lambda folder: (folder / "main.safetensors").unlink(),
    "a bit of the last tensor": lambda folder: flip(folder / "main.safetensors", -1),
    "a bit of the header": lambda folder: flip(folder / "main.safetensors", 20),
    "the other's tensors missing": lambda folder: (folder / "other.safetensors").unlink(),
    "the tensors of another": lambda folder: (folder / "other.safetensors").replace(folder / "main.safetensors"),
    "state missing": lambda folder: (folder / "state.json").unlink(),
    "state cut short": lambda folder: os.truncate(folder / "state.json", 30),
    "state of another shape": lambda folder: (folder / "state.json").write_text("[1, 2]"),
    "state without digest": lambda folder: (folder / "state.json").write_text('{"iteration": 1}'),
    "state not text": lambda folder: (folder / "state.json").write_bytes(b"\xff\xfe"),
    "another iteration": lambda folder: edit(folder, iteration=2),
    "another pool": lambda folder: edit(folder, kept={"main": [10, 30], "other": []}),
    "another version": lambda folder: edit(folder, versions={"main": 2, "other": 0}),
    "a learner less": lambda folder: edit(folder, files={}),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_damage_is_one_sentence(damage: Any, tmp_path: Path) -> None:
    write(tmp_path, state(1))
    DAMAGE[damage](tmp_path / "000001")
    with pytest.raises(UserError) as caught:
        read_newest(tmp_path)
    sentence = str(caught.value)
    assert sentence.startswith(f"The checkpoint {tmp_path / '000001'} is damaged (")
    assert sentence.endswith(f"; restore it from a copy, or remove the folder {tmp_path} to train from the start.")
    assert "\n" not in sentence


def test_tensors_keep_their_type_and_bits(tmp_path: Path) -> None:
    odd = torch.tensor([0.1, -0.0, 3e38, 1e-45])
    write(tmp_path, Checkpoint(RunState(1, {"main": 1}, {}), {"main": {"a": odd, "b": odd.bfloat16(), "c": torch.tensor(7.0)}}))
    found = newest(tmp_path).tensors["main"]
    assert torch.equal(found["a"].view(torch.int32), odd.view(torch.int32))
    assert found["b"].dtype == torch.bfloat16
    assert found["c"].shape == ()


def test_what_remote_models_have_cost_is_kept(tmp_path: Path) -> None:
    write(tmp_path, captured(1, {"main": learner(), "other": learner()}, spent={"requests": 3, "tokens": 40}))
    assert newest(tmp_path).state.spent == {"requests": 3, "tokens": 40}


def test_a_state_from_before_costs_were_counted_is_read(tmp_path: Path) -> None:
    as_before(tmp_path, spent=None)
    assert newest(tmp_path).state.spent == {}


def test_the_backlog_comes_back_and_damage_to_it_is_one_sentence(tmp_path: Path) -> None:
    turns = (Turn(0, "?", "C", True, Completion("<A>", PolicyRef("adapter", "main", 1), 3, (1,), (2, 3), (-0.1, -1e-17), "A|B")),)
    waiting = tuple(
        Episode({"name": "ipd"}, 7, (PolicyRef("adapter", "main", 1),), (Round(turns, (1.5,), {}),), ("main",), 2, 1, k)
        for k in (0, 1)
    )
    write(tmp_path, captured(2, {"main": learner(), "other": learner()}, backlog=waiting))
    assert newest(tmp_path).state.backlog == waiting
    flip(tmp_path / "000002" / "backlog.jsonl.gz", -1)
    with pytest.raises(UserError, match="is damaged"):
        read_newest(tmp_path)
    write(tmp_path, captured(3, {"main": learner(), "other": learner()}))
    assert newest(tmp_path).state.backlog == ()
    assert not (tmp_path / "000003" / "backlog.jsonl.gz").exists()


def resealed(folder: Path, iteration: Any, name: Any, change: Any) -> None:
    """Change a learner's tensors and write a digest that fits."""
    tensors = load(file(folder, iteration, name).read_bytes())
    change(tensors)
    payload = save(tensors)
    file(folder, iteration, name).write_bytes(payload)
    header = json.loads((folder / f"{iteration:06d}" / "state.json").read_text())
    header["files"][name] = hashlib.sha256(payload).hexdigest()
    header.pop("sha256")
    header["sha256"] = hashlib.sha256(json.dumps(header, sort_keys=True).encode()).hexdigest()
    (folder / f"{iteration:06d}" / "state.json").write_text(json.dumps(header))


@pytest.mark.parametrize("key", ["parameter/1", "optimizer/0/exp_avg", "optimizer/1/exp_avg_sq", "optimizer/0/step"])
@pytest.mark.parametrize("value", [float("nan"), float("inf"), torch.int8, torch.bool])
def test_numbers_that_are_not_finite_are_refused_whatever_the_digest_says(tmp_path: Path, key: str, value: Any) -> None:
    write(tmp_path, state(3))

    def change(tensors: Any) -> None:
        tensors[key] = tensors[key].to(value) if isinstance(value, torch.dtype) else torch.full_like(tensors[key], value)

    resealed(tmp_path, 3, "main", change)
    with pytest.raises(UserError, match=f"checkpoint .*000003 is damaged .*'{key}'"):
        read_newest(tmp_path)


@pytest.mark.parametrize("damage", ["a tensor less", "a tensor more", "a number less", "a number for all", "no learner"])
def test_a_state_of_other_learners_changes_none(tmp_path: Path, damage: str) -> None:
    write(tmp_path, state(3))

    def change(tensors: Any) -> None:
        if damage == "a tensor less":
            del tensors["parameter/1"]
        elif damage == "a tensor more":
            tensors["parameter/2"] = torch.zeros(3)
        elif damage == "a number less":
            tensors["parameter/1"] = tensors["parameter/1"][1:].clone()
        elif damage == "a number for all":
            tensors["parameter/1"] = tensors["parameter/1"][:1].clone()

    resealed(tmp_path, 3, "other", change)
    learners = {"main": learner(5), "other": learner(6)}
    if damage == "no learner":
        learners["third"] = learner(7)
    before = {name: [p.clone() for p in one.parameters] for name, one in learners.items()}
    with pytest.raises(UserError, match=r"checkpoint of iteration 3 does not fit the learner '(other|third)'"):
        restore(read_newest(tmp_path), learners)  # type: ignore[arg-type]
    for name, one in learners.items():
        assert one.version == 0
        assert all(torch.equal(p, old) for p, old in zip(one.parameters, before[name], strict=True))
