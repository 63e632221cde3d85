"""Whether tensors are made of numbers: neither NaN nor infinite.

Imports torch alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

FORMATS = (torch.float32, torch.bfloat16, torch.float16, torch.float64)  # of weights


def all_finite(tensors: Iterable[Tensor]) -> bool:
    """Whether all are, in one pass over each and one transfer from their device. They are of floating point and share a device."""
    ends = [end.float() for tensor in tensors if tensor.numel() for end in tensor.detach().aminmax()]
    return not ends or bool(torch.stack(ends).isfinite().all())


def fault(tensors: Mapping[str, Tensor]) -> str | None:
    """What is wrong with weights that should be float32 numbers, ``its tensor 'x' ...``; None where nothing is."""
    for name, tensor in tensors.items():
        if tensor.dtype not in FORMATS:
            return f"its tensor '{name}' holds {str(tensor.dtype).removeprefix('torch.')} numbers where weights are float32"
        if not all_finite([tensor]):
            return f"its tensor '{name}' holds numbers that are not finite (NaN or infinity)"
    return None
