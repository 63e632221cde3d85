"""A learner against a frozen agent: what is written, and how it is counted."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from detente import best_response, config
from detente.cli.evaluating import default_run
from detente.config import load_game
from detente.errors import UserError
from detente.evaluation.agents import labels
from detente.evaluation.best_response import differences, outcome, responder_config, sitting, units
from detente.family_file import Description
from detente.games import family_of, make
from detente.options import AnswerOptions
from detente.policies import Policies
from detente.records import PolicyRef, read_episodes
from detente.reports.best_response import sentences

TINY = [
    "iterations=2",
    "episodes=8",
    "group_size=4",
    "game.rounds=3",
    "evaluation.episodes=4",
    "lora.rank=2",
    "threads=1",
    "device=cpu",
]


def test_the_responder_learns_for_itself_against_the_agent_alone() -> None:
    found = responder_config("ipd", "runs/x", ["iterations=7"])
    assert (found.algorithm, found.seats, found.iterations) == ("reinforce", ("main", "runs/x"), 7)
    assert (found.opponents.kept, found.opponents.scripted, found.record.episodes_every) == (0, 0, 1)
    assert found.learner_names == ("main",)
    assert found.loss == config.load("ipd", ["algorithm=reinforce"]).loss
    with pytest.raises(UserError, match="'main' is the name of a learner"):
        responder_config("ipd", "main")
    for item in ("seats=[main,tit_for_tat]", "algorithm=sum_of_rewards"):
        with pytest.raises(UserError, match="A best response decides by itself who sits where and learns how; leave out"):
            responder_config("ipd", "tit_for_tat", [item])
    with pytest.raises(UserError, match="A person would be asked thousands of times"):
        responder_config("ipd", "human")
    assert responder_config("chicken", "tit_for_tat").preset == "chicken"
    alone = responder_config("bargaining", "truthful", ["game.rounds=2"], role="buyer")
    assert (alone.game["rounds"], alone.seats) == (2, ("truthful", "main"))
    with pytest.raises(UserError, match="no game or preset 'chiken'; did you mean 'chicken'"):
        responder_config("chiken", "tit_for_tat")


def test_a_run_of_its_own_with_what_it_found(tmp_path: Path, tiny_model: str) -> None:
    words = [*TINY, f"model={tiny_model}"]
    found = best_response("ipd", "tit_for_tat", tmp_path / "run", words)
    assert json.loads((tmp_path / "run" / "best_response.json").read_text()) == found
    assert [row["iteration"] for row in found["curve"]] == [1, 2]
    for row in found["curve"]:
        episodes = read_episodes(tmp_path / "run" / "episodes" / f"{row['iteration']:06d}.jsonl.gz")
        for side, seat in (("responder", 0), ("agent", 1)):
            assert row[side]["mean"] == pytest.approx(sum(e.mean_reward(seat) for e in episodes) / len(episodes))
            assert row[side]["low"] <= row[side]["mean"] <= row[side]["high"]
    assert found["exact"]["value"] == [5 + 3 + 3, 11]  # C, C, D
    assert found["cooperator"]["reward"]["mean"] == pytest.approx(3)
    assert found["gain"]["mean"] == pytest.approx(found["responder"]["reward"]["mean"] - 3)
    assert found["loss"]["mean"] == pytest.approx(3 - found["responder"]["agent_reward"]["mean"])
    page = (tmp_path / "run" / "report" / "best_response.html").read_text()
    assert all(sentence.split(";")[0] in page for sentence in sentences(found, Description()))
    assert (tmp_path / "run" / "report" / "best_response.png").stat().st_size > 5000
    before = (tmp_path / "run" / "metrics.jsonl").read_bytes()
    assert best_response("ipd", "tit_for_tat", tmp_path / "run", words) == found  # nothing is trained again
    assert (tmp_path / "run" / "metrics.jsonl").read_bytes() == before
    with pytest.raises(UserError, match=r"was started with seats=.*tit_for_tat.* and not .*always_defect"):
        best_response("ipd", "always_defect", tmp_path / "run", words)


def test_the_agent_is_the_version_that_it_was_when_the_run_began(small_run: Path) -> None:
    assert responder_config("ipd", str(small_run)).seats == ("main", f"{small_run}@2")
    assert responder_config("ipd", f"{small_run}@1").seats == ("main", f"{small_run}@1")
    folder = str(small_run / "adapters" / "main" / "000001")
    assert responder_config("ipd", folder).seats == ("main", folder)


def test_where_seats_differ_the_trained_one_is_measured() -> None:
    """The row cooperator gets 3 from a column that cooperates, the column cooperator 1: only the row was trained."""
    table = [[[3, 1], [0, 0]], [[9, 0], [1, 1]]]
    options = config.load(
        "ipd", ["game.name=matrix", f"game.payoffs={table}", "seats=[main,always_cooperate]", "evaluation.episodes=4"]
    )
    policies = Policies.of(options)
    found = outcome(options, policies, PolicyRef("script", "always_defect"), PolicyRef("script", "always_cooperate"))
    assert (found["responder"]["reward"]["mean"], found["cooperator"]["reward"]["mean"]) == (9, 3)


def test_a_preset_with_learners_of_its_own_is_answered_by_one(tmp_path: Path) -> None:
    preset = tmp_path / "two.yaml"
    preset.write_text("extends: ipd\nseats: [alice, bob]\nlearners: {alice: {update_every: 2}, bob: {algorithm: sum_of_rewards}}\n")
    found = responder_config(str(preset), "tit_for_tat")
    assert (found.seats, found.learners, found.algorithm) == (("main", "tit_for_tat"), {}, "reinforce")
    with pytest.raises(UserError, match=r"leave out 'learners\.alice\.update_every=3'"):
        responder_config(str(preset), "tit_for_tat", ["learners.alice.update_every=3"])


@pytest.mark.parametrize(
    ("against", "role", "seats"),
    [
        ("kind", None, ["main", "kind"]),
        ("kind", "investor", ["main", "kind"]),
        ("kind", "trustee", ["kind", "main"]),
        ("taker", None, ["main", "taker"]),
        ("keeper", None, ["keeper", "main"]),
        ("keeper", "trustee", ["keeper", "main"]),
    ],
)
def test_where_seats_differ_the_responder_takes_what_the_agent_leaves(against: str, role: str | None, seats: list[str]) -> None:
    assert sitting(make("example_games:Trust"), against, role) == seats


@pytest.mark.parametrize(
    ("game", "against", "role", "sentence"),
    [
        (
            "example_games:Trust",
            "taker",
            "trustee",
            "'taker' plays trustee of example_games:Trust and nothing else, so the responder",
        ),
        ("example_games:Trust", "kind", "banker", "example_games:Trust has no role 'banker'; its roles are investor, trustee."),
        ("ipd", "tit_for_tat", "seat 1", "ipd has no role 'seat 1', for its seats do not differ."),
    ],
)
def test_roles_that_cannot_be(game: str, against: str, role: str, sentence: str) -> None:
    with pytest.raises(UserError) as caught:
        sitting(make(game), against, role)
    assert str(caught.value).startswith(sentence)


def test_of_three_players_the_agent_takes_all_seats_but_one() -> None:
    game = make("example_games:Punishment", players=3)
    assert sitting(game, "saint") == ["main", "saint", "saint"]


def test_a_best_response_to_the_trustee_and_to_the_investor() -> None:
    options = load_game("example_games:Trust", ["evaluation.episodes=4", "seats=[main,taker]"])
    policies = Policies.of(options)
    found = outcome(options, policies, PolicyRef("script", "keeper"), PolicyRef("script", "taker"))
    assert (found["responder"]["reward"]["mean"], found["cooperator"]["reward"]["mean"], found["gain"]["mean"]) == (2, 0, 2)
    assert "self_play" not in found  # it cannot be the investor
    options = options.model_copy(update={"seats": ("mean", "main")})
    found = outcome(options, policies, PolicyRef("script", "sharer"), PolicyRef("script", "mean"))
    assert found["self_play"]["reward"]["mean"] == 0  # as trustee of one who keeps
    assert found["self_play"]["agent_reward"]["mean"] == 2


SHARE = 4 / (4 + 1.959964**2)  # where Wilson's interval of 4 of 4 begins: every episode pays the most, or the least, that there is


def test_gain_and_loss_of_a_defector_against_a_cooperator() -> None:
    """Scripts in the places of responder and agent: 5 instead of 3 for the one, 0 instead of 3 for the other."""
    options = config.load("ipd", ["evaluation.episodes=4"])
    table = Policies(make("ipd"), AnswerOptions())
    found = outcome(options, table, PolicyRef("script", "always_defect"), PolicyRef("script", "always_cooperate"))
    assert (found["gain"]["mean"], found["loss"]["mean"]) == (2, 3)
    assert found["responder"] == {
        "reward": {"mean": 5, "low": pytest.approx(5 * SHARE), "high": 5, "n": 4, "alike": True},
        "agent_reward": {"mean": 0, "low": 0, "high": pytest.approx(5 - 5 * SHARE), "n": 4, "alike": True},
        "measures": {"invalid": 0, "cooperation_rate": 0},
    }
    assert found["self_play"]["reward"]["mean"] == 3


def test_differences_are_taken_within_a_game_seed() -> None:
    """Who holds the upper hand is luck that both comparisons share: the difference varies far less than the rewards do."""
    options = config.load("trust_and_split", ["evaluation.episodes=64"])
    table = Policies(make("trust_and_split"), AnswerOptions())
    found = outcome(options, table, PolicyRef("script", "greedy"), PolicyRef("script", "welfare"))
    assert found["cooperator"]["name"] == "welfare"
    assert found["gain"]["low"] - 0.5 <= 2.5 <= found["gain"]["high"] + 0.5  # 52.5 instead of 50
    assert found["loss"]["low"] - 0.5 <= 25 <= found["loss"]["high"] + 0.5  # 25 instead of 50
    width = {key: found[key]["high"] - found[key]["low"] for key in ("gain", "loss")}
    assert width["gain"] < 1
    assert found["gain"]["n"] == len(found["gain"]["by_game_seed"])


def test_who_cooperates_in_which_game() -> None:
    games = ("ipd", "stag_hunt", "trust_and_split", "split_no_comm", "matching_pennies")
    assert [family_of(game).cooperator(game) for game in map(make, games)] == [
        "always_cooperate",
        "always_cooperate",
        "welfare",
        "welfare",
        None,
    ]


def test_episodes_are_the_units_where_all_share_a_game_seed() -> None:
    from detente import play

    episodes = play("ipd", ["random", "random"], episodes=20)
    shared = [(type(e)(**{**{f: getattr(e, f) for f in e.__slots__}, "group": 0}), 0) for e in episodes]
    assert units(make("ipd"), shared).low is not None
    assert units(make("ipd"), shared) == units(make("ipd"), [(e, 0) for e in episodes])
    assert differences(shared, shared) == [[0]]


def test_the_command(command: Callable[..., Any], tmp_path: Path, tiny_model: str) -> None:
    exact = command("best-response", "ipd", "--against", "grim_trigger", "--exact")
    assert exact.wait() == 0, exact.err
    assert "32.00" in exact.out
    assert "CCCCCCCCCD" in exact.out
    trained = command("best-response", "ipd", "--against", "always_defect", *TINY, f"model={tiny_model}")
    assert trained.wait() == 0, trained.err
    (run,) = (tmp_path / "runs" / "best-response" / "ipd").iterdir()
    assert run.name.startswith("always_defect-seed0-iterations=2")
    assert (run / "report" / "best_response.html").exists()
    refused = command("best-response", "ipd", "--against", "runs/none", *TINY, f"model={tiny_model}")
    assert (refused.wait(), refused.err.strip()) == (2, "There is no run or adapter folder 'runs/none'.")
    assert not (tmp_path / "runs" / "best-response" / "ipd" / "none-seed0").exists()


def test_an_adapter_folder_is_called_by_its_learner(small_run: Path) -> None:
    folder = f"{small_run}/adapters/main/000002"
    assert labels([folder], [PolicyRef("adapter", folder, 2)]) == ["main/000002"]
    options = config.load("ipd")
    assert default_run(options, folder, []).name == "main-000002-seed0"
    assert default_run(options, str(small_run), []).name == f"{small_run.name}-seed0"
