"""A model behind an address that speaks the chat completions of OpenAI: asked politely, paid for within limits, its faults named.

    openai:MODEL@URL ──> Endpoint ── ask(messages) ──> Reply          Budget counts every request and token on the way

The ``openai`` package does the talking, and tries again where that makes sense. It is imported when there is somebody to talk to.
The key comes from OPENAI_API_KEY; it is in no record, no option and no error. Must not import torch.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass, field
from json import JSONDecodeError
from typing import TYPE_CHECKING, Any

from detente.errors import UserError
from detente.options import RemoteOptions
from detente.players.address import KEY, loopback, parsed

if TYPE_CHECKING:
    from openai import AsyncOpenAI

SHOWN = 200  # characters of what a server says that are worth a place in an error
Message = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Reply:
    """What the model said, and whether it was cut off because it was too long."""

    text: str
    cut: bool = False


@dataclass
class Budget:
    """What remote models may cost, and what they have cost: ``spent`` counts "requests" and "tokens" and is empty at first."""

    options: RemoteOptions
    spent: dict[str, int] = field(default_factory=dict)

    def request(self) -> None:
        """Count a request that is about to be sent; UserError where a limit is reached."""
        requests, tokens = self.spent.get("requests", 0), self.spent.get("tokens", 0)
        if self.options.max_requests is not None and requests >= self.options.max_requests:
            raise _reached(f"been sent {requests} requests", "max_requests", self.options.max_requests)
        if self.options.max_tokens is not None and tokens >= self.options.max_tokens:
            raise _reached(f"used {tokens} tokens", "max_tokens", self.options.max_tokens)
        self.spent = {"requests": requests + 1, "tokens": tokens}

    def answered(self, tokens: object, address: str) -> None:
        """Count what an answer cost; UserError where that is unknown and there is a limit to it."""
        if isinstance(tokens, int):
            self.spent["tokens"] += tokens
        elif self.options.max_tokens is not None:
            raise UserError(f"{address} does not say how many tokens it uses; limit remote.max_requests, not remote.max_tokens.")


def _reached(cost: str, option: str, limit: int) -> UserError:
    return UserError(
        f"Remote models have {cost}, and remote.{option}={limit} allows no more; "
        f"raise it, e.g. remote.{option}={2 * limit}, and run the same command again."
    )


class Endpoint:
    """One model behind one address. ``fields`` go into every request beside the model and the messages.

    May be used from one event loop after another: each gets a client and a queue of its own, closed when the loop ends.
    Raises UserError where the name, the key or the ``openai`` package is missing or wrong.
    """

    def __init__(self, name: str, fields: Mapping[str, Any], options: RemoteOptions, budget: Budget) -> None:
        self.model, self._url = parsed(name)
        self._fields, self._options, self._budget = dict(fields), options, budget
        self._key = os.environ.get(KEY, "").strip()
        self._loop: asyncio.AbstractEventLoop | None = None
        try:
            import openai
        except ImportError:
            raise UserError("Remote models need the package openai; install it with: pip install 'detente[openai]'.") from None
        self._openai = openai
        url = self._client().base_url  # the client knows where to go when nobody said
        self.address = f"{url.scheme}://{url.netloc.decode()}{url.path}".rstrip("/")
        if not self._key and not loopback(url.host):
            raise UserError(f"{self.address} wants to know who asks: set {KEY} to your key.")
        if not (self._key.isascii() and self._key.isprintable()):
            raise UserError(f"The key in {KEY} has a character that no key has; set it again.")

    async def ask(self, messages: Sequence[Message]) -> Reply:
        """The model's next message. UserError with one sentence for every fault that is left after the retries."""
        client, gate = await self._connected()
        async with gate:
            try:
                answer: Any = await client.chat.completions.create(
                    model=self.model,
                    messages=messages,  # type: ignore[arg-type]
                    extra_body=self._fields,
                )
            except (self._openai.OpenAIError, JSONDecodeError, UnicodeDecodeError) as error:
                # Not "from error": its own texts and headers may hold the key.
                raise UserError(self._sentence(error)) from None
        return self._read(answer)

    async def _connected(self) -> tuple[AsyncOpenAI, asyncio.Semaphore]:
        """The client and the gate of the loop that runs."""
        loop = asyncio.get_running_loop()
        if self._loop is not loop:
            self._opened = self._open()
            self._connection = await anext(self._opened)  # runs up to the yield at once, so nobody comes in between
            self._loop = loop
        return self._connection

    async def _open(self) -> AsyncGenerator[tuple[AsyncOpenAI, asyncio.Semaphore]]:
        """A loop that ends finishes its generators, so this one closes the connections while they can be closed."""
        client = self._client()
        try:
            yield client, asyncio.Semaphore(self._options.concurrency)
        finally:
            await client.close()

    def _client(self) -> AsyncOpenAI:
        return self._openai.AsyncOpenAI(
            api_key=self._key or "none",
            base_url=self._url,
            timeout=self._options.timeout,
            max_retries=self._options.retries,
            # Called before every request, also those that the client sends again on its own.
            http_client=self._openai.DefaultAsyncHttpxClient(event_hooks={"request": [self._count]}),
        )

    async def _count(self, request: object) -> None:
        self._budget.request()

    def _read(self, answer: Any) -> Reply:
        """The text of a completion. Nothing in it is sure to be there: endpoints are many, and not all are careful."""
        choices = getattr(answer, "choices", None)
        if not isinstance(choices, list):
            raise UserError(f"{self.address} answered with no chat completion: {self._quote(answer)}; does the address end in /v1?")
        self._budget.answered(getattr(getattr(answer, "usage", None), "total_tokens", None), self.address)
        message = getattr(choices[0], "message", None) if choices else None
        text = getattr(message, "content", None) or ""
        if message is None or not isinstance(text, str):
            raise UserError(f"{self.address} answered with no message of the model '{self.model}': {self._quote(answer)}.")
        return Reply(text, cut=getattr(choices[0], "finish_reason", None) == "length")

    def _sentence(self, error: Exception) -> str:
        """What happened, where, how often, and what may help."""
        openai, where = self._openai, f"{self.address} (model '{self.model}')"
        if isinstance(error, (JSONDecodeError, UnicodeDecodeError)):
            return f"{where} answered with something that is not JSON; is this the address of an OpenAI-compatible endpoint?"
        tries = 1 + int(error.request.headers.get("x-stainless-retry-count", 0)) if isinstance(error, openai.APIError) else 1
        often = f" (tried {tries} times)" if tries > 1 else ""
        if isinstance(error, openai.APITimeoutError):
            return f"{where} gave no answer within {self._options.timeout:g} s{often}; look at the server or raise remote.timeout."
        if isinstance(error, openai.APIConnectionError):
            return f"{where} cannot be reached{often}: {self._quote(error.__cause__ or error)}; does the server run?"
        if isinstance(error, openai.APIStatusError):
            what, advice = _status(error.status_code, bool(self._key))
            return f"{where} {what}{often}: {error.status_code}, {self._quote(error.body)}; {advice}."
        return f"{where} cannot be asked: {self._quote(error)}."

    def _quote(self, said: Any) -> str:
        """What a server or a library said, on one line, not too long, and without the key."""
        if isinstance(said, dict):
            said = said.get("message") or said.get("detail") or said
        line = " ".join(str(said.to_dict(warnings=False) if hasattr(said, "to_dict") else said).split())
        line = line.replace(self._key, "***") if self._key else line
        return f"{line[:SHOWN]}..." if len(line) > SHOWN else line.rstrip(".") or "nothing"


def _status(code: int, key: bool) -> tuple[str, str]:
    """What an HTTP status means here, and what may help."""
    if code in (401, 403):
        return ("does not accept the key", f"set {KEY} to another one") if key else ("wants a key", f"set {KEY}")
    if code == 404:
        return "has no such model or path", "check the model's name, and whether the address ends in /v1"
    if code == 429:
        return "takes no more requests for now", "wait, lower remote.concurrency or raise remote.retries"
    if code >= 500 or code in (408, 409):
        return "failed", "look at the server, wait or raise remote.retries"
    return "refuses the request", "check the model's name; answer.request adds fields to a request or, with null, leaves them out"
