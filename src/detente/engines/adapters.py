"""Which LoRA adapters the engine serves, and under which names PEFT knows them.

    PolicyRef ── add ──> a PEFT adapter with a copy of the weights ── remove ──> its place is free for the next of that shape

A pass may mix any adapters and the base model: every token goes through the adapter of its policy (lora.py), so there is no
"current" adapter.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import torch
from peft import PeftModel, get_peft_model_state_dict, set_peft_model_state_dict
from peft.config import PeftConfig
from torch import Tensor
from transformers import PreTrainedModel

from detente.backbone import lora
from detente.engines.mixing import PROVENANCE, REMEDY, agrees, grouped, refused, unmixed
from detente.errors import UserError
from detente.records import PolicyRef


class Adapters:
    """The adapters of one model; ``names`` maps each policy to its PEFT adapter, whose name starts with ``prefix``."""

    def __init__(self, model: PeftModel | PreTrainedModel, prefix: str = "served") -> None:
        lora.use(model)
        self.model, self.prefix = model, prefix
        self.names: dict[PolicyRef, str] = {}
        self._free: list[tuple[str, Any]] = []

    def add(self, policy: PolicyRef, weights: Mapping[str, Tensor], config: PeftConfig) -> None:
        """Serve a policy; ``weights`` are copied.

        ValueError if it is served already, UserError if it does not fit or no pass can mix it with others.
        """
        if policy in self.names:
            raise ValueError(f"{policy} is served already")
        foreign = self._foreign(weights)
        if whole := grouped(key.rpartition(".")[0] for key, known in foreign.items() if known):
            raise _unmixable(str(policy), f"it holds whole weights of the model, of {', '.join(whole)}")
        name = self._place(str(policy), config)
        matrices = {key: value for key, value in weights.items() if ".lora_" in key}
        if foreign or not self._load(name, matrices):
            self._free.append((name, config))
            raise self._unfit(str(policy))
        self.names[policy] = name

    def reserve(self, policy: str, config: PeftConfig) -> None:
        """Make a place for an adapter that will be added later; UserError as for ``add``."""
        self._free.append((self._place(policy, config), config))

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

    def _foreign(self, weights: Mapping[str, Tensor]) -> dict[str, bool]:
        """The tensors of no LoRA matrix -> whether the base model has that tensor; those that PEFT saves unchanged are left out."""
        base: Any = self.model.get_base_model() if isinstance(self.model, PeftModel) else self.model
        own = {name.replace(".base_layer.", "."): tensor for name, tensor in base.named_parameters()}
        foreign = {}
        for key, value in weights.items():
            original = own.get(key.removeprefix("base_model.model.").replace(".base_layer.", "."))
            same = original is not None and original.shape == value.shape and torch.equal(original, value.to(original))
            if ".lora_" not in key and not same:
                foreign[key] = original is not None
        return foreign

    def _load(self, name: str, weights: Mapping[str, Tensor]) -> bool:
        """Copy weights into a PEFT adapter; False if their names or shapes are not its own."""
        try:
            result = set_peft_model_state_dict(self.model, dict(weights), adapter_name=name)
        except RuntimeError:  # what torch raises for shapes that differ
            return False
        missing = [key for key in getattr(result, "missing_keys", []) if f".{name}." in key]
        return not missing and not getattr(result, "unexpected_keys", [])

    def _place(self, policy: str, config: PeftConfig) -> str:
        """The name of a free PEFT adapter of this shape, or of a new one."""
        for place in self._free:
            if _shape(place[1]) == _shape(config):
                self._free.remove(place)
                return place[0]
        if (reason := refused(config)) is not None:
            raise _unmixable(policy, reason)
        name, before = f"{self.prefix}{len(self.names) + len(self._free)}", self.model
        self._inject(policy, name, config)
        lora.use(self.model)
        if modules := unmixed(self.model, name):
            reason = f"one pass cannot mix adapters of {', '.join(modules)}"
        elif not agrees(self.model, name):
            reason = "its layers meet the tokens of a pass in another order, as experts do that are modules of their own"
        if reason is not None:
            model: Any = self.model
            if model is before:
                model.delete_adapter(name)
            else:
                self.model = model.unload()
            raise _unmixable(policy, reason)
        for parameter_name, parameter in self.model.named_parameters():
            if f".{name}." in parameter_name:
                parameter.requires_grad_(False)
        return name

    def _inject(self, policy: str, name: str, config: PeftConfig) -> None:
        """Let PEFT add an adapter with its own first weights and no dropout; the active adapter stays active."""
        config = copy.copy(config)
        config.init_lora_weights, config.lora_dropout = True, 0.0  # type: ignore[attr-defined]
        try:
            if isinstance(self.model, PeftModel):
                active = self.model.active_adapter
                self.model.add_adapter(name, config)
                self.model.set_adapter(active)
            else:
                self.model = PeftModel(self.model, config, adapter_name=name)
        except ValueError as error:  # what PEFT raises for modules that the model does not have
            raise self._unfit(policy) from error
        except Exception as error:  # PEFT may fail in any way on a configuration that it cannot build
            reason = " ".join(str(error).split()).rstrip(".")
            raise UserError(f"PEFT cannot build the adapter {policy} from its configuration: {reason}.") from error

    def _unfit(self, policy: str) -> UserError:
        return UserError(f"The adapter {policy} does not fit the base model {self.model.config._name_or_path}.")


def _unmixable(policy: str, reason: str) -> UserError:
    return UserError(f"The adapter {policy} cannot be served: {reason}; {REMEDY}.")


def _shape(config: PeftConfig) -> dict[str, Any]:
    """The settings that two LoRA adapters must share to take each other's place."""
    return {key: value for key, value in config.to_dict().items() if key not in PROVENANCE}
