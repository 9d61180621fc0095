"""The tokenizer of a base model, as it was saved."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

# Names under which transformers saves a tokenizer that is nothing but its own tokenizer.json.
_PLAIN = ("TokenizersBackend", "PreTrainedTokenizerFast")


def load_tokenizer(folder: Path) -> PreTrainedTokenizerBase:
    """The tokenizer in a model's folder, padding on the left.

    A plain one is loaded as what it is: `AutoTokenizer` goes by the model's architecture, and would split the text of a
    micro model, which is a Qwen2, by Qwen2's rules instead of those that its tokenizer was saved with.
    """
    from transformers import AutoTokenizer, PreTrainedTokenizerFast

    saved = Path(folder) / "tokenizer_config.json"
    name = json.loads(saved.read_text(encoding="utf-8")).get("tokenizer_class") if saved.is_file() else None
    loader = PreTrainedTokenizerFast if name in _PLAIN else AutoTokenizer
    return loader.from_pretrained(folder, padding_side="left")
