"""Which chats have a row in the pool, and what is in it.

    name ──> Chat (row, policy, tokens so far) ── release ──> the row is free for the next

A prefix that chats of a policy share (the rules) is computed once, in a row of its own, and copied.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from heapq import heappop, heappush
from itertools import count

from detente.engines.cache import ROWS, Pool
from detente.records import PolicyRef

MAX_PREFIXES = 8  # kept per policy
MAX_HISTORIES = 1 << 16  # kept, so that chats which reach the same one separately are recognised


@dataclass
class Chat:
    """A row of the pool: which policy filled it and with what. Chats of the same ``history`` hold the same."""

    row: int
    policy: PolicyRef
    tokens: list[int] = field(default_factory=list)
    history: int = 0


class Chats:
    """The chats by name, the prefixes of each policy, and the rows that are free."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._chats: dict[str, Chat] = {}
        self._prefixes: dict[PolicyRef, list[Chat]] = {}
        self._histories: dict[tuple[object, ...], int] = {}
        self._number = count(1)
        self.free_rows: list[int] = []  # a heap

    def open(self, name: str, policy: PolicyRef) -> tuple[Chat, bool]:
        """The chat of this name, and whether it is new."""
        chat = self._chats.get(name)
        if chat is not None and chat.policy == policy:
            return chat, False
        self.release(name)
        chat = self._chats[name] = self._new(policy)
        return chat, True

    def release(self, name: str) -> None:
        """Forget a chat; with the last chat the prefixes go too, so that nothing depends on earlier play, and all memory."""
        if name in self._chats:
            heappush(self.free_rows, self._chats.pop(name).row)
        if not self._chats:
            self._prefixes.clear()
            self._histories.clear()
            self._pool.clear()
            self.free_rows = []

    def retire(self, policy: PolicyRef) -> None:
        """Forget the chats and prefixes of a policy."""
        self._histories.clear()
        for prefix in self._prefixes.pop(policy, []):
            heappush(self.free_rows, prefix.row)
        for name in [name for name, chat in self._chats.items() if chat.policy == policy]:
            self.release(name)

    def clear(self) -> None:
        """Forget all chats."""
        for name in list(self._chats):
            self.release(name)

    def keep_prefix(self, chat: Chat, tokens: Sequence[int]) -> None:
        """Forget all but the prefix that the chat shares with these tokens; the last token is computed again, for its logits."""
        length = min(common(chat.tokens, tokens), len(tokens) - 1)
        if length < len(chat.tokens):
            self._begin(chat, tokens[:length])

    def extend(self, chat: Chat, tokens: Sequence[int]) -> None:
        """Note that these tokens were added to the chat's row."""
        chat.history = self._history(chat.history, tuple(tokens))
        chat.tokens += tokens

    def share_prefixes(self, new: Sequence[tuple[Chat, Sequence[int]]], compute: Callable[[Chat, Sequence[int]], None]) -> None:
        """Copy to each new chat the longest kept prefix of the tokens to come; ``compute`` fills the row of a new prefix."""
        for chat, tokens in new:
            known = self._prefixes.setdefault(chat.policy, [])
            best = max((common(prefix.tokens, tokens) for prefix in known), default=0)
            if best < 0.9 * (len(tokens) - 1) and len(known) < MAX_PREFIXES and len(new) > 1:
                prefix = self._new(chat.policy)
                compute(prefix, tokens[:-1])  # by itself: its rounding must not depend on other chats
                known.append(prefix)
        copies: dict[tuple[int, int], list[int]] = {}
        for chat, tokens in new:
            nearest = max(self._prefixes[chat.policy], key=lambda p: common(p.tokens, tokens), default=None)
            if nearest is not None:
                length = min(common(nearest.tokens, tokens), len(tokens) - 1)
                self._begin(chat, tokens[:length])
                copies.setdefault((nearest.row, length), []).append(chat.row)
        for (source, length), rows in copies.items():
            self._pool.copy(source, rows, length)

    def _new(self, policy: PolicyRef) -> Chat:
        chat = Chat(self._row(), policy)
        self._begin(chat, ())
        return chat

    def _begin(self, chat: Chat, tokens: Sequence[int]) -> None:
        """Note that the chat's row holds these tokens and no others."""
        chat.tokens, chat.history = list(tokens), self._history(chat.policy, tuple(tokens))

    def _history(self, before: object, tokens: tuple[int, ...]) -> int:
        """The number of these tokens after a history (or, with nothing before, of a policy); different for different tokens."""
        if len(self._histories) > MAX_HISTORIES:
            self._histories.clear()
        key = (before, tokens)
        if key not in self._histories:
            self._histories[key] = next(self._number)
        return self._histories[key]

    def _row(self) -> int:
        """The first free row, so that the rows in use lie close together."""
        if not self.free_rows:
            rows = self._pool.rows
            self._pool.reserve(rows + ROWS, self._pool.capacity)
            self.free_rows = list(range(rows, self._pool.rows))
        return heappop(self.free_rows)


def common(a: Sequence[int], b: Sequence[int]) -> int:
    """Length of the longest common prefix."""
    n = min(len(a), len(b))
    if list(a[:n]) == list(b[:n]):
        return n
    return next(i for i in range(n) if a[i] != b[i])
