"""Shapes of the models that can be planned: pinned architecture numbers of hub models, a local config, a micro recipe.

The numbers are those of each model's `config.json` on the hub; a test compares the parameter counts that follow with
the published ones. Not covered: anything that does not change memory or operations (rotary base, token ids).
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from repro.errors import InputError

if TYPE_CHECKING:
    from transformers import PretrainedConfig


@dataclass(frozen=True)
class Architecture:
    """A Qwen2 or Llama network. `parameters`: published number, tied weights counted once."""

    hidden: int
    layers: int
    heads: int
    key_value_heads: int
    ffn: int
    vocabulary: int
    tied: bool
    positions: int
    parameters: int
    family: Literal["qwen2", "llama"] = "qwen2"


def _half(positions: int) -> Architecture:
    return Architecture(896, 24, 14, 2, 4864, 151_936, True, positions, 494_032_768)


def _one_and_half(positions: int) -> Architecture:
    return Architecture(1536, 28, 12, 2, 8960, 151_936, True, positions, 1_543_714_304)


def _three(positions: int) -> Architecture:
    return Architecture(2048, 36, 16, 2, 11_008, 151_936, True, positions, 3_085_938_688)


def _seven(positions: int) -> Architecture:
    return Architecture(3584, 28, 28, 4, 18_944, 152_064, False, positions, 7_615_616_512)


def _llama(*numbers: int, parameters: int) -> Architecture:
    return Architecture(*numbers, 128_256, False, 131_072, parameters, "llama")


HUB: Mapping[str, Architecture] = {
    "Qwen/Qwen2-0.5B": _half(131_072),
    "Qwen/Qwen2-1.5B": _one_and_half(131_072),
    "Qwen/Qwen2.5-0.5B": _half(32_768),
    "Qwen/Qwen2.5-0.5B-Instruct": _half(32_768),
    "Qwen/Qwen2.5-1.5B": _one_and_half(131_072),
    "Qwen/Qwen2.5-1.5B-Instruct": _one_and_half(32_768),
    "Qwen/Qwen2.5-3B": _three(32_768),
    "Qwen/Qwen2.5-3B-Instruct": _three(32_768),
    "Qwen/Qwen2.5-7B": _seven(131_072),
    "Qwen/Qwen2.5-7B-Instruct": _seven(32_768),
    "Qwen/Qwen2.5-Math-1.5B": _one_and_half(4096),
    "Qwen/Qwen2.5-Math-1.5B-Instruct": _one_and_half(4096),
    "Qwen/Qwen2.5-Math-7B": _seven(4096),
    "Qwen/Qwen2.5-Math-7B-Instruct": _seven(4096),
    "meta-llama/Llama-3.1-8B-Instruct": _llama(4096, 32, 32, 8, 14_336, parameters=8_030_261_248),
    "meta-llama/Llama-3.1-70B-Instruct": _llama(8192, 80, 64, 8, 28_672, parameters=70_553_706_496),
}


def shape(base: Mapping, vocabulary: int | None = None) -> PretrainedConfig:
    """The transformers config of a trial config's `base`; a micro model's needs the size of its task's `vocabulary`.

    Nothing is fetched. Raises InputError for a hub model without pinned numbers, naming the known ones, and for a
    folder without a config.json.
    """
    kind = base.get("kind")
    if kind == "hub":
        return _hub(str(base["id"]))
    if kind == "folder":
        return _folder(Path(base["path"]))
    if kind == "micro":
        if vocabulary is None:
            raise InputError("base.kind=micro: the shape of a micro model needs the vocabulary of its task")
        return micro(base["recipe"], vocabulary)
    raise InputError(f"base.kind is {kind!r}; use micro, hub or folder")


def name(base: Mapping) -> str:
    """What tables call the model: its hub id, its folder's name, or "micro"."""
    if base["kind"] == "hub":
        return str(base["id"])
    return Path(base["path"]).name if base["kind"] == "folder" else "micro"


def micro(recipe: Mapping, vocabulary: int, **ids) -> PretrainedConfig:
    """The Qwen2 config of a micro recipe; `ids` are special tokens, which change no cost."""
    return _config(
        Architecture(
            hidden=recipe["hidden"],
            layers=recipe["layers"],
            heads=recipe["heads"],
            key_value_heads=recipe["heads"],
            ffn=recipe["ffn"],
            vocabulary=vocabulary,
            tied=True,
            positions=recipe["positions"],
            parameters=0,
        ),
        **ids,
    )


def _hub(model: str) -> PretrainedConfig:
    if model in HUB:
        return _config(HUB[model])
    near = difflib.get_close_matches(model, HUB, n=1)
    hint = f"did you mean {near[0]}? Known: " if near else "known: "
    raise InputError(
        f"model {model}: its shape is not pinned here, so it cannot be planned; {hint}{', '.join(HUB)}; or name a "
        "local folder with its config.json by --model PATH"
    )


def _folder(folder: Path) -> PretrainedConfig:
    from transformers import AutoConfig

    if not (folder / "config.json").is_file():
        raise InputError(f"model folder {folder} has no config.json, so its shape is unknown; save the model with it")
    try:
        return AutoConfig.from_pretrained(folder)
    except (OSError, ValueError, KeyError) as error:
        raise InputError(f"model folder {folder}: config.json cannot be read ({_line(error)})") from error


def _config(numbers: Architecture, **ids) -> PretrainedConfig:
    from transformers import LlamaConfig, Qwen2Config

    return {"qwen2": Qwen2Config, "llama": LlamaConfig}[numbers.family](
        vocab_size=numbers.vocabulary,
        hidden_size=numbers.hidden,
        num_hidden_layers=numbers.layers,
        num_attention_heads=numbers.heads,
        num_key_value_heads=numbers.key_value_heads,
        intermediate_size=numbers.ffn,
        max_position_embeddings=numbers.positions,
        tie_word_embeddings=numbers.tied,
        **ids,
    )


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())[:200]
