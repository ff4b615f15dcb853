"""Text features: every string is encoded once, beside others of about its length."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from fomo.model.clip import ClipModel
from fomo.model.fast import shortest
from fomo.results.scores import NotFinished
from fomo.system.runtime import Runtime
from fomo.system.shared_rows import in_turn

TEXTS_AT_A_TIME = 256


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
def encode_texts(model: ClipModel, texts: Iterable[str], runtime: Runtime) -> TextFeatures:
    """Encode each distinct string once, from short to long, so that those of a batch are of similar length."""
    distinct = list(dict.fromkeys(texts))
    tokens = model.tokenize(distinct)
    order = (tokens != model.tokenize([""])[0, -1]).sum(dim=1).argsort(stable=True)
    batches = order.split(TEXTS_AT_A_TIME)

    def encoded(number: int) -> Tensor:
        some = tokens[batches[number], : shortest(model.network, tokens[batches[number]])]
        with runtime.autocast():
            return model.network.encode_text(some.to(runtime.device), normalize=True)

    features = torch.cat(list(in_turn(len(batches), encoded))).float()
    return TextFeatures({distinct[number]: row for row, number in enumerate(order.tolist())}, features)


def text_features(model: ClipModel, texts: Sequence[str], runtime: Runtime) -> Tensor:
    """Unit features of strings: float32 [n, d] on the device.

    Raises:
        NotFinished: some are NaN or infinite.
    """
    return encode_texts(model, texts, runtime).of(texts)
