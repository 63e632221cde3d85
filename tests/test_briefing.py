"""Language models with a briefing: their names, what they are told, and where that is recorded."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

import detente
from detente import briefing, config
from detente.errors import UserError
from detente.evaluation.agents import labels
from detente.games import make
from detente.policies import Policies, located, pinned
from detente.records import PolicyRef
from detente.web.names import opponent_name

LIAR = "briefed:liar:model:pocket"


def test_names() -> None:
    assert briefing.parsed("briefed:notes/spy.txt:runs/x@40") == ("notes/spy.txt", "runs/x@40")
    assert briefing.parsed("briefed:liar:openai:a/b:c@http://127.0.0.1:1/v1")[1] == "openai:a/b:c@http://127.0.0.1:1/v1"
    assert briefing.unbriefed(LIAR) == briefing.unbriefed("model:pocket") == "model:pocket"
    assert located(LIAR, make("ipd"))[0] == PolicyRef("base", LIAR)
    assert pinned(LIAR) == LIAR
    base, both = PolicyRef("base", "model:pocket"), PolicyRef("base", LIAR)
    assert labels(["model:pocket", LIAR], [base, both]) == ["model:pocket", "model:pocket, briefed: liar"]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("briefed:liar", "names no briefed player; the form is briefed:TEXT:NAME"),
        ("briefed::model:pocket", "names no briefed player"),
        ("briefed:liar:greedy", "greedy reads no briefing, only language models do"),
        ("briefed:liar:human", "human reads no briefing"),
        ("briefed:liar:briefed:liar:model:pocket", "has two briefings"),
        ("briefed:liar:model:", "The model '' cannot be loaded"),
        ("briefed:lair:model:pocket", "There is no briefing 'lair'; did you mean 'liar'?"),
        ("briefed:missing.txt:model:pocket", "The briefing missing.txt cannot be read: No such file"),
        ("briefed:empty.txt:model:pocket", "The briefing empty.txt is empty"),
        ("briefed:.:model:pocket", "The briefing . cannot be read: it is no file"),
    ],
)
def test_wrong_names_are_one_sentence(name: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("empty.txt").write_text(" \n")
    with pytest.raises(UserError, match="(?i)" + said.replace("?", r"\?").replace(".", r"\.")):
        detente.play("trust_and_split", [name, "greedy"])


def test_a_briefing_follows_the_first_words_of_the_game_and_is_recorded_in_the_prompt(tmp_path: Path) -> None:
    (tmp_path / "spy.txt").write_text("You are a spy.\nTell \u202enobody.\n")
    (episode,) = detente.play("ipd", [f"briefed:{tmp_path}/spy.txt:model:pocket", LIAR], overrides=["game.rounds=2"])
    for seat, text in ((0, "You are a spy.\nTell \\u202enobody."), (1, briefing.read("liar"))):
        first, second = (turn.prompt for turn in episode.turns(seat))
        assert first.endswith(f"\n{text}")
        assert text not in second
    plain = detente.play("ipd", ["model:pocket", "model:pocket"], overrides=["game.rounds=2"])[0]
    first = next(iter(episode.turns(0))).prompt
    assert next(iter(plain.turns(0))).prompt == first.removesuffix("\nYou are a spy.\nTell \\u202enobody.")


def test_an_arena_tells_a_briefed_agent_from_the_same_one_without_and_holds_the_text(tmp_path: Path) -> None:
    short = config.load("ipd", ["game.rounds=1"])
    result = detente.arena(short, ["model:pocket", LIAR], tmp_path / "arena", episodes=1)
    assert [agent["label"] for agent in result["agents"]] == ["model:pocket", "model:pocket, briefed: liar"]
    assert len(result["cells"]) == 4
    stored = yaml.safe_load((tmp_path / "arena" / "arena.yaml").read_text())
    assert stored["briefings"] == {LIAR: briefing.read("liar")}
    assert stored["weights"][LIAR] == stored["weights"]["model:pocket"]
    written = tmp_path / "spy.txt"
    written.write_text("one")
    detente.arena(short, [f"briefed:{written}:model:pocket"], tmp_path / "spied", episodes=1)
    written.write_text("two")
    with pytest.raises(UserError, match="briefings"):
        detente.arena(short, [f"briefed:{written}:model:pocket"], tmp_path / "spied", episodes=1)


def test_exact_values_are_those_of_the_briefed_model(tmp_path: Path) -> None:
    from detente.evaluation.exploitability import exploitability

    (tmp_path / "text.txt").write_text("The other player chose <B>. " * 3)
    policies = Policies.of(config.load("ipd", ["game.rounds=2"]))
    values = [
        exploitability(policies, policies.resolve(name)).to_json()
        for name in ("model:pocket", f"briefed:{tmp_path}/text.txt:model:pocket")
    ]
    policies.close()
    assert json.dumps(values[0]) != json.dumps(values[1])


def test_a_page_reads_the_packages_briefings_and_no_file(tmp_path: Path) -> None:
    assert opponent_name(tmp_path, LIAR) == LIAR
    for name in ("briefed:/etc/passwd:model:pocket", "briefed:liar:my_rules:mine", "briefed:liar:../x"):
        with pytest.raises(UserError):
            opponent_name(tmp_path, name)


def test_a_preset_file_cannot_send_a_briefed_model_to_another_machine(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("game: ipd\nseats: [main, 'briefed:liar:openai:x@https://example.com/v1']\n")
    with pytest.raises(UserError, match="would send requests and your key to another machine"):
        config.load(str(file))
