"""Makes the embedded models from nothing: a tokenizer and a small Llama trained on the synthetic chats of a recipe.

    python -m detente.pocket.build                         (or: make pocket; about half an hour on two cores)
    python -m detente.pocket.build --model pocket_groups   (or: make pocket_groups)

The tokenizer is a byte-level BPE that may merge across words, so that a phrase which every prompt repeats is one token and a
round of the prisoner's dilemma costs eight tokens. The same seed gives the same weights.
"""

from __future__ import annotations

import argparse
import math
import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from torch.nn import functional
from torch.nn.utils.rnn import pad_sequence
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from detente.pocket.chats import chat
from detente.pocket.group_chats import group_chat, reading_matter
from detente.pocket.splitting_chats import Chat

Source = Callable[[random.Random], Chat]  # draws a chat

FOLDER = Path(__file__).parent / "model"
GROUPS = FOLDER.with_name("groups")
SPECIAL = ("<|pad|>", "<|user|>", "<|assistant|>", "<|end|>")
TEMPLATE = (
    "{% for message in messages %}{{ '<|' + message['role'] + '|>' + message['content'] + '<|end|>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)
WHOLE = (  # what a decision depends on is a token of its own; in its usual sentence, together with who said it
    r"Your hand is [a-z]+",
    r"says: \"My hand is [a-z]+",
    r" ?My hand is [a-z]+\. ?",
    r"rock|paper|scissors|upper|lower|10",
)
PHRASE = Regex("|".join([r"<{1,2}/?[A-Za-z0-9_]+>{1,2}", *WHOLE, r"\d", rf"(?:(?!{'|'.join(WHOLE)})[^<\d])+", "<"]))
NUMBERS = Regex(r"<[A-Za-z0-9]+>|100|\d{1,2}|[^<\d]+|<")  # a number up to 100 is a token of its own
TOGETHER = 8  # chats in one forward pass
WEIGHT_OF_PROMPT = 0.03  # of the loss; answers have weight 1


@dataclass(frozen=True)
class Recipe:
    """What an embedded model is made of: ``texts`` for a ``vocabulary`` of so many tokens, divided into ``phrases``; ``chats`` to
    learn from, so many (``batch``) in each of so many ``steps`` of a learning rate that falls to 0 at the step ``decay``, with the
    weight of their ``prompts``; attention ``heads``."""

    folder: Path
    texts: Source
    phrases: Regex
    vocabulary: int
    chats: Source
    steps: int
    decay: int
    batch: int
    prompts: float
    heads: int


RECIPES = {
    "pocket": Recipe(FOLDER, chat, PHRASE, 1536, chat, steps=2400, decay=2400, batch=32, prompts=WEIGHT_OF_PROMPT, heads=4),
    "pocket_groups": Recipe(
        GROUPS, reading_matter, NUMBERS, 2048, group_chat, steps=1200, decay=1500, batch=16, prompts=0.0, heads=3
    ),
}


def build_tokenizer(vocabulary: int, chats: Iterator[Chat], phrases: Regex = PHRASE) -> PreTrainedTokenizerFast:
    """A byte-level BPE whose merges may span words; every label of one letter and every byte has a token."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(phrases, "isolated"), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=list(SPECIAL),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        max_token_length=64,
        show_progress=False,
    )
    tokenizer.train_from_iterator((message["content"] for c in chats for message in c), trainer)
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token="<|end|>", pad_token="<|pad|>", additional_special_tokens=list(SPECIAL[1:3])
    )
    fast.chat_template = TEMPLATE
    fast.model_max_length = 4096
    return fast


def build_model(tokenizer: PreTrainedTokenizerFast, seed: int, heads: int = 4) -> LlamaForCausalLM:
    """A Llama with 3 layers of width 96, random weights."""
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=96,
        intermediate_size=256,
        num_hidden_layers=3,
        num_attention_heads=heads,
        num_key_value_heads=heads,
        max_position_embeddings=4096,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    return LlamaForCausalLM(config)


def encode(tokenizer: PreTrainedTokenizerFast, chat: Chat, prompts: float = WEIGHT_OF_PROMPT) -> tuple[list[int], list[float]]:
    """Token ids of a chat and the weight of predicting each of them (1 for answers)."""
    ids: list[int] = []
    weights: list[float] = []
    user, assistant, end = (tokenizer.get_vocab()[token] for token in SPECIAL[1:])
    for message in chat:
        content = tokenizer.encode(message["content"], add_special_tokens=False)
        answer = message["role"] == "assistant"
        ids += [assistant if answer else user, *content, end]
        weights += [0.0] + [1.0 if answer else prompts] * (len(content) + 1)
    return ids, weights


def batches(
    tokenizer: PreTrainedTokenizerFast, source: Source, rng: random.Random, size: int, prompts: float = WEIGHT_OF_PROMPT
) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """``size`` chats, sorted by length: padded token ids (B, L) and weights (B, L), which sum to 1 over all batches."""
    rows = sorted((encode(tokenizer, source(rng), prompts) for _ in range(size)), key=lambda row: len(row[0]))
    total = sum(sum(weights[1:]) for _, weights in rows)
    return [
        (
            pad_sequence([torch.tensor(ids) for ids, _ in part], True, tokenizer.pad_token_id),
            pad_sequence([torch.tensor(weights) / total for _, weights in part], True),
        )
        for part in (rows[i : i + TOGETHER] for i in range(0, size, TOGETHER))
    ]


def train(
    model: LlamaForCausalLM,
    tokenizer: PreTrainedTokenizerFast,
    source: Source = chat,
    *,
    steps: int,
    size: int,
    lr: float,
    seed: int,
    decay: int | None = None,
    prompts: float = WEIGHT_OF_PROMPT,
    keep: Callable[[], None] = lambda: None,
) -> None:
    """Weighted next-token prediction on chats from ``source``, with AdamW, warm-up and a cosine that would end at step ``decay``
    (None: at the last one); ``keep`` is called every 100 steps."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=lr, weight_decay=0.01, betas=(0.9, 0.98))
    rng = random.Random(seed)
    start = time.monotonic()
    model.train()
    for step in range(1, steps + 1):
        rate = lr * min(1.0, step / 100) * (0.5 + 0.5 * math.cos(math.pi * step / (decay or steps)))
        for group in optimizer.param_groups:
            group["lr"] = rate
        optimizer.zero_grad()
        total = 0.0
        for ids, weights in batches(tokenizer, source, rng, size, prompts):
            counted = (weights[:, 1:] > 0) | bool(prompts)  # (B, L-1) all, or those of answers alone
            logits = model.lm_head(model.model(ids[:, :-1]).last_hidden_state[counted])  # (N, V)
            loss = functional.cross_entropy(logits, ids[:, 1:][counted], reduction="none") @ weights[:, 1:][counted]
            loss.backward()
            total += loss.item()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        if step % 100 == 0 or step == steps:
            print(f"step {step}/{steps}  loss {total:.4f}  {time.monotonic() - start:.0f} s", flush=True)
            keep()


def main() -> None:
    """Build the tokenizer, train the model, write both to the package."""
    parser = argparse.ArgumentParser(description="Make an embedded model from nothing.")
    parser.add_argument("--model", choices=RECIPES, default="pocket")
    parser.add_argument("--out", type=Path, help="default: its folder in the package")
    parser.add_argument("--steps", type=int, help="default: as many as its recipe says")
    parser.add_argument("--batch", type=int, help="chats in a step; default: as many as its recipe says")
    parser.add_argument("--lr", type=float, default=2.5e-3)
    parser.add_argument("--vocabulary", type=int, help="tokens; default: as many as its recipe says")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=2, help="the weights depend on it in their last digits")
    options = parser.parse_args()
    recipe = RECIPES[options.model]
    out, steps, batch = options.out or recipe.folder, options.steps or recipe.steps, options.batch or recipe.batch
    vocabulary = options.vocabulary or recipe.vocabulary
    torch.set_num_threads(options.threads)
    rng = random.Random(options.seed)
    tokenizer = build_tokenizer(vocabulary, (recipe.texts(rng) for _ in range(3000)), recipe.phrases)
    model = build_model(tokenizer, options.seed, recipe.heads)

    def keep() -> None:
        model.save_pretrained(out)
        tokenizer.save_pretrained(out)

    train(
        model,
        tokenizer,
        recipe.chats,
        steps=steps,
        size=batch,
        lr=options.lr,
        seed=options.seed + 1,
        decay=None if options.steps else recipe.decay,
        prompts=recipe.prompts,
        keep=keep,
    )
    print(f"{sum(p.numel() for p in model.parameters()):,} parameters, {len(tokenizer)} tokens, written to {out}")


if __name__ == "__main__":
    main()
