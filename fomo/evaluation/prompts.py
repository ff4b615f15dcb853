"""Whether a model can tell the classes of a dataset apart: their prompts are compared as the tokens that it reads.

Two classes whose prompts have the same tokens have one row of the classifier, and the second is never right. It is not
only names that differ in case or in Unicode form: a tokenizer cuts what is longer than the context, and classes that
differ in their last words are one class then.
"""

import logging
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, replace

from torch import Tensor

from fomo.data.card import DatasetCard
from fomo.data.importing.reference import SOURCE
from fomo.data.samples import Dataset
from fomo.errors import FomoError
from fomo.evaluation.config import EvaluationConfig
from fomo.evaluation.templates import Templates, check_same_datasets, prompts_in_use
from fomo.model.clip import ClipModel
from fomo.stream.cut_texts import Tokenize, num_cut
from fomo.stream.definition import Stream
from fomo.system.text import first_line

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Alike:
    """Classes of a dataset whose prompts have the same tokens.

    Args:
        dataset: its name.
        classes: two names or more.
        prompt: the first of their prompts.
        cut_at: the context length, if the prompts differ behind it; ``None`` if they are the same in any length.
    """

    dataset: str
    classes: tuple[str, ...]
    prompt: str
    cut_at: int | None

    def __str__(self) -> str:
        names = " and ".join(map(_shown, self.classes[:2]))
        more = f" (and {len(self.classes) - 2} more)" if len(self.classes) > 2 else ""
        why = f" once cut at {self.cut_at} tokens" if self.cut_at else ""
        return f"{self.dataset}: the model reads the same in {names}{more}{why} ('{first_line(self.prompt, 80)}')"


def _shown(name: str) -> str:
    """A class name in quotes; letters that look like others, or are written in another form, are spelled out."""
    plain = unicodedata.normalize("NFKC", name) == name and unicodedata.normalize("NFD", name) == name
    return f"'{first_line(name, 60)}'" if plain else first_line(ascii(name), 60)


def alike_classes(card: DatasetCard, templates: Templates, tokenize: Tokenize) -> list[Alike]:
    """The classes of a classification dataset that the model cannot tell apart, by groups."""
    if card.kind != "classification" or not card.classes:
        return []
    lists = prompts_in_use(card, templates)
    length = tokenize([""]).shape[1]
    found = []
    for rows in _groups([tokenize(texts) for texts in lists]):
        prompts = [[texts[row] for row in rows] for texts in lists]
        is_cut = any(_differ_behind(texts, tokenize) for texts in prompts)
        names = tuple(card.classes[row] for row in rows)
        found.append(Alike(card.name, names, prompts[0][0], length if is_cut else None))
    return found


def _differ_behind(texts: Sequence[str], tokenize: Tokenize) -> bool:
    """Whether strings with the same tokens would have others in a context that holds all of them."""
    enough = 2 + 4 * max(map(len, texts))  # a character has up to four bytes, and these a token each
    tokens = tokenize(texts, context_length=enough)
    return bool((tokens != tokens[0]).any())


def _groups(tokens: Sequence[Tensor]) -> list[list[int]]:
    """Rows that are the same in all of some tensors [n, l], where there are two or more."""
    rows: dict[tuple[tuple[int, ...], ...], list[int]] = {}
    for row in range(len(tokens[0])):
        rows.setdefault(tuple(tuple(each[row].tolist()) for each in tokens), []).append(row)
    return [same for same in rows.values() if len(same) > 1]


def with_prompt_caveats(model: ClipModel, stream: Stream, config: EvaluationConfig) -> ClipModel:
    """The model with a caveat for classes that it cannot tell apart and for texts that it reads in part.

    Raises:
        FomoError: it cannot tell classes apart, and they are not those of the public reference; or templates are of a
            file of another stream.
    """
    check_same_datasets(config.templates_used, (dataset.card for dataset in stream.datasets.values()))
    alike: list[Alike] = []
    cut = 0
    for dataset in stream.datasets.values():
        found = alike_classes(dataset.card, config.templates_used, model.tokenize)
        if found and not is_reference(dataset.card):
            others = f"as in {len(found) - 1} more groups of classes, " if len(found) > 1 else ""
            raise FomoError(f"{found[0]}: {others}the second is never right. {way_out(found[0])}")
        alike += found
        cut += _cut(dataset, config, model.tokenize)
    caveats = [f"{sum(len(each.classes) for each in alike)} classes alike"] if alike else []
    caveats += [f"{cut} evaluation {'text' if cut == 1 else 'texts'} cut"] if cut else []
    return replace(model, caveats=(*model.caveats, *caveats))


def is_reference(card: DatasetCard) -> bool:
    """Whether the dataset is the public reference's own: its clashes are part of the published numbers."""
    return card.source == SOURCE


def way_out(alike: Alike) -> str:
    """What to do about it."""
    if alike.cut_at:
        return "Take shorter names, a shorter template, or a model with a longer context."
    return "Join or rename the classes and import the dataset again, or give each a prompt of its own (primers)."


def num_cut_prompts(card: DatasetCard, templates: Templates, tokenize: Tokenize) -> int:
    """How many prompts of a dataset's classes are longer than the context."""
    return num_cut([text for prompts in prompts_in_use(card, templates) for text in prompts], tokenize)


def _cut(dataset: Dataset, config: EvaluationConfig, tokenize: Tokenize) -> int:
    """Evaluation texts of a dataset that are cut; captions of training are counted as they are drawn."""
    card = dataset.card
    if card.kind == "retrieval":
        samples = dataset.split(config.split)
        texts = [text for row in range(len(samples)) for text in samples.captions(row)]
    else:
        texts = [text for prompts in prompts_in_use(card, config.templates_used) for text in prompts]
    count = num_cut(texts, tokenize)
    if count:
        length = tokenize([""]).shape[1]
        _log.warning("%s: %d of %d evaluation texts are cut at %d tokens", card.name, count, len(texts), length)
    return count
