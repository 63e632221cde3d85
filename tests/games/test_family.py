"""Families: what the package asks of one, and a game of somebody's own that brings its own, through every reader."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

import detente
from detente import config
from detente.errors import UserError
from detente.evaluation.final import flat
from detente.evaluation.measures import measured, measures
from detente.export import export
from detente.family_file import Description, description
from detente.games import FAMILIES, GAMES, family_of, make, mechanisms
from detente.games.family import PLAIN, strategies_for
from detente.players.scripted import scripted
from detente.records import PolicyRef, read_episodes, write_episodes
from detente.reports import render_text, report

GUIDE = Path(__file__).parents[2] / "docs" / "add-a-game.md"
NAME = "public_goods:PublicGoods"
PAYOFFS = [[[3, 3], [0, 5]], [[5, 0], [1, 1]]]


@pytest.fixture
def guide(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The guide's game without a family of its own, importable; its family lies beside it."""
    game, _, family, _ = re.findall(r"```python\n(.*?)```", GUIDE.read_text(encoding="utf-8"), re.DOTALL)
    (tmp_path / "public_goods.py").write_text(game, encoding="utf-8")
    (tmp_path / "public_goods_family.py").write_text(family, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    for module in ("public_goods", "public_goods_family"):
        monkeypatch.delitem(sys.modules, module, raising=False)
    return tmp_path


@pytest.fixture
def own(guide: Path) -> Any:
    """The same game with the line that names its family."""
    (line,) = re.findall(r"^    family = .*$", GUIDE.read_text(encoding="utf-8"), re.MULTILINE)
    path = guide / "public_goods.py"
    path.write_text(path.read_text().replace("    symmetric = True\n", f"    symmetric = True\n{line}\n"), encoding="utf-8")
    return make(NAME, rounds=3)


@pytest.mark.parametrize("name", GAMES)
def test_every_game_of_the_package_names_the_family_that_lists_it(name: str) -> None:
    game = make(name, **({"payoffs": PAYOFFS} if name == "matrix" else {}))
    (family,) = [family for family in FAMILIES if name in family.games]
    assert family_of(game) is family or (family is mechanisms.FAMILY and family_of(game).name == family.name)
    assert set(strategies_for(game)) <= set(family_of(game).strategies)
    assert family_of(game).cooperator(game) in (None, *strategies_for(game))


@pytest.mark.parametrize(("name", "names"), [("ipd", ("tit_for_tat", "random")), ("trust_and_split", ("liar", "random"))])
def test_a_family_names_all_that_it_measures(name: str, names: tuple[str, str]) -> None:
    """Scalars and flat tables are the measures that the family lists, which columns and reports are made from."""
    game = make(name)
    found = measures(game, [(episode, 0) for episode in detente.play(name, list(names), episodes=2)])
    listed = {measure.name: measure.table for measure in family_of(game).measures}
    for key in found.keys() - {"reward", "invalid"}:
        measure, _, condition = key.partition("/")
        assert condition in (listed[measure] or [""])


def test_a_game_without_a_family_knows_rewards_and_random_players(guide: Path) -> None:
    game = make(NAME, rounds=3)
    assert family_of(game) is family_of(None) is PLAIN
    assert strategies_for(game) == ["random"]
    episodes = detente.play(game, ["random"] * 3, episodes=20)
    assert {turn.action for episode in episodes for turn in episode.turns()} == {"give", "keep"}
    assert all(turn.valid for episode in episodes for turn in episode.turns())
    scalars, tables = measured(game, [(episode, 0) for episode in episodes])
    assert (set(scalars), tables) == ({"reward", "invalid"}, {})
    with pytest.raises(UserError, match=r"'tit_for_tat' plays matrix games only"):
        scripted("tit_for_tat", 0, game)
    with pytest.raises(UserError, match=r"no strategy 'randon'; did you mean 'random'\?"):
        detente.play(game, ["randon", "random", "random"])


def test_a_family_of_ones_own_plays_and_measures(own: Any) -> None:
    assert strategies_for(own) == ["giver", "keeper", "conditional", "random"]
    (episode,) = detente.play(own, ["giver", "keeper", "conditional"], seed=1)
    assert [turn.action for turn in episode.turns(0)] == ["give"] * 3
    assert [turn.action for turn in episode.turns(1)] == ["keep"] * 3
    first, later = episode.rounds[0].turns[2], episode.rounds[1].turns[2]
    assert first.completion.probabilities == (1, 0)
    assert later.completion.probabilities == pytest.approx((2 / 3, 1 / 3))
    assert measures(own, [(episode, 0)]) == {"reward": episode.mean_reward(0), "invalid": 0, "giving": 1}
    with pytest.raises(
        UserError, match=r"no strategy 'keper'; there are: conditional, giver, keeper, random; did you mean 'keeper'\?"
    ):
        detente.play(own, ["keper", "giver", "giver"])


def test_a_family_of_ones_own_trains_and_is_read(own: Any, tiny_model: str, tmp_path: Path) -> None:
    options = (
        f"game={NAME} game.rounds=2 model={tiny_model} device=cpu seats=[main,main,main] iterations=1 episodes=2 group_size=2 "
        "lora.rank=2 evaluation.episodes=1 evaluation.against=null"
    )
    run = detente.train(config.load("ipd", options.split()), tmp_path / "run")
    learner = json.loads((run / "summary.json").read_text())["learners"]["main"]
    assert set(learner["against"]) == {"giver", "keeper", "conditional", "random"}
    assert 0 <= learner["self_play"]["giving"] <= 1
    assert "eval/main/vs/giver/giving" in flat({"main": learner})
    assert flat({"main": learner | {"giving_after": {"all": 0.5}}})["eval/main/giving_after/all"] == 0.5
    row = json.loads((run / "metrics.jsonl").read_text().splitlines()[0])
    assert {"giving/main", "self_play/giving/main"} <= row.keys()
    sys.modules.pop("public_goods")  # who reads imports nothing
    page = report([run]).read_text(encoding="utf-8")
    assert "Giving in self-play" in page
    export([run])
    assert "self_play/giving/main" in pq.read_table(run / "export" / "metrics.parquet")["metric"].to_pylist()
    assert "public_goods" not in sys.modules


def test_readers_of_an_episode_do_not_need_its_family(own: Any, tmp_path: Path) -> None:
    episodes = detente.play(own, ["giver", "keeper", "random"], episodes=2)
    write_episodes(tmp_path / "played.jsonl", episodes)
    (episode, _) = read_episodes(tmp_path / "played.jsonl")
    assert episode.policies[0] == PolicyRef("script", "giver")
    sys.modules.pop("public_goods")
    render_text(episode)
    assert description(tmp_path, episode.game) == Description()
    assert "public_goods" not in sys.modules


@pytest.mark.parametrize("name", ["nowhere:FAMILY", "public_goods:ACTIONS", "public_goods:NOTHING", "public_goods"])
def test_a_family_that_is_none_is_named(name: str, guide: Path) -> None:
    class Own(type(make(NAME))):  # type: ignore[misc]
        family = name

    with pytest.raises(UserError, match=f"^The family '{name}' of the game "):
        family_of(Own())
