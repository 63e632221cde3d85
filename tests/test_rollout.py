"""Rollout on a game with three players and two phases, with players that take their time."""

from __future__ import annotations

import asyncio
import random
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import pytest

from detente.errors import UserError
from detente.games import Observation, Step, make
from detente.games.matrix.strategies import MATRIX
from detente.players.scripted import Scripted, scripted
from detente.records import Completion, Episode, PolicyRef
from detente.rollout import Match, play_match, play_matches
from detente.seeding import stream


@dataclass(frozen=True)
class TalkState:
    speaker: int
    message: str = ""
    played: int = 0


@dataclass(frozen=True)
class Talk:
    """Each round one player speaks (the seed draws the first, then they take turns); then the two others pick a digit."""

    rounds: int = 3

    name = "talk"
    num_players = 3
    reward_bounds = (0.0, 18.0)

    def parameters(self) -> Any:
        return {"name": self.name, **asdict(self)}

    def reset(self, rng: Any) -> Any:
        return TalkState(rng.randrange(3))

    def to_act(self, state: Any) -> Any:
        return tuple(p for p in range(3) if p != state.speaker) if state.message else (state.speaker,)

    def observe(self, state: Any, player: Any) -> Any:
        if not state.message:
            return Observation(f"Round {state.played}, {state.speaker} speaks.", state, "[a-z]+")
        return Observation(f"{state.speaker} said {state.message}.", state, "[0-9]")

    def parse(self, state: Any, player: Any, text: Any) -> Any:
        if state.message:
            return int(text) if text in set("0123456789") else None
        return text if text.isalpha() else None

    def default_action(self, state: Any, player: Any) -> Any:
        return 0 if state.message else "silence"

    def step(self, state: Any, actions: Any) -> Any:
        if not state.message:
            return Step(replace(state, message=actions[state.speaker]))
        total = float(sum(actions.values()))
        rewards = tuple(total if p == state.speaker else float(actions[p]) for p in range(3))
        after = TalkState((state.speaker + 1) % 3, "", state.played + 1)
        return Step(after, rewards, done=after.played == self.rounds, info={"said": state.message})


@dataclass
class Sleeper:
    """Answers after a random time; the answer depends on its seed and on what it was told, not on the time."""

    name: str
    seed: int
    delay: random.Random
    heard: list[str] = field(default_factory=list)
    closed: int = 0

    @property
    def policy(self) -> Any:
        return PolicyRef("script", self.name)

    async def act(self, observation: Any) -> Any:
        self.heard.append(observation.text)
        await asyncio.sleep(self.delay.random() / 200)
        rng = stream(self.seed, len(self.heard), observation.text)
        text = rng.choice("0123456789?") if observation.pattern == "[0-9]" else rng.choice(["hi", "trust", "no!"])
        return Completion(text, self.policy, self.seed)

    def recall(self, observation: Any, completion: Any) -> None:
        self.heard.append(observation.text)

    def close(self) -> None:
        self.closed += 1


def matches(delay_seed: int, n: int = 8) -> list[Match]:
    delay = random.Random(delay_seed)
    return [
        Match(Talk(), seed=i // 2, players=[Sleeper(f"p{p}", 10 * i + p, delay) for p in range(3)], group=i // 2, index=i)
        for i in range(n)
    ]


def test_phases_rounds_and_seats() -> None:
    (match,) = matches(0, 1)
    (episode,) = play_matches([match])
    first = random.Random(match.seed).randrange(3)
    assert [[turn.player for turn in r.turns] for r in episode.rounds] == [
        [s, *(p for p in range(3) if p != s)] for s in ((first + t) % 3 for t in range(3))
    ]
    for r in episode.rounds:
        assert r.steps == (1, 2)
        speech, *picks = r.turns
        total = sum(turn.action for turn in picks)
        assert r.info == {"said": speech.action}
        assert r.rewards[speech.player] == total
        assert [r.rewards[turn.player] for turn in picks] == [turn.action for turn in picks]
    assert [str(policy) for policy in episode.policies] == ["p0", "p1", "p2"]
    assert episode.learners == (None, None, None)
    assert [player.closed for player in match.players] == [1, 1, 1]  # type: ignore[attr-defined]


def test_a_waiting_player_hears_everything_once() -> None:
    (match,) = matches(1, 1)
    (episode,) = play_matches([match])
    first = random.Random(match.seed).randrange(3)
    said = [r.info["said"] for r in episode.rounds]
    speaks = [f"Round {t}, {(first + t) % 3} speaks." for t in range(3)]
    says = [f"{(first + t) % 3} said {said[t]}." for t in range(3)]
    heard = {p: match.players[p].heard for p in range(3)}  # type: ignore[attr-defined]
    assert heard[first] == [speaks[0], f"{says[0]}\n{speaks[1]}\n{says[1]}", f"{speaks[2]}\n{says[2]}"]
    assert heard[(first + 1) % 3] == [f"{speaks[0]}\n{says[0]}", speaks[1], f"{says[1]}\n{speaks[2]}\n{says[2]}"]
    assert [turn.prompt for turn in episode.turns(first)] == heard[first]


def test_a_briefing_follows_the_first_words_of_its_seat_whoever_acts_first() -> None:
    (plain,), (match,) = matches(1, 1), matches(1, 1)
    play_matches([plain])
    (episode,) = play_matches([replace(match, briefing=("be kind", "", "be quick"))])
    first = random.Random(match.seed).randrange(3)
    opening = f"Round 0, {first} speaks."
    for p, text in enumerate(match.briefing or ("be kind", "", "be quick")):
        heard = match.players[p].heard  # type: ignore[attr-defined]
        assert heard[0].startswith(f"{opening}\n{text}" if text else opening)
        assert [text in words for words in heard if text] == ([True] + [False] * (len(heard) - 1) if text else [])
        assert next(episode.turns(p)).prompt == heard[0]
    assert match.players[1].heard[0] == plain.players[1].heard[0]  # type: ignore[attr-defined]


def test_a_briefing_is_one_text_for_each_seat() -> None:
    (match,) = matches(1, 1)
    with pytest.raises(ValueError, match="zip"):
        play_matches([replace(match, briefing=("be kind",))])


def as_asked(episode: Episode) -> Episode:
    """The episode as if none of its turns were replayed."""
    rounds = [replace(r, turns=tuple(replace(turn, replayed=False) for turn in r.turns)) for r in episode.rounds]
    return replace(episode, rounds=tuple(rounds))


@pytest.mark.parametrize("steps", range(7))
def test_a_replayed_beginning_and_the_same_seeds_give_the_same_episode(steps: int) -> None:
    """Whatever was invalid, whoever waited: players go on from recorded turns as from their own."""
    (source,) = play_matches(matches(0, 1))
    beginning = tuple(turn for step in [s for r in source.rounds for s in r.by_step()][:steps] for turn in step)
    (match,) = matches(0, 1)
    (again,) = play_matches([replace(match, replay=beginning)])
    assert [turn.replayed for turn in again.turns()] == [i < len(beginning) for i in range(9)]
    assert as_asked(again) == source


def test_other_seeds_go_on_otherwise_from_the_same_beginning() -> None:
    game = make("ipd", rounds=6)

    def played(seed: int, replay: Any = ()) -> Episode:
        players = [scripted("random", seed + seat, game) for seat in range(2)]
        return play_matches([Match(game, 0, players, replay=replay)])[0]

    source = played(0)
    beginning = tuple(turn for r in source.rounds[:3] for turn in r.turns)
    assert as_asked(played(0, beginning)) == source
    others = [as_asked(played(seed, beginning)) for seed in (10, 20, 30)]
    assert all(other.rounds[:3] == source.rounds[:3] for other in others)
    assert len({tuple(turn.action for turn in other.turns()) for other in others}) == 3


def test_a_match_may_end_after_so_many_rounds() -> None:
    (match,) = matches(0, 1)
    (whole,), (cut,) = play_matches(matches(0, 1)), play_matches([replace(match, rounds=2)])
    assert cut.rounds == whole.rounds[:2]
    assert [player.closed for player in match.players] == [1, 1, 1]  # type: ignore[attr-defined]


def test_turns_of_others_than_those_who_answer_are_not_replayed() -> None:
    (source,), (match,) = play_matches(matches(0, 1)), matches(0, 1)
    with pytest.raises(ValueError, match="answered in the replayed step"):
        play_matches([replace(match, replay=source.rounds[0].turns[1:])])


def test_invalid_answers_are_recorded_and_the_default_is_played() -> None:
    turns = [turn for episode in play_matches(matches(2, 20)) for turn in episode.turns()]
    invalid = [turn for turn in turns if not turn.valid]
    assert {turn.completion.text for turn in invalid} == {"?", "no!"}
    assert {turn.action for turn in invalid} == {0, "silence"}
    assert all(str(turn.action) == turn.completion.text for turn in turns if turn.valid)


def test_the_order_in_which_answers_arrive_changes_nothing() -> None:
    expected = play_matches(matches(0))
    assert [episode.index for episode in expected] == list(range(8))
    for delay_seed in range(1, 4):
        assert play_matches(matches(delay_seed)) == expected
    assert play_matches(matches(9), concurrency=1) == expected
    assert play_matches(matches(9), concurrency=3) == expected


def test_episodes_of_a_group_share_the_seed_and_what_it_draws() -> None:
    episodes = play_matches(matches(0))
    for one, other in zip(episodes[::2], episodes[1::2], strict=True):
        assert one.seed == other.seed
        assert one.rounds[0].turns[0].player == other.rounds[0].turns[0].player
    assert len({e.rounds[0].turns[0].player for e in episodes}) > 1


def test_concurrency_is_a_limit_and_every_episode_is_announced() -> None:
    running, most = 0, 0
    announced: list[Any] = []

    class Counted(Sleeper):
        async def act(self, observation: Any) -> Any:
            nonlocal running, most
            running += 1
            most = max(most, running)
            completion = await super().act(observation)
            running -= 1
            return completion

    delay = random.Random(0)
    many = [Match(Talk(), seed=i, players=[Counted(f"p{p}", p, delay) for p in range(3)]) for i in range(9)]
    episodes = play_matches(many, concurrency=2, on_episode=announced.append)
    assert most <= 4  # two matches, two players at once
    assert sorted(e.seed for e in announced) == [e.seed for e in episodes] == list(range(9))


def test_players_that_act_at_once_are_asked_at_once() -> None:
    """Each of the two waits until the other has been asked too; one after the other would never end."""
    asked = 0

    class Waits(Scripted):
        async def act(self, observation: Any) -> Any:
            nonlocal asked
            asked += 1
            while asked < 2:
                await asyncio.sleep(0)
            return await super().act(observation)

    async def limited() -> Episode:
        players = [Waits(name, 0, MATRIX[name]) for name in ("always_defect", "always_cooperate")]
        return await asyncio.wait_for(play_match(Match(make("ipd", rounds=2), seed=0, players=players)), timeout=5)

    assert [r.rewards for r in asyncio.run(limited()).rounds] == [(5, 0), (5, 0)]


def test_a_failing_player_ends_the_rollout_with_its_own_error() -> None:
    class Fails(Sleeper):
        async def act(self, observation: Any) -> None:
            raise UserError("No answer.")

    delay = random.Random(0)
    players = [[(Fails if (i, p) == (2, 1) else Sleeper)(f"p{p}", p, delay) for p in range(3)] for i in range(4)]
    with pytest.raises(UserError, match="No answer"):
        play_matches([Match(Talk(), seed=i, players=seats) for i, seats in enumerate(players)])
    assert [player.closed for seats in players for player in seats] == [1] * 12


def test_no_match_begins_after_one_has_failed() -> None:
    asked = []

    class Leaves(Sleeper):
        async def act(self, observation: Any) -> Any:
            asked.append(self.policy)
            raise UserError("You left the game.")

    delay = random.Random(0)
    matches = [Match(Talk(), seed=i, players=[Leaves(f"p{i}{p}", p, delay) for p in range(3)]) for i in range(3)]
    with pytest.raises(UserError, match="You left"):
        play_matches(matches, concurrency=1)
    assert len(asked) == 1


def test_the_record_makes_the_game_again_and_survives_json() -> None:
    game = make("ipd", continuation=0.8, counterbalance=True)
    match = Match(
        game,
        seed=5,
        players=[scripted("extort", 1, game), scripted("random", 2, game)],
        learners=("main", None),
        iteration=7,
        group=3,
        index=11,
    )
    (episode,) = play_matches([match])
    again = Episode.from_json(episode.to_json())
    assert again == episode
    assert make(**again.game) == match.game
    assert (again.seed, again.learners, again.iteration, again.group, again.index) == (5, ("main", None), 7, 3, 11)


def test_nothing_to_play() -> None:
    assert play_matches([]) == []
