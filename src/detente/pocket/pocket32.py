"""``pocket32``: pocket with heads of 32 numbers, which a vLLM server on a CPU takes; the same function of the tokens.

python -m detente.pocket.pocket32 FOLDER   ──>   the model and its tokenizer, for model=FOLDER and detente serve-engine FOLDER
"""

from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaForCausalLM

from detente import pocket

WIDE = 32


def save_pocket32(folder: Path) -> Path:
    """Write pocket with every head padded by zeros to 32.

    A head of d numbers turns pair i by position * theta ** (-2 i / d), so pairs keep their speeds with theta ** (32 / d). The pair
    (i, i + d / 2) of a head is (i, i + 16) of a wide one, and scores are divided by the root of 32 in place of d.
    """
    source = str(Path(pocket.__file__).parent / "model")
    small: Any = AutoModelForCausalLM.from_pretrained(source)
    config = small.config
    head, heads = config.head_dim, config.num_attention_heads
    config.head_dim = WIDE
    config.rope_parameters = config.rope_parameters | {"rope_theta": config.rope_parameters["rope_theta"] ** (WIDE / head)}
    wide = LlamaForCausalLM(config)
    rows = [h * WIDE + (i if i < head // 2 else i - head // 2 + WIDE // 2) for h in range(heads) for i in range(head)]
    weights = {}
    for name, tensor in small.state_dict().items():
        padded = torch.zeros_like(wide.state_dict()[name])
        if name.endswith(("q_proj.weight", "k_proj.weight", "v_proj.weight")):
            padded[rows] = tensor * (math.sqrt(WIDE / head) if "q_proj" in name else 1)
        elif name.endswith("o_proj.weight"):
            padded[:, rows] = tensor
        else:
            padded = tensor
        weights[name] = padded
    wide.load_state_dict(weights)
    wide.save_pretrained(folder)
    AutoTokenizer.from_pretrained(source).save_pretrained(folder)
    return folder


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("Name one folder to write: python -m detente.pocket.pocket32 FOLDER")
    print(f"Wrote {save_pocket32(Path(sys.argv[1]))}")
