"""TRL's GRPO step on the same chats, where ``trl`` is installed; see docs/performance.md for how.

    chats ── left-padded prompts, right-padded completions, tool_mask at drawn tokens ──> reference, loss, backward, Adam

A prompt is what stands before the first drawn token, a completion all that follows; what the other player and the game said in it
is masked as TRL masks the answers of tools. ``loss_type="bnpo"`` divides by the number of drawn tokens. Log-probabilities of the
reference are those with the adapter off, as TRL computes them before its loss. They come from TRL's fused head, in tiles of the
vocabulary; on a processor it scores every token of prompt, completion and padding.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence

import torch
from peft import get_peft_model_state_dict
from torch import Tensor, nn

from benchmarks.padded import Setup
from detente import models
from detente.learning.batch import Trajectory


class TrlLearner:
    """One adapter, trained by TRL's trainer: its loss, its model, our optimizer step."""

    def __init__(self, setup: Setup) -> None:
        from datasets import Dataset
        from trl import GRPOConfig, GRPOTrainer

        self.setup = setup
        base = models.load(setup.model, dtype=setup.dtype, device=setup.device)
        options = GRPOConfig(
            output_dir=tempfile.mkdtemp(),
            use_cpu=not setup.device.startswith("cuda"),
            bf16=False,  # the model has its number format already
            beta=setup.kl,
            entropy_coef=setup.entropy,
            temperature=1.0,
            loss_type="bnpo",
            num_generations=2,
            per_device_train_batch_size=2,
            gradient_checkpointing=False,
            report_to=[],
        )
        self.trainer = GRPOTrainer(
            model=base.model,
            reward_funcs=lambda completions, **_: [0.0] * len(completions),
            args=options,
            train_dataset=Dataset.from_dict({"prompt": ["?"] * 2}),
            processing_class=base.tokenizer,
            peft_config=setup.lora,
        )
        self.model = self.trainer.model
        self.trainer.current_gradient_accumulation_steps = 1  # set by a training loop, which there is none of here
        self.trained = [parameter for parameter in self.model.parameters() if parameter.requires_grad]
        self.optimizer = torch.optim.Adam(self.trained, lr=setup.lr)
        self.model.eval()

    def weights(self) -> Mapping[str, Tensor]:
        """The adapter in PEFT's names, not copied."""
        found: dict[str, Tensor] = get_peft_model_state_dict(self.model, adapter_name="default", save_embedding_layers=False)
        return found

    def step(self, found: Sequence[Trajectory]) -> tuple[float, float]:
        """One Adam step on chats with credit; returns TRL's loss and the norm of its gradient."""
        self.optimizer.zero_grad(set_to_none=True)
        total, size = 0.0, self.setup.micro_batch or len(found)
        for start in range(0, len(found), size):
            batch = self._batch(found[start : start + size])
            loss = self.trainer.compute_loss(self.model, batch) * len(batch["prompt_ids"]) / len(found)
            loss.backward()
            total += float(loss.detach())
        norm = float(nn.utils.clip_grad_norm_(self.trained, 1.0))
        self.optimizer.step()
        return total, norm

    def _batch(self, found: Sequence[Trajectory]) -> dict[str, Tensor]:
        """What TRL's trainer hands to its loss."""
        first = [int(one.drawn[0]) for one in found]
        size = len(found), max(first), max(len(one.tokens) - start for one, start in zip(found, first, strict=True))
        prompts, prompt_mask = (torch.zeros(size[0], size[1], dtype=torch.int64) for _ in range(2))
        answers, answer_mask, drawn = (torch.zeros(size[0], size[2], dtype=torch.int64) for _ in range(3))
        credit = torch.zeros(size[0], size[2])
        for row, (one, start) in enumerate(zip(found, first, strict=True)):
            tokens, rest = torch.from_numpy(one.tokens), len(one.tokens) - start
            prompts[row, size[1] - start :], prompt_mask[row, size[1] - start :] = tokens[:start], 1
            answers[row, :rest], answer_mask[row, :rest] = tokens[start:], 1
            places = torch.from_numpy(one.drawn) - start
            drawn[row, places] = 1
            if one.credit is not None:
                credit[row, places] = one.credit[one.rounds].float()
        batch = {
            "prompt_ids": prompts,
            "prompt_mask": prompt_mask,
            "completion_ids": answers,
            "completion_mask": answer_mask,
            "tool_mask": drawn,
            "advantages": credit,
        }
        batch = {key: value.to(self.setup.device) for key, value in batch.items()}
        if self.setup.kl:
            batch["ref_per_token_logps"] = self._reference(batch)
        return batch

    @torch.no_grad()
    def _reference(self, batch: Mapping[str, Tensor]) -> Tensor:
        with self.model.disable_adapter():
            logprobs: Tensor = self.trainer._get_per_token_logps_and_entropies(
                self.model,
                torch.cat([batch["prompt_ids"], batch["completion_ids"]], 1),
                torch.cat([batch["prompt_mask"], batch["completion_mask"]], 1),
                batch["completion_ids"].shape[1],
            )[0]
        return logprobs
