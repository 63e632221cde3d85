"""Options: presets, overrides, what each algorithm and learner changes, and one clear sentence for what is wrong."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
from annotated_types import Le, Lt
from pydantic import BaseModel

from detente import config, presets
from detente.errors import UserError
from detente.games import make
from detente.options import ALGORITHMS, LearnerConfig

PRESET = """
description: A test.
game: {name: ipd, rounds: 5}
credit: {gamma: 0.8}
loss: {entropy: 0.05}
algorithms:
  reinforce: {loss: {entropy: 0.1}}
  advantage_alignment: {loss: {entropy: 0.2}, credit: {beta: 3.0}}
"""


@pytest.fixture
def preset(tmp_path: Path) -> Any:
    path = tmp_path / "mine.yaml"
    path.write_text(PRESET, encoding="utf-8")
    return str(path)


def test_presets_of_the_package_load() -> None:
    for name in presets.preset_names():
        options = config.load(name)
        assert options.preset == name
        assert options.description
        assert make(**options.game).num_players == len(options.seats)
        for algorithm in ALGORITHMS:
            assert config.load(name, [f"algorithm={algorithm}"]).algorithm == algorithm


def test_a_preset_is_the_defaults_with_changes(preset: str) -> None:
    options = config.load(preset)
    assert (options.preset, options.description, options.algorithm) == ("mine", "A test.", "reinforce")
    assert options.game == {"name": "ipd", "rounds": 5}
    assert options.credit == config.CreditOptions(gamma=0.8)  # type: ignore[attr-defined]
    assert options.optimizer == config.OptimizerOptions()  # type: ignore[attr-defined]


def test_the_chosen_algorithm_brings_its_block_and_overrides_win(preset: str) -> None:
    assert config.load(preset).loss.entropy == 0.1
    assert config.load(preset, ["algorithm=sum_of_rewards"]).loss.entropy == 0.05
    aligned = config.load(preset, ["algorithm=advantage_alignment"])
    assert (aligned.loss.entropy, aligned.credit.beta, aligned.credit.gamma) == (0.2, 3.0, 0.8)
    assert config.load(preset, ["algorithm=advantage_alignment", "loss.entropy=0.3"]).loss.entropy == 0.3
    assert config.load(preset, ["loss.entropy=0.3", "algorithm=advantage_alignment"]).loss.entropy == 0.3


def test_a_preset_extends_another_one(preset: str, tmp_path: Path) -> None:
    longer = tmp_path / "longer.yaml"
    changes = "game: {rounds: 9}\nalgorithms: {reinforce: {loss: {kl: 0.5}}}\n"
    longer.write_text(f"extends: {preset}\n{changes}", encoding="utf-8")
    options = config.load(str(longer))
    assert (options.preset, options.description) == ("longer", "A test.")
    assert options.game == {"name": "ipd", "rounds": 9}
    assert (options.loss.entropy, options.loss.kl, options.credit.gamma) == (0.1, 0.5, 0.8)


def test_a_preset_cannot_extend_itself(tmp_path: Path) -> None:
    one, two = tmp_path / "one.yaml", tmp_path / "two.yaml"
    one.write_text(f"extends: {two}\ngame: ipd\n", encoding="utf-8")
    two.write_text(f"extends: {one}\ngame: ipd\n", encoding="utf-8")
    with pytest.raises(UserError, match=r"extends itself: .*one\.yaml -> .*two\.yaml -> .*one\.yaml"):
        config.load(str(one))
    one.write_text("extends: ipd\ncredit: 5\n", encoding="utf-8")
    with pytest.raises(UserError, match="credit"):
        config.load(str(one))
    one.write_text("extends: nothing\ngame: ipd\n", encoding="utf-8")
    with pytest.raises(UserError, match="There is no preset 'nothing'"):
        config.load(str(one))


def test_overrides(preset: str) -> None:
    options = config.load(
        preset,
        ["seed=42", "optimizer.lr=1e-4", "game.rounds=7", "seats=[main,tit_for_tat]", "credit.gamma=0.25", "record.audit_turns=0"],
    )
    assert (options.seed, options.optimizer.lr, options.credit.gamma, options.record.audit_turns) == (42, 1e-4, 0.25, 0)
    assert (options.game, options.seats) == ({"name": "ipd", "rounds": 7}, ("main", "tit_for_tat"))
    assert config.load(preset, ["game=stag_hunt"]).game == {"name": "stag_hunt"}


def test_learners_differ_where_they_say_so(preset: str) -> None:
    options = config.load(
        preset,
        [
            "seats=[a,b]",
            "algorithm=advantage_alignment",
            "learners.a.algorithm=reinforce",
            "learners.b.credit.beta=7",
            "learners.b.optimizer.lr=0.5",
            "learners.b.update_every=4",
        ],
    )
    assert options.learner_names == ("a", "b")
    a, b = options.learner("a"), options.learner("b")
    assert (a.algorithm, a.credit.beta, a.optimizer.lr, a.update_every) == ("reinforce", 3.0, 3e-6, 1)
    assert (b.algorithm, b.credit.beta, b.optimizer.lr, b.update_every) == ("advantage_alignment", 7.0, 0.5, 4)
    assert a.credit.gamma == b.credit.gamma == 0.8


def test_a_frozen_policy_on_a_seat_is_no_learner(preset: str) -> None:
    assert config.load(preset, ["seats=[main,tit_for_tat]"]).learner_names == ("main",)
    assert config.load(preset).learner_names == ("main",)


def test_learners_of_a_preset_without_a_seat_are_left_out() -> None:
    options = config.load("ipd_shaper", ["seats=[main,tit_for_tat]"])
    assert (options.learner_names, list(options.learners)) == (("main",), ["main"])
    with pytest.raises(UserError, match="'rival' sits on no seat"):
        config.load("ipd_shaper", ["seats=[main,tit_for_tat]", "learners.rival.copies=2"])


def test_written_options_read_back(preset: str, tmp_path: Path) -> None:
    options = config.load(preset, ["algorithm=advantage_alignment", "opponents.scripted=0.25", "opponents.scripts=[random]"])
    (tmp_path / "config.yaml").write_text(config.to_yaml(options), encoding="utf-8")
    assert config.read(tmp_path / "config.yaml") == options
    assert config.build(json.loads(options.model_dump_json())) == options


@pytest.mark.parametrize(
    "overrides",
    [
        ["algorithm=reinforce"],  # the preset's own credit.beta stays silent
        ["algorithm=mine:own", "credit.beta=2"],
        ["algorithm=reinforce", "credit.gamma=0.5", "loss.clip_ratio=0.1"],
        ["seats=[main,b]", "algorithm=reinforce", "learners.b.algorithm=advantage_alignment", "credit.beta=2"],
        ["reward=social", "social.altruism=0.5"],
        ["seats=[main,b]", "learners.b.reward=social", "social.envy=2"],
        ["reward=social", "social.altruism=0"],  # one end of a sweep
        ["curriculum=plr", "curriculum.replay=0.2", "curriculum.buffer=3"],
        ["curriculum=maestro", "curriculum.replay=0.2", "curriculum.buffer=3", "curriculum.spread=0.2"],
    ],
)
def test_options_that_a_learner_uses_or_that_a_preset_brings(preset: str, overrides: list[str]) -> None:
    config.load(preset, overrides)


ALIGNED = "algorithm=advantage_alignment"


@pytest.mark.parametrize(
    ("overrides", "sentence"),
    [
        (["iteratons=3"], r"There is no option 'iteratons'; did you mean 'iterations'\?"),
        (["credit.bta=1"], r"There is no option 'credit.bta'; did you mean 'credit.beta'\?"),
        (
            ["lora.target=x"],
            r"There is no option 'lora.target'; there are: lora.alpha, lora.rank, lora.targets; did you mean 'lora.targets'\?",
        ),
        (
            ["algorithm=reinforc"],
            r"There is no algorithm 'reinforc'; there are: .*; did you mean 'reinforce'\?",
        ),
        (["learners.main.credit.bta=1"], r"credit\.bta'; did you mean '.*credit\.beta'\?"),
        (["learners.nobody.credit.beta=1"], r"'nobody' sits on no seat"),
        (
            ["algorithm=reinforce", "credit.beta=2"],
            r"^credit\.beta is an option of advantage_alignment, which reinforce would ignore; leave it out",
        ),
        (
            ["seats=[main,b]", "learners.b.algorithm=sum_of_rewards", "learners.b.credit.clip=1"],
            r"^learners\.b\.credit\.clip is an .*train with learners\.b\.algorithm=advantage_alignment\.$",
        ),
        (
            ["social.altruism=1"],
            r"^social\.altruism is an option of the reward social, and training uses the points; .* or add reward=social\.$",
        ),
        (
            ["seats=[main,b]", "reward=social", "social.guilt=1", "learners.b.reward=harm", "learners.b.social.envy=1"],
            r"^learners\.b\.social\.envy is an .*, and training uses harm; leave it out, or add learners\.b\.reward=social\.$",
        ),
        (["reward=social"], r"^reward=social changes nothing where social\.altruism, envy and guilt are all 0; give one of them, "),
        (
            ["seats=[main,b]", "learners.b.reward=social"],
            r"^learners\.b\.reward=social changes nothing where learners\.b\.social\.",
        ),
        (
            ["curriculum.replay=0.2"],
            r"^curriculum\.replay is an option of the curricula plr and maestro, and training uses none; .* add curriculum=plr\.$",
        ),
        (["curriculum=plr", "curriculum.spread=0.2"], r"^curriculum\.spread is .* pfsp and maestro, and training uses plr; leave"),
        (
            ["curriculum=pfsp", "curriculum.buffer=3"],
            r"^curriculum\.buffer is .* plr and maestro, and training uses pfsp; leave it",
        ),
        (["reward=social", "social.altuism=1"], r"no option 'social\.altuism'; there are: .*; did you mean 'social\.altruism'\?"),
        (["reward=social", "social.envy=nan"], r"social\.envy is wrong: .*finite"),
        (["reward=social", "social=1"], r"option social is wrong"),
        (["algorithm=mine:"], r"algorithm is wrong: it is text, no mapping, .*; code of your own is module:attribute\.$"),
        (
            ["measures={a:1}"],
            r"option measures is wrong: it is a list in square brackets, .*, and no mapping in curly ones\.$",
        ),
        (["seed=abc"], r"option seed is wrong: .*integer.*'abc'"),
        (["credit.gamma=1.5"], r"option credit\.gamma is wrong: .*1\.5"),
        (["credit=3"], r"option credit is wrong"),
        (
            ["episodes=63"],
            r"episodes \(63\) must be a multiple of group_size \(8\); try episodes=56 or 64, or group_size=7 or 9\.$",
        ),
        (["group_size=1", "algorithm=reinforce"], r"set credit\.baseline=none\.?$"),
        (["group_size=1", ALIGNED], r"set credit\.baseline=none and credit\.weight_baseline=none\.?$"),
        (["group_size=1", ALIGNED, "credit.baseline=branches", "credit.shaping=causal"], r"set credit\.weight_baseline=none\.?$"),
        (
            ["opponents.kept=0.7", "opponents.scripted=0.7", "opponents.scripts=[random]"],
            r"opponents\.kept \(0\.7\) and opponents\.scripted \(0\.7\) add up to more than 1\.$",
        ),
        (["opponents.scripted=0.5"], r"names no strategy"),
        (["seed"], r"'seed' is not of the form key=value"),
        (["model=[a"], r"The option model is wrong: .*did not find expected"),
    ],
)
def test_wrong_options(preset: str, overrides: list[str], sentence: str) -> None:
    with pytest.raises(UserError, match=sentence) as caught:
        config.load(preset, overrides)
    assert "\n" not in str(caught.value)
    assert str(caught.value).endswith((".", "?"))


def test_a_preset_that_does_not_exist(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no preset 'no_such_preset'"):
        config.load("no_such_preset")
    with pytest.raises(UserError, match=r"nowhere\.yaml cannot be read"):
        config.load(str(tmp_path / "nowhere.yaml"))


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("a: [1", "not valid YAML"),
        ("- 1", "must be a mapping"),
        ("seed: 1", "game is wrong"),
        ("game: {}", "game needs a name"),
        *(
            (f"{{extends: ipd, preset: {name}}}", r"preset is the name of a preset and no path, not '")
            for name in ("/tmp/here", "../../here", "..", ".", '"a\\0b"')
        ),
    ],
)
def test_a_preset_that_is_wrong(tmp_path: Path, text: Any, sentence: Any) -> None:
    (tmp_path / "bad.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match=sentence):
        config.load(str(tmp_path / "bad.yaml"))


def test_an_unreadable_run_folder(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("game: [", encoding="utf-8")
    for path in (tmp_path / "config.yaml", tmp_path / "missing.yaml"):
        with pytest.raises(UserError, match="cannot be read as a run's options"):
            config.read(path)


def test_every_option_says_what_it_means() -> None:
    models = [m for m in vars(config).values() if isinstance(m, type) and issubclass(m, config.Options)]  # type: ignore[attr-defined]
    assert len(models) > 5
    repeated = set(config.Config.model_fields)  # a learner's options mean what the run's options of that name mean
    for model in models:
        for name, info in model.model_fields.items():
            nested = isinstance(info.annotation, type) and issubclass(info.annotation, BaseModel)
            inherited = model is LearnerConfig and name in repeated
            assert nested or inherited or info.description, f"{model.__name__}.{name}"


def test_options_are_frozen(preset: str) -> None:
    with pytest.raises(ValueError, match="frozen"):
        config.load(preset).seed = 3  # type: ignore[misc]


HUGE = ("threads=20000", "iterations=1000000000000000000", "episodes=1000000000", "group_size=1000000000", "concurrency=1000000000",
        "lora.rank=1000000000", "answer.max_tokens=1000000000000", "evaluation.episodes=1000000000")  # fmt: skip


@pytest.mark.parametrize("item", HUGE)
def test_what_would_never_end_is_refused(item: Any) -> None:
    with pytest.raises(UserError, match=rf"The option {item.partition('=')[0]} is wrong: .* less than or equal to \d+"):
        config.load("ipd", [item])


def test_every_whole_number_has_an_upper_bound() -> None:
    """A field that somebody adds without one would let a slip of the finger run for ever."""

    def fields(model: Any, prefix: str = "") -> Iterator[Any]:
        for name, field in model.model_fields.items():
            kinds = {field.annotation, *get_args(field.annotation)}
            for kind in kinds:
                if isinstance(kind, type) and issubclass(kind, BaseModel):
                    yield from fields(kind, f"{prefix}{name}.")
            if int in kinds:
                yield prefix + name, field

    found = dict([*fields(config.Config), *fields(LearnerConfig)])
    assert len(found) > 20
    assert [name for name, field in found.items() if not any(isinstance(bound, Le | Lt) for bound in field.metadata)] == []
