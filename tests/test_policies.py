"""Names become policies, and policies become players; what nobody answers to is one sentence."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from peft import LoraConfig, get_peft_model
from transformers import LlamaConfig, LlamaForCausalLM

from detente import config, models
from detente.engines.base import Sampling
from detente.errors import UserError
from detente.games import make
from detente.options import AnswerOptions
from detente.players.human import Human
from detente.policies import Policies
from detente.records import PolicyRef
from detente.rollout import Match, play_matches


def policies(game: str = "ipd", **answer: Any) -> Any:
    return Policies(make(game), AnswerOptions(**answer), device="cpu")


@pytest.fixture(scope="module")
def other_model(tiny_model: str, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A model of another shape with the same tokenizer, and a plain PEFT adapter of it."""
    folder = tmp_path_factory.mktemp("other")
    shutil.copytree(tiny_model, folder / "model")
    model = LlamaForCausalLM(
        LlamaConfig(vocab_size=512, hidden_size=32, intermediate_size=64, num_hidden_layers=1, num_attention_heads=2)
    )
    model.save_pretrained(folder / "model")
    get_peft_model(model, LoraConfig(r=2, target_modules="all-linear")).save_pretrained(folder / "adapter")  # type: ignore[arg-type]
    return folder


def test_scripts_and_people_need_no_model() -> None:
    table = policies()
    assert table.resolve("tit_for_tat") == PolicyRef("script", "tit_for_tat")
    assert table.resolve("human") == PolicyRef("human", "human")
    assert table.player(table.resolve("tit_for_tat"), chat="x", seed=1).policy == PolicyRef("script", "tit_for_tat")
    assert isinstance(table.player(table.resolve("human"), chat="x", seed=1), Human)
    assert table.hosts == []


def test_a_base_model_answers_as_the_options_say(tiny_model: str) -> None:
    table = policies(decoding="retry", retries=5, temperature=0.5, max_tokens=7)
    policy = table.resolve(f"model:{tiny_model}")
    assert policy == PolicyRef("base", f"model:{tiny_model}")
    player = table.player(policy, chat="play/0/1", seed=11)
    assert (player.decoding, player.retries, player.sampling, player.seed, player.chat_id) == (
        "retry",
        5,
        Sampling(0.5, 7),
        11,
        "play/0/1",
    )


def test_a_run_stands_for_its_newest_adapter_or_the_one_asked_for(small_run: Path) -> None:
    table = policies()
    assert table.resolve(str(small_run)) == PolicyRef("adapter", str(small_run), 2)
    assert table.resolve(f"{small_run}@1") == PolicyRef("adapter", str(small_run), 1)
    assert table.resolve(f"{small_run}@1") == PolicyRef("adapter", str(small_run), 1)  # and is loaded once
    folder = small_run / "adapters" / "main" / "000001"
    assert table.resolve(str(folder)) == PolicyRef("adapter", str(folder), 1)
    assert len(table.hosts[0].engine.policies) == 3


def test_a_folder_with_an_at_sign_in_its_name_is_found(small_run: Path, tmp_path: Path) -> None:
    copy = tmp_path / "me@home"
    shutil.copytree(small_run, copy)
    assert policies().resolve(str(copy)) == PolicyRef("adapter", str(copy), 2)
    assert policies().resolve(f"{copy}@1") == PolicyRef("adapter", str(copy), 1)


@pytest.mark.parametrize(
    ("game", "name", "sentence"),
    [
        ("ipd", "tit_for_tatt", r"There is no strategy 'tit_for_tatt'; did you mean 'tit_for_tat'\?"),
        ("commons", "nobody", r"There is no strategy 'nobody'; there are: greedy, random, sustainable, threshold\."),
        ("matching_pennies", "tit_for_tat", r"The strategy 'tit_for_tat' cannot play matching_pennies; those that can: random\."),
        ("stag_hunt", "extort", r"The strategy 'extort' cannot play stag_hunt; those that can: always_cooperate, .*\."),
        ("ipd", "runs/none", r"There is no run or adapter folder 'runs/none'\."),
        ("ipd", "runs/none@40", r"There is no run or adapter folder 'runs/none'\."),
        ("ipd", "{run}@7", r"kept no version 7 of 'main'; it has 1, 2\."),
        ("ipd", "{run}@last", r"should end in a version number, such as .*run@40\."),
        ("ipd", "{run}@", r"should end in a version number, such as .*run@40\."),
        ("ipd", "{run}/adapters/main/000002@1", r"is an adapter folder, one version; name it without '@1'\."),
        ("ipd", "{run}/" + "x" * 5000, r"There is no run or adapter folder '.*'\."),
        ("ipd", "{run}/adapters", r"neither a run \(config\.yaml\) nor an adapter .*, and holds no versions of one\."),
        ("ipd", "model:/nowhere/at/all", r"The model '/nowhere/at/all' cannot be loaded .*\."),
    ],
)
def test_names_that_nobody_answers_to(
    game: str, name: str, sentence: str, small_run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(models, "_on_hub", lambda repository: False)
    with pytest.raises(UserError, match=f"{sentence}$") as caught:
        policies(game).resolve(name.format(run=small_run))
    assert "\n" not in str(caught.value)


def test_language_models_of_different_bases_meet(small_run: Path, other_model: Any) -> None:
    table = policies()
    trained, other = table.resolve(str(small_run)), table.resolve(f"model:{other_model / 'model'}")
    assert table.home(trained) is not table.home(other)
    for policy in (trained, other):
        assert table.player(policy, chat="x", seed=1).engine is table.home(policy).engine
    seats = [table.player(policy, chat=f"x{seat}", seed=seat) for seat, policy in enumerate((trained, other))]
    (episode,) = play_matches([Match(table.game, 0, seats)])
    assert episode.policies == (trained, other)
    assert all(turn.completion.tokens for turn in episode.turns())


def test_a_base_model_is_loaded_once(small_run: Path, tiny_model: str) -> None:
    table = policies()
    table.resolve(f"model:{tiny_model}")
    table.resolve(str(small_run))
    table.resolve(f"model:{tiny_model}")
    assert len(table.hosts) == 1


def copied_run(small_run: Path, tiny_model: str, folder: Path) -> Any:
    """A run and its base model, beside each other, the model named as from there; the working folder has to be ``folder``."""
    shutil.copytree(tiny_model, folder / "the-base")
    shutil.copytree(small_run, folder / "run")
    for card in (folder / "run" / "adapters" / "main").glob("*/detente.json"):
        card.write_text(
            json.dumps(json.loads(card.read_text()) | {"base_model": "the-base", "base_folder": str(folder / "the-base")})
        )
    return folder / "run" / "adapters" / "main" / "000001"


def test_an_adapter_of_other_weights_is_refused(small_run: Path, tiny_model: str, tmp_path: Path) -> None:
    """The base model was changed since, under the same name."""
    adapter = copied_run(small_run, tiny_model, tmp_path)
    policies().resolve(str(adapter))
    config = tmp_path / "the-base" / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"rms_norm_eps": 0.25}))
    with pytest.raises(
        UserError, match=r"was trained on the base model 'the-base' as it was then, not on '.*the-base' as it is now: "
    ):
        policies().resolve(str(adapter))


@pytest.mark.parametrize("here", ["work", "elsewhere"])
@pytest.mark.parametrize("moved", ["nothing", "both", "the model"])
@pytest.mark.parametrize("known", ["name and folder", "name alone"])  # as of today, and as adapters were written before
def test_the_base_model_of_an_adapter_is_found_from_every_folder(
    here: str, moved: str, known: str, small_run: Path, tiny_model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "work"
    copied_run(small_run, tiny_model, home)
    (tmp_path / "elsewhere").mkdir()
    if moved == "both":
        home = home.rename(tmp_path / "moved")
    if known == "name alone":
        for card in (home / "run" / "adapters" / "main").glob("*/detente.json"):
            card.write_text(json.dumps({key: value for key, value in json.loads(card.read_text()).items() if key != "base_folder"}))
    if moved == "the model":
        (home / "the-base").rename(tmp_path / "elsewhere" / "the-base")
    monkeypatch.setattr(models, "_on_hub", lambda repository: False)
    monkeypatch.chdir(home if here == "work" else tmp_path / "elsewhere")
    if moved != "the model" or here == "elsewhere":
        assert policies().resolve(str(home / "run")).version == 2
        return
    expected = (
        f"is neither in {home}/the-base, where it was, nor in 'the-base'"
        if known == "name and folder"
        else "model 'the-base' cannot be"
    )
    with pytest.raises(UserError, match=expected):
        policies().resolve(str(home / "run"))


def test_a_relative_model_is_stored_so_that_peft_finds_it(tiny_model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from peft import AutoPeftModelForCausalLM

    from detente import config
    from detente.learning import loop

    shutil.copytree(tiny_model, tmp_path / "tiny")
    monkeypatch.chdir(tmp_path)
    options = "model=tiny iterations=1 device=cpu game.rounds=1 episodes=2 group_size=2 evaluation.episodes=0 opponents.kept=0"
    loop.train(config.load("ipd", options.split()), tmp_path / "run")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    adapter = tmp_path / "run" / "adapters" / "main" / "000001"
    assert policies().resolve(str(adapter)).version == 1
    assert AutoPeftModelForCausalLM.from_pretrained(adapter).peft_config


def test_a_base_model_that_an_adapter_names_is_said_before_it_is_loaded(
    other_model: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def stop(name: Any, **options: Any) -> None:
        raise RuntimeError(f"loads {name}")

    monkeypatch.setattr(models, "load", stop)
    config = other_model / "adapter" / "adapter_config.json"
    before = config.read_text()
    config.write_text(json.dumps(json.loads(before) | {"base_model_name_or_path": "some/body\x1b[2J"}))
    try:
        with pytest.raises(RuntimeError, match="loads some/body"):
            policies().resolve(str(other_model / "adapter"))
    finally:
        config.write_text(before)
    (note,) = caplog.messages
    assert note == f"Loading the base model 'some/body\\x1b[2J', which the adapter {other_model / 'adapter'} names."


def test_a_plain_adapter_that_does_not_fit_is_refused(small_run: Path, other_model: Any) -> None:
    table = policies()
    table.resolve(str(small_run))
    with pytest.raises(UserError, match=r"does not fit the base model .*tiny\.$"):
        table.resolve(str(other_model / "adapter"))


def test_a_foreign_adapter_plays_on_the_model_that_it_names_whatever_is_loaded(
    small_run: Path, tiny_model: str, lively_model: str, tmp_path: Path
) -> None:
    """Both models have the same shape, so the adapter would fit either."""
    model = LlamaForCausalLM.from_pretrained(lively_model)
    get_peft_model(model, LoraConfig(r=2, target_modules="all-linear")).save_pretrained(tmp_path / "adapter")  # type: ignore[arg-type]
    table = policies()
    table.resolve(f"model:{tiny_model}")
    foreign = table.resolve(str(tmp_path / "adapter"))
    assert table.home(foreign).base.name == lively_model
    assert table.home(foreign) is table.home(table.resolve(f"model:{lively_model}"))


def test_an_adapter_that_names_no_model_is_one_sentence(other_model: Any, tmp_path: Path) -> None:
    shutil.copytree(other_model / "adapter", tmp_path / "adapter")
    config = tmp_path / "adapter" / "adapter_config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"base_model_name_or_path": None}))
    with pytest.raises(UserError, match="does not say which base model it belongs to"):
        policies().resolve(str(tmp_path / "adapter"))


def test_a_model_is_one_however_its_folder_is_written(tiny_model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    table = policies()
    monkeypatch.chdir(tiny_model)
    assert {table._host(name, "float32").base.folder for name in (tiny_model, ".", "../tiny/")} == {tiny_model}
    assert len(table.hosts) == 1


def test_every_engine_is_closed_when_play_training_and_an_arena_end(
    tiny_model: str, small_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from detente import api
    from detente.engines.transformers import TransformersEngine

    opened: list[TransformersEngine] = []
    closed: list[TransformersEngine] = []
    init, close = TransformersEngine.__init__, TransformersEngine.close
    monkeypatch.setattr(TransformersEngine, "__init__", lambda self, *given: (opened.append(self), init(self, *given))[1])
    monkeypatch.setattr(TransformersEngine, "close", lambda self: (closed.append(self), close(self))[1])
    api.play("ipd", [f"model:{tiny_model}", "tit_for_tat"], overrides=["game.rounds=1"])
    api.arena(config.load("ipd", ["game.rounds=1"]), [str(small_run), "tit_for_tat"], tmp_path / "arena", episodes=2)
    api.train(
        config.load("ipd", [f"model={tiny_model}", "game.rounds=1", "iterations=1", "episodes=2", "group_size=2", "lora.rank=2"]),
        tmp_path / "run",
    )
    assert len(opened) == 3
    assert opened == closed
