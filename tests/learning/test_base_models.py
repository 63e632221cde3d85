"""Learners with a host of their own: other base models, other adapters and other ways to answer, opposite each other."""

import json
import shutil
from pathlib import Path

import pytest

from detente import cli, config, models, policies
from detente.errors import UserError
from detente.games import make
from detente.learning import checkpoint, loop
from detente.learning.session import open_session
from detente.records import read_episodes

OPTIONS = [
    *("device=cpu", "game.rounds=2", "episodes=8", "group_size=4", "lora.rank=2", "optimizer.lr=0.05", "opponents.keep_every=1"),
    *("opponents.kept=1", "evaluation.episodes=1", "evaluation.against=[tit_for_tat]", "credit.beta=2", "record.audit_turns=8"),
    *("seats=[main,rival]", "iterations=3", "opponents.draw=episode", "record.episodes_every=1"),
]


def train(run: Path, *options: str) -> Path:
    return loop.train(config.load("ipd", [*OPTIONS, *options]), run)


def metrics(run: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def run(tiny_model: str, qwen_model: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of two learners that share nothing but the game."""
    return train(
        tmp_path_factory.mktemp("two") / "run",
        f"model={tiny_model}",
        *(f"learners.rival.model={qwen_model}", "learners.rival.lora.rank=4", "learners.rival.lora.targets=[q_proj,v_proj]"),
        *("learners.rival.answer.temperature=0.6", "learners.rival.answer.decoding=free", "learners.rival.answer.max_tokens=3"),
    )


def test_both_train_under_the_distribution_that_sampled(run: Path) -> None:
    for line in metrics(run):
        assert line["mismatch/max_abs"] < 2e-5
        assert line["audit/gap"] < 2e-5
        assert line["grad_norm/main"] > 0
    assert any(line["grad_norm/rival"] > 0 for line in metrics(run))


def test_each_answers_as_its_own_options_say(run: Path) -> None:
    turns = [turn for path in sorted((run / "episodes").iterdir()) for e in read_episodes(path) for turn in e.turns()]
    main, rival = ([t.completion for t in turns if t.completion.policy.name == name] for name in ("main", "rival"))
    assert all(answer.pattern is not None for answer in main)
    assert all(answer.pattern is None and len(answer.tokens) <= 3 for answer in rival)


def test_adapters_checkpoint_and_summary_say_whose_base_model_is_which(run: Path, tiny_model: str, qwen_model: str) -> None:
    folders = {"main": tiny_model, "rival": qwen_model}
    cards = {name: json.loads((run / "adapters" / name / "000003" / "detente.json").read_text()) for name in folders}
    assert {name: card["base_model"] for name, card in cards.items()} == folders
    saved = checkpoint.read_newest(run / "checkpoint")
    assert saved is not None
    assert saved.bases == {name: card["base_fingerprint"] for name, card in cards.items()}
    learners = json.loads((run / "summary.json").read_text())["learners"]
    assert {name: result.get("model") for name, result in learners.items()} == {"main": None, "rival": qwen_model}
    ranks = {name: json.loads((run / "adapters" / name / "000003" / "adapter_config.json").read_text())["r"] for name in folders}
    assert ranks == {"main": 2, "rival": 4}


def test_kept_versions_of_each_sit_on_its_own_seat(run: Path) -> None:
    played = [episode.policies for path in sorted((run / "episodes").iterdir()) for episode in read_episodes(path)]
    assert {seat: {p.name for ps in played for p in [ps[seat]]} for seat in (0, 1)} == {0: {"main"}, 1: {"rival"}}
    episodes = [episode for path in (run / "episodes").iterdir() for episode in read_episodes(path)]
    kept = {policy.name for episode in episodes for policy in episode.policies if policy.version < episode.iteration - 1}
    assert kept == {"main", "rival"}


def test_a_base_model_that_changed_is_refused_by_the_name_of_its_learner(tiny_model: str, qwen_model: str, tmp_path: Path) -> None:
    other = shutil.copytree(qwen_model, tmp_path / "other")
    options = [f"model={tiny_model}", f"learners.rival.model={other}", "evaluation.episodes=0"]
    folder = train(tmp_path / "run", *options, "iterations=1")
    settings = json.loads((other / "config.json").read_text())
    (other / "config.json").write_text(json.dumps(settings | {"rms_norm_eps": 0.3}))
    with pytest.raises(UserError, match=r"^The learner 'rival' of the run .* was trained on another '.*other' than"):
        train(folder, *options, "iterations=2")


def opened(*options: str) -> set[int]:
    """How many hosts there are, and how often a model was loaded for them."""
    session = open_session(config.load("ipd", [*OPTIONS, *options]))
    session.publish()
    assert set(session.hosts) == {"main", "rival"}
    return {len(session.policies.hosts), len(set(session.hosts.values()))}


def test_learners_on_the_same_base_model_share_a_host(
    tiny_model: str, qwen_model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(Path(tiny_model).parent)
    differs = "learners.rival.answer.temperature=0.5"
    assert opened(f"model={tiny_model}", differs) == {1}
    assert opened(f"model={tiny_model}", f"learners.rival.model=./{Path(tiny_model).name}") == {1}
    assert opened(f"model={tiny_model}", f"learners.rival.model={qwen_model}") == {2}
    loaded: list[str] = []
    load = models.load
    monkeypatch.setattr(models, "load", lambda name, **options: loaded.append(name) or load(name, **options))
    opened("model=pocket", f"learners.main.model={tiny_model}", f"learners.rival.model={tiny_model}")
    assert loaded == [tiny_model]  # and not the model that nobody trains on


def test_adapters_of_several_shapes_train_on_one_base_model(lively_model: str, tmp_path: Path) -> None:
    shapes = ["learners.rival.lora.rank=5", "learners.rival.lora.targets=[q_proj,down_proj]"]
    for line in metrics(train(tmp_path / "run", f"model={lively_model}", *shapes)):
        assert line["mismatch/max_abs"] < 1e-4
        assert min(line["grad_norm/main"], line["grad_norm/rival"]) > 0


@pytest.mark.parametrize(
    ("option", "sentence"),
    [
        ("learners.rival.model=no/such/model", "The model 'no/such/model' cannot be loaded"),
        ("learners.rival.model=", "The option learners.rival.model is wrong"),
        ("learners.rival.lora.rank=0", "The option learners.rival.lora.rank is wrong"),
        ("learners.rival.lora.ranks=2", "There is no option 'learners.rival.lora.ranks'; did you mean 'learners.rival.lora.rank'?"),
        ("learners.rival.answer=free", "The option learners.rival.answer is wrong: it has options of its own"),
        ("learners.rival.answer.request.x=1", "There is no option 'learners.rival.answer.request'"),
        ("learners.rival.lora.targets=[no_such]", "lora.targets=[no_such] does not fit the model 'pocket'"),
        ("learners.rival.dtype=bfloat16", "There is no option 'learners.rival.dtype'"),
    ],
)
def test_a_wrong_option_of_a_learner_is_one_sentence_and_leaves_nothing(
    option: str, sentence: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert cli.main(["train", "ipd", *OPTIONS, option, "--run", "run"]) == 2
    error = capsys.readouterr().err
    assert sentence in error
    assert len(error.strip().splitlines()) == 1
    assert not Path("run").exists()


def test_both_meet_in_the_arena_each_on_its_own_base_model(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(run.parent)
    agents = "run/adapters/main,run/adapters/rival@1,run/adapters/rival"
    words = ["arena", "ipd", "game.rounds=2", "--agents", agents, "--episodes", "2", "--out", str(tmp_path / "arena")]
    assert cli.main(words) == 0, capsys.readouterr().err
    found = json.loads((tmp_path / "arena" / "arena.json").read_text())
    assert [agent["version"] for agent in found["agents"]] == [3, 1, 3]
    tokens = {
        completion.policy.name.rpartition("/")[2]: len(completion.prompt_tokens)
        for path in (tmp_path / "arena" / "episodes").iterdir()
        for episode in read_episodes(path)
        for turn in episode.turns()
        for completion in [turn.completion]
    }
    assert tokens["main"] != tokens["rival"]  # two tokenizers


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("{run}", r"has several learners, main, rival; name one of them, such as .*/adapters/main\."),
        ("{run}@1", r"has several learners, main, rival; name one of them, such as .*/adapters/main\."),
        ("{run}/adapters/rival@9", r"run kept no version 9 of \'rival\'; it has 1, 2, 3\."),
        ("{run}/adapters/rival@x", r"should end in a version number, such as .*rival@40\."),
        ("{run}/adapters/other", "There is no run or adapter folder"),
        ("{run}/checkpoint", "is neither a run"),
    ],
)
def test_a_learner_that_a_name_does_not_single_out(name: str, sentence: str, run: Path) -> None:
    with pytest.raises(UserError, match=sentence):
        policies.located(name.format(run=run), make("ipd"))


def test_a_learner_of_a_run_stays_the_same_version_as_an_opponent(run: Path) -> None:
    assert policies.pinned(f"{run}/adapters/rival") == f"{run}/adapters/rival@3"
    assert policies.pinned(f"{run}/adapters/rival/000001") == f"{run}/adapters/rival/000001"
