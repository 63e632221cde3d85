"""An endpoint against a server on this machine that does what endpoints do on bad days."""

from __future__ import annotations

import asyncio
import json
import socket
import sys
from typing import Any

import pytest

from detente.errors import UserError
from detente.options import RemoteOptions
from detente.players.endpoint import Budget, Endpoint

QUESTION = [{"role": "user", "content": "<A> or <B>?"}]


def connect(name: Any, fields: Any = None, **options: Any) -> Any:
    chosen = RemoteOptions(**({"timeout": 5, "retries": 0} | options))
    return Endpoint(name, fields or {}, chosen, Budget(chosen))


def ask(endpoint: Any, **options: Any) -> Any:
    """One question on a fresh connection."""
    return asyncio.run(connect(endpoint.name, **options).ask(QUESTION))


def sentence(endpoint: Any, **options: Any) -> Any:
    with pytest.raises(UserError) as caught:
        ask(endpoint, **options)
    said = str(caught.value)
    assert said.endswith((".", "?"))
    assert "\n" not in said
    return said


def test_a_missing_package_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openai", None)
    with pytest.raises(UserError, match=r"install it with: pip install 'detente\[openai\]'\.$"):
        connect("openai:m@http://127.0.0.1:1/v1")


def test_asks_as_it_is_told(endpoint: Any) -> None:
    endpoint.begin(endpoint.says("<B>", finish="length"))
    reply = ask(endpoint, fields={"temperature": 0.5, "max_tokens": 7, "seed": 3})
    assert (reply.text, reply.cut) == ("<B>", True)
    assert endpoint.asked == [{"model": "some/model:1b", "messages": QUESTION, "temperature": 0.5, "max_tokens": 7, "seed": 3}]


def test_this_machine_needs_no_key_and_gets_the_one_there_is(endpoint: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    endpoint.begin(endpoint.says("<A>"))
    ask(endpoint)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-mine\n")
    ask(endpoint)
    assert endpoint.keys == ["Bearer none", "Bearer sk-mine"]


@pytest.mark.parametrize(
    ("url", "said"), [("@https://api.example.com:99/v1", r"api\.example\.com:99/v1"), ("", r"api\.openai\.com/v1")]
)
def test_any_other_machine_wants_a_key(endpoint: Any, url: str, said: str) -> None:
    with pytest.raises(UserError, match=rf"^https://{said} wants to know who asks: set OPENAI_API_KEY to your key\.$"):
        connect(f"openai:gpt{url}")


def test_without_an_address_the_client_knows_where_to_go(endpoint: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    endpoint.begin(endpoint.says("<A>"))
    monkeypatch.setenv("OPENAI_BASE_URL", endpoint.url)
    assert asyncio.run(connect("openai:gpt").ask(QUESTION)).text == "<A>"


def test_an_impossible_key_is_refused_and_not_repeated(endpoint: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-mïne")
    with pytest.raises(UserError, match="has a character that no key has") as caught:
        connect(endpoint.name)
    assert "sk-m" not in str(caught.value)


# ---- faults that pass


@pytest.mark.parametrize("status", [408, 429, 500, 503])
def test_a_passing_fault_is_tried_again(endpoint: Any, status: int) -> None:
    endpoint.begin(endpoint.fails(status), endpoint.fails(status), endpoint.says("<A>"))
    assert ask(endpoint, retries=2).text == "<A>"
    assert len(endpoint.asked) == 3


def test_a_dropped_connection_is_tried_again(endpoint: Any) -> None:
    endpoint.begin(endpoint.drops, endpoint.says("<A>"))
    assert ask(endpoint, retries=1).text == "<A>"


def test_a_busy_endpoint_is_given_the_time_it_asks_for(endpoint: Any) -> None:
    endpoint.begin(endpoint.sends("{}", 429, retry_after="1"), endpoint.says("<A>"))
    assert ask(endpoint, retries=1).text == "<A>"
    assert endpoint.times[1] - endpoint.times[0] >= 1  # of its own accord the client waits for half a second at most


# ---- faults that stay


@pytest.mark.parametrize(
    ("status", "tries", "said"),
    [
        (500, 3, r"failed \(tried 3 times\): 500, no; look at the server"),
        (429, 3, r"takes no more requests for now \(tried 3 times\): 429, no; wait"),
        (401, 1, r"wants a key: 401, no; set OPENAI_API_KEY\.$"),
        (403, 1, r"wants a key: 403, no; set OPENAI_API_KEY\.$"),
        (404, 1, r"has no such model or path: 404, no; check the model's name"),
        (400, 1, r"refuses the request: 400, no; check the model's name"),
    ],
)
def test_a_status_has_a_sentence(endpoint: Any, status: int, tries: int, said: str) -> None:
    endpoint.begin(endpoint.fails(status))
    assert sentence(endpoint, retries=2).startswith(f"{endpoint.url} (model 'some/model:1b') ")
    with pytest.raises(UserError, match=said):
        ask(endpoint, retries=2)
    assert len(endpoint.asked) == 2 * tries


def test_a_wait_of_hours_is_not_waited_for(endpoint: Any) -> None:
    endpoint.begin(endpoint.sends("{}", 429, retry_after="9999"))
    assert "takes no more requests for now: 429" in sentence(endpoint, retries=5)
    assert len(endpoint.asked) == 1


def test_a_slow_endpoint_is_named(endpoint: Any) -> None:
    endpoint.begin(endpoint.says("<A>", after=1.0))
    assert "gave no whole answer within 0.1 s (tried 2 times)" in sentence(endpoint, timeout=0.1, retries=1)


def test_an_endpoint_that_hangs_up_is_named(endpoint: Any) -> None:
    endpoint.begin(endpoint.drops)
    assert "broke off its answer (tried 2 times): Server disconnected" in sentence(endpoint, retries=1)


def test_an_endpoint_that_is_not_there_is_named(endpoint: Any) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{closed.getsockname()[1]}/v1"
        with pytest.raises(UserError, match=rf"^{url} \(model 'm'\) cannot be reached: .+; does the server run\?$"):
            asyncio.run(connect(f"openai:m@{url}").ask(QUESTION))


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ('{"choices": [', "answered with something that is not JSON"),
        ('{"choices": []}', 'answered with no message: {"choices": []}.'),
        ('{"choices": [{"index": 0}]}', "answered with no message"),
        ('{"choices": [null]}', "answered with no message"),
        ('{"choices": [{"message": {"content": ["<A>"]}}]}', "answered with no message"),
        ('{"error": {"message": "out of credit"}}', "answered with an error: out of credit; look at the server."),
        ("[1, 2]", "answered with no chat completion: [1, 2]"),
        ("null", "answered with something that is not JSON: null"),
    ],
)
def test_a_malformed_answer_is_named(endpoint: Any, body: str, said: str) -> None:
    endpoint.begin(endpoint.sends(body))
    assert said in sentence(endpoint, retries=3)
    assert len(endpoint.asked) == 1


def test_a_web_page_is_no_answer(endpoint: Any) -> None:
    endpoint.begin(endpoint.sends("<html>" + "Welcome! " * 100, content_type="text/html"))
    said = sentence(endpoint)
    assert "answered with something that is not JSON: <html>Welcome!" in said
    assert said.endswith("...; does the address end in /v1?")
    assert len(said) < 400


def test_the_key_is_in_no_error(endpoint: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-mine")
    endpoint.begin(endpoint.fails(401, "The key sk-mine is unknown."), endpoint.sends('{"error": "sk-mine"}'))
    with pytest.raises(UserError) as caught:
        ask(endpoint)
    assert "does not accept the key: 401, The key *** is unknown; set OPENAI_API_KEY to another one." in str(caught.value)
    assert caught.value.__cause__ is None  # --debug prints what an error came from
    assert caught.value.__suppress_context__
    assert "sk-mine" not in sentence(endpoint)


# ---- what it costs, and how many at once


def test_requests_are_limited_retries_included(endpoint: Any) -> None:
    endpoint.begin(endpoint.fails(500), endpoint.says("<A>"))
    one = connect(endpoint.name, retries=1, max_requests=3)
    asyncio.run(one.ask(QUESTION))
    asyncio.run(one.ask(QUESTION))
    with pytest.raises(UserError, match=r"sent 3 requests, .*max_requests=3 .* raise it, e\.g\. remote\.max_requests=6, and run"):
        asyncio.run(one.ask(QUESTION))
    assert len(endpoint.asked) == 3


def test_the_limit_may_come_between_two_tries(endpoint: Any) -> None:
    endpoint.begin(endpoint.fails(500))
    assert "sent 2 requests" in sentence(endpoint, retries=5, max_requests=2)
    assert len(endpoint.asked) == 2


def test_tokens_are_limited(endpoint: Any) -> None:
    endpoint.begin(endpoint.says("<A>", tokens=60))
    one = connect(endpoint.name, max_tokens=100)
    for _ in range(2):
        asyncio.run(one.ask(QUESTION))
    with pytest.raises(UserError, match=r"used 120 tokens, and remote\.max_tokens=100 allows no more"):
        asyncio.run(one.ask(QUESTION))


def test_tokens_that_nobody_counts_cannot_be_limited(endpoint: Any) -> None:
    endpoint.begin(endpoint.says("<A>", tokens=None))
    assert ask(endpoint).text == "<A>"
    assert "does not say how many tokens it uses; limit remote.max_requests" in sentence(endpoint, max_tokens=100)


@pytest.mark.parametrize("count", [-5, 0, True, 12.5, 10**30, "60", [60], {}])
def test_no_number_of_tokens_defeats_the_limit(endpoint: Any, count: Any) -> None:
    body = json.dumps({"choices": [{"message": {"content": "<A>"}}], "usage": {"total_tokens": count}})
    endpoint.begin(endpoint.sends(body))
    one = connect(endpoint.name)
    assert asyncio.run(one.ask(QUESTION)).text == "<A>"
    assert one._budget.spent == {"requests": 1, "tokens": 0}
    assert "says no number of tokens that an answer can cost; limit remote.max_requests" in sentence(endpoint, max_tokens=100)


@pytest.mark.parametrize("usage", [None, [], "60", 60, {}])
def test_a_usage_that_is_none_is_nobodys_count(endpoint: Any, usage: Any) -> None:
    endpoint.begin(endpoint.sends(json.dumps({"choices": [{"message": {"content": "<A>"}}], "usage": usage})))
    assert ask(endpoint).text == "<A>"
    assert "does not say how many tokens it uses" in sentence(endpoint, max_tokens=100)


def test_requests_at_once_are_limited_in_every_event_loop(endpoint: Any) -> None:
    endpoint.begin(endpoint.says("<A>", after=0.02))
    one = connect(endpoint.name, concurrency=3)

    async def many() -> Any:
        return await asyncio.gather(*(one.ask(QUESTION) for _ in range(12)))

    for _ in range(3):
        assert [reply.text for reply in asyncio.run(many())] == ["<A>"] * 12
        assert 1 < endpoint.most_under_way <= 3
        assert one._connection._value[0].is_closed()
    assert len(endpoint.asked) == 36
