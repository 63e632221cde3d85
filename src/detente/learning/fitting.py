"""What a forward pass keeps for its backward pass, and how many tokens fit.

Hidden states of all layers, about ten of a token and layer, four of the inner size of the MLP. Must not import torch.
"""

from __future__ import annotations

ACTIVATIONS = 3 << 29  # bytes that a pass keeps for its backward pass, about
FEWEST, MOST = 256, 4096  # tokens of a pass


def kept_bytes(layers: int, hidden: int, inner: int, width: int = 4) -> int:
    """Bytes that a token keeps in all layers, in numbers of ``width`` bytes."""
    return width * layers * (10 * hidden + 4 * inner)


def fitting(layers: int, hidden: int, inner: int) -> int:
    """Tokens of a pass that keeps about ACTIVATIONS bytes."""
    return int(max(FEWEST, min(MOST, ACTIVATIONS // kept_bytes(layers, hidden, inner))))
