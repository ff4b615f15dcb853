"""Texts that are longer than a model's context, which reads their beginning alone."""

from collections.abc import Sequence
from typing import Protocol

from torch import Tensor

LONGEST_TEXT = 2_000
"""Characters of a string that are looked at; the 77 tokens of a context rarely take 400."""
AT_A_TIME = 4096


class Tokenize(Protocol):
    """Maps strings to tokens, int64 [n, context]; ``context_length`` is the model's own unless it is given."""

    def __call__(self, texts: Sequence[str], context_length: int | None = None) -> Tensor:
        """The tokens of each string, cut or padded to the context length."""


def num_cut(texts: Sequence[str], tokenize: Tokenize) -> int:
    """How many strings have more tokens than the context holds: with one token more they would fill it too."""
    length = tokenize([""]).shape[1]
    count = 0
    for start in range(0, len(texts), AT_A_TIME):
        some = texts[start : start + AT_A_TIME]
        own, longer = (_num_tokens(some, tokenize, each) for each in (length, length + 1))
        too_long = [len(text) > LONGEST_TEXT for text in some]
        count += sum(a < b or c for a, b, c in zip(own, longer, too_long, strict=True))
    return count


def _num_tokens(texts: Sequence[str], tokenize: Tokenize, context_length: int) -> list[int]:
    """Positions of each string that are not padding."""
    padding = tokenize([""], context_length=context_length)[0].mode().values
    return (tokenize(texts, context_length=context_length) != padding).sum(dim=1).tolist()
