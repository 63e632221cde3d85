"""What a forward pass keeps for its backward pass, and how many tokens fit.

Hidden states of all layers, about ten of a token and layer, four of the inner size of the MLP. Must not import torch.
"""

from __future__ import annotations

LOGITS = {"cpu": 1 << 22}  # computed at a time, by the type of the device; few of them fill a processor's cache
LOGITS_OF_OTHERS = 1 << 26  # so that the head is read seldom: 441 rows of 152,064
WHOLE = 1 << 14  # a larger vocabulary is read in tiles: whole rows of logits would be few at a time, and the head read for each few
ACTIVATIONS = {"cpu": 3 << 29}  # bytes that a pass keeps for its backward pass, about, by the type of the device
ACTIVATIONS_OF_OTHERS = 1 << 33  # the same on every card: processes must count equal passes, whatever else is in memory
FEWEST, MOST = 256, 4096  # tokens of a pass


def logits_at_once(device: str) -> int:
    """How many logits of a micro-batch exist at a time on this type of device."""
    return LOGITS.get(device, LOGITS_OF_OTHERS)


def kept_bytes(layers: int, hidden: int, inner: int, width: int = 4) -> int:
    """Bytes that a token keeps in all layers, in numbers of ``width`` bytes."""
    return width * layers * (10 * hidden + 4 * inner)


def fitting(layers: int, hidden: int, inner: int, device: str) -> int:
    """Tokens of a pass that keeps about as many bytes as this type of device has for it."""
    room = ACTIVATIONS.get(device, ACTIVATIONS_OF_OTHERS)
    return max(FEWEST, min(MOST, room // kept_bytes(layers, hidden, inner)))
