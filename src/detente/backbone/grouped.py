"""The adapters of a pass in two products for all of them, where a loop would take two for each.

    tokens (M, in) ── A of all adapters, one below the other (R, in) ──> (M, R) ── 0 but in the columns of the token's own adapter,
    there the factor ── B of all adapters, side by side (out, R) ──> added to (M, out)

For the few tokens of a step this reads what the loop reads, in two launches on a device; of many tokens it would multiply too much.
The matrices lie together in the number format of the pass until an adapter among them changes or another one is needed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

Part = tuple[str | None, int, int]  # adapter (None: the base model alone), first token, the one after the last
Columns = tuple[tuple[str, int, float], ...]  # adapters with their ranks and factors, in order

MOST = 4096  # tokens of a pass


@dataclass(frozen=True)
class Mixture:
    """Which tokens of a pass belong to which adapter; ``factors`` of the columns are the same for layers of the same columns."""

    parts: Sequence[Part]
    factors: dict[tuple[Columns, torch.dtype], Tensor] = field(default_factory=dict)


@dataclass(frozen=True)
class Stack:
    """The matrices of some adapters of a layer, A (R, in) and B (out, R), as they were at these versions."""

    sources: tuple[Tensor, ...]
    versions: tuple[int, ...]
    columns: Columns
    a: Tensor
    b: Tensor

    def holds(self, names: Sequence[str], sources: dict[str, tuple[Tensor, Tensor]], form: torch.dtype) -> bool:
        """Whether these adapters are in it, unchanged."""
        own = {name: i for i, (name, _, _) in enumerate(self.columns)}
        return self.a.dtype == form and all(
            name in own
            and all(
                kept is source and version == source._version
                for kept, version, source in zip(
                    self.sources[2 * own[name] :], self.versions[2 * own[name] :], sources[name], strict=False
                )
            )
            for name in names
        )


_stacks: WeakKeyDictionary[nn.Module, Stack] = WeakKeyDictionary()


def pays(tokens: Tensor, names: Sequence[str]) -> bool:
    """Whether this is faster than a loop: for several adapters and few tokens, where a launch costs more than a small product."""
    return tokens.device.type != "cpu" and len(set(names)) > 1 and len(tokens) <= MOST


def add(layer: Any, tokens: Tensor, out: Tensor, mixture: Mixture, names: Sequence[str]) -> None:
    """Add to ``out`` (M, outputs) what these adapters make of their ``tokens`` (M, inputs)."""
    stack = _stack(layer, tuple(dict.fromkeys(names)), tokens.dtype)
    key = stack.columns, tokens.dtype
    if key not in mixture.factors:
        mixture.factors[key] = _factors(stack.columns, mixture.parts, tokens)
    out.addmm_((tokens @ stack.a.T).mul_(mixture.factors[key]), stack.b.T)


def _factors(columns: Columns, parts: Sequence[Part], tokens: Tensor) -> Tensor:
    """(M, R): an adapter's factor where token and column are its own, else 0."""
    factors = tokens.new_zeros(len(tokens), sum(rank for _, rank, _ in columns))
    first = 0
    for name, rank, factor in columns:
        for owner, start, stop in parts:
            if owner == name:
                factors[start:stop, first : first + rank] = factor
        first += rank
    return factors


def _stack(layer: Any, names: tuple[str, ...], form: torch.dtype) -> Stack:
    sources = {name: (layer.lora_A[name].weight, layer.lora_B[name].weight) for name in names}
    known = _stacks.get(layer)
    if known is not None and known.holds(names, sources, form) and _factors_of(layer, known.columns) == known.columns:
        return known
    flat = tuple(matrix for pair in sources.values() for matrix in pair)
    a, b = (torch.cat([pair[i] for pair in sources.values()], dim=i).detach().to(form) for i in (0, 1))
    columns = tuple((name, len(pair[0]), float(layer.scaling[name])) for name, pair in sources.items())
    stack = _stacks[layer] = Stack(flat, tuple(matrix._version for matrix in flat), columns, a, b)
    return stack


def _factors_of(layer: Any, columns: Columns) -> Columns:
    """The columns with the layer's present factors."""
    return tuple((name, rank, float(layer.scaling.get(name, 0.0))) for name, rank, _ in columns)
