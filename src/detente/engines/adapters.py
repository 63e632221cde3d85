"""Which LoRA adapters the engine serves, and under which names PEFT knows them.

    PolicyRef ── add ──> a PEFT adapter with a copy of the weights ── remove ──> its place is free for the next of that shape

A pass may mix any of them and the base model: every token goes through the adapter of its policy (lora.py), so there is no
"current" one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from peft import PeftModel, get_peft_model_state_dict, set_peft_model_state_dict
from peft.config import PeftConfig
from torch import Tensor
from transformers import PreTrainedModel

from detente.engines import lora
from detente.errors import UserError
from detente.records import PolicyRef

# What an adapter's configuration says of its past, which nothing that it computes depends on when it is served.
PROVENANCE = {
    *("auto_mapping", "base_model_name_or_path", "revision", "peft_version", "task_type"),
    *("inference_mode", "init_lora_weights", "lora_dropout"),
}


class Adapters:
    """The adapters of one model; ``names`` maps each policy to its PEFT adapter."""

    def __init__(self, model: PeftModel | PreTrainedModel) -> None:
        lora.use(model)
        self.model = model
        self.names: dict[PolicyRef, str] = {}
        self._free: list[tuple[str, Any]] = []

    def add(self, policy: PolicyRef, weights: Mapping[str, Tensor], config: PeftConfig) -> None:
        """Serve a policy; ``weights`` are copied. ValueError if it is served already, UserError if the weights do not fit."""
        if policy in self.names:
            raise ValueError(f"{policy} is served already")
        name = self._place(config)
        if not self._load(name, weights):
            self._free.append((name, config))
            raise UserError(f"The adapter {policy} does not fit the base model {self.model.config._name_or_path}.")
        self.names[policy] = name

    def remove(self, policy: PolicyRef) -> None:
        """Stop serving a policy."""
        name = self.names.pop(policy)
        self._free.append((name, self.model.peft_config[name]))

    def weights(self, policy: PolicyRef) -> dict[str, Tensor]:
        """The adapter as it is in memory, in PEFT's names."""
        weights: dict[str, Tensor] = get_peft_model_state_dict(
            self.model, adapter_name=self.names[policy], save_embedding_layers=False
        )
        return weights

    def name(self, policy: PolicyRef) -> str | None:
        """What PEFT calls the policy's adapter; None for the base model."""
        return None if policy.kind == "base" else self.names[policy]

    def _load(self, name: str, weights: Mapping[str, Tensor]) -> bool:
        """Copy weights into a PEFT adapter; False if their names or shapes are not its own."""
        try:
            result = set_peft_model_state_dict(self.model, dict(weights), adapter_name=name)
        except RuntimeError:  # what torch raises for shapes that differ
            return False
        missing = [key for key in getattr(result, "missing_keys", []) if f".{name}." in key]
        return not missing and not getattr(result, "unexpected_keys", [])

    def _place(self, config: PeftConfig) -> str:
        """A PEFT adapter of this shape that nobody uses, or a new one."""
        for place in self._free:
            if _shape(place[1]) == _shape(config):
                self._free.remove(place)
                return place[0]
        name = f"served{len(self.names) + len(self._free)}"
        if isinstance(self.model, PeftModel):
            active = self.model.active_adapter
            self.model.add_adapter(name, config)
            self.model.set_adapter(active)
        else:
            self.model = PeftModel(self.model, config, adapter_name=name)
        for parameter_name, parameter in self.model.named_parameters():
            if f".{name}." in parameter_name:
                parameter.requires_grad_(False)
        lora.use(self.model)
        return name


def _shape(config: PeftConfig) -> dict[str, Any]:
    """What two LoRA adapters must share to take each other's place."""
    return {key: value for key, value in config.to_dict().items() if key not in PROVENANCE}
