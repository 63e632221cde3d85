"""A chat as token ids, for any tokenizer that has a chat template.

    opening ── (answer as generated) ── reply ── (answer as generated) ── reply ...

Tokens are only ever appended. What the model generated is kept token for token and never rendered again; of the template only the
text between two answers is used: what follows the assistant's text in a rendering of [user, assistant, user]. No model is treated
by its name. Must not import torch or transformers.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Protocol

from detente.engines.base import spelled
from detente.errors import UserError
from detente.players.thoughts import closed
from detente.visible import visible

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

# Put before the template, so that a template which prints the day gives a run that is resumed tomorrow the same chats.
FIXED_DAY = "{% macro strftime_now(format) %}1 Jan 2025{% endmacro %}\n"
# Placeholders for texts, where only what surrounds them matters.
FIRST, SENTINEL, SECOND = "question1", "answer1", "question2"


class Chat(Protocol):
    """Turns texts into the tokens that a chat grows by."""

    @property
    def end_tokens(self) -> tuple[int, ...]:
        """The tokens that end an answer."""
        ...

    @property
    def thinks(self) -> bool:
        """Whether an answer begins inside a thought, so that its first words are not yet what is said."""
        ...

    def opening(self, text: str) -> tuple[int, ...]:
        """The first user turn, up to where the first answer starts."""
        ...

    def reply(self, text: str, previous: Sequence[int]) -> tuple[int, ...]:
        """What follows the generated tokens ``previous``, up to where the next answer starts."""
        ...


class ChatFormat:
    """The chat format of a tokenizer. Thinking is off unless ``thinking``: then a thought that the template opens stays open.

    ``end_tokens`` are the special token that the template puts after an answer, if it does, and the tokenizer's end of text.
    ``exact_prefix`` says whether each rendering starts with the rendering of one turn less. It is False for templates that drop
    earlier thinking; their chats are right all the same, for the model continues what it saw. Raises UserError for a tokenizer
    without chat template, and for a template whose later turns change earlier turns or depend on them.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, *, thinking: bool = False) -> None:
        self._tokenizer, self._thinking = tokenizer, thinking
        self._name = tokenizer.name_or_path
        if not tokenizer.chat_template:
            raise UserError(f"The model '{self._name}' has no chat template; use an instruction-tuned model that has one.")
        try:
            template = tokenizer.get_chat_template()
        except ValueError as error:  # several templates, and none of them the default
            raise self._unusable("has no default among its variants") from error
        self._template = FIXED_DAY + template
        tokens = _control_tokens(tokenizer, template)
        self._controls = frozenset(tokenizer.convert_tokens_to_ids(tokens))  # type: ignore[arg-type]
        self._control = _any_of(tokens)
        self._marks = _any_of([*tokens, *self._turn_marks()])
        end = self._control.match(self._between(SECOND).lstrip())
        self._end = self._encode(end.group()) if end else ()
        self.end_tokens = tuple(dict.fromkeys((*self._end, *self._encode(tokenizer.eos_token or ""))))
        self.exact_prefix = self._check()
        self.thinks = closed(self._render(FIRST)) != self._render(FIRST)
        self.opening = lru_cache(4096)(self._opening)
        self._reply = lru_cache(4096)(self._following)

    def reply(self, text: str, previous: Sequence[int]) -> tuple[int, ...]:
        """What follows the generated tokens ``previous``: the end of that turn unless they hold it, and the next user turn."""
        tokens = self._reply(text)
        return tokens[1:] if self._end and tuple(previous[-1:]) == self._end else tokens

    def _opening(self, text: str) -> tuple[int, ...]:
        return self._encode(self._render(self._plain(text)))

    def _following(self, text: str) -> tuple[int, ...]:
        suffix = self._between(self._plain(text))
        return self._encode(suffix.lstrip() if self._end else suffix)

    def _between(self, text: str) -> str:
        """What the template puts between an answer and the answer to ``text``."""
        _, separator, suffix = self._render(FIRST, SENTINEL, text).partition(SENTINEL)
        if not separator:
            raise self._unusable("drops answers")
        return suffix

    def _render(self, *texts: str, prompt: bool = True) -> str:
        """The template's text of a chat whose user and assistant speak in turn."""
        messages = [{"role": ("user", "assistant")[i % 2], "content": text} for i, text in enumerate(texts)]
        try:
            rendered: str = self._tokenizer.apply_chat_template(  # type: ignore[assignment]
                messages, chat_template=self._template, tokenize=False, add_generation_prompt=prompt, enable_thinking=False
            )
        except Exception as error:  # a template is a program, and may fail in any way
            reason = " ".join(str(error).split()).rstrip(".") or type(error).__name__
            raise self._unusable(f"cannot be rendered ({reason})") from error
        return rendered if self._thinking else closed(rendered)

    def _encode(self, text: str) -> tuple[int, ...]:
        return tuple(self._tokenizer.encode(text, add_special_tokens=False))

    def _plain(self, text: str) -> str:
        """The text with a space inside everything that marks a turn: what another player says cannot end or open one.

        A tokenizer may make control tokens of letters that only look like theirs; such a text is written in plain letters first.
        """
        plain = self._marks.sub(_apart, text)
        if self._controls.isdisjoint(self._encode(plain)):
            return plain
        letters = visible(unicodedata.normalize("NFKC", text)).encode("ascii", "backslashreplace").decode()
        return re.sub(self._marks.pattern, _apart, letters, flags=re.IGNORECASE)

    def _turn_marks(self) -> list[str]:
        """What the template writes around a turn in ordinary letters, such as [INST] or USER:, piece by piece; no mere words."""
        around = self._control.sub("\n", self._render(FIRST, SENTINEL, SECOND).partition(FIRST)[2])
        pieces = re.split(rf"\n|{SENTINEL}|{SECOND}", around)
        return list(dict.fromkeys(p.strip() for p in pieces if re.search(r"[^\W\d_]{2}", p) and re.search(r"[^\w\s]", p)))

    def _check(self) -> bool:
        """Whether the prefix property is exact; raises UserError where an append-only chat would be wrong."""
        if not self.end_tokens:
            raise self._unusable("ends answers with no special token, and its tokenizer has no end of text")
        third = self._render(FIRST, SENTINEL, SECOND, "answer2", "question3")
        if not third.startswith(self._render(FIRST, prompt=False).rstrip()):
            raise self._unusable("changes earlier turns when later ones follow")
        if third.partition("answer2")[2] != self._between("question3"):
            raise self._unusable("writes a turn differently after different histories")
        return third.startswith(self._render(FIRST, SENTINEL, SECOND))

    def _unusable(self, fault: str) -> UserError:
        return UserError(f"The chat template of '{self._name}' {fault}, so a chat cannot grow turn by turn; use another model.")


def _control_tokens(tokenizer: PreTrainedTokenizerBase, template: str) -> list[str]:
    """The special tokens, and the added ones that the template writes itself, such as those around thoughts."""
    added = tokenizer.added_tokens_decoder.values()
    return [t.content for t in added if t.special or (t.content.strip() and t.content in template)]


def _any_of(texts: Iterable[str]) -> re.Pattern[str]:
    """Matches each of these texts, longer ones first."""
    return re.compile("|".join(map(re.escape, sorted(texts, key=len, reverse=True))) or "(?!)")


def _apart(mark: re.Match[str]) -> str:
    """The mark with a space inside; where it is one character, its name."""
    text = mark.group()
    return f"{text[0]} {text[1:]}" if len(text) > 1 else f"({unicodedata.name(text, 'sign').lower()})"


class FakeChat:
    """A chat for FakeEngine: a token is one character's code point, 2 starts an answer and 3 ends it."""

    end_tokens: tuple[int, ...] = (3,)
    thinks = False
    exact_prefix = True

    def opening(self, text: str) -> tuple[int, ...]:
        """The text's code points."""
        return spelled(text, 2)

    def reply(self, text: str, previous: Sequence[int]) -> tuple[int, ...]:
        """The text's code points, after the end of the turn where ``previous`` lacks it."""
        tokens = spelled(text, 2)
        return tokens if previous and previous[-1] == 3 else (3, *tokens)
