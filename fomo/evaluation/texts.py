"""Text features: every string is encoded once, beside others of about its length, or of the same beginning."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import torch
from torch import Tensor

from fomo.model.clip import ClipModel
from fomo.model.shared_prefix import encode
from fomo.results.scores import NotFinished
from fomo.system.runtime import Runtime
from fomo.system.shared_rows import in_turn

TEXTS_AT_A_TIME = 256
NONE: Mapping[str, str] = MappingProxyType({})
BEGIN_ALIKE = 32
"""Strings of one beginning are encoded among themselves where there are so many at least."""


@dataclass(frozen=True)
class TextFeatures:
    """Unit features of distinct strings.

    Args:
        rows: the row of each string.
        table: a row a string, float32 [n, d] on the device; some may be NaN or infinite.
    """

    rows: Mapping[str, int]
    table: Tensor

    def of(self, texts: Sequence[str]) -> Tensor:
        """The features of some of the strings, of which one may stand twice: float32 [k, d].

        Raises:
            NotFinished: some are NaN or infinite.
        """
        features = self.table[torch.tensor([self.rows[text] for text in texts], device=self.table.device)]
        check_finite(features.isfinite().all(dim=1), "strings")
        return features


def check_finite(finite: Tensor, what: str) -> None:
    """Refuse features of which some rows are no numbers; ``finite`` says it of each, bool [n].

    Raises:
        NotFinished: one row or more is not finite.
    """
    broken = len(finite) - int(finite.sum())
    if broken:
        raise NotFinished(
            f"the features of {broken} of {len(finite)} {what} are NaN or infinite, though no weight is: what a part "
            "has set at the end of the task, the precision or optimizer.lr is at fault."
        )


@torch.inference_mode()
def encode_texts(
    model: ClipModel, texts: Iterable[str], runtime: Runtime, beginnings: Mapping[str, str] = NONE
) -> TextFeatures:
    """Encode each distinct string once, from short to long, so that those of a batch are of similar length.

    Args:
        model: the network and its tokenizer.
        texts: the strings.
        runtime: device and precision.
        beginnings: what a string begins with, for those of which others begin so too: these are encoded by themselves,
            and the tokens that a batch of them begins with once. Batches depend on the strings and these alone.
    """
    distinct = list(dict.fromkeys(texts))
    tokens = model.tokenize(distinct)
    order = (tokens != model.tokenize([""])[0, -1]).sum(dim=1).argsort(stable=True)
    batches = _batches(order, [beginnings.get(text, "") for text in distinct])

    def encoded(number: int) -> Tensor:
        rows, alike = batches[number]
        with runtime.autocast():
            return encode(model.network, tokens[rows], runtime.device, alike)

    features = torch.cat(list(in_turn(len(batches), encoded))).float()
    numbers = [number for rows, _ in batches for number in rows.tolist()]
    return TextFeatures({distinct[number]: row for row, number in enumerate(numbers)}, features)


def _batches(order: Tensor, beginnings: Sequence[str]) -> list[tuple[Tensor, bool]]:
    """Strings in ``order`` [n], in batches, and whether those of a batch begin alike; ``""`` is no beginning."""
    groups: dict[str, list[int]] = {"": []}
    many = {each for each, count in Counter(beginnings).items() if count >= BEGIN_ALIKE}
    for number in order.tolist():
        groups.setdefault(beginnings[number] if beginnings[number] in many else "", []).append(number)
    cut = {
        each: torch.tensor(rows, dtype=torch.long).split(TEXTS_AT_A_TIME)
        for each, rows in groups.items()
        if rows or len(groups) == 1
    }
    return [(rows, bool(each)) for each, batches in cut.items() for rows in batches]


def text_features(model: ClipModel, texts: Sequence[str], runtime: Runtime) -> Tensor:
    """Unit features of strings: float32 [n, d] on the device.

    Raises:
        NotFinished: some are NaN or infinite.
    """
    return encode_texts(model, texts, runtime).of(texts)
