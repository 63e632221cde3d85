"""Base models that start elsewhere than pocket: pocket, trained for 300 more steps on chats with other habits.

    python experiments/bases.py [blind wrong undecided] [--out runs/evidence/models]

In the chats of matrix games that pocket was made with, the assistant cooperates in 95 of 100 rounds, and in 80 right after the
other player did not: a mild reaction to the last move, in the right direction. Here it does so as often whatever came before
(``blind``), more often after defection (``wrong``), or in half of the rounds (``undecided``). A folder that is there is not made
again.
"""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path

import torch
from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

from detente.pocket import build
from detente.pocket.chats import matrix_chat

HABITS = {"blind": (0.9, 0.9), "wrong": (0.85, 0.95), "undecided": (0.5, 0.5)}  # P(cooperate) else, and right after defection
FOLDER = Path("runs/evidence/models")
STEPS, CHATS, RATE, SEED = 300, 32, 1e-3, 100


def make(name: str, folder: Path, *, steps: int = STEPS) -> Path:
    """Train pocket on chats with these habits and write it to a folder of this name; returns the folder."""
    target = folder / name
    if target.exists():
        return target
    usual, when_crossed = HABITS[name]
    tokenizer = PreTrainedTokenizerFast.from_pretrained(build.FOLDER)
    model = LlamaForCausalLM.from_pretrained(build.FOLDER, dtype=torch.float32)
    chats = partial(matrix_chat, polite_share=usual, when_crossed=when_crossed)
    print(f"{name}: {steps} steps of {CHATS} chats", flush=True)
    build.train(model, tokenizer, chats, steps=steps, size=CHATS, lr=RATE, seed=SEED)
    partial_folder = folder / f"{name}.partial"
    model.save_pretrained(partial_folder)
    tokenizer.save_pretrained(partial_folder)
    return partial_folder.rename(target)


def main() -> None:
    """Make those that are missing."""
    parser = argparse.ArgumentParser(description="Make base models with other habits from pocket.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(HABITS)} (default: all)")
    parser.add_argument("--out", type=Path, default=FOLDER, help="the folder that holds them")
    given = parser.parse_args()
    if unknown := [name for name in given.names if name not in HABITS]:
        parser.error(f"there is no base {unknown[0]}; there are {', '.join(HABITS)}")
    torch.set_num_threads(1)
    for name in given.names or HABITS:
        make(name, given.out)


if __name__ == "__main__":
    main()
