"""The two calls of the library."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import detente
from detente import api, config
from detente.errors import UserError
from detente.games import make
from detente.playable import options_of
from detente.records import PolicyRef


def test_playing_scripts_loads_no_model_library() -> None:
    code = (
        "import sys, detente; [e] = detente.play('ipd', ['tit_for_tat', 'always_defect']); "
        "print(e.mean_reward(0), e.mean_reward(1), sorted({'torch', 'transformers', 'peft'} & set(sys.modules)))"
    )
    assert subprocess.check_output([sys.executable, "-c", code], text=True) == "0.9 1.4 []\n"


def test_episodes_have_seeds_in_a_row_and_are_the_same_every_time() -> None:
    played = api.play("ipd", ["random", "random"], seed=5, episodes=3)
    assert [episode.seed for episode in played] == [5, 6, 7]
    assert api.play("ipd", ["random", "random"], seed=5, episodes=3) == played
    assert api.play("ipd", ["random", "random"], seed=6, episodes=1)[0].rounds == played[1].rounds
    moves = [[turn.action for turn in episode.turns()] for episode in played]
    assert moves[0] != moves[1] != moves[2]
    assert moves[0][::2] != moves[0][1::2]  # two randoms at one table flip their own coins


def test_measurements_take_a_game_by_its_name(tmp_path: Path) -> None:
    assert options_of("chicken").preset == "chicken"
    assert options_of("chicken", ["preset=own"]).preset == "own"
    cells = api.arena("stag_hunt", ["always_cooperate"], tmp_path / "arena", episodes=1)
    assert "stag_hunt" in (cells["game"], cells["preset"])


def test_a_game_by_name_by_preset_by_file_by_path_and_by_value(tmp_path: Path) -> None:
    (tmp_path / "short.yaml").write_text("game: {name: ipd, rounds: 4}\n")
    custom = make("ipd", rounds=3)
    rounds = {"ipd": 10, "stag_hunt": 10, str(tmp_path / "short.yaml"): 4, "detente.games.matrix:chicken": 10, custom: 3}
    for game, expected in rounds.items():
        (episode,) = detente.play(game, ["tit_for_tat", "always_cooperate"])  # type: ignore[arg-type]
        assert len(episode.rounds) == expected
    assert api.play(custom, ["always_defect", "always_cooperate"])[0].rounds[2].rewards == (5, 0)


@pytest.mark.parametrize(
    ("game", "players", "sentence"),
    [
        ("ipdd", ["random", "random"], r"There is no game or preset 'ipdd'; did you mean 'ipd'\?"),
        ("ipd", ["random"], r"The game ipd has 2 seats; 1 player was named: random\."),
        ("ipd", ["random", "randomm"], r"There is no strategy 'randomm'; did you mean 'random'\?"),
        ("nowhere:nothing", ["random", "random"], r"'nowhere:nothing' does not name a game"),
        ("missing.yaml", ["random", "random"], r"The preset file missing\.yaml cannot be read"),
    ],
)
def test_what_cannot_be_played(game: str, players: list[str], sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        api.play(game, players)


def test_a_model_plays_the_same_for_the_same_seed(tiny_model: str) -> None:
    def moves(**options: Any) -> Any:
        played = api.play("ipd", [f"model:{tiny_model}", "tit_for_tat"], **options)
        return [[turn.action for turn in episode.turns(0)] for episode in played]

    first = moves(seed=3, episodes=4)
    assert moves(seed=3, episodes=4) == first
    assert moves(seed=4) == first[1:2]  # one at a time or many at once
    assert len({tuple(one) for one in first}) > 1


def test_runs_and_adapter_folders_play(small_run: Path) -> None:
    folder = small_run / "adapters" / "main" / "000002"
    (episode,) = api.play("ipd", [f"{small_run}@1", str(folder)], seed=1)
    assert episode.policies == (PolicyRef("adapter", str(small_run), 1), PolicyRef("adapter", str(folder), 2))
    assert all(turn.valid and turn.completion.pattern == "<A>|<B>" for turn in episode.turns())
    probabilities = [[turn.completion.probabilities[0] for turn in episode.turns(player)] for player in (0, 1)]
    # the newest version is what the folder holds, and not what version 1 is
    (again,) = api.play("ipd", [f"{small_run}@1", str(small_run)], seed=1)
    assert [t.completion.probabilities[0] for t in again.turns(1)] == pytest.approx(probabilities[1])
    assert probabilities[0] != pytest.approx(probabilities[1], abs=1e-3)
    assert [t.action for t in again.turns()] == [t.action for t in episode.turns()]


def test_options_over_a_preset_a_game_and_a_game_by_value() -> None:
    assert len(api.play("ipd", ["random", "random"], overrides=["game.rounds=3"])[0].rounds) == 3
    assert len(api.play("stag_hunt", ["random", "random"], overrides=["game.rounds=4"])[0].rounds) == 4
    assert len(api.play(make("ipd", rounds=2), ["random", "random"], overrides=["answer.retries=4"])[0].rounds) == 2
    with pytest.raises(UserError, match=r"'game\.rounds=4' is no option of playing; those begin with answer, remote, "):
        api.play(make("ipd", rounds=2), ["random", "random"], overrides=["game.rounds=4"])


def test_finished_episodes_are_told_of() -> None:
    told: Any = []
    played = api.play("ipd", ["random", "random"], episodes=3, on_episode=told.append)
    assert sorted(told, key=lambda episode: episode.index) == played


def test_a_preset_brings_the_way_models_answer(tiny_model: str, tmp_path: Path) -> None:
    (tmp_path / "free.yaml").write_text("game: {name: ipd, rounds: 2}\nanswer: {decoding: free, max_tokens: 2}\n")
    (episode,) = api.play(str(tmp_path / "free.yaml"), [f"model:{tiny_model}", "always_defect"])
    answers = [turn.completion for turn in episode.turns(0)]
    assert all(answer.pattern is None and len(answer.tokens) <= 2 for answer in answers)


def test_train_is_the_loop(tiny_model: str, tmp_path: Path) -> None:
    options = "device=cpu game.rounds=1 iterations=1 episodes=2 group_size=2 lora.rank=2 evaluation.episodes=0"
    run = api.train(config.load("ipd", [*options.split(), f"model={tiny_model}"]), tmp_path / "run")
    assert run == tmp_path / "run"
    assert json.loads((run / "summary.json").read_text())["iterations"] == 1


def test_what_is_no_watcher_is_said_before_anything_begins(tiny_model: str, tmp_path: Path) -> None:
    options = config.load("ipd", [f"model={tiny_model}"])
    for watchers, sentence in (([object()], "object cannot watch a run: derive it"), (detente.Watcher(), "are given as a list")):
        with pytest.raises(UserError, match=sentence):
            api.train(options, tmp_path / "run", watchers=watchers)  # type: ignore[arg-type]
    assert not (tmp_path / "run").exists()


def test_whoever_watches_is_told_how_training_goes(tiny_model: str, tmp_path: Path) -> None:
    class Watcher(detente.Watcher):
        told: tuple[int, ...] = ()

        def iteration(self, metrics: Any) -> None:
            self.told += (metrics["iteration"],)

    options = "device=cpu game.rounds=1 iterations=2 episodes=2 group_size=2 lora.rank=1 evaluation.episodes=0"
    watcher = Watcher()
    detente.train(config.load("ipd", [*options.split(), f"model={tiny_model}"]), tmp_path / "run", progress=watcher)
    assert watcher.told == (1, 2)
    several = Watcher(), Watcher()
    detente.train(config.load("ipd", [*options.split(), f"model={tiny_model}"]), tmp_path / "other", watchers=several)
    assert [one.told for one in several] == [(1, 2)] * 2
