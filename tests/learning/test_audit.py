"""The served-policy audit: silent when the engine is honest, loud when it is not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

from detente import adapters
from detente.errors import UserError
from detente.learning.audit import audit
from detente.learning.forward import active
from detente.records import PolicyRef, Seating

SEPARATE = {"seats": ["left", "right"], "learners": {"left": {}, "right": {}}}


def check(run: Any, episodes: Any, sources: Any, **options: Any) -> Any:
    defaults: dict[str, Any] = {
        "turns": 8,
        "temperature": lambda policy: run.config.answer.temperature,
        "tolerance": 1e-3,
        "seed": (0, "audit"),
    }
    return audit(episodes, sources, run.model, run.engine.grammar, **defaults | options)


def sources_of(run: Any, folder: Path, episodes: Any) -> Any:
    return run.session.sources(run.host, folder, {policy for episode in episodes for policy in episode.policies})


@pytest.mark.parametrize("answer", ["constrained", "free"])
def test_an_honest_engine_passes(open_run: Callable[..., Any], tmp_path: Path, answer: str) -> None:
    run = open_run(**SEPARATE, answer={"decoding": answer, "max_tokens": 4, "temperature": 0.8}).shake(size=0.2)
    episodes = run.play()
    found = check(run, episodes, sources_of(run, tmp_path, episodes))
    assert found.claimed < 1e-5
    assert found.other > 1e-3


def test_an_engine_that_swaps_two_adapters_is_found(open_run: Callable[..., Any], tmp_path: Path) -> None:
    run = open_run(**SEPARATE).shake(size=0.2)
    run.session.publish()
    left, right = run.session.present.values()
    places = run.engine.adapters.names
    places[left], places[right] = places[right], places[left]
    episodes = run.play()
    with pytest.raises(
        UserError, match=r"played by left@0 do not fit it .* to right@0|played by right@0 do not fit it .* to left@0"
    ):
        check(run, episodes, sources_of(run, tmp_path, episodes))


def test_an_engine_that_serves_the_base_model_is_found(open_run: Callable[..., Any], tmp_path: Path) -> None:
    run = open_run().shake(size=0.2)
    run.learners["main"].version = 5
    policy = run.learners["main"].policy
    nothing = {key: torch.zeros_like(w) for key, w in run.learners["main"].weights().items()}
    run.engine.serve(policy, nothing, run.model.peft_config["main"])
    episodes = run.play()
    with pytest.raises(UserError, match=r"played by main@5 do not fit it .* to the base model"):
        check(run, episodes, sources_of(run, tmp_path, episodes))


def stale(open_run: Callable[..., Any]) -> Any:
    """A run that serves the weights of before its last step as the present ones."""
    run = open_run().shake(size=0.2)
    old = {key: w.clone() for key, w in run.learners["main"].weights().items()}
    run.shake(seed=2)
    run.learners["main"].version = 5
    run.engine.serve(run.learners["main"].policy, old, run.model.peft_config["main"])
    return run, old


def test_stale_weights_that_are_on_disk_are_named(open_run: Callable[..., Any], tmp_path: Path) -> None:
    run, old = stale(open_run)
    folder = adapters.version_folder(tmp_path, "main", 4)
    adapters.save(folder, old, run.model.peft_config["main"], run.base)
    episodes = run.play()
    sources = run.session.sources(run.host, tmp_path, {run.learners["main"].policy, PolicyRef("adapter", "main", 4)})
    with pytest.raises(UserError, match=r"played by main@5 do not fit it .* to main@4"):
        check(run, episodes, sources)


def test_stale_weights_that_are_nowhere_are_found_too(open_run: Callable[..., Any], tmp_path: Path) -> None:
    run, _ = stale(open_run)
    episodes = run.play()
    with pytest.raises(UserError, match=r"played by main@5 do not fit it"):
        check(run, episodes, sources_of(run, tmp_path, episodes))


def test_kept_versions_are_compared_with_what_lies_on_disk(open_run: Callable[..., Any], tmp_path: Path) -> None:
    run = open_run().shake(size=0.2)
    learner, base = run.learners["main"], run.base
    kept = PolicyRef("adapter", "main", 3)
    adapters.save(adapters.version_folder(tmp_path, "main", 3), learner.weights(), run.model.peft_config["main"], base)
    run.shake(seed=2, size=0.2)
    learner.version = 9
    run.session.publish()
    run.session.serve_kept(tmp_path, [kept])
    table = [[Seating((learner.policy, kept), ("main", None))] * 4]
    episodes = run.play(tables=table, publish=False)
    sources = sources_of(run, tmp_path, episodes)
    assert set(sources) == {learner.policy, kept, PolicyRef("base", "the base model")}
    assert check(run, episodes, sources, turns=4).claimed < 1e-5
    # the file changes: what was served as main@3 is not main@3 any more
    other = {key: w + 0.2 * torch.randn_like(w) for key, w in learner.weights().items()}
    adapters.save(adapters.version_folder(tmp_path, "main", 3), other, run.model.peft_config["main"], base)
    with pytest.raises(UserError, match="played by main@3 do not fit"):
        check(run, episodes, sources, turns=4)


def test_gaps_up_to_the_tolerance_are_rounding(open_run: Callable[..., Any], tmp_path: Path) -> None:
    """Two adapters that hardly differ may fit better than each other."""
    run = open_run(**SEPARATE)
    with torch.no_grad():
        for parameter in run.learners["right"].parameters:
            parameter += 1e-6
    run.session.publish()
    left, right = run.session.present.values()
    places = run.engine.adapters.names
    places[left], places[right] = places[right], places[left]
    episodes = run.play()
    assert check(run, episodes, sources_of(run, tmp_path, episodes)).claimed < 1e-3


def test_a_small_gap_counts_where_another_fits_better(open_run: Callable[..., Any], tmp_path: Path) -> None:
    run = open_run(**SEPARATE).shake(size=0.2)
    run.session.publish()
    left, right = run.session.present.values()
    places = run.engine.adapters.names
    places[left], places[right] = places[right], places[left]
    episodes = run.play()
    sources = sources_of(run, tmp_path, episodes)
    gap = check(run, episodes, sources, tolerance=float("inf")).claimed
    with pytest.raises(UserError, match="do not fit it"):
        check(run, episodes, sources, tolerance=gap / 3)


def test_the_same_seed_scores_the_same_turns(open_run: Callable[..., Any], tmp_path: Path) -> None:
    run = open_run(episodes=8, group_size=8).shake()
    episodes = run.play()
    sources = sources_of(run, tmp_path, episodes)
    assert check(run, episodes, sources, turns=2) == check(run, episodes, sources, turns=2)
    assert len({check(run, episodes, sources, turns=2, seed=(i,)).other for i in range(4)}) > 1


def test_few_of_many_policies_are_scored_unless_a_claim_does_not_fit(
    open_run: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("detente.learning.audit.OTHERS", 2)
    run = open_run().shake(size=0.2)
    episodes = run.play()
    scored: list[str] = []

    def noted(name: str, scope: Any) -> Any:
        scored.append(name)
        return scope()

    known = sources_of(run, tmp_path, episodes)
    base = next(scope for policy, scope in known.items() if policy.kind == "base")
    more = {PolicyRef("adapter", f"old{number}", 1): base for number in range(6)}
    sources = {policy: partial(noted, str(policy), scope) for policy, scope in (known | more).items()}
    assert check(run, episodes, sources).claimed < 1e-5
    assert len(scored) == 1 + 2
    scored.clear()
    wrong = {policy: partial(noted, str(policy), base) for policy in sources}
    with pytest.raises(UserError, match="do not fit it"):
        check(run, episodes, wrong)
    assert len(scored) == len(sources) == 8


def test_nobody_to_audit(open_run: Callable[..., Any]) -> None:
    run = open_run()
    episodes = run.play()
    assert check(run, episodes, {PolicyRef("adapter", "other", 1): partial(active, run.model, "main")}) is None
    assert check(run, [], {}) is None
    assert check(run, episodes, {run.learners["main"].policy: partial(active, run.model, "main")}, turns=0) is None


def test_a_frozen_adapter_is_audited_from_its_folder(open_run: Callable[..., Any], tmp_path: Path) -> None:
    maker = open_run(lora={"rank": 2, "alpha": 4}).shake(seed=7, size=0.2)  # of another rank than the learner
    folder = tmp_path / "frozen"
    adapters.save(folder, maker.learners["main"].weights(), maker.model.peft_config["main"], maker.base)
    run = open_run(seats=["main", str(folder)]).shake(size=0.2)
    frozen = run.session.frozen[str(folder)]
    run.session.publish()
    episodes = run.play()
    sources = sources_of(run, tmp_path, episodes)
    assert frozen in sources
    assert check(run, episodes, sources).claimed < 1e-5
    places = run.engine.adapters.names
    places[frozen], places[run.learners["main"].policy] = places[run.learners["main"].policy], places[frozen]
    swapped = run.play(publish=False)
    with pytest.raises(UserError, match=r"do not fit it"):
        check(run, swapped, sources)


def ways_to_play(run: Any, folder: Path) -> Any:
    """Everything that lets policies play outside of training, by its name."""
    from detente import api
    from detente.config import load
    from detente.evaluation.exploitability import exploitability
    from detente.policies import Policies

    config = load("ipd", ["game.rounds=2", "device=cpu"])
    agent = f"{run}@2"

    def alone() -> None:
        policies = Policies.of(config)
        exploitability(policies, policies.resolve(agent))

    return {
        "play": lambda: api.play("ipd", [agent, "tit_for_tat"], overrides=["game.rounds=2", "device=cpu"]),
        "free answers": lambda: api.play(
            "ipd", [agent, f"{run}@1"], overrides=["game.rounds=2", "device=cpu", "answer.decoding=free", "answer.max_tokens=5"]
        ),
        "arena": lambda: api.arena(config, [agent, "random"], folder / "arena", episodes=2),
        "fingerprint": lambda: api.fingerprint(config, [agent], folder / "fingerprint"),
        "exact best response": alone,
    }


WAYS = ["play", "free answers", "arena", "fingerprint", "exact best response"]


@pytest.mark.parametrize("way", WAYS)
def test_wrong_weights_are_refused_with_their_first_answer_wherever_they_play(
    way: Any, small_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from detente.backbone import lora

    play = ways_to_play(small_run, tmp_path)[way]
    monkeypatch.setattr(lora, "_of_parts", lambda layer, x, parts: lora.product(x, layer.base_layer.weight, layer.base_layer.bias))
    monkeypatch.setattr("detente.engines.adapters.agrees", lambda model, adapter: True)
    with pytest.raises(UserError, match=r"recorded as played by .*run@[12] do not fit it .* to the base model\)"):
        play()


def test_the_first_answers_of_the_base_model_are_scored_too(
    small_run: Path, tiny_model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from detente import api
    from detente.backbone import lora

    active = lora._forward

    def leaking(layer: Any, x: Any, *args: Any, **kwargs: Any) -> Any:
        """As a layer does that knows only the active adapter."""
        mixture, token = lora._mixture.get(), lora._mixture.set(None)
        try:
            found = active(layer, x)
        finally:
            lora._mixture.reset(token)
        return lora._of_parts(layer, x, mixture) if mixture and any(part[0] for part in mixture.parts) else found

    monkeypatch.setattr(lora, "_forward", leaking)
    monkeypatch.setattr("detente.engines.adapters.agrees", lambda model, adapter: True)
    with pytest.raises(UserError, match=r"recorded as played by model:.*tiny do not fit it .* to .*run@2\)"):
        api.play("ipd", [f"{small_run}@2", f"model:{tiny_model}"], overrides=["game.rounds=1", "device=cpu"])


def test_a_version_that_is_evaluated_and_never_played_is_scored(
    open_run: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    from detente.backbone import lora
    from detente.evaluation.final import evaluate

    run = open_run(evaluation={"episodes": 2, "against": []}).shake(size=0.2)
    run.session.publish()
    arguments = run.config, run.session.game, run.session.policies, run.session.present, 1, lambda name: None
    evaluate(*arguments)
    run.learners["main"].version = 1
    run.session.publish()
    monkeypatch.setattr(lora, "_of_parts", lambda layer, x, parts: lora.product(x, layer.base_layer.weight, layer.base_layer.bias))
    with pytest.raises(UserError, match=r"recorded as played by main@1 do not fit it .* to the base model\)"):
        evaluate(*arguments[:3], run.session.present, *arguments[4:])


def test_scores_that_are_not_finite_are_no_match(open_run: Callable[..., Any], tmp_path: Path) -> None:
    """The claimed policy's are refused; another's are no reason to doubt the claimed one."""
    run = open_run(**SEPARATE).shake(size=0.2)
    episodes = run.play()
    sources = sources_of(run, tmp_path, episodes)
    with torch.no_grad():
        run.learners["right"].parameters[-1].fill_(torch.nan)
    left = [replace(e, rounds=tuple(replace(r, turns=r.turns[:1]) for r in e.rounds)) for e in episodes]
    assert check(run, left, sources).claimed < 1e-5
    with pytest.raises(UserError, match=r"played by right@0 cannot be checked: its scores are not finite"):
        check(run, episodes, sources)
