"""Algorithms of somebody's own: found, told their options, trained with, and to blame for what goes wrong in them."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

import detente
from detente import cli, config
from detente.errors import UserError
from detente.evaluation.best_response import responder_config
from detente.learning import algorithms, vectors
from detente.learning.checks import check
from detente.learning.credit import Group, advantages_of
from detente.options import LearnerConfig
from detente.web.runs import overview

PAGE = Path(__file__).parents[2] / "docs" / "add-an-algorithm.md"
MODULE, PENCIL, DELAYED = [block.partition("```")[0] for block in PAGE.read_text(encoding="utf-8").split("```python\n")[1:]]
OWN = (
    MODULE
    + """

from detente.options import AlignmentOptions, CreditOptions

class Aligned(AlignmentOptions):
    kindness: float = 1.0
    kindness_final: float | None = None

class Strange(AlgorithmOptions):
    text: str = "a"
    text_final: str = "b"

@with_options(Aligned)
def kind(group, options):
    return group.own + options.beta * options.kindness * group.others

def plain(group, options):
    return group.own * options.beta

@with_options(Strange)
def strange(group, options):
    return group.own

def failing(group, options):
    return group.own / group.nothing

def listed(group, options):
    return [1, 2]

def flat(group, options):
    return group.own[0]

def whole(group, options):
    return group.own.long()

def broken(group, options):
    return group.own / 0 * 0

def single(group, options):
    return group.own.float().requires_grad_()

class unlike:
    options = dict
    def __call__(self, group, options):
        return group.own

unlike = unlike()
number = 3
"""
)
QUICK = "device=cpu game.rounds=2 episodes=4 group_size=4 lora.rank=2 opponents.kept=0 evaluation.episodes=0 iterations=2"
GROUP = Group(torch.tensor([[[[1.0, 2.0], [0.0, 4.0]], [[3.0, 0.0], [0.0, 0.0]]]], dtype=torch.float64), 0)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder of somebody, with the module ``mine``."""
    (tmp_path / "mine.py").write_text(OWN)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    sys.modules.pop("mine", None)


def learner(algorithm: str, name: str = "main", **options: Any) -> LearnerConfig:
    return config.build({"game": "ipd", "algorithm": algorithm} | options).learner(name)


def test_the_worked_example_runs() -> None:
    names: dict[str, Any] = {"__name__": "my_algorithms"}
    exec(compile(MODULE, "a code block", "exec"), names)
    exec(compile(PENCIL, "a code block", "exec"), names)


def test_an_algorithm_is_told_its_own_options_and_those_of_credit(folder: Path) -> None:
    given = {"gamma": 0.5, "baseline": "none", "beta": 9.0, "options": {"envy": 1, "memory": 0.5}}
    found = algorithms.algorithm_of(learner("mine:inequity", credit=given))
    assert found.options.model_dump() == {
        "gamma": 0.5,
        "reward_divisor": 1.0,
        "baseline": "none",
        "gae_lambda": 0.95,
        "whiten": False,
        "envy": 1.0,
        "guilt": 0.05,
        "memory": 0.5,
    }
    # felt: 1 - 1, 0 - (4 + 1 - 1/2); 3 - 0.05 * 3, -0.05 * 1.5
    felt = torch.tensor([[[0.0, -4.5], [2.85, -0.075]]], dtype=torch.float64)
    torch.testing.assert_close(found.credit(GROUP, 0.0), advantages_of(felt, found.options))


def test_options_may_be_those_of_advantage_alignment_too_and_change_over_the_run(folder: Path) -> None:
    given = {"beta": 2.0, "beta_final": 4.0, "options": {"kindness": 1.0, "kindness_final": 3.0}}
    found = algorithms.algorithm_of(learner("mine:kind", credit=given))
    assert torch.equal(found.credit(GROUP, 0.5), GROUP.own + 3 * 2 * GROUP.others)
    plain = algorithms.algorithm_of(learner("mine:plain", credit={"beta": 2.0, "beta_final": 4.0}))
    assert torch.equal(plain.credit(GROUP, 0.5), 3 * GROUP.own)


def test_credit_is_in_the_numbers_of_the_rewards_and_without_gradient(folder: Path) -> None:
    credit = algorithms.algorithm_of(learner("mine:single")).credit(GROUP, 0.0)
    assert (credit.dtype, credit.requires_grad) == (torch.float64, False)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("mine:failing", r"The algorithm 'mine:failing' raised AttributeError 'Group' object has no attribute 'nothing'; --debug"),
        ("mine:strange", r"The algorithm 'mine:strange' raised TypeError"),
        ("mine:listed", r"'mine:listed' returned credit which is no tensor but list; see"),
        ("mine:flat", r"'mine:flat' returned credit of shape \(2, 2\) where \(G, K, T\) is \(1, 2, 2\); see"),
        ("mine:whole", r"'mine:whole' returned credit of torch.int64, which are no floating-point numbers; see"),
        ("mine:broken", r"'mine:broken' returned credit that is not finite \(NaN or infinity\); see"),
    ],
)
def test_what_goes_wrong_names_the_algorithm(name: str, words: str, folder: Path) -> None:
    with pytest.raises(UserError, match=words):
        algorithms.algorithm_of(learner(name)).credit(GROUP, 0.5)


WRONG = {
    "mine:inequity|credit.options.envvy=1": "There is no option 'credit.options.envvy'; did you mean 'credit.options.envy'?",
    "mine:inequity|credit.options.gamma=1": "There is no option 'credit.options.gamma'; did you mean 'credit.gamma'?",
    "mine:inequity|credit.options.envy=-1": "credit.options.envy is wrong: input should be greater than or equal to 0, not -1.",
    "mine:inequity|credit.options.envy=[1]": "The option credit.options.envy is wrong: input should be a valid number",
    "mine:inequity|credit.options=3": "The option credit.options is wrong: it has options of its own, not 3.",
    "mine:plain|credit.options.envy=1": "'mine:plain' has no options of its own, so there is no option 'credit.options.envy'.",
    "reinforce|credit.options.envy=1": "The algorithm 'reinforce' has no options of its own",
    "reinforce|credit.options.beta=1": "There is no option 'credit.options.beta'; did you mean 'credit.beta'?",
    "mine:unlike": "The options of the algorithm 'mine:unlike' are no class derived from detente.options.AlgorithmOptions.",
    "mine:number": "'mine:number' does not name an algorithm: number is no class or function, but int.",
    "mine:nothing": "'mine:nothing' does not name an algorithm that can be imported: AttributeError",
    "nowhere:x": "ModuleNotFoundError No module named 'nowhere'; modules are looked for",
    "mine:a:b": "'mine:a:b' does not name an algorithm: an algorithm of your own is module:attribute, such as",
    "mine:": "The option algorithm is wrong: it is text, no mapping",
    "inequity": "There is no algorithm 'inequity'",
    "reinforce|seats=[a,b]|learners={a: {algorithm: 'mine:inequity', credit: {options: {envvy: 1}}}, b: {}}": (
        "did you mean 'learners.a.credit.options.envy'?"
    ),
    "reinforce|seats=[a,b]|learners={a: {algorithm: 'mine:a:b'}, b: {}}": "'mine:a:b' does not name an algorithm",
}


@pytest.mark.parametrize(("words", "sentence"), WRONG.items())
@pytest.mark.parametrize("dry", [True, False])
def test_wrong_options_end_before_anything_is_made(words: str, sentence: str, dry: bool, folder: Path, capsys: Any) -> None:
    before = sorted(path for path in folder.rglob("*") if "__pycache__" not in path.parts)
    assert cli.main(["train", "ipd", "--run", "new", *f"algorithm={words}".split("|"), *(["--dry-run"] if dry else [])]) == 2
    said = capsys.readouterr().err
    assert sentence in said.replace("\n", " ")
    assert said.count("\n") == 1
    assert sorted(path for path in folder.rglob("*") if "__pycache__" not in path.parts) == before


def test_a_learner_with_another_algorithm_does_not_inherit_the_options_of_the_runs(folder: Path) -> None:
    words = ["seats=[a,b]", "algorithm=mine:inequity", "credit.options.envy=2", "learners={a: {}, b: {algorithm: reinforce}}"]
    options = config.load("ipd", words)
    check(options)
    assert [options.learner(name).credit.options for name in "ab"] == [{"envy": 2}, {}]
    assert config.build({"game": "ipd"} | json.loads(options.model_dump_json())) == options


@pytest.fixture(scope="module")
def trained(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a module and a finished run of two iterations, trained with it on the command line."""
    folder = tmp_path_factory.mktemp("somebody")
    (folder / "mine.py").write_text(OWN)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        patch.chdir(folder)
        words = ["algorithm=mine:inequity", "credit.options.envy=2", f"model={tiny_model}", *QUICK.split()]
        assert cli.main(["train", "ipd", "--run", "runs/x", *words]) == 0
    sys.modules.pop("mine", None)
    return folder


def copied(trained: Path, folder: Path) -> Path:
    return Path(shutil.copytree(trained / "runs", folder / "runs"))


def test_a_run_goes_on_only_where_its_algorithm_is_named_or_trusted(trained: Path, folder: Path, capsys: Any) -> None:
    copied(trained, folder)
    assert cli.main(["train", "runs/x", "iterations=3"]) == 2
    assert "runs/x/config.yaml names the algorithm 'mine:inequity', which would run code" in capsys.readouterr().err
    assert "mine" not in sys.modules
    assert cli.main(["train", "runs/x", "iterations=3", "algorithm=mine:inequity"]) == 0, capsys.readouterr().err
    assert cli.main(["train", "runs/x", "iterations=4", "--trust"]) == 0, capsys.readouterr().err
    assert len((folder / "runs" / "x" / "metrics.jsonl").read_text().splitlines()) == 4
    (result,) = json.loads((folder / "runs" / "x" / "summary.json").read_text())["learners"].values()
    assert result["algorithm"] == "mine:inequity"


def test_who_evaluates_or_reads_a_run_imports_nothing_of_its_algorithm(trained: Path, folder: Path, capsys: Any) -> None:
    copied(trained, folder)
    for words in (
        ["play", "ipd", "--seats", "runs/x,tit_for_tat", "game.rounds=2"],
        ["arena", "ipd", "--agents", "runs/x,tit_for_tat", "game.rounds=2", "--episodes", "2", "--out", "met"],
        ["fingerprint", "ipd", "--agents", "runs/x", "game.rounds=2", "--out", "print"],
        ["best-response", "ipd", "--against", "runs/x", "game.rounds=2", "--exact"],
        ["report", "runs/x"],
        ["export", "runs/x"],
    ):
        assert cli.main(words) == 0, (words, capsys.readouterr().err)
    assert "mine" not in sys.modules


def test_every_learners_algorithm_is_named(folder: Path, tiny_model: Path, capsys: Any) -> None:
    words = ["seats=[a,b]", "algorithm=mine:plain", "learners={a: {}, b: {algorithm: reinforce}}", f"model={tiny_model}"]
    assert config.load("ipd", words).algorithms == "a: mine:plain, b: reinforce"
    assert config.load("ipd", ["algorithm=mine:plain"]).algorithms == "mine:plain"
    assert cli.main(["train", "ipd", *words, *QUICK.split(), "iterations=1"]) == 0
    said = capsys.readouterr().out
    assert "Training ipd with a: mine:plain, b: reinforce in runs/ipd/mine_plain-seed0-" in said
    (row,) = overview(folder / "runs").runs
    assert row.algorithm == "a: mine:plain, b: reinforce"


def test_the_list_says_how_to_name_ones_own(capsys: Any) -> None:
    assert cli.main(["list", "algorithms"]) == 0
    assert "algorithm=my_algorithms:inequity" in capsys.readouterr().out


def test_a_preset_file_names_it_for_those_who_trust_it(folder: Path, capsys: Any) -> None:
    (folder / "one.yaml").write_text("extends: ipd\nalgorithm: mine:inequity\ncredit: {options: {envy: 2}}\n")
    assert cli.main(["train", "one.yaml", "--dry-run"]) == 2
    assert "one.yaml names the algorithm 'mine:inequity'" in capsys.readouterr().err
    assert "mine" not in sys.modules
    assert cli.main(["train", "one.yaml", "--dry-run", "--trust"]) == 0
    assert "algorithm: mine:inequity\n" in capsys.readouterr().out
    assert detente.load("one.yaml", ["algorithm=reinforce"]).credit.options == {}
    check(responder_config("one.yaml", "tit_for_tat"))
    (folder / "two.yaml").write_text("extends: ipd\nalgorithms: {'mine:inequity': {credit: {options: {envy: 7}}}}\n")
    assert detente.load("two.yaml").credit.options == {}
    assert detente.load("two.yaml", ["algorithm=mine:inequity"]).credit.options == {"envy": 7}


def test_a_run_stops_with_a_sentence_where_its_algorithm_fails(folder: Path, tiny_model: Path, capsys: Any) -> None:
    words = ["train", "ipd", "--run", "runs/y", "algorithm=mine:failing", f"model={tiny_model}", *QUICK.split()]
    assert cli.main(words) == 2
    said = capsys.readouterr().err
    assert "The algorithm 'mine:failing' raised AttributeError" in said
    assert "Traceback" not in said
    assert cli.main([*words, "--debug"]) == 2
    assert "mine.py" in capsys.readouterr().err


def test_gradients_are_delayed_as_the_page_says(open_run: Callable[..., Any]) -> None:
    run = open_run().shake()
    learner, chats = run.learners["main"], run.trajectories(run.play())
    fresh = []
    for some in (chats, chats[: len(chats) // 2]):
        learner.gradients(some, 0.0)
        fresh.append(vectors.gradients(learner))
    exec(compile(DELAYED, str(PAGE), "exec"), page := dict[str, Any]())
    learner.helpers = page["Delayed"]()
    for some in (chats, chats[: len(chats) // 2], chats):
        learner.gradients(some, 0.0)
        fresh.append(vectors.gradients(learner))
    whole, half, first, second, third = fresh
    assert not torch.allclose(whole, half)
    assert torch.equal(first, whole)
    assert torch.equal(second, whole)
    assert torch.equal(third, half)
