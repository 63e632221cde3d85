"""How a linear layer with LoRA adapters computes: ``x W' + s (x A') B'`` in as few passes over memory as possible.

PEFT makes, names, loads and saves the adapters; this module only takes over the arithmetic of its linear layers: one adapter at a
time with gradients (PEFT's active one), or several in one batch without (``mixed``). Variants such as DoRA are left to PEFT, one
adapter at a time; layers that are not linear do not know ``mixed`` (see mixing.py).

A processor without instructions for bfloat16 multiplies such numbers many times more slowly than float32; there, products of
bfloat16 tensors are taken in float32 and rounded once.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache, partial
from typing import Any

import torch
from peft.tuners.lora.layer import Linear
from torch import Tensor, nn
from torch.nn import functional as F
from transformers.pytorch_utils import Conv1D

from detente.backbone import grouped
from detente.backbone.grouped import Mixture, Part

_mixture: ContextVar[Mixture | None] = ContextVar("mixture", default=None)


def use(model: nn.Module) -> None:
    """Take over the LoRA layers of the model, and the others where products need it; to be called again when adapters were added.

    Idempotent.
    """
    for layer in model.modules():
        if follows(layer):
            layer.forward = partial(_forward, layer)
        elif type(layer) is nn.Linear and working(layer.weight) != layer.weight.dtype:
            layer.forward = partial(_product, layer)  # type: ignore[method-assign]


def follows(layer: Any) -> bool:
    """Whether each token of a pass goes through its own adapter in this layer: PEFT's for a linear one, or GPT-2's Conv1D."""
    return type(layer) is Linear and type(layer.base_layer) in (nn.Linear, Conv1D)


@contextmanager
def mixed(parts: Sequence[Part]) -> Iterator[None]:
    """Inside, the tokens of a pass (in one row) go through these adapters instead of the active one; without gradients."""
    token = _mixture.set(Mixture(parts))
    try:
        yield
    finally:
        _mixture.reset(token)


def working(like: Tensor) -> torch.dtype:
    """The number format in which products of such tensors are computed here."""
    emulated = like.dtype == torch.bfloat16 and like.device.type == "cpu" and not has_bfloat16(like.device)
    return torch.float32 if emulated else like.dtype


def product(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """``x W' + bias`` in the number format of x."""
    form = working(x)
    return F.linear(x.to(form), weight.to(form), None if bias is None else bias.to(form)).to(x.dtype)


def _product(layer: nn.Linear, x: Tensor) -> Tensor:
    return product(x, layer.weight, layer.bias)


@cache
def has_bfloat16(device: torch.device) -> bool:
    """Whether the device has instructions for bfloat16; yes for processors under torch before 2.13, which cannot tell."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    capabilities: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)() if device.type == "cpu" else {}
    return not capabilities or any(
        capabilities.get(key) for key in ("avx512_bf16", "amx_bf16", "avx10_2", "bf16", "sve_bf16", "arm_bf16")
    )


def _forward(layer: Any, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    mixture = _mixture.get()
    base = layer.base_layer
    if mixture is not None:
        return _of_parts(layer, x, mixture)
    names = () if layer.disable_adapters else [name for name in layer.active_adapters if name in layer.lora_A]
    if args or kwargs or layer.merged or base.weight.requires_grad or len(names) > 1 or not all(_plain(layer, n) for n in names):
        output: Tensor = Linear.forward(layer, x, *args, **kwargs)
        return output
    if not names:
        return product(x, _matrix(base), base.bias)
    a, b, scale = layer.lora_A[names[0]].weight, layer.lora_B[names[0]].weight, layer.scaling[names[0]]
    result: Tensor = LowRank.apply(x, _matrix(base), base.bias, a, b, scale)  # type: ignore[no-untyped-call]
    return result


def _of_parts(layer: Any, x: Tensor, mixture: Mixture) -> Tensor:
    base, form = layer.base_layer, working(x)
    tokens = x.reshape(-1, x.shape[-1]).to(form)  # (M, in)
    out = F.linear(tokens, _matrix(base).to(form), None if base.bias is None else base.bias.to(form))
    own = [(name, start, stop) for name, start, stop in mixture.parts if name is not None and name in layer.lora_A]
    plain = [name for name, _, _ in own if _plain(layer, name)]
    together = grouped.pays(tokens, plain)
    if together:
        grouped.add(layer, tokens, out, mixture, plain)
    for name, start, stop in own:
        if together and name in plain:
            continue
        segment = tokens[start:stop]
        if name in plain:
            a, b = (matrix[name].weight.to(form) for matrix in (layer.lora_A, layer.lora_B))
            out[start:stop].addmm_(segment @ a.T, b.T, alpha=layer.scaling[name])
        else:
            out[start:stop] = _by_peft(layer, name, segment.to(x.dtype)).to(form)
    return out.to(x.dtype).view(*x.shape[:-1], -1)


def _matrix(base: Any) -> Tensor:
    """(out, in) of a linear layer; a Conv1D holds it transposed."""
    weight: Tensor = base.weight
    return weight.T if type(base) is Conv1D else weight


def _by_peft(layer: Any, name: str, x: Tensor) -> Tensor:
    """PEFT's own forward under this adapter instead of the active one; PEFT's ``adapter_names`` do not take every variant."""
    before = layer._active_adapter, layer._disable_adapters
    layer._active_adapter, layer._disable_adapters = [name], False
    try:
        output: Tensor = Linear.forward(layer, x)
        return output
    finally:
        layer._active_adapter, layer._disable_adapters = before


def _plain(layer: Any, name: str) -> bool:
    """Whether the adapter is two matrices and a factor, and nothing else."""
    return (
        name not in layer.lora_variant
        and layer.lora_B[name].bias is None
        and (isinstance(layer.lora_dropout[name], nn.Identity) or not layer.training)
    )


class LowRank(torch.autograd.Function):
    """``x W' + bias + s (x A') B'`` with gradients for x, A and B; W is frozen.

    x (..., in), W (out, in), A (r, in), B (out, r). The result has the number format of x; A and B may be in a finer one, which
    their gradients then have too.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, a: Tensor, b: Tensor, scale: float) -> Tensor:
        form = working(x)
        tokens = x.reshape(-1, x.shape[-1])  # (M, in)
        low = tokens.to(form) @ a.to(form).T  # (M, r)
        out = F.linear(tokens.to(form), weight.to(form), None if bias is None else bias.to(form))
        out.addmm_(low, b.to(form).T, alpha=scale)
        ctx.save_for_backward(tokens, weight, a, b, low)
        ctx.scale = scale
        return out.to(x.dtype).view(*x.shape[:-1], -1)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, None, None, Tensor, Tensor, None]:
        tokens, weight, a, b, low = ctx.saved_tensors
        form = low.dtype
        flat = grad.reshape(-1, grad.shape[-1]).to(form)
        into_low = (flat @ b.to(form)).mul_(ctx.scale)  # (M, r)
        into_x = None
        if ctx.needs_input_grad[0]:
            into_x = (flat @ weight.to(form)).addmm_(into_low, a.to(form)).to(grad.dtype).view(*grad.shape[:-1], -1)
        into_a, into_b = into_low.T @ tokens.to(form), (flat.T @ low).mul_(ctx.scale)
        return into_x, None, None, into_a.to(a.dtype), into_b.to(b.dtype), None
