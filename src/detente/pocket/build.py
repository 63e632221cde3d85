"""Makes ``pocket`` from nothing: a tokenizer and a small Llama trained on the synthetic chats of ``chats.py``.

    python -m detente.pocket.build            (or: make pocket; about half an hour on two cores)

The tokenizer is a byte-level BPE that may merge across words, so that a phrase which every prompt repeats is one token and a
round of the prisoner's dilemma costs eight tokens. The same seed gives the same weights.
"""

from __future__ import annotations

import argparse
import math
import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from torch.nn import functional
from torch.nn.utils.rnn import pad_sequence
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from detente.pocket.chats import chat
from detente.pocket.splitting_chats import Chat

Source = Callable[[random.Random], Chat]  # draws a chat

FOLDER = Path(__file__).parent / "model"
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
TOGETHER = 8  # chats in one forward pass
WEIGHT_OF_PROMPT = 0.03  # of the loss; answers have weight 1


def build_tokenizer(vocabulary: int, chats: Iterator[Chat]) -> PreTrainedTokenizerFast:
    """A byte-level BPE whose merges may span words; every label of one letter and every byte has a token."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(PHRASE, "isolated"), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
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


def build_model(tokenizer: PreTrainedTokenizerFast, seed: int) -> LlamaForCausalLM:
    """A Llama with 3 layers of width 96, random weights."""
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=96,
        intermediate_size=256,
        num_hidden_layers=3,
        num_attention_heads=4,
        num_key_value_heads=4,
        max_position_embeddings=4096,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    return LlamaForCausalLM(config)


def encode(tokenizer: PreTrainedTokenizerFast, chat: Chat) -> tuple[list[int], list[float]]:
    """Token ids of a chat and the weight of predicting each of them (1 for answers)."""
    ids: list[int] = []
    weights: list[float] = []
    user, assistant, end = (tokenizer.get_vocab()[token] for token in SPECIAL[1:])
    for message in chat:
        content = tokenizer.encode(message["content"], add_special_tokens=False)
        answer = message["role"] == "assistant"
        ids += [assistant if answer else user, *content, end]
        weights += [0.0] + [1.0 if answer else WEIGHT_OF_PROMPT] * (len(content) + 1)
    return ids, weights


def batches(
    tokenizer: PreTrainedTokenizerFast, source: Source, rng: random.Random, size: int
) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """``size`` chats, sorted by length: padded token ids (B, L) and weights (B, L), which sum to 1 over all batches."""
    rows = sorted((encode(tokenizer, source(rng)) for _ in range(size)), key=lambda row: len(row[0]))
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
) -> None:
    """Weighted next-token prediction on chats from ``source``, with AdamW, warm-up and cosine decay."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=lr, weight_decay=0.01, betas=(0.9, 0.98))
    rng = random.Random(seed)
    start = time.monotonic()
    model.train()
    for step in range(1, steps + 1):
        rate = lr * min(1.0, step / 100) * (0.5 + 0.5 * math.cos(math.pi * step / steps))
        for group in optimizer.param_groups:
            group["lr"] = rate
        optimizer.zero_grad()
        total = 0.0
        for ids, weights in batches(tokenizer, source, rng, size):
            logits = model(ids[:, :-1]).logits  # (B, L-1, V)
            losses = functional.cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten(), reduction="none")
            loss = losses @ weights[:, 1:].flatten()
            loss.backward()
            total += loss.item()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        if step % 100 == 0 or step == steps:
            print(f"step {step}/{steps}  loss {total:.4f}  {time.monotonic() - start:.0f} s", flush=True)


def main() -> None:
    """Build the tokenizer, train the model, write both to the package."""
    parser = argparse.ArgumentParser(description="Make the embedded model from nothing.")
    parser.add_argument("--out", type=Path, default=FOLDER)
    parser.add_argument("--steps", type=int, default=2400)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--lr", type=float, default=2.5e-3)
    parser.add_argument("--vocabulary", type=int, default=1536)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=2, help="the weights depend on it in their last digits")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    rng = random.Random(options.seed)
    tokenizer = build_tokenizer(options.vocabulary, (chat(rng) for _ in range(3000)))
    model = build_model(tokenizer, options.seed)
    train(model, tokenizer, steps=options.steps, size=options.batch, lr=options.lr, seed=options.seed + 1)
    model.save_pretrained(options.out)
    tokenizer.save_pretrained(options.out)
    print(f"{sum(p.numel() for p in model.parameters()):,} parameters, {len(tokenizer)} tokens, written to {options.out}")


if __name__ == "__main__":
    main()
