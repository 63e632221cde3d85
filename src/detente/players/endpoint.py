"""A model behind an address that speaks the chat completions of OpenAI: asked politely, paid for within limits, its faults named.

    openai:MODEL@URL ──> Endpoint ── ask(messages) ──> Reply          Budget counts every request and token on the way

The ``openai`` package does the talking, and tries again where that makes sense. It is imported with the first remote model.
The key comes from OPENAI_API_KEY; it is in no record, no option and no error. Must not import torch.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from detente.errors import UserError, counted
from detente.options import RemoteOptions
from detente.players import guiding
from detente.players.address import KEY, PREFIX, loopback, parsed
from detente.players.base import encodable
from detente.together import PerLoop

if TYPE_CHECKING:
    from httpx2 import Response
    from openai import AsyncOpenAI

SHOWN = 200  # characters of what a server says that are worth a place in an error
ADDRESS, OFFICIAL = "OPENAI_BASE_URL", "https://api.openai.com/v1"  # where a name without an address goes
MOST_TOKENS = 10**9  # of one answer; who reports more does not count them
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
            raise _reached(f"been sent {counted(requests, 'request')}", "max_requests", self.options.max_requests)
        if self.options.max_tokens is not None and tokens >= self.options.max_tokens:
            raise _reached(f"used {counted(tokens, 'token')}", "max_tokens", self.options.max_tokens)
        self.spent = {"requests": requests + 1, "tokens": tokens}

    def answered(self, tokens: object, address: str) -> None:
        """Count what an answer cost; UserError where that is unknown, or no number of tokens, and there is a limit to it."""
        if type(tokens) is int and 0 < tokens <= MOST_TOKENS:
            self.spent["tokens"] += tokens
        elif self.options.max_tokens is not None:
            said = "does not say how many tokens it uses" if tokens is None else "says no number of tokens that an answer can cost"
            raise UserError(f"{address} {said}; limit remote.max_requests, not remote.max_tokens.")


def _reached(cost: str, option: str, limit: int) -> UserError:
    return UserError(
        f"Remote models have {cost}, and remote.{option}={limit} allows no more; "
        f"raise it, e.g. remote.{option}={2 * limit}, and run the same command again."
    )


class Endpoint:
    """One model behind one address. ``fields`` go into every request beside the model and the messages; ``form`` says how answers
    are held to a pattern (see guiding.py).

    May be used from one event loop after another: each gets a client and a queue of its own, closed when the loop ends.
    Raises UserError where the name, the key, the proxy or the ``openai`` package is missing or wrong.
    """

    def __init__(
        self, name: str, fields: Mapping[str, Any], options: RemoteOptions, budget: Budget, form: str = guiding.NONE
    ) -> None:
        self.model, url = parsed(name)
        if url is None:
            _, url = parsed(f"{PREFIX}{self.model}@{os.environ.get(ADDRESS) or OFFICIAL}")
        self._fields, self._options, self._budget, self._form = dict(fields), options, budget, form
        self._key = os.environ.get(KEY, "").strip()
        self._connection = PerLoop(self._open)
        self.address = str(url).rstrip("/")
        try:
            import openai

            from detente.players import wire
        except ImportError:
            raise UserError("Remote models need the package openai; install it with: pip install 'detente[openai]'.") from None
        self._openai, self._wire = openai, wire
        self._proxy = wire.proxy_of(self.address)
        if not self._key and not loopback(wire.host(self.address)):
            raise UserError(f"{self.address} wants to know who asks: set {KEY} to your key.")
        if not (self._key.isascii() and self._key.isprintable()):
            raise UserError(f"The key in {KEY} has a character that no key has; set it again.")
        self._client()  # raises where there can be none

    async def ask(self, messages: Sequence[Message], pattern: str | None = None) -> Reply:
        """The model's next message. UserError with one sentence for every fault that is left after the retries."""
        client, gate = await self._connection.get()
        async with gate:
            if self._form == guiding.AUTO:
                self._form = guiding.understood(await self._wire.models_there(self.address, self._options.timeout, self._key))
            try:
                answer = await client.chat.completions.with_raw_response.create(
                    model=self.model,
                    messages=messages,  # type: ignore[arg-type]
                    extra_body=guiding.fields(self._form, pattern) | self._fields,
                )
            except self._openai.OpenAIError as error:
                # Not "from error": its own texts and headers may hold the key.
                raise UserError(self._sentence(error)) from None
        return self._read(answer.http_response)

    async def _open(self) -> AsyncGenerator[tuple[AsyncOpenAI, asyncio.Semaphore]]:
        """The client and the gate of one loop."""
        client = self._client()
        try:
            yield client, asyncio.Semaphore(self._options.concurrency)
        finally:
            await client.close()

    def _client(self) -> AsyncOpenAI:
        return self._openai.AsyncOpenAI(
            api_key=self._key or "none",
            base_url=self.address,
            timeout=self._options.timeout,
            max_retries=self._options.retries,
            # Counts every request, also those that the client sends again on its own.
            http_client=self._wire.client(self.address, self._options.timeout, self._budget.request),
        )

    def _read(self, response: Response) -> Reply:
        """The text of a completion. Nothing in it is sure to be there: endpoints are many, and not all are careful."""
        body, said = self._wire.read_json(response.content), self._quote(response)
        choices = body.get("choices") if isinstance(body, dict) else None
        if self._wire.error_in(body):
            raise UserError(f"{self._where} answered with an error: {said}; look at the server.")
        if not isinstance(choices, list):
            what = "something that is not JSON" if body is None else "no chat completion"
            raise UserError(f"{self._where} answered with {what}: {said}; does the address end in /v1?")
        usage = body.get("usage")
        self._budget.answered(usage.get("total_tokens") if isinstance(usage, dict) else None, self.address)
        first = choices[0] if choices and isinstance(choices[0], dict) else {}
        text = _text(first.get("message"))
        if text is None:
            raise UserError(f"{self._where} answered with no message: {said}.")
        return Reply(encodable(guiding.answer(self._form, text)), cut=first.get("finish_reason") == "length")

    @property
    def _where(self) -> str:
        """Who was asked, and through whom."""
        return f"{self.address} (model '{self.model}'{f', through the proxy {self._proxy}' if self._proxy else ''})"

    def _sentence(self, error: Exception) -> str:
        """What happened, where, how often, and what may help."""
        openai, where = self._openai, self._where
        tries = 1 + int(error.request.headers.get("x-stainless-retry-count", 0)) if isinstance(error, openai.APIError) else 1
        often = f" (tried {tries} times)" if tries > 1 else ""
        if isinstance(error, openai.APITimeoutError):
            limit = f"remote.timeout={self._options.timeout:g}"
            return f"{where} gave no whole answer within {self._options.timeout:g} s{often}; look at the server or raise {limit}."
        if isinstance(error, openai.APIConnectionError):
            what, advice = self._wire.broken(error.__cause__)
            return f"{where} {what}{often}: {self._quote(str(error.__cause__ or error))}; {advice}"
        if isinstance(error, openai.APIStatusError):
            what, advice = _status(error.status_code, bool(self._key))
            wait = self._wire.asked_to_wait(error.response.headers)
            if wait > self._options.timeout:
                advice = f"it wants no request for {wait:.9g} s, longer than remote.timeout={self._options.timeout:g} waits"
            if "location" in error.response.headers:
                advice = f"name the address that it points to, {self._quote(error.response.headers['location'])}"
            return f"{where} {what}{often}: {error.status_code}, {self._quote(error.response)}; {advice}."
        return f"{where} cannot be asked: {self._quote(error)}."

    def _quote(self, said: Response | Exception | str) -> str:
        """What a server or a library said, on one line, not too long, and without the key."""
        text = str(said) if isinstance(said, (str, Exception)) else self._wire.message(said)
        line = " ".join(encodable(text).split())
        line = line.replace(self._key, "***") if self._key else line
        return f"{line[:SHOWN]}..." if len(line) > SHOWN else line.rstrip(".") or "nothing"


def _text(message: object) -> str | None:
    """What a message says: a text, the texts among its parts, or why the model says nothing; None where it is no message."""
    if not isinstance(message, dict):
        return None
    content = message.get("content")
    if isinstance(content, list):
        texts = [part.get("text") for part in content if isinstance(part, dict) and part.get("type") == "text"]
        content = "".join(text for text in texts if isinstance(text, str)) if texts or not content else content
    said = content or message.get("refusal") or ""
    return said if isinstance(said, str) else None


def _status(code: int, key: bool) -> tuple[str, str]:
    """What an HTTP status means here, and what may help."""
    if code in (401, 403):
        return ("does not accept the key", f"set {KEY} to another one") if key else ("wants a key", f"set {KEY}")
    if code == 404:
        return "has no such model or path", "check the model's name, and whether the address ends in /v1"
    if code == 407:
        return "is not reached, for the proxy wants a password", "set the proxy variables of the environment"
    if code == 429:
        return "takes no more requests for now", "wait, lower remote.concurrency or raise remote.retries"
    if code >= 500 or code in (408, 409):
        return "failed", "look at the server, wait or raise remote.retries"
    if code < 400:
        return "does not answer itself", "check the address"
    return "refuses the request", "check the model's name; answer.request adds fields to a request or, with null, leaves them out"
