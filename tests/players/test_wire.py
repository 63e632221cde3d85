"""What endpoints send on bad days and out of malice: each ends in time, in little memory, and with a sentence."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import json
import resource
import socket
import time
import zlib
from collections.abc import Callable
from email.utils import formatdate
from typing import Any

import httpx2
import orjson
import pytest

from detente.errors import UserError
from detente.options import RemoteOptions
from detente.players import wire
from detente.players.endpoint import Budget, Endpoint
from tests.players.test_endpoint import QUESTION, ask, connect, sentence

ANSWER = json.dumps({"choices": [{"message": {"role": "assistant", "content": "<A>"}}]})


def writes(*parts: bytes, pause: float = 0.0, again: bool = False) -> Callable[..., Any]:
    """A step that sends these bytes, the last one for ever where ``again``, with a pause after each."""

    def step(handler: Any) -> None:
        handler.close_connection = True
        with contextlib.suppress(OSError):
            for part in parts:
                handler.connection.sendall(part)
                time.sleep(pause)
            while again:
                handler.connection.sendall(parts[-1])
                time.sleep(pause)

    return step


def answers(content: bytes, *headers: str, length: int | None = None) -> bytes:
    """The bytes of a response."""
    lines = ["HTTP/1.1 200 OK", f"content-length: {len(content) if length is None else length}", *headers, "", ""]
    return "\r\n".join(lines).encode() + content


START = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"
CHUNKED = START + b"transfer-encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    "step",
    [
        writes(answers(b"", length=9999), b" ", pause=0.02, again=True),
        writes(START, b"x-more: 1\r\n", pause=0.02, again=True),
        writes(CHUNKED, b"1\r\n \r\n", pause=0.02, again=True),
        writes(b"HTTP/1.1 100 Continue\r\n\r\n", pause=0.02, again=True),
        writes(b"HTTP/1.1 500 no\r\ncontent-length: 9999\r\n\r\n", b" ", pause=0.02, again=True),
        writes(b"HTTP/1.1 307 go\r\nlocation: /x\r\ncontent-length: 9999\r\n\r\n", b" ", pause=0.02, again=True),
    ],
    ids=["bytes", "headers", "chunks", "continue", "failure", "redirect"],
)
def test_a_trickle_ends_in_time(endpoint: Any, step: Any) -> None:
    endpoint.begin(step)
    start = time.monotonic()
    assert "gave no whole answer within 0.2 s" in sentence(endpoint, timeout=0.2)
    assert time.monotonic() - start < 20


@pytest.mark.parametrize("retries", [0, 1])
def test_every_try_has_the_whole_time(endpoint: Any, retries: int) -> None:
    slow = writes(answers(b"", length=9999), b" ", pause=0.02, again=True)
    endpoint.begin(*[slow] * retries, endpoint.says("<A>"))
    assert ask(endpoint, timeout=1, retries=retries).text == "<A>"


BLOCK = b"10000\r\n" + b" " * 65536 + b"\r\n"
BOMB = gzip.compress(bytes(64 << 20))


@pytest.mark.parametrize(
    "step",
    [
        writes(CHUNKED, BLOCK, again=True),
        writes(START + b"\r\n", b" " * 65536, again=True),
        writes(b"HTTP/1.1 500 no\r\n\r\n", b" " * 65536, again=True),
        writes(answers(BOMB, "content-encoding: gzip")),
        writes(answers(zlib.compress(bytes(64 << 20)), "content-encoding: deflate")),
    ],
    ids=["chunks", "body", "failure", "gzip", "deflate"],
)
def test_a_flood_is_cut_off(endpoint: Any, step: Any) -> None:
    endpoint.begin(step)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert "answers with more than 4 MiB, which no answer needs" in sentence(endpoint, retries=3)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 60 << 10  # KiB
    assert len(endpoint.asked) == 1


@pytest.mark.parametrize(
    ("step", "said"),
    [
        (writes(answers(b"x", "content-encoding: br")), "packs its answers in a way that nobody asked for ('br')"),
        (writes(answers(b"x", "content-encoding: gzip, gzip")), "in a way that nobody asked for ('gzip, gzip')"),
        (writes(answers(b"nonsense", "content-encoding: gzip")), "answered with something that is not gzip, as it says"),
        (
            writes(answers(gzip.compress(b"{}")[:-9], "content-encoding: gzip")),
            "answered with something that is not gzip, as it says",
        ),
        (writes(answers(b'{"choices"', length=500)), "broke off its answer"),
        (writes(answers(ANSWER.encode(), length=10)), 'not JSON: {"choices"'),
        (writes(CHUNKED, b"ffffffff\r\n{}"), "broke off its answer"),
        (writes(CHUNKED, b"no number\r\n"), "broke off its answer"),
        (writes(b"SSH-2.0-OpenSSH\r\n"), "broke off its answer"),
        (writes(b"HTTP/1.1 200 OK\r\nx: " + b"y" * 200_000), "broke off its answer"),
        (writes(answers(b"")), "answered with something that is not JSON: nothing"),
        (writes(b"HTTP/1.1 204 No\r\n\r\n"), "answered with something that is not JSON: nothing"),
    ],
)
def test_broken_framing_has_a_sentence(endpoint: Any, step: Any, said: str) -> None:
    endpoint.begin(step)
    assert said in sentence(endpoint, timeout=2)


@pytest.mark.parametrize(
    "content",
    [
        answers(gzip.compress(ANSWER.encode()), "content-encoding: gzip"),
        answers(ANSWER.encode(), "content-encoding: identity", "content-type: text/html; charset=utf-16"),
        answers(b"\xef\xbb\xbf" + ANSWER.encode()),
        answers(ANSWER.encode("utf-16")),
        answers(ANSWER.encode(), "content-type: nonsense"),
        CHUNKED + b"%x\r\n%s\r\n0\r\n\r\n" % (len(ANSWER), ANSWER.encode()),
        b"HTTP/1.0 200 OK\r\n\r\n" + ANSWER.encode(),
        b"HTTP/1.1 100 Continue\r\n\r\n" + answers(ANSWER.encode()),
    ],
    ids=["gzip", "charset", "byte order mark", "utf-16", "type", "chunks", "HTTP/1.0", "continue"],
)
def test_odd_ways_to_answer_are_understood(endpoint: Any, content: Any) -> None:
    endpoint.begin(writes(content))
    assert ask(endpoint).text == "<A>"


@pytest.mark.parametrize(
    ("message", "text"),
    [
        ({"content": "\ud83d and \udc00, \ud83d\ude00"}, "\ufffd and \ufffd, \U0001f600"),
        (
            {"content": [{"type": "thinking", "thinking": "hm"}, {"type": "text", "text": "<"}, {"type": "text", "text": "A>"}]},
            "<A>",
        ),
        ({"content": [], "refusal": None}, ""),
        ({"content": None, "refusal": "I will not."}, "I will not."),
        ({"content": None, "reasoning_content": "hm", "tool_calls": []}, ""),
        ({}, ""),
    ],
)
def test_odd_messages_are_read(endpoint: Any, message: Any, text: str) -> None:
    endpoint.begin(endpoint.sends(json.dumps({"choices": [{"message": message}]})))
    said = ask(endpoint).text
    assert said == text
    orjson.dumps(said)


def test_letters_of_another_charset_do_not_hide_an_answer(endpoint: Any) -> None:
    endpoint.begin(writes(answers(ANSWER.replace("<A>", "<A> né").encode("latin-1"), "content-type: application/json")))
    assert ask(endpoint).text == "<A> n\ufffd"


@pytest.mark.parametrize("deep", ['{"choices":' + "[" * 100_000, "[" * 900 + "]" * 900, '{"a":' * 900 + "1" + "}" * 900])
@pytest.mark.parametrize("where", ["%s", '{"error": %s}', '{"code": %s}', '{"choices": [{"message": {"content": %s}}]}'])
@pytest.mark.parametrize("status", [200, 400])
def test_deep_nesting_has_a_sentence(endpoint: Any, deep: str, where: str, status: int) -> None:
    endpoint.begin(endpoint.sends(where % deep, status))
    assert len(sentence(endpoint)) < 500


@pytest.mark.parametrize(
    "choices", ["null", "{}", '"x"', "7", "[]", "[7]", '["x"]', '[{"message": "x"}]', '[{"message": {"content": 7}}]']
)
def test_choices_of_every_kind_have_a_sentence(endpoint: Any, choices: str) -> None:
    endpoint.begin(endpoint.sends(f'{{"choices": {choices}}}'))
    assert "answered with no " in sentence(endpoint, retries=2)


# ---- faults in a body


@pytest.mark.parametrize(
    "body",
    [
        {"error": {"code": 502, "message": "bad luck"}},
        {"error": {"code": "502", "message": "bad luck"}},
        {"error": {"status": 502, "message": "bad luck"}},
        {"error": {"type": "server_error", "message": "bad luck"}},
        {"error": "bad luck", "code": 502},
        {"error": "bad luck", "status": "502"},
        {"code": 502, "message": "bad luck"},
        {"object": "error", "code": 502, "message": "bad luck"},
        {"choices": [], "error": {"code": 502, "message": "bad luck"}},
        {"choices": [{"finish_reason": "error", "error": {"code": 502, "message": "bad luck"}}]},
    ],
)
def test_a_status_in_a_body_counts_like_a_status(endpoint: Any, body: Any) -> None:
    step = endpoint.sends(json.dumps(body), retry_after_ms="1")
    endpoint.begin(step, endpoint.says("<A>"))
    assert ask(endpoint, retries=1).text == "<A>"
    endpoint.begin(step)
    said = sentence(endpoint, retries=1)
    assert "failed (tried 2 times): 50" in said
    assert "bad luck; look at the server, wait or raise remote.retries." in said
    assert "/v1;" not in said


@pytest.mark.parametrize(
    ("code", "tries", "said"),
    [
        (429, 2, "takes no more requests for now (tried 2 times): 429, no; wait"),
        ("rate_limit_exceeded", 2, "takes no more requests for now (tried 2 times): 429, no; wait"),
        (401, 1, "wants a key: 401, no; set OPENAI_API_KEY"),
        ("model_not_found", 1, "has no such model or path: 404, no"),
        (400, 1, "refuses the request: 400, no"),
        (None, 1, "answered with an error: no; look at the server."),
        ("odd", 1, "answered with an error: no; look at the server."),
        (200, 1, "answered with an error: no; look at the server."),
        (True, 1, "answered with an error: no; look at the server."),
    ],
)
def test_a_code_in_a_body_has_the_advice_of_the_status(endpoint: Any, code: bool | int | str | None, tries: int, said: str) -> None:
    endpoint.begin(endpoint.sends(json.dumps({"error": {"code": code, "message": "no"}}), retry_after_ms="1"))
    assert said in sentence(endpoint, retries=1)
    assert len(endpoint.asked) == tries


@pytest.mark.parametrize("error", ["no", ["no"], {"detail": "no"}, {"odd": "no"}])
def test_an_error_of_any_form_is_quoted_without_advice_about_the_address(
    endpoint: Any, error: dict[str, str] | list[str] | str
) -> None:
    endpoint.begin(endpoint.sends(json.dumps({"error": error})))
    assert "answered with an error: " in (said := sentence(endpoint))
    assert "no" in said
    assert not said.endswith("/v1?")


def test_an_answer_with_an_empty_error_is_an_answer(endpoint: Any) -> None:
    endpoint.begin(endpoint.sends(json.dumps(json.loads(ANSWER) | {"error": None, "code": 500})))
    assert ask(endpoint).text == "<A>"


# ---- waits and redirects


@pytest.mark.parametrize(
    "wait", [{"retry_after": "60"}, {"retry_after_ms": "60000"}, {"retry_after": "1e999"}, {"retry_after": "date"}]
)
@pytest.mark.parametrize("status", [429, 503])
def test_nobody_waits_longer_than_for_an_answer(endpoint: Any, wait: dict[str, str], status: int) -> None:
    wait = {key: formatdate(time.time() + 3600, usegmt=True) if value == "date" else value for key, value in wait.items()}
    endpoint.begin(endpoint.sends("{}", status, **wait))
    start = time.monotonic()
    said = sentence(endpoint, timeout=2, retries=3)
    assert "it wants no request for " in said
    assert said.endswith(" s, longer than remote.timeout=2 waits.")
    assert time.monotonic() - start < 1
    assert len(endpoint.asked) == 1


@pytest.mark.parametrize("wait", ["", "nan", "-5", "soon", "Wed, 99 Oct 2015 07:28:00 GMT", "Wed, 21 Oct 2015 07:28:00 GMT"])
def test_a_wait_that_is_none_is_not_waited_for(endpoint: Any, wait: str) -> None:
    endpoint.begin(endpoint.sends("{}", 503, retry_after=wait), endpoint.says("<A>"))
    assert ask(endpoint, timeout=2, retries=1).text == "<A>"


def test_a_redirect_is_named_and_not_followed(endpoint: Any) -> None:
    endpoint.begin(endpoint.sends("", 307, location="http://127.0.0.1:9/v2"))
    said = sentence(endpoint)
    assert "does not answer itself: 307, nothing; name the address that it points to, http://127.0.0.1:9/v2." in said
    assert len(endpoint.asked) == 1


# ---- connections


def test_an_answer_that_is_reset_midway_is_named(endpoint: Any) -> None:
    def resets(handler: Any) -> None:
        handler.connection.sendall(answers(b"{", length=500))
        handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        handler.close_connection = True

    endpoint.begin(resets)
    assert "broke off its answer" in sentence(endpoint)


def test_a_server_without_encryption_is_named(endpoint: Any) -> None:
    endpoint.begin(endpoint.says("<A>"))
    with pytest.raises(UserError, match=r"cannot be reached safely: .*; check http:// or https:// in the address"):
        asyncio.run(connect(endpoint.name.replace("http:", "https:")).ask(QUESTION))


@pytest.fixture
def proxies(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Sets a proxy variable of the environment, the only one."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-mine")
    return monkeypatch.setenv


@pytest.mark.parametrize("variable", ["HTTP_PROXY", "http_proxy", "ALL_PROXY"])
@pytest.mark.parametrize("proxy", ["http://127.0.0.1:1", "socks5://127.0.0.1:1", "ftp://x"])
def test_no_proxy_stands_between_this_machine_and_itself(endpoint: Any, proxies: Any, variable: str, proxy: str) -> None:
    proxies(variable, proxy)
    endpoint.begin(endpoint.says("<A>"))
    assert ask(endpoint).text == "<A>"


def test_a_proxy_is_named_without_its_password(proxies: Any) -> None:
    proxies("HTTP_PROXY", "http://me:secret@127.0.0.1:1")
    with pytest.raises(UserError) as caught:
        asyncio.run(connect("openai:m@http://api.example.com/v1").ask(QUESTION))
    assert str(caught.value).startswith(
        "http://api.example.com/v1 (model 'm', through the proxy http://127.0.0.1:1) cannot be reached: "
    )
    assert "secret" not in str(caught.value)


def test_what_a_proxy_says_names_it(endpoint: Any, proxies: Any) -> None:
    proxies("ALL_PROXY", endpoint.url.removesuffix("/v1"))
    endpoint.begin(endpoint.fails(407))
    with pytest.raises(UserError, match=r"through the proxy http://127\.0\.0\.1:\d+\) is not reached, for the proxy wants a pass"):
        asyncio.run(connect("openai:m@http://api.example.com/v1").ask(QUESTION))
    proxies("NO_PROXY", "example.com")
    assert wire.proxy_of("http://api.example.com/v1") is None


@pytest.mark.parametrize("proxy", ["socks5://127.0.0.1:1", "ftp://127.0.0.1:1", "http://127.0.0.1:99999999"])
def test_a_proxy_that_cannot_be_used_is_a_sentence(proxies: Any, monkeypatch: pytest.MonkeyPatch, proxy: str) -> None:
    monkeypatch.setitem(__import__("sys").modules, "socksio", None)
    proxies("ALL_PROXY", proxy)
    options = RemoteOptions()
    with pytest.raises(UserError, match=rf"^The proxy {proxy} that the environment names cannot be used"):
        Endpoint("openai:m@http://api.example.com/v1", {}, options, Budget(options))


@pytest.mark.parametrize(
    ("body", "status"),
    [(None, None), (7, None), ([], None), ({}, None), ({"code": "abc"}, None), ({"code": "504x"}, None), ({"status": 504}, 504)],
)
def test_statuses_in_bodies(body: Any, status: int | None) -> None:
    assert wire.named_status(body) == status


def test_every_answer_within_the_limit_is_taken(endpoint: Any) -> None:
    text = "x" * (3 << 20)
    endpoint.begin(endpoint.says(text))
    assert ask(endpoint).text == text


def test_waits_are_read() -> None:
    assert wire.asked_to_wait(httpx2.Headers({"Retry-After": "7"})) == 7
    assert wire.asked_to_wait({"retry-after-ms": "70"}) == 0.07
    assert wire.asked_to_wait({}) == 0
