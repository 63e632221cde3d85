"""Agents to the hub and back: what is pushed loads in plain PEFT, what is pulled plays, and what is wrong gets one sentence."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

import detente
from detente import UserError, cli
from detente import hub as sharing
from tests.hub.conftest import Hub, faults

TINY = {"base": "ada/tiny", "licence": "mit"}


@pytest.fixture(scope="session")
def pocket_adapter(tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """An adapter of pocket with weights that matter, its tokens and its logits."""
    import torch
    from peft import get_peft_model, get_peft_model_state_dict

    from detente import adapters, models
    from detente.options import LoraOptions

    base = models.load("pocket", device="cpu")
    model = get_peft_model(base.model, adapters.lora_config(LoraOptions(rank=2)))
    torch.manual_seed(0)
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter)
    tokens = torch.arange(20).unsqueeze(0)
    with torch.no_grad():
        logits = model.eval()(tokens).logits
    folder = tmp_path_factory.mktemp("pocket") / "adapter"
    adapters.save(folder, get_peft_model_state_dict(model), model.peft_config["default"], base)
    return SimpleNamespace(folder=folder, tokens=tokens, logits=logits)


def pushed(agent: Path, hub_: Hub, name: str = "ada/x", **options: Any) -> dict[str, bytes]:
    sharing.push(str(agent), name, **options)
    return hub_.repositories[name]


def test_pocket_is_pushed_with_its_base_and_loads_in_plain_peft(pocket_adapter: SimpleNamespace, tmp_path: Path) -> None:
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    folder = sharing.prepare(str(pocket_adapter.folder), "ada/x", tmp_path / "x")
    model = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(folder / "base"), str(folder))
    with torch.no_grad():
        assert torch.allclose(model(pocket_adapter.tokens).logits, pocket_adapter.logits, atol=1e-5)
    assert str(tmp_path) not in "".join(path.read_text() for path in folder.glob("*.json"))


def test_what_is_pushed_is_pulled_and_plays(
    pocket_adapter: SimpleNamespace, hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli.main(["push", str(pocket_adapter.folder), "ada/x", "--private"]) == 0, capsys.readouterr().err
    assert "ada/x" in hub.private
    hub.repositories["ada/x"]["evil.py"] = hub.repositories["ada/x"]["base/modeling.py"] = b"raise SystemExit"
    assert cli.main(["pull", "ada/x"]) == 0, capsys.readouterr().err
    folder = tmp_path / "runs" / "hub" / "ada-x"
    assert not list(folder.rglob("*.py"))
    assert not (folder / ".cache").exists()
    (episode,) = detente.play("ipd", [str(folder), "tit_for_tat"], overrides=["game.rounds=2"])
    assert [turn.completion.policy.kind for turn in episode.rounds[0].turns] == ["adapter", "script"]


def test_the_card_says_what_the_record_says(small_run: Path, hub: Hub) -> None:
    files = pushed(small_run, hub, **TINY)
    card = files["README.md"].decode()
    assert faults(card) == []
    data = yaml.safe_load(card.split("---\n")[1])
    assert data["base_model"] == "ada/tiny"
    summary = json.loads((small_run / "summary.json").read_text())["learners"]["main"]
    values = {metric["name"]: metric["value"] for metric in data["model-index"][0]["results"][0]["metrics"]}
    assert values["points per round, against tit_for_tat"] == round(summary["against"]["tit_for_tat"]["reward"], 4)
    assert f"| points per round | {summary['self_play']['reward']:.2f}" in card
    for condition, value in summary["cooperate_given"].items():
        assert value is None or f"| {condition}: " in card
    assert "| version | after 2 of 2 iterations |" in card
    trained = json.loads((small_run / "summary.json").read_text())["detente"]
    assert f"| trained with | detente {trained['version']}" in card
    assert trained.get("commit", "") in card
    assert card.count("It was not measured") == 2  # the arena and the best response
    assert {"training.png", "behaviour.png"} <= files.keys()
    assert str(small_run.parent) not in card + files["adapter_config.json"].decode() + files["detente.json"].decode()


def test_an_earlier_version_has_no_numbers_of_the_last_one(small_run: Path, hub: Hub) -> None:
    card = pushed(Path(f"{small_run}@1"), hub, **TINY)["README.md"].decode()
    assert "| version | after 1 of 2 iterations |" in card
    assert "model-index" not in card
    assert "evaluation is of another version" in card


def test_measurements_beside_the_run_are_on_the_card(small_run: Path, hub: Hub, tmp_path: Path) -> None:
    estimate = {"mean": 2.5, "low": 2.0, "high": 3.0}
    agents = [{"label": "me", "name": str(small_run), "version": 2}, {"label": "them", "name": "tit_for_tat", "version": 0}]
    cells: list[dict[str, Any]] = [
        {"row": r, "column": c, "reward": estimate, "opponent_reward": estimate, "tables": []} for r in (0, 1) for c in (0, 1)
    ]
    folder = small_run.parent / "arena"
    folder.mkdir()
    (folder / "arena.json").write_text(json.dumps({"game": "ipd", "agents": agents, "cells": cells, "ranking": []}))
    try:
        cards = [pushed(Path(f"{small_run}@{v}"), hub, f"ada/v{v}", **TINY)["README.md"].decode() for v in (1, 2)]
    finally:
        (folder / "arena.json").unlink()
        folder.rmdir()
    assert ["| them | 2.50 \\[2.00, 3.00\\] | 2.50" in card for card in cards] == [False, True]


def refused(*words: str, capsys: pytest.CaptureFixture[str]) -> str:
    assert cli.main([*words]) == 2
    said = capsys.readouterr().err.strip()
    assert said.count(".") >= 1
    assert "\n" not in said
    return said


def test_what_is_wrong_with_a_push_gets_one_sentence(
    small_run: Path, hub: Hub, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    run = str(small_run)
    whole = ["--base", "ada/tiny", "--license", "mit"]
    assert "USER/NAME" in refused("push", run, "no name", *whole, capsys=capsys)
    assert "USER/NAME" in refused("push", run, "alone", *whole, capsys=capsys)
    assert "--base" in refused("push", run, "ada/x", capsys=capsys)
    assert "--license" in refused("push", run, "ada/x", "--base", "ada/tiny", capsys=capsys)
    assert "licence" in refused("push", run, "ada/x", "--base", "ada/tiny", "--license", "MIT License", capsys=capsys)
    assert "--dry-run" in refused("push", run, "ada/x", "--out", str(tmp_path / "o"), capsys=capsys)
    assert "no version 7" in refused("push", f"{run}@7", "ada/x", capsys=capsys)
    assert "may not write" in refused("push", run, "eve/x", *whole, capsys=capsys)
    assert hub.repositories == {}
    assert cli.main(["push", run, "ada/x", *whole]) == 0
    assert "--update" in refused("push", run, "ada/x", *whole, capsys=capsys)
    assert cli.main(["push", run, "ada/x", *whole, "--update"]) == 0
    monkeypatch.setenv("HF_TOKEN", "hf_bad")
    assert "token" in refused("push", run, "ada/y", *whole, capsys=capsys)
    monkeypatch.delenv("HF_TOKEN")
    monkeypatch.setattr("huggingface_hub.constants.HF_TOKEN_PATH", str(tmp_path / "none"))
    assert "HF_TOKEN" in refused("push", run, "ada/y", *whole, capsys=capsys)
    assert list(hub.repositories) == ["ada/x"]


def test_what_is_wrong_with_a_pull_gets_one_sentence(
    pocket_adapter: SimpleNamespace, hub: Hub, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    good = {path.name: path.read_bytes() for path in pocket_adapter.folder.iterdir()}
    hub.repositories |= {
        "ada/good": good,
        "ada/bare": {"README.md": b"nothing"},
        "ada/pickled": {"adapter_config.json": b"{}", "adapter_model.bin": b"x"},
        "ada/damaged": good | {"adapter_model.safetensors": b"x"},
    }
    assert "none of that name" in refused("pull", "ada/gone", capsys=capsys)
    assert "no revision 'v9'" in refused("pull", "ada/good", "--revision", "v9", capsys=capsys)
    assert "adapter_config.json" in refused("pull", "ada/bare", capsys=capsys)
    assert "adapter_model.safetensors" in refused("pull", "ada/pickled", capsys=capsys)
    assert "PEFT adapter" in refused("pull", "ada/damaged", capsys=capsys)
    assert not list(tmp_path.iterdir())
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine").touch()
    assert "already" in refused("pull", "ada/good", "--out", "full", capsys=capsys)
    assert cli.main(["pull", "ada/good", "--out", "deep/er", "--revision", "main"]) == 0
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    assert "cannot be reached" in refused("pull", "ada/good", "--out", "other", capsys=capsys)
    assert not (tmp_path / "other").exists()


def test_the_hub_is_asked_for_the_card_before_anything_is_made(small_run: Path, hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("detente.hub.card._tag", lambda name: "no tag!")
    with pytest.raises(UserError, match="does not take this"):
        pushed(small_run, hub, **TINY)
    assert hub.asked == ["/api/validate-yaml"]


def test_an_option_tells_nothing_of_this_machine() -> None:
    from detente.hub.card import public

    options = {"start_from": "/home/me/runs/x@3", "seats": ["main", "~/y", "openai:gpt@https://secret.example/v1"], "lr": 0.1}
    assert public(options) == {"start_from": "…/x@3", "seats": ["main", "…/y", "openai:gpt"], "lr": 0.1}
