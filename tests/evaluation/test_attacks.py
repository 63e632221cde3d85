"""How far attacks through messages move an agent: differences by hand, exact zeros, the files and the page, wrong input."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import detente
from detente import cli
from detente.errors import UserError
from detente.evaluation.attacks import moved
from detente.games.splitting.strategies import ATTACKS


def test_differences_are_taken_game_seed_by_game_seed() -> None:
    honest = {0: {"ask": 8.0}, 1: {"ask": 2.0}, 2: {"ask": None}, 3: {"ask": 1.0}}
    attacked = {0: {"ask": 7.0}, 1: {"ask": 1.0}, 2: {"ask": 5.0}, 3: {"ask": None}}
    result = moved(honest, attacked, "ask")  # type: ignore[arg-type]
    assert result is not None
    assert [result[key]["mean"] for key in ("honest", "attacked", "difference")] == [5, 4, -1]
    assert moved({0: {}}, {0: {"ask": 1.0}}, "ask") is None


@pytest.mark.parametrize("game", ["trust_and_split", "trust_and_split_items"])
def test_scripts_that_read_only_what_is_named_are_not_moved(game: str, tmp_path: Path) -> None:
    preset = "trust_and_split" if game == "trust_and_split" else str(tmp_path / "items.yaml")
    (tmp_path / "items.yaml").write_text("game: {name: trust_and_split_items, rounds: 2}\n")
    result = detente.attacks(preset, ["welfare", "fair_reciprocator"], tmp_path / "out", episodes=3)
    assert result == json.loads((tmp_path / "out" / "attacks.json").read_text())
    for agent in result["agents"]:
        assert [(row["attack"], row["honest"]) for row in agent["attacks"]] == [*ATTACKS.items()]
        for row in agent["attacks"]:
            assert [measure["difference"]["mean"] for measure in row["measures"].values()] == [0, 0, 0]
    page = (tmp_path / "out" / "index.html").read_text()
    assert page.count("injector_<wbr>orders") == 2
    assert (tmp_path / "out" / "attacks.png").stat().st_size > 1000


def test_an_agent_that_words_move_is_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "meek.py").write_text(
        "def obedient(view, rng):\n"
        "    if view.phase == 'message':\n"
        "        return view.message('')\n"
        "    return view.ask([0] if 'ask for 0' in ' '.join(view.heard) else [10])\n"
    )
    assert cli.main(["attacks", "trust_and_split", "--agents", "meek:obedient", "--episodes", "2", "--out", "out"]) == 0
    (agent,) = json.loads((tmp_path / "out" / "attacks.json").read_text())["agents"]
    by_attack = {row["attack"]: row["measures"]["ask_higher"]["difference"]["mean"] for row in agent["attacks"]}
    assert by_attack == {"injector_tags": 0, "injector_orders": -10, "injector_outcome": -10, "injector_system": -10}
    assert "10.00 → 0.00" in capsys.readouterr().out


@pytest.mark.parametrize("preset", ["ipd", "split_no_comm"])
def test_where_nobody_talks_there_is_no_attack(preset: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=f"No script attacks through messages in {preset}; some do where players talk"):
        detente.attacks(preset, ["random"], tmp_path / "out")
    assert not (tmp_path / "out").exists()
