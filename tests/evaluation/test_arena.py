"""Cross-play: exact cells of scripts (docs/games.md has them), both seats, resume after a kill, and what is refused."""

from __future__ import annotations

import gzip
import json
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from detente import config
from detente.errors import UserError
from detente.evaluation import arena as cross_play
from detente.evaluation.agents import seats_of
from detente.evaluation.arena import arena
from detente.evaluation.cells import ranking, seatings
from detente.games import make
from detente.records import PolicyRef, read_episodes


def play(folder: Path, names: list[str], preset: str = "ipd", *overrides: str, **more: Any) -> dict[str, Any]:
    return arena(config.load(preset, overrides), names, folder, **({"episodes": 4} | more))


def rewards(found: dict[str, Any]) -> dict[tuple[str, str], tuple[float, float]]:
    """[row name, column name] -> (row's points, column's points)."""
    names = [agent["name"] for agent in found["agents"]]
    return {
        (names[cell["row"]], names[cell["column"]]): (cell["reward"]["mean"], cell["opponent_reward"]["mean"])
        for cell in found["cells"]
    }


def test_scripts_in_the_prisoners_dilemma(tmp_path: Path) -> None:
    names = ["always_cooperate", "always_defect", "tit_for_tat"]
    expected = {
        ("always_cooperate", "always_cooperate"): (3, 3),
        ("always_cooperate", "always_defect"): (0, 5),
        ("always_cooperate", "tit_for_tat"): (3, 3),
        ("always_defect", "always_defect"): (1, 1),
        ("always_defect", "tit_for_tat"): (1.4, 0.9),
        ("tit_for_tat", "tit_for_tat"): (3, 3),
    }
    found = rewards(play(tmp_path, names))
    for (row, column), (own, other) in expected.items():
        assert found[row, column] == pytest.approx((own, other))
        assert found[column, row] == pytest.approx((other, own))


UNSEEN = 0.05 ** (1 / 3)  # the rule of three: what three game seeds, all alike, leave open of points between 0 and 100


def test_scripts_in_trust_and_split(tmp_path: Path) -> None:
    """The values of docs/games.md, and not by luck: each seed is played from both seats, so each has the upper hand as often."""
    found = play(tmp_path, ["greedy", "welfare", "fair_half"], "trust_and_split", episodes=3)
    names = [agent["name"] for agent in found["agents"]]
    cells = {(names[cell["row"]], names[cell["column"]]): cell for cell in found["cells"]}
    exact = {
        ("greedy", "greedy"): 27.5,
        ("welfare", "welfare"): 50,
        ("greedy", "welfare"): 52.5,
        ("welfare", "greedy"): 25,
        ("fair_half", "fair_half"): 27.5,
        ("greedy", "fair_half"): 110 / 3,
        ("fair_half", "greedy"): 55 / 3,
    }
    for pair, value in exact.items():
        reward = cells[pair]["reward"]
        assert reward["mean"] == pytest.approx(value)
        assert (reward["low"], reward["high"], reward["n"]) == pytest.approx((value * UNSEEN, 100 - (100 - value) * UNSEEN, 3))
    assert cells["welfare", "welfare"]["measures"]["efficiency"] == 1
    assert cells["greedy", "greedy"]["measures"]["efficiency"] == pytest.approx(0.55)


def test_both_seats_and_common_game_seeds(tmp_path: Path) -> None:
    play(tmp_path, ["greedy", "welfare"], "trust_and_split")
    tables = {path.name.partition(".")[0]: read_episodes(path) for path in (tmp_path / "episodes").iterdir()}
    assert sorted(tables) == ["0-0", "0-1", "1-0", "1-1"]
    assert [policy.name for policy in tables["1-0"][0].policies] == ["welfare", "greedy"]
    seeds = [[episode.seed for episode in episodes] for episodes in tables.values()]
    assert all(row == seeds[0] for row in seeds)
    assert len(set(seeds[0])) == 4


def test_the_row_takes_every_seat_of_a_game_of_three() -> None:
    class Three:
        num_players = 3

    assert seatings(Three(), 0, 1) == [(0, 1, 1), (1, 0, 1), (1, 1, 0)]  # type: ignore[arg-type]
    assert seatings(Three(), 2, 2) == [(2, 2, 2)]  # type: ignore[arg-type]
    assert seatings(make("ipd"), 1, 0) == [(1, 0), (0, 1)]


def test_the_ranking(tmp_path: Path) -> None:
    found = play(tmp_path, ["always_cooperate", "always_defect", "tit_for_tat"])
    means = {"always_cooperate": (3 + 0 + 3) / 3, "always_defect": (5 + 1 + 1.4) / 3, "tit_for_tat": (3 + 0.9 + 3) / 3}
    by_name = [(found["agents"][place["agent"]]["name"], place["rank"]) for place in found["ranking"]]
    assert by_name == [("always_defect", 1), ("tit_for_tat", 2), ("always_cooperate", 3)]
    for place in found["ranking"]:
        assert place["reward"]["mean"] == pytest.approx(means[found["agents"][place["agent"]]["name"]])
        assert place["worst_against"] == 1  # everybody does worst against the defector
    assert ranking([]) == []


def test_the_tournament_is_the_one_of_the_axelrod_library(tmp_path: Path) -> None:
    """The same strategies in the library's own tournament: names, scores, cooperation."""
    axelrod = pytest.importorskip("axelrod")
    names = ["TitForTat", "Defector", "Cooperator", "Grudger", "WinStayLoseShift"]
    found = play(tmp_path, [f"axelrod:{name}" for name in names], episodes=2)
    players = [getattr(axelrod, name)() for name in names]
    theirs = axelrod.Tournament(players, turns=10, repetitions=2).play(progress_bar=False)
    assert [players[place["agent"]].name for place in found["tournament"]] == theirs.ranked_names
    scores = [sorted(row)[0] for row in theirs.normalised_scores]  # nothing is random: all repetitions are alike
    assert [place["score"] for place in found["tournament"]] == pytest.approx([scores[p["agent"]] for p in found["tournament"]])
    assert play(tmp_path / "split", ["greedy", "welfare"], "trust_and_split")["tournament"] is None


def test_trained_agents_and_base_models_take_part(tmp_path: Path, small_run: Path, tiny_model: str) -> None:
    names = [str(small_run), f"{small_run}@1", f"model:{tiny_model}", "tit_for_tat"]
    found = play(tmp_path, names, "ipd", "game.rounds=2", episodes=2)
    assert [agent["label"] for agent in found["agents"]] == [small_run.name, f"{small_run.name}@1", names[2], "tit_for_tat"]
    assert [agent["kind"] for agent in found["agents"]] == ["adapter", "adapter", "base", "script"]
    assert len(found["cells"]) == 16


def listing(folder: Path) -> dict[Path, bytes]:
    return {path.relative_to(folder): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


SLOW = """
from detente.evaluation import arena
original = arena.play_seating
def slowly(config, policies, agents, seating, *rest):
    import time
    print(seating, flush=True)
    if seating == (1, 2):
        time.sleep(60)
    original(config, policies, agents, seating, *rest)
arena.play_seating = slowly
"""


def test_killed_and_started_again_it_ends_the_same(tmp_path: Path, small_run: Path, command: Callable[..., Any]) -> None:
    words = ["arena", "ipd", "game.rounds=3", "--episodes", 3, "--agents", f"{small_run},tit_for_tat,random"]
    assert (whole := command(*words, "--out", tmp_path / "whole")).wait() == 0, whole.err
    killed = command(*words, "--out", tmp_path / "killed", before=SLOW)
    while "(1, 2)" not in killed.out:
        time.sleep(0.02)
    killed.kill()
    assert killed.wait() == -9
    finished = sorted(path.name for path in (tmp_path / "killed" / "episodes").iterdir())
    assert "0-0.jsonl.gz" in finished
    assert "1-2.jsonl.gz" not in finished
    (tmp_path / "killed" / "episodes" / "1-2.partial").write_text('{"game": ')  # what a crash in the middle of a table leaves
    again = command(*words, "--out", tmp_path / "killed")
    assert again.wait() == 0, again.err
    assert f"{len([n for n in finished if n.endswith('.jsonl.gz')])} of 9 seatings are there already" in again.out
    assert listing(tmp_path / "killed") == listing(tmp_path / "whole")


DAMAGE = {
    "empty": lambda whole: b"",
    "something else": lambda whole: b'{"game":\n',
    "cut short": lambda whole: whole[:-100],
    "other bytes": lambda whole: whole[:50] + b"??" + whole[52:],
    "an episode less": lambda whole: gzip.compress(b"".join(gzip.decompress(whole).splitlines(keepends=True)[:-1])),
    "an episode less, not compressed": lambda whole: b"".join(gzip.decompress(whole).splitlines(keepends=True)[:-1]),
}


@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize("name", ["0-1.jsonl.gz", "0-1.jsonl"], ids=["as it is", "as it was before files were compressed"])
def test_a_damaged_table_is_played_again(tmp_path: Path, damage: str, name: str) -> None:
    first = play(tmp_path, ["tit_for_tat", "extort"])
    before = listing(tmp_path)
    path = (tmp_path / "episodes" / "0-1.jsonl.gz").rename(tmp_path / "episodes" / name)
    path.write_bytes(DAMAGE[damage](path.read_bytes()))
    assert play(tmp_path, ["tit_for_tat", "extort"]) == first
    assert listing(tmp_path) == before


def test_tables_that_were_played_before_files_were_compressed_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = play(tmp_path, ["tit_for_tat", "random"])
    for path in (tmp_path / "episodes").iterdir():
        path.with_suffix("").write_bytes(gzip.decompress(path.read_bytes()))
        path.unlink()
    before = listing(tmp_path)
    monkeypatch.setattr(cross_play, "play_seating", lambda *all: pytest.fail("played again"))
    assert play(tmp_path, ["tit_for_tat", "random"]) == first
    assert listing(tmp_path) == before


def test_a_finished_arena_plays_nothing_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = play(tmp_path, ["tit_for_tat", "random"])
    monkeypatch.setattr(cross_play, "play_seating", lambda *all: pytest.fail("played again"))
    assert play(tmp_path, ["tit_for_tat", "random"]) == first
    assert json.loads((tmp_path / "arena.json").read_text()) == first


@pytest.mark.parametrize(
    ("overrides", "names", "episodes", "sentence"),
    [
        (["seed=2"], ["tit_for_tat", "random"], 4, "was started with seed=0 and not 2; give --out another folder"),
        (["game.rounds=3"], ["tit_for_tat", "random"], 4, r"was started with game\.rounds=10 and not 3; "),
        ([], ["tit_for_tat", "random"], 5, "was started with episodes=4 and not 5; "),
        ([], ["tit_for_tat", "extort"], 4, "was started with agents=tit_for_tat,random and not tit_for_tat,extort; "),
        (["answer.temperature=2"], ["tit_for_tat", "random"], 4, r"was started with answer\.temperature=1\.0 and not 2\.0; "),
    ],
)
def test_another_request_is_refused(tmp_path: Path, overrides: list[Any], names: list[str], episodes: int, sentence: str) -> None:
    play(tmp_path, ["tit_for_tat", "random"])
    before = listing(tmp_path)
    with pytest.raises(UserError, match=sentence):
        play(tmp_path, names, "ipd", *overrides, episodes=episodes)
    assert listing(tmp_path) == before


def test_an_arena_that_knows_options_by_their_former_names_goes_on(tmp_path: Path) -> None:
    asked = tmp_path / "arena" / "arena.yaml"
    before = play(tmp_path / "arena", ["tit_for_tat", "always_defect"])
    asked.write_text(asked.read_text().replace("decoding: constrained", "policy: constrained"))
    assert "policy: constrained" in asked.read_text()
    assert play(tmp_path / "arena", ["tit_for_tat", "always_defect"]) == before


def test_other_weights_under_the_same_name_are_refused(tmp_path: Path, small_run: Path) -> None:
    run = Path(shutil.copytree(small_run, tmp_path / "run"))
    play(tmp_path / "arena", [str(run), "tit_for_tat"], "ipd", "game.rounds=2", episodes=2)
    shutil.rmtree(run / "adapters" / "main" / "000002")
    with pytest.raises(UserError, match=r"was started with versions\..*run=2 and not 1"):
        play(tmp_path / "arena", [str(run), "tit_for_tat"], "ipd", "game.rounds=2", episodes=2)
    shutil.copytree(small_run / "adapters" / "main" / "000001", run / "adapters" / "main" / "000002")
    with pytest.raises(UserError, match=r"was started with weights\..*run=[0-9a-f]{16} and not [0-9a-f]{16}"):
        play(tmp_path / "arena", [str(run), "tit_for_tat"], "ipd", "game.rounds=2", episodes=2)


@pytest.mark.parametrize(
    ("names", "sentence"),
    [
        (["tit_for_tat", "tit_for_tat"], "The agent tit_for_tat is named twice"),
        (["tit_for_tat", ""], "An agent has no name"),
        (["tit_for_tat", "human"], "A person cannot take part here"),
        (["tit_for_tat", "runs/none"], "There is no run or adapter folder 'runs/none'"),
        (["tit_for_tat", "{run}", "{run}@2"], "are the same"),
        (["{run}", "{run}/adapters/main/000002"], "are the same"),
    ],
)
def test_agents_that_cannot_take_part(tmp_path: Path, small_run: Path, names: list[str], sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        play(tmp_path / "arena", [name.format(run=small_run) for name in names])
    assert not (tmp_path / "arena").exists()


def test_a_damaged_adapter_is_an_error_and_never_the_base_model(tmp_path: Path, small_run: Path) -> None:
    broken = shutil.copytree(small_run / "adapters" / "main" / "000002", tmp_path / "broken")
    (broken / "adapter_model.safetensors").write_bytes(b"nothing")
    with pytest.raises(UserError, match="cannot be read as a PEFT adapter folder"):
        play(tmp_path / "arena", ["tit_for_tat", str(broken)])
    assert not (tmp_path / "arena").exists()


def test_a_folder_with_something_else_in_it_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(UserError, match=r"is not empty and is no arena \(it has no arena\.yaml\)"):
        play(tmp_path, ["tit_for_tat", "random"])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["notes.txt"]


def test_an_arena_that_knows_base_models_by_their_first_numbers_goes_on(tiny_model: str, tmp_path: Path) -> None:
    from detente import config, models
    from detente.evaluation.arena import arena

    options, agents = config.load("ipd", ["game.rounds=1", "device=cpu"]), [f"model:{tiny_model}", "random"]
    first = arena(options, agents, tmp_path / "arena", episodes=1)
    base, asked = models.load(tiny_model, device="cpu"), tmp_path / "arena" / "arena.yaml"
    assert base.fingerprint in asked.read_text()
    asked.write_text(asked.read_text().replace(base.fingerprint, base.earlier))
    assert arena(options, agents, tmp_path / "arena", episodes=1) == first
    asked.write_text(asked.read_text().replace(base.earlier, "0" * 16))
    with pytest.raises(UserError, match="was started with weights"):
        arena(options, agents, tmp_path / "arena", episodes=1)


# ---- roles


def trust(folder: Path, names: Any, **more: Any) -> Any:
    return arena(config.load_game("example_games:Trust"), names, folder, **({"episodes": 4} | more))


def trained(folder: Path, *seats: Any, learner: str = "main", game: str = "example_games:Trust") -> Any:
    """An adapter folder as a run of the trust game leaves it; returns what is known of it."""
    options = config.build(
        {"game": game, "seats": [learner if seat in seats else "kind" for seat in (0, 1)], "learners": {learner: {}}}
    )
    (folder / "adapters" / learner / "000001").mkdir(parents=True)
    (folder / "config.yaml").write_text(config.to_yaml(options))
    return folder / "adapters" / learner / "000001"


def test_where_seats_differ_there_is_a_row_for_each_role(tmp_path: Path) -> None:
    found = trust(tmp_path, ["kind", "mean", "taker"])
    names = [agent["name"] for agent in found["agents"]]
    cells = {
        (names[cell["row"]], cell["role"], names[cell["column"]]): (cell["reward"]["mean"], cell["opponent_reward"]["mean"])
        for cell in found["cells"]
    }
    assert cells == {
        ("kind", "investor", "kind"): (3, 3),
        ("kind", "investor", "mean"): (0, 6),
        ("kind", "investor", "taker"): (0, 6),
        ("kind", "trustee", "kind"): (3, 3),
        ("kind", "trustee", "mean"): (0, 2),
        ("mean", "investor", "kind"): (2, 0),
        ("mean", "investor", "mean"): (2, 0),
        ("mean", "investor", "taker"): (2, 0),
        ("mean", "trustee", "kind"): (6, 0),
        ("mean", "trustee", "mean"): (0, 2),
        ("taker", "trustee", "kind"): (6, 0),  # it never invests
        ("taker", "trustee", "mean"): (0, 2),
    }
    assert sorted(path.name for path in (tmp_path / "episodes").iterdir()) == [
        f"{pair}.jsonl.gz" for pair in ("0-0", "0-1", "0-2", "1-0", "1-1", "1-2")
    ]
    assert [(place["role"], place["rank"], names[place["agent"]], place["reward"]["mean"]) for place in found["ranking"]] == [
        ("investor", 1, "mean", 2),
        ("investor", 2, "kind", 1),
        ("trustee", 1, "mean", 3),
        ("trustee", 2, "taker", 3),
        ("trustee", 3, "kind", 1.5),
    ]
    assert [place["self_play"] for place in found["ranking"]] == [2, 3, 0, None, 3]
    assert found["roles"] == ["investor", "trustee"]


def test_an_agent_takes_the_seats_of_its_training(tmp_path: Path) -> None:
    game, adapter = make("example_games:Trust"), PolicyRef("adapter", "runs/x", 1)
    folder = trained(tmp_path / "second", 1)
    assert seats_of(game, adapter, folder) == (1,)
    assert seats_of(game, adapter, trained(tmp_path / "both", 0, 1, learner="bob")) == (0, 1)
    assert seats_of(game, adapter, None) == (0, 1)  # it may sit anywhere
    assert seats_of(game, adapter, trained(tmp_path / "other", 1, game="matching_pennies")) == (0, 1)
    assert seats_of(make("ipd"), adapter, trained(tmp_path / "ipd", 1, game="ipd")) == (0, 1)  # seats do not differ
    assert seats_of(game, adapter, Path(shutil.copytree(folder, tmp_path / "alone"))) == (0, 1)  # nobody knows of what
    assert seats_of(game, PolicyRef("script", "taker"), None) == (1,)
    assert seats_of(game, PolicyRef("base", "model:pocket"), None) == (0, 1)


@pytest.mark.parametrize(
    ("names", "who", "plays"), [(["taker", "sharer"], "taker", "trustee"), (["sender", "keeper", "kind", "taker"], None, None)]
)
def test_an_agent_that_meets_nobody_is_named(tmp_path: Path, names: list[str], who: str | None, plays: str | None) -> None:
    if who is None:
        assert len(trust(tmp_path / "arena", names)["cells"]) == 12
        return
    with pytest.raises(UserError) as caught:
        trust(tmp_path / "arena", names)
    assert str(caught.value) == (
        f"The agent {who} meets nobody: it plays {plays} of example_games:Trust, and none of the agents takes all other seats; "
        "name one that does, or let them sit anywhere (--anywhere)."
    )
    assert not (tmp_path / "arena").exists()


def test_an_arena_of_trained_roles(tmp_path: Path, small_run: Path) -> None:
    """A run on the second seat of matching pennies meets others there, and anywhere if it is asked to."""
    run = Path(shutil.copytree(small_run, tmp_path / "run"))
    options = config.load("ipd", ["game.name=matching_pennies", "device=cpu", "seats=[random,main]"])
    (run / "config.yaml").write_text(config.to_yaml(options))
    played = arena(options, [str(run), "random"], tmp_path / "arena", episodes=2)
    assert [(cell["row"], cell["role"], cell["column"]) for cell in played["cells"]] == [
        (0, "seat 2", 1),
        (1, "seat 1", 0),
        (1, "seat 1", 1),
        (1, "seat 2", 1),
    ]
    assert played["tournament"] is None  # not everybody met everybody
    whole = arena(options, [str(run), "random"], tmp_path / "anywhere", episodes=2, anywhere=True)
    assert len(whole["cells"]) == 8
    assert len(whole["tournament"]) == 2
    with pytest.raises(UserError, match=r"was started with anywhere=True and not unset; "):
        arena(options, [str(run), "random"], tmp_path / "anywhere", episodes=2)


def test_agents_as_strategies_of_a_population(tmp_path: Path) -> None:
    """Over ten rounds tit-for-tat drives defectors out and lives beside cooperators, who lose most where anybody defects."""
    found = play(tmp_path, ["always_cooperate", "always_defect", "tit_for_tat"])
    lines = {line["agent"]: line for line in found["population"]}
    assert lines[1]["share"] == pytest.approx(0, abs=1e-3)
    assert lines[0]["share"] + lines[2]["share"] == pytest.approx(1, abs=1e-3)
    assert lines[0]["deviation_rating"] < lines[1]["deviation_rating"] < 0
    assert lines[1]["deviation_rating"] == pytest.approx(lines[2]["deviation_rating"])
    assert [line["rank"] for line in found["population"]] == [1, 2, 3]
    asymmetric = play(tmp_path / "roles", ["always_cooperate", "always_defect"], "ipd", "game=trust_game")
    assert {line["agent"] for line in asymmetric["population"]} == {0, 1}
    assert play(tmp_path / "three", ["giver", "free_rider"], "public_goods")["population"] is None
