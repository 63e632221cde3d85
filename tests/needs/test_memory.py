"""Bytes of a device, disk and seconds: pure functions of options and sizes."""

from __future__ import annotations

from dataclasses import replace

import pytest

from detente.config import Config, load
from detente.games import configured
from detente.learning import segments
from detente.needs import memory as memory_module
from detente.needs.chats import Said, expected
from detente.needs.disk import stored
from detente.needs.memory import Memory, Place, activations, kept, needed, server
from detente.needs.plan import changed, fitting_options
from detente.needs.shape import KNOWN
from detente.needs.times import H100, estimated

SEVEN = KNOWN["Qwen/Qwen2.5-7B-Instruct"]
ODD = replace(SEVEN, head=124)
SHAPES = {"Qwen/Qwen2.5-7B-Instruct": SEVEN}
GIB = float(1 << 30)
SAID = Said(longest=3700, mean=3600.0, opening=250, generated=1300.0, answers=20.0, stored=3000.0)


def paper(*overrides: str) -> Config:
    return load("trust_and_split_paper", ["algorithm=advantage_alignment", *overrides])


def memory(config: Config, said: Said = SAID) -> Memory:
    return needed(config, SHAPES, said, dtype=config.dtype, place=Place("cuda", 1e9))


def test_seven_billion_parameters_fit_into_80_gib() -> None:
    assert memory(paper()).peak < 0.95 * 80 * GIB
    assert 14 * GIB < memory(paper()).always["base model"] < 15 * GIB
    assert memory(paper()).play["key-value cache"] == pytest.approx(160 * 3712 * 57344 * 29 / 28)


def test_what_costs_memory() -> None:
    usual = memory(paper())
    assert memory(paper("concurrency=16")).play["key-value cache"] < usual.play["key-value cache"] / 2
    whole = memory(paper("optimizer.gradient_checkpointing=false")).update["update, activations"]
    assert whole > 5 * usual.update["update, activations"]
    assert memory(paper("dtype=float32")).always["base model"] == 2 * usual.always["base model"]
    fewer = memory(paper("opponents.max_loaded=4")).always["adapters that are served"]
    assert usual.always["adapters that are served"] / fewer == pytest.approx((28 + 1) / (4 + 1))
    critic = memory(paper("algorithm=reinforce", "credit.baseline=critic")).always["adapters that learn, gradients, Adam"]
    assert critic == 2 * usual.always["adapters that learn, gradients, Adam"]


def test_attention_in_segments_needs_no_mask() -> None:
    bf16, odd = (activations(paper(), shape, paper().learner("main"), SAID, "bfloat16", "cuda") for shape in (SEVEN, ODD))
    f16 = activations(paper(), SEVEN, paper().learner("main"), SAID, "float16", "cuda")
    assert f16 > bf16 + 1e9
    assert odd > bf16 + 1e9
    assert ODD.head % 8
    assert memory_module.LARGEST_HEAD == segments.LARGEST_HEAD


def test_servers_overlap_and_processes() -> None:
    def peak(*overrides: str, device: str = "cuda") -> float:
        return needed(paper(*overrides), SHAPES, SAID, dtype="bfloat16", place=Place(device, 1e9)).peak

    usual, urls = memory(paper()), "engine.urls=[http://a:1,http://b:1]"
    apart = paper("engine=vllm", urls)
    assert memory(apart).play == {}
    assert memory(apart).peak < usual.peak
    beside = needed(apart, SHAPES, SAID, dtype="bfloat16", place=Place("cuda", 1e9, beside_server=True))
    assert beside.peak == memory(apart).peak + server(apart, SHAPES, SAID, 2)
    assert server(apart, SHAPES, SAID, 2) < server(paper("engine=vllm", "engine.urls=[http://a:1]"), SHAPES, SAID, 2)
    assert peak("overlap=1") == pytest.approx(usual.peak + sum(usual.update.values()) + usual.always["base model"])
    assert peak("processes=2") == usual.peak
    assert peak("processes=2", device="cpu") > peak(device="cpu") + 15e9


def test_kept_versions_are_those_of_the_end() -> None:
    assert kept(paper()) == 28
    assert kept(paper("iterations=50")) == 5
    assert kept(paper("opponents.max_kept=3")) == 3
    assert kept(paper("opponents.kept=0")) == 0


def test_the_peak_is_that_of_play_or_update() -> None:
    assert Memory({"a": 1.0}, {"b": 2.0, "c": 3.0}, {"d": 4.0}).peak == 6.0
    assert Memory({"a": 1.0}, {"b": 2.0}, {"d": 4.0}).peak == 5.0


@pytest.mark.parametrize("gib", [24, 40, 60, 80])
def test_options_that_fit_are_no_harder_than_they_must_be(gib: int) -> None:
    config, room = paper("optimizer.gradient_checkpointing=false"), gib * GIB
    changes = fitting_options(config, memory, room)
    assert changes is not None
    assert changes.memory.peak <= room
    assert memory(changed(config, changes.options)) == changes.memory
    for key in changes.options:
        without = {other: value for other, value in changes.options.items() if other != key}
        assert memory(changed(config, without)).peak > room


def test_nothing_fits_into_too_little() -> None:
    assert fitting_options(paper(), memory, 10 * GIB) is None


def test_disk_is_adapters_states_and_episodes() -> None:
    parts = stored(paper(), SHAPES, SAID)
    assert parts["adapters"] == 300 * 4 * 80_740_352
    assert parts["episodes"] == 300 * 64 * 3000
    assert stored(paper("opponents.max_kept=28"), SHAPES, SAID)["adapters"] == 28 * 4 * 80_740_352


def test_seconds_grow_with_what_is_said_and_learned() -> None:
    def seconds(config: Config, said: Said = SAID) -> dict[str, float]:
        return estimated(config, SHAPES, said, dtype="bfloat16", device=H100)

    usual = seconds(paper())
    assert seconds(paper(), replace(SAID, generated=2600.0))["rollout"] > 1.5 * usual["rollout"]
    assert seconds(paper("optimizer.steps=2"))["update"] == pytest.approx(2 * usual["update"])
    assert seconds(paper("opponents.train_focal_only=false"))["update"] == pytest.approx(2 * usual["update"])
    assert seconds(paper("concurrency=8"))["rollout"] > 3 * usual["rollout"]


def test_chats_are_as_long_as_the_answers_that_can_be_given() -> None:
    def said(game: str, tokens: int = 400) -> Said:
        return expected(configured({"name": game}, ()), tokens)

    assert said("trust_and_split").longest > 3 * said("ipd").longest
    assert said("trust_and_split", 20).longest < said("trust_and_split").longest
    assert said("ipd").answers == 10
