"""Rollout speed, as a ratio: our engine against the common way, both in this process and interleaved.

    python benchmarks/rollout.py [--model pocket] [--episodes 32] [--repeats 5]

Baseline, written here: every turn runs the whole chats through the model again, left-padded, without a cache kept between
turns, and draws one label per chat from the last logits. Ours: `detente.rollout` with the in-process engine. The games and
prompts are the same.
"""

from __future__ import annotations

import argparse
import statistics
import time

import torch

from detente import games, models
from detente.engines.transformers import TransformersEngine
from detente.options import AnswerOptions
from detente.players.chat import ChatFormat
from detente.policies import Policies
from detente.records import PolicyRef
from detente.rollout import Match, play_matches


def ours(policies: Policies, game, episodes: int) -> float:
    """Seconds for self-play of the base model."""
    base = PolicyRef("base", "base")
    seats = range(game.num_players)
    matches = [
        Match(game, i, [policies.player(base, chat=f"{i}/{s}", seed=2 * i + s) for s in seats], index=i) for i in range(episodes)
    ]
    start = time.perf_counter()
    play_matches(matches)
    return time.perf_counter() - start


@torch.inference_mode()
def baseline(base: models.LanguageModel, chat: ChatFormat, game, episodes: int) -> float:
    """Seconds for the same with whole chats every turn."""
    generator = torch.Generator().manual_seed(0)
    labels = [base.tokenizer.encode(f"<{label}>", add_special_tokens=False) for label in game.labels]
    decisive = next(i for i in range(len(labels[0])) if labels[0][i] != labels[1][i])
    start = time.perf_counter()
    chats: list[list[list[int]]] = [[[] for _ in range(2)] for _ in range(episodes)]
    last: list[list[int]] = [[0, 0] for _ in range(episodes)]
    pad = base.tokenizer.pad_token_id or 0
    for turn in range(game.rounds):
        rows = []
        for e in range(episodes):
            for s in range(2):
                text = PROMPTS[s] if turn == 0 else f"The other player picked <{game.labels[last[e][1 - s]]}>. Your label?"
                answer = [*labels[last[e][s]], *chat.end_tokens[:1]] if turn else []
                chats[e][s] += [*answer, *(chat.reply(text, answer) if turn else chat.opening(text))]
                rows.append([*chats[e][s], *labels[0][:decisive]])
        width = max(map(len, rows))
        ids = torch.tensor([[pad] * (width - len(row)) + row for row in rows])
        mask = torch.tensor([[0] * (width - len(row)) + [1] * len(row) for row in rows])
        logits = base.model(input_ids=ids, attention_mask=mask, use_cache=False, logits_to_keep=1).logits[:, -1]
        two = logits[:, [label[decisive] for label in labels]].float().softmax(-1)
        picks = torch.multinomial(two, 1, generator=generator)[:, 0].tolist()
        last = [picks[2 * e : 2 * e + 2] for e in range(episodes)]
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description="Rollout speed as a ratio.")
    parser.add_argument("--model", default="pocket")
    parser.add_argument("--episodes", type=int, default=32)
    parser.add_argument("--repeats", type=int, default=5)
    given = parser.parse_args()
    torch.set_num_threads(1)
    game, base = games.make("ipd"), models.load(given.model)
    chat = ChatFormat(base.tokenizer)
    policies = Policies(game, AnswerOptions())
    policies.use(base, TransformersEngine(base.model, base.tokenizer, chat.end_tokens))
    times = [(baseline(base, chat, game, given.episodes), ours(policies, game, given.episodes)) for _ in range(given.repeats)]
    theirs, own = (statistics.median(column) for column in zip(*times, strict=True))
    print(f"{given.model}, {given.episodes} episodes of {game.rounds} rounds, one thread, median of {given.repeats}")
    print(f"baseline {theirs:.2f} s   ours {own:.2f} s   ratio {theirs / own:.1f}")


def _prompts() -> list[str]:
    import random

    game = games.make("ipd")
    state = game.reset(random.Random(0))
    return [game.observe(state, seat).text for seat in range(2)]


PROMPTS = _prompts()

if __name__ == "__main__":
    main()
