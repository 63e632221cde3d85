"""Does the chat of an episode fit into the context of a model? Checked before play starts.

    game ── an episode in which every answer is empty ──> the observations of each player ── chat format ──> minimum of tokens

Must not import torch.
"""

from __future__ import annotations

from detente.errors import UserError
from detente.games.base import Game, Observation
from detente.matches import Counted, Guest, Scripts, in_turn, play_sync
from detente.players.base import MemorylessPlayer
from detente.players.chat import Chat
from detente.records import Completion, Episode, PolicyRef

SILENT = PolicyRef("script", "silent")
SEEDS = 4  # episodes tried, for some games draw their length


class Silent(MemorylessPlayer):
    """Answers nothing, so that the game's default action is played."""

    policy = SILENT

    async def act(self, observation: Observation) -> Completion:
        """No text."""
        return Completion("", self.policy)


def in_silence(game: Game) -> list[Episode]:
    """A few episodes in which every answer is empty."""
    silence, seatings = Guest(Scripts(game), SILENT, Silent), in_turn([SILENT] * game.num_players, SEEDS)
    return play_sync(silence, game, seatings, stream=Counted())


def minimum_tokens(game: Game, chat: Chat) -> int:
    """Tokens of the shortest chat of any seat: what the player is told, and one token for each answer."""
    lengths = []
    for episode in in_silence(game):
        for seat in range(game.num_players):
            first, *others = [turn.prompt for turn in episode.turns(seat)] or [""]
            lengths.append(len(chat.opening(first)) + sum(1 + len(chat.reply(text, ())) for text in others))
    return min(lengths)


def check_room(game: Game, chat: Chat, model: str, longest: int, what: str) -> None:
    """UserError where no chat of the game fits into the ``longest`` tokens that a model reads; ``what`` is that limit's name."""
    tokens = minimum_tokens(game, chat)
    if tokens > longest:
        raise UserError(
            f"An episode of {game.name} takes at least {tokens} tokens, more than the {longest} of the {what} of '{model}'; "
            "play fewer rounds, or use a model that reads more."
        )
