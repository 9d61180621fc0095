"""The tokenizer of the word problems: one token per word, digit or sign, in lower case.

Ids: <pad> 0, <eos> 1, <unk> 2, then the symbols in the order given. Any other word, and a real text
has many, is <unk>. Digits stand alone, so that numbers of any length are read. Decoding puts spaces between words and
none between digits and signs: `decode(encode(text)) == text` for worked solutions; of questions, case and spacing are
lost.

Not covered: two numbers with nothing but space between them become one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from repro.tasks.tokenizer import SPECIALS

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

_TOKEN = r"[a-z]+|[0-9]|[^\sa-z0-9]"
_TIGHT = r"0-9+\-*/=#"  # between two of these decoding puts no space


def words(texts: Iterable[str]) -> set[str]:
    """The tokens of some texts."""
    return {token for text in texts for token in re.findall(_TOKEN, text.lower())}


def length(text: str) -> int:
    """How many tokens a text has, without building the tokenizer."""
    return len(re.findall(_TOKEN, text.lower()))


def build(vocabulary: Sequence[str]) -> PreTrainedTokenizerFast:
    """A tokenizer over words, digits and signs, padding on the left as generation needs it."""
    wrong = [symbol for symbol in vocabulary if words([symbol]) != {symbol}]
    if wrong or len(set(vocabulary)) != len(vocabulary):
        raise ValueError(f"a vocabulary of words is distinct lower-case words, digits and signs, not {wrong[:3]}")
    from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    ids = {token: index for index, token in enumerate([*SPECIALS, *vocabulary])}
    backend = Tokenizer(models.WordLevel(ids, unk_token="<unk>"))
    backend.normalizer = normalizers.Sequence([normalizers.NFKD(), normalizers.StripAccents(), normalizers.Lowercase()])
    backend.pre_tokenizer = pre_tokenizers.Split(Regex(_TOKEN), behavior="removed", invert=True)
    # The WordPiece decoder joins tokens by spaces.
    backend.decoder = decoders.Sequence(
        [
            decoders.WordPiece(prefix="##", cleanup=False),
            decoders.Fuse(),
            decoders.Replace(Regex(f"(?<=[{_TIGHT}]) (?=[{_TIGHT}])"), ""),
        ]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        pad_token="<pad>",
        eos_token="<eos>",
        unk_token="<unk>",
        padding_side="left",
        clean_up_tokenization_spaces=False,
    )
