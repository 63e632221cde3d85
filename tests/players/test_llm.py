"""The language-model player against an engine without a model."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from detente.engines.base import FakeEngine, Generation, Request, Sampling
from detente.errors import UserError
from detente.games.base import Observation
from detente.players.chat import FakeChat
from detente.players.llm import LLMPlayer
from detente.records import PolicyRef
from detente.rollout import Match, play_matches
from detente.seeding import derive

POLICY = PolicyRef("adapter", "main", 7)
AB = Observation("Choose.", None, "<A>|<B>", ("<A>", "<B>"))


def player(engine: Any, **options: Any) -> Any:
    return LLMPlayer(engine, FakeChat(), POLICY, "chat 1", 5, **options)


def act(p: Any, *observations: Any) -> Any:
    async def all_in_turn() -> Any:
        return [await p.act(o) for o in observations]

    return asyncio.run(all_in_turn())


def scripted(*answers: Any) -> Any:
    """An engine that gives these answers, one per request."""
    left = list(answers)
    return FakeEngine(answer=lambda request: left.pop(0))


def test_constrained_sends_the_pattern_and_records_it() -> None:
    engine = FakeEngine()
    (completion,) = act(player(engine, sampling=Sampling(0.5, 9)), AB)
    (request,) = engine.requests
    assert (request.pattern, request.choices, request.policy, request.chat) == (AB.pattern, AB.choices, POLICY, "chat 1")
    assert request.sampling == Sampling(0.5, 9)
    assert (completion.pattern, completion.probabilities, completion.attempts) == (AB.pattern, (0.5, 0.5), 1)
    assert completion.policy == POLICY
    assert completion.text in AB.choices
    assert len(completion.logprobs) == len(completion.tokens) == 4


def test_a_chat_goes_on_from_recorded_answers_as_from_its_own() -> None:
    asked, recalling = FakeEngine(), FakeEngine()
    first, second, third = act(player(asked), AB, AB, AB)
    again = player(recalling)
    again.recall(AB, first)
    again.recall(AB, second)
    assert act(again, AB) == [third]
    assert recalling.requests == asked.requests[2:]


def test_what_is_not_the_next_answer_of_a_chat_is_not_replayed() -> None:
    (first,) = act(player(FakeEngine()), AB)
    for wrong in (replace(first, tokens=()), replace(first, prompt_tokens=(5, *first.prompt_tokens))):
        with pytest.raises(UserError, match="A recorded answer of main@7 cannot be replayed by main@7"):
            player(FakeEngine()).recall(AB, wrong)


@pytest.mark.parametrize("decoding", ["constrained", "retry", "free"])
def test_the_chat_is_the_completions_joined(decoding: str) -> None:
    engine = scripted(*["<A>"] * 3)
    completions = act(player(engine, decoding=decoding), AB, AB, AB)
    chat = ()
    for request, completion in zip(engine.requests, completions, strict=True):
        chat += completion.prompt_tokens
        assert request.tokens == chat
        chat += completion.tokens
    text = "Choose.\x02<A>\x03"
    assert "".join(map(chr, chat)) == text * 3


def test_retry_samples_freely_until_an_answer_matches_and_forgets_the_rest() -> None:
    engine = scripted("Well, <A>", "<A", " <B>\n", "<A>")
    first, second = act(player(engine, decoding="retry", retries=5), AB, AB)
    assert (first.text, first.attempts, first.pattern) == ("<B>", 3, None)
    assert (second.text, second.attempts) == ("<A>", 1)
    assert [r.pattern for r in engine.requests] == [None] * 4
    assert engine.requests[0].tokens == engine.requests[1].tokens == engine.requests[2].tokens == first.prompt_tokens
    assert engine.requests[3].tokens == first.prompt_tokens + first.tokens + second.prompt_tokens


def test_retry_gives_up_after_its_tries_and_records_the_last() -> None:
    engine = scripted("one", "two", "three")
    (completion,) = act(player(engine, decoding="retry", retries=3), AB)
    assert (completion.text, completion.attempts) == ("three", 3)


@pytest.mark.parametrize("decoding", ["retry", "free"])
def test_what_is_thought_is_no_part_of_the_text_and_stays_in_the_chat(decoding: str) -> None:
    said = "I should cooperate.\n</think>\n\n<B>"
    engine = scripted(said, "<A>")
    first, second = act(player(engine, decoding=decoding), AB, AB)
    assert (first.text, first.attempts, second.text) == ("<B>", 1, "<A>")
    assert first.tokens == (*map(ord, said), 3)
    assert len(first.logprobs) == len(first.tokens)
    assert engine.requests[1].tokens == first.prompt_tokens + first.tokens + second.prompt_tokens


def test_a_thought_without_an_end_is_a_wrong_answer() -> None:
    engine = scripted("<think>hm, <A>", "hm</think> no", "<think>x</think><A>")
    (completion,) = act(player(engine, decoding="retry"), AB)
    assert (completion.text, completion.attempts) == ("<A>", 3)


def test_a_guided_answer_is_what_the_pattern_says() -> None:
    (completion,) = act(player(scripted("a </think> b")), Observation("Talk.", None, ".*"))
    assert completion.text == "a </think> b"


def test_free_takes_the_first_answer_whatever_it_is() -> None:
    engine = scripted("no idea")
    (completion,) = act(player(engine, decoding="free", retries=3), AB)
    assert (completion.text, completion.attempts, completion.pattern) == ("no idea", 1, None)
    assert engine.requests[0].choices == AB.choices


def test_every_turn_and_attempt_has_a_seed_of_its_own() -> None:
    engine = scripted("x", "<A>", "x", "x", "<A>")
    completions = act(player(engine, decoding="retry", retries=4), AB, AB)
    seeds = [r.seed for r in engine.requests]
    assert seeds == [derive(5, 0, 0), derive(5, 0, 1), derive(5, 1, 0), derive(5, 1, 1), derive(5, 1, 2)]
    assert len(set(seeds)) == 5
    assert [c.seed for c in completions] == [seeds[1], seeds[4]]


@dataclass
class CuttingEngine(FakeEngine):
    """Stops before the end of the turn, as at the limit of new tokens; remembers what it was told to forget."""

    released: list[Any] = field(default_factory=list)

    async def generate(self, request: Request) -> Any:
        full = await super().generate(request)
        return Generation(full.text, full.tokens[:-1], full.logprobs[:-1])

    def release(self, chat: Any) -> None:
        self.released.append(chat)


def test_a_cut_off_answer_is_ended_by_the_next_turn() -> None:
    engine = CuttingEngine(answer=lambda request: "<A>")
    first, second = act(player(engine, decoding="free"), AB, AB)
    assert first.tokens == tuple(map(ord, "<A>"))
    assert second.prompt_tokens == (3, *map(ord, "Choose."), 2)


def test_the_engine_forgets_the_chat_when_the_episode_is_over() -> None:
    engine = CuttingEngine()
    player(engine).close()
    assert engine.released == ["chat 1"]


def test_two_models_play_a_match() -> None:
    from detente.games import make

    engine = FakeEngine()
    players = [LLMPlayer(engine, FakeChat(), POLICY, f"chat {i}", i) for i in range(2)]
    (episode,) = play_matches([Match(make("ipd"), seed=1, players=players)])
    assert episode.policies == (POLICY, POLICY)
    assert all(turn.valid for turn in episode.turns())
    assert len({turn.action for turn in episode.turns()}) == 2


def test_where_an_answer_begins_inside_a_thought_nobody_knows_how_likely_the_choices_are() -> None:
    chat = FakeChat()
    chat.thinks = True
    engine = scripted("hm</think><A>")
    (completion,) = act(LLMPlayer(engine, chat, POLICY, "chat 1", 5, decoding="free"), AB)
    assert (completion.text, completion.probabilities, engine.requests[0].choices) == ("<A>", (), ())
