"""A remote model on a seat: one growing chat of messages, answered by an endpoint.

    observation ──> user message ── ask ──> (thinking off) ── fits the pattern? ──> the answer, and the chat goes on
                                     ^                              │ no
                                     └──── what was wrong ──────────┘   up to so many tries, which the chat forgets

Must not import torch.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from detente.briefing import unbriefed
from detente.games.base import Observation
from detente.options import AnswerOptions, RemoteOptions
from detente.players import guiding
from detente.players.endpoint import Budget, Endpoint, Message, Reply
from detente.players.thoughts import spoken
from detente.records import Completion, PolicyRef

SILENCE = "(nothing)"  # endpoints refuse messages without text


@dataclass
class RemotePlayer:
    """Answers observations with what an endpoint says.

    Where an answer does not match the observation's pattern the model is told why and asked again, up to ``tries`` times in all;
    the last answer goes to the game as it is, and is the only one that later turns see. ``attempts`` of the completion counts the
    tries.
    """

    endpoint: Endpoint
    policy: PolicyRef
    tries: int = 3
    _chat: list[Message] = field(default_factory=list, init=False)

    async def act(self, observation: Observation) -> Completion:
        """Put the observation to the model and return what it answers."""
        self._chat.append(_message("user", observation.text))
        aside: list[Message] = []
        attempts = 0
        while True:
            reply = await self.endpoint.ask([*self._chat, *aside], observation.pattern)
            text = spoken(reply.text)
            attempts += 1
            if attempts == self.tries or observation.accepts(text):
                break
            aside += [_message("assistant", text), _message("user", complaint(reply, observation))]
        self._chat.append(_message("assistant", text))
        return Completion(text, self.policy, attempts=attempts)

    def recall(self, observation: Observation, completion: Completion) -> None:
        """Append the observation and the recorded answer to the chat."""
        self._chat += [_message("user", observation.text), _message("assistant", completion.text)]

    def close(self) -> None:
        """The endpoint keeps nothing of a chat."""


class Remotes:
    """The remote models of a command, each with one endpoint; they share a budget."""

    def __init__(self, answer: AnswerOptions, options: RemoteOptions) -> None:
        self.options, self.budget = options, Budget(options)
        self._tries = 1 if answer.decoding == "free" else answer.retries
        fields = {"temperature": answer.temperature, "max_tokens": answer.max_tokens} | answer.request
        self._fields = {key: value for key, value in fields.items() if value is not None}
        self._form = answer.remote_format if answer.decoding == "constrained" else guiding.NONE
        self._endpoints: dict[str, Endpoint] = {}

    def resolve(self, name: str) -> PolicyRef:
        """The policy of that name; UserError where it cannot be one. Nothing is sent yet."""
        if name not in self._endpoints:
            self._endpoints[name] = Endpoint(name, self._fields, self.options, self.budget, self._form)
        return PolicyRef("remote", name)

    def player(self, policy: PolicyRef) -> RemotePlayer:
        """A player for one seat of one episode."""
        return RemotePlayer(self._endpoints[self.resolve(unbriefed(policy.name)).name], policy, self._tries)


def complaint(reply: Reply, observation: Observation) -> str:
    """What is wrong with a reply and what an answer looks like, for the model that gave it."""
    wrong = "Your answer was cut off: it was too long." if reply.cut else "Your answer is not valid here."
    if observation.choices:
        return f"{wrong} Answer with one of these, and nothing else: {observation.listed}"
    if observation.form != "{}":
        form = observation.form.format(*["..."] * observation.form.count("{}"))
        return f"{wrong} Answer in this form, and nothing else: {form}. {observation.help}".rstrip()
    return f"{wrong} {observation.help or f'It must match the regular expression {observation.pattern}'}"


def _message(role: str, text: str) -> Message:
    return {"role": role, "content": text or SILENCE}
