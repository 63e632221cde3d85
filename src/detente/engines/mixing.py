"""Which adapters one pass can mix with others: LoRA on linear layers, whose every token follows its own policy (lora.py).

    configuration ── refused ──> injected by PEFT ── unmixed, agrees ──> served

Everything else that PEFT knows (whole modules, embeddings, fused experts, biases, other methods) computes every token with the one
active adapter. So it is refused when it is loaded, and never served wrong.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterable
from typing import Any

import torch
from peft import LoraConfig
from peft.config import PeftConfig
from peft.utils.transformers_weight_conversion import convert_peft_config_for_transformers
from torch import Tensor, nn

from detente.backbone import attention, lora

# Settings of an adapter that tell where it comes from and change nothing that it computes.
PROVENANCE = {
    *("auto_mapping", "base_model_name_or_path", "revision", "peft_version", "task_type"),
    *("inference_mode", "init_lora_weights", "eva_config", "lora_dropout"),
}
# Settings that say which layers have matrices, of which size and with which factor.
FOLLOWED = {
    *("peft_type", "r", "lora_alpha", "target_modules", "exclude_modules", "layers_to_transform", "layers_pattern"),
    *("rank_pattern", "alpha_pattern", "fan_in_fan_out", "use_rslora", "use_dora", "lora_bias"),
}
BESIDE_THE_BASE = ("gaussian", "orthogonal", "eva")  # first weights that leave the base model as it is
REMEDY = "use LoRA on linear layers alone (lora.targets=all-linear; in PEFT target_modules='all-linear', bias='none')"


def refused(config: PeftConfig) -> str | None:
    """What in an adapter's configuration no pass can mix; None where there is nothing."""
    if type(config) is not LoraConfig:
        return f"it is no LoRA but {getattr(config.peft_type, 'value', config.peft_type)}"
    first = config.init_lora_weights
    if isinstance(first, str) and first not in BESIDE_THE_BASE:
        return f"init_lora_weights={first} has changed the weights of its base model"
    plain, given = (described.to_dict() for described in (LoraConfig(), config))  # type: ignore[no-untyped-call]
    unusual = [key for key in given.keys() - PROVENANCE - FOLLOWED if (given[key] or None) != (plain.get(key) or None)]
    return f"it needs {', '.join(f'{key}={_short(given[key])}' for key in sorted(unusual))}" if unusual else None


def linear_only(config: LoraConfig, model: nn.Module) -> LoraConfig:
    """The configuration, with "all-linear" for linear layers alone: for models such as Mixtral PEFT adds the fused experts."""
    converted = copy.deepcopy(config)
    if config.target_modules == "all-linear":
        convert_peft_config_for_transformers(converted, model, None)
    if not converted.target_parameters:
        return config
    converted.target_parameters = None
    converted.rank_pattern, converted.alpha_pattern = {}, {}
    return converted


def unmixed(model: nn.Module, adapter: str) -> list[str]:
    """The modules of the adapter that compute with whichever adapter is active; those of all layers share a name."""
    owners = {name.partition(f".{adapter}")[0].rpartition(".")[0] for name, _ in model.named_parameters() if _holds(name, adapter)}
    return grouped(owner for owner in owners if not lora.follows(model.get_submodule(owner)))


def unreached(model: Any, adapter: str) -> list[str]:
    """The modules with matrices of their own that the adapter leaves as they are, embeddings and the head aside."""
    head = model.get_output_embeddings()
    return grouped(
        name
        for name, module in model.get_base_model().named_modules()
        if module is not head
        and not isinstance(module, nn.Embedding)
        and not name.endswith(".base_layer")
        and not re.search(r"\.lora_\w+(\.|$)", name)
        and any(parameter.ndim > 1 for parameter in module.parameters(recurse=False))
        and not (lora.follows(module) and adapter in module.lora_A)
    )


def grouped(names: Iterable[str]) -> list[str]:
    """``["model.layers.0.mlp", "model.layers.1.mlp"]`` -> ``["model.layers.*.mlp"]``."""
    return sorted({re.sub(r"(?<=\.)\d+(?=\.|$)", "*", name.removeprefix("base_model.model.")) for name in names})


@torch.no_grad()
def agrees(model: Any, adapter: str) -> bool:
    """Whether one pass over two chats, one under the adapter and one without, computes what PEFT computes for each.

    It does not where a layer gets the tokens in another order, as experts do that are modules of their own. The adapter's matrices
    are filled with random numbers.
    """
    _fill(model, adapter)
    device = model.get_input_embeddings().weight.device
    ids = torch.arange(12, device=device).remainder(len(model.get_input_embeddings().weight))
    positions = torch.cat([torch.arange(7), torch.arange(5)]).to(device)
    with lora.mixed([(adapter, 0, 7), (None, 7, 12)]):
        mixed = _hidden(model, ids, positions)
    active = model.active_adapter
    model.set_adapter(adapter)
    adapted = _hidden(model, ids, positions)
    with model.disable_adapter():
        plain = _hidden(model, ids, positions)
    model.set_adapter(active)
    right, wrong = torch.cat([adapted[:7], plain[7:]]), torch.cat([plain[:7], adapted[7:]])
    allowed = 1e-3 if mixed.dtype == torch.float32 else 0.1  # of what the adapter makes of the states
    return bool((mixed - right).float().norm() <= allowed * (wrong - right).float().norm())


def _hidden(model: Any, ids: Tensor, positions: Tensor) -> Tensor:
    decoder = model.get_base_model().get_decoder()
    hidden: Tensor = decoder(
        input_ids=ids[None], **attention.arguments(attention.SeparateChats((7, 5)), positions)
    ).last_hidden_state[0]
    return hidden


def _fill(model: nn.Module, adapter: str) -> None:
    """Random matrices that change the states by about as much as they are."""
    generator = torch.Generator().manual_seed(0)
    layers: list[Any] = [layer for layer in model.modules() if lora.follows(layer)]
    for layer in layers:
        if adapter in layer.lora_B:
            matrix = layer.lora_B[adapter].weight
            size = 0.5 / (abs(layer.scaling[adapter]) * matrix.shape[1] ** 0.5) if layer.scaling[adapter] else 0.0
            matrix.copy_(size * torch.randn(matrix.shape, generator=generator))


def _holds(parameter: str, adapter: str) -> bool:
    return f".{adapter}." in f"{parameter}."


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
