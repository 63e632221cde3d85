"""Names of remote models: what a model and an address can look like, and one sentence for what neither can."""

from __future__ import annotations

import pytest

from detente.errors import UserError
from detente.players.address import loopback, parsed


@pytest.mark.parametrize(
    ("name", "expect"),
    [
        ("openai:pocket@http://127.0.0.1:8000/v1", ("pocket", "http://127.0.0.1:8000/v1")),
        ("openai:org/model:7b-q4@https://api.example.com/v1/", ("org/model:7b-q4", "https://api.example.com/v1/")),
        ("openai:@cf/meta/llama@http://[::1]:8000/v1", ("@cf/meta/llama", "http://[::1]:8000/v1")),
        ("openai:org/model@main@http://localhost/v1", ("org/model@main", "http://localhost/v1")),
        ("openai:gpt-5", ("gpt-5", None)),
        ("openai:claude@20250101", ("claude@20250101", None)),
        ("openai:../models/x", ("../models/x", None)),
    ],
)
def test_a_name_has_a_model_and_maybe_an_address(name: str, expect: tuple[str | None, ...]) -> None:
    assert parsed(name) == expect


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("openai:", "the model is missing"),
        ("openai:@http://127.0.0.1:8000/v1", "the model is missing"),
        ("openai:gpt@", "the address after @ is missing"),
        ("openai:gpt@localhost:8000/v1", "does not begin with http"),
        ("openai:gpt@10.0.0.1:8000", "does not begin with http"),
        ("openai:gpt@api.example.com/v1", "does not begin with http"),
        ("openai:gpt@ftp://x/v1", "begins with ftp://"),
        ("openai:gpt@http://", "its address has no host"),
        ("openai:gpt@http://:8000/v1", "its address has no host"),
        ("openai:gpt@http://x:port/v1", "has a part that none can have"),
        ("openai:gpt@http://[::1/v1", "has a part that none can have"),
        ("openai:gpt @http://x/v1", "it has a space in it"),
        ("openai:gpt@http://x/v1?api-key=k", "a key belongs into OPENAI_API_KEY"),
    ],
)
def test_a_malformed_name_is_one_sentence(name: str, fault: str) -> None:
    with pytest.raises(UserError, match=fault) as caught:
        parsed(name)
    assert str(caught.value).endswith("the form is openai:MODEL@URL, such as openai:pocket@http://127.0.0.1:8000/v1.")


@pytest.mark.parametrize("address", ["me:secret@example.com/v1", "example.com/v1?key=secret", "example.com/v1#secret"])
def test_a_password_in_an_address_is_refused_and_not_repeated(address: str) -> None:
    with pytest.raises(UserError, match="a key belongs into OPENAI_API_KEY") as caught:
        parsed(f"openai:gpt@https://{address}")
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("host", "expect"),
    [
        ("localhost", True),
        ("gpu.localhost", True),
        ("127.0.0.1", True),
        ("127.8.8.8", True),
        ("::1", True),
        ("0.0.0.1", False),
        ("10.0.0.1", False),
        ("localhost.example.com", False),
        ("127.0.0.1.example.com", False),
    ],
)
def test_this_machine_is_known_by_its_names(host: str, expect: bool) -> None:
    assert loopback(host) is expect
