"""The layers of a base model spread over several processes (FSDP2), where one device cannot hold it beside what an update keeps.

process 0, 1 ... ── each a part of every layer ── a pass: gathered, used, let go ──> the same numbers
"""

from __future__ import annotations

from typing import Any

import torch.distributed as dist
from peft import PeftModel
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from transformers.modeling_layers import GradientCheckpointingLayer


def spread_layers(model: PeftModel) -> None:
    """Keep a part of every layer's frozen weights in each process (FSDP2); adapters stay whole everywhere, as do embeddings.

    Layers are gathered when a pass needs them, so all processes take the same passes in the same order.
    """
    adapters = {parameter for name, parameter in model.named_parameters() if ".lora_" in name}
    base: Any = model.get_base_model()
    kind = model.get_input_embeddings().weight.device.type
    mesh = init_device_mesh(kind, (dist.get_world_size(),))
    for layer in base.get_decoder().modules():
        if isinstance(layer, GradientCheckpointingLayer):
            fully_shard(layer, mesh=mesh, reshard_after_forward=True, ignored_params=adapters)
