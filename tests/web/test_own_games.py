"""Games of one's own on the pages: those that the command line of ``serve`` names, and no others."""

from __future__ import annotations

from pathlib import Path

import pytest
from starlette.testclient import TestClient

from detente import config, web
from detente.cli import main
from detente.errors import UserError
from detente.playable import options_of
from detente.records import read_episodes
from tests.web.test_many_players import OWN, begin, state

PUNISHMENT = "example_games:Punishment"


def test_a_person_plays_a_game_of_their_own(tmp_path: Path) -> None:
    app = web.build(tmp_path, games={PUNISHMENT: options_of(PUNISHMENT, ["game.rounds=1"])})
    with TestClient(app, base_url="http://localhost") as client:
        page = client.get("/play").text
        assert '<optgroup label="your own">' in page
        assert f'<option value="{PUNISHMENT}" selected>' in page
        address = begin(client, PUNISHMENT, "free_rider", 2).json()["address"]
        for _ in range(2):
            question = state(client, address, "question")["question"]
            sent = {"number": question["number"], "line": question["choices"][0]}
            assert client.post(address.replace("play", "answer"), json=sent, headers=OWN).json() == {"problem": ""}
        saved = tmp_path / state(client, address, "saved")["saved"]
    (episode,) = read_episodes(saved)
    assert episode.game["name"] == PUNISHMENT
    assert [policy.kind for policy in episode.policies] == ["script", "script", "human", "script"]


def test_no_page_runs_code_that_the_command_line_does_not_name(tmp_path: Path) -> None:
    with TestClient(web.build(tmp_path), base_url="http://localhost") as client:
        refused = begin(client, PUNISHMENT, "free_rider", 0)
        assert (refused.status_code, refused.json()["error"][:37]) == (422, f"There is no game or preset '{PUNISHMENT}"[:37])
        assert "your own" not in client.get("/play").text


def test_a_run_and_a_preset_file_bring_their_game(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(config.to_yaml(options_of(PUNISHMENT, ["game.rounds=1"])))
    for name in (str(tmp_path), str(tmp_path / "config.yaml")):
        with pytest.raises(UserError, match="--trust"):
            options_of(name)
        assert options_of(name, trust=True).game == {"name": PUNISHMENT, "rounds": 1}


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("ipdd", "There is no game or preset 'ipdd'; did you mean 'ipd'?"),
        ("example_games:Nothing", "'example_games:Nothing' does not name a game that can be imported"),
        ("example_games:TRUST", "'example_games:TRUST' does not name a game"),
        ("runs/nowhere", "runs/nowhere is not a run folder: it has no config.yaml."),
        ("nowhere.yaml", "The preset file nowhere.yaml cannot be read"),
    ],
)
def test_what_serve_cannot_offer(name: str, sentence: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["serve", str(tmp_path), "--no-browser", "--port", "0", "--game", name]) == 2
    assert sentence in " ".join(capfd.readouterr().err.split())
