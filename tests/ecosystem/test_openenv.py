"""A game as an OpenEnv environment: OpenEnv's own check of the running server, and its client against our own play."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

pytest.importorskip("openenv.core", reason="openenv is not installed: make test-ecosystem brings it")

import uvicorn
from openenv.cli._validation import validate_running_environment

from detente import play
from detente.environments.openenv import Answer, GameClient, app
from detente.errors import UserError

pytestmark = pytest.mark.ecosystem


@pytest.fixture(
    scope="module", params=[("ipd", "tit_for_tat", 0, ["game.rounds=4"]), ("trust_and_split", "fair_half", 1, ["game.rounds=2"])]
)
def served(request: Any) -> Iterator[tuple[str, tuple[str, str, int, list[str]]]]:
    """The address of a server, and what it serves."""
    server = uvicorn.Server(uvicorn.Config(app(*request.param), port=0, log_level="error"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.05)
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}", request.param
    server.should_exit = True
    thread.join()


def test_openenv_accepts_the_server(served: Any) -> None:
    report = validate_running_environment(served[0])
    assert report["passed"], report


def test_a_client_is_told_and_paid_what_our_own_play_says(served: Any) -> None:
    address, (game, opponent, seat, overrides) = served
    own = "always_defect" if game == "ipd" else "greedy"
    sitting = [opponent, opponent]
    sitting[seat] = own
    (episode,) = play(game, sitting, seed=6, overrides=overrides)
    with GameClient(base_url=address).sync() as client:
        for _ in range(2):  # a second episode on the same connection
            result, points = client.reset(seed=6), 0.0
            for turn in episode.turns(seat):
                assert not result.done
                assert result.observation.text == turn.prompt
                result = client.step(Answer(text=turn.completion.text))
                assert result.observation.valid == turn.valid
                points += result.reward
            assert result.done
            assert points == pytest.approx(sum(episode.rewards(seat)))
            assert client.state().step_count == len(list(episode.turns(seat)))


def test_clients_play_side_by_side(served: Any) -> None:
    address = served[0]
    with GameClient(base_url=address).sync() as one, GameClient(base_url=address).sync() as other:
        first, second = one.reset(seed=1), other.reset(seed=1)
        assert first.observation.text == second.observation.text
        assert not one.step(Answer(text="nonsense")).observation.valid
        assert other.state().step_count == 0


@pytest.mark.parametrize(
    ("given", "right"),
    [
        (("idp", "tit_for_tat"), "did you mean 'ipd'"),
        (("ipd", "tit_for_tet"), "did you mean 'tit_for_tat'"),
        (("ipd", ["random", "random"]), "has 2 seats"),
        (("ipd", "random", 2), "the seats 0 to 1"),
        (("ipd", "random", 0, ["game.round=2"]), "rounds"),
    ],
)
def test_what_makes_no_server_is_a_sentence(given: Any, right: str) -> None:
    with pytest.raises(UserError, match=right):
        app(*given)
