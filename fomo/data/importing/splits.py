"""Splits that were made beforehand, found by the names of folders and files.

A name stands for a split if one of its words does (``Training``, ``seg_test``, ``val2017``), whatever its case. One
folder so named may be a class (a train); two beside each other that stand for different splits are a split. It may lie
at any level: above the classes (``train/cat``), below them (``cat/train``), or in one name with them (``cat_train``).
"""

import re
import unicodedata
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

from fomo.errors import FomoError

SPLIT_WORDS = {
    "train": "train training trains trainings trn tr trainval learn learning entrainement entraînement entrenamiento "
    "treino treinamento addestramento обучение 训练 訓練 学習 훈련 학습",
    "validation": "validation validate validating valid val vali va dev devel development validierung validierungs "
    "validacion validación validacao validação validazione валидация 验证 驗證 検証 검증",
    "test": "test testing tests tst te ts eval evaluation evaluate holdout heldout valtest testval "
    "prueba pruebas teste тест 测试 測試 テスト 评估 評価 테스트 시험",
}
BY_WORD = {word: split for split, words in SPLIT_WORDS.items() for word in words.split()}
SHORT = ("tr", "va", "te", "ts")
"""Words that only stand for a split alone, with nothing else beside them: they are languages and states too."""
_FILLERS = """
    set sets data dataset datasets image images img imgs split splits part folder folders file files sample samples
    subset partition picture pictures photo photos list lists of the
"""
FILLERS = frozenset(_FILLERS.split())
"""Words beside that of a split that say nothing."""
COMPOUND = re.compile(
    rf"({'|'.join(sorted(BY_WORD, key=len, reverse=True))})"
    r"(sets?|data|daten|images?|imgs?|list|files|用?データ|セット|用|[数數][据據]集?|集|데이터)"
)
FOLD = re.compile(r"(k?fold|cv|split|subset|partition)s?[ _.-]*\d+", re.IGNORECASE)
"""Names of the parts of a dataset of which none says what it is for."""
WAYS = "`--splits stratified` or `hash` make a new split, with `ignore` such folders are classes as any other"
Parts: TypeAlias = tuple[str, ...]
"""A folder as the names on the way to it."""


class NamedSplit(NamedTuple):
    """The split that a name stands for, and the words of the name that say something else."""

    split: str
    rest: Parts


def named_split(name: str) -> NamedSplit | None:
    """What a name says of a split, if anything."""
    joined = re.sub(r"(?i)(held|hold)[ _-]out", r"\1out", unicodedata.normalize("NFC", name))
    parts = re.findall(r"[^\W\d_]+", re.sub(r"(?<=[a-z])(?=[A-Z])", " ", joined))
    words = [COMPOUND.sub(r"\1", word.casefold()) if COMPOUND.fullmatch(word.casefold()) else word for word in parts]
    found = {BY_WORD[word.casefold()] for word in words if word.casefold() in BY_WORD}
    rest = tuple(word for word in words if word.casefold() not in BY_WORD and word.casefold() not in FILLERS)
    short = rest and any(word.casefold() in SHORT for word in words)
    if len(found) == 2 and "validation" in found:  # train_val is what is trained on in the end, test-dev a test
        return NamedSplit((found - {"validation"}).pop(), rest)
    return NamedSplit(found.pop(), rest) if len(found) == 1 and not short else None


def split_at_start(stem: str) -> str:
    """The split that the first word of a file's name stands for, a number behind it: ``train_0012``; else nothing."""
    match = re.match(r"([^\W\d_]+)(?=[\W\d_])", stem)
    word = match[1].casefold() if match else ""
    return BY_WORD.get(word, "") if word not in SHORT else ""


def says_nothing(name: str) -> bool:
    """Whether the name of a folder only says that it holds data: ``images``, ``Data set``."""
    words = re.findall(r"[^\W\d_]+", name)
    return bool(words) and all(word.casefold() in FILLERS for word in words)


def folded(words: Parts) -> str:
    """Words as a key."""
    return " ".join(words).casefold()


@dataclass(frozen=True)
class SplitFolders:
    """Which child folders of which folders are splits."""

    parents: Mapping[Parts, Mapping[str, NamedSplit]]
    prefix: int
    """Names at the start of every way that say nothing: they lead to the splits."""

    @property
    def shown(self) -> str:
        """The names of the split folders, for people."""
        return ", ".join(sorted({name for children in self.parents.values() for name in children}))

    def place(self, folder: Parts) -> tuple[str, Parts] | None:
        """The split of a folder and the names that make its class; ``None`` where it lies in no split folder."""
        split = ""
        names = list[str]()
        below = -2
        for level, name in enumerate(folder):
            named = self.parents.get(folder[:level], {}).get(name)
            if named is not None and not split:
                split = named.split
                below = level
                names += named.rest
            elif named is not None and named.split == split and below == level - 1:
                below = level  # the same name once more, as archives unpack
            elif level >= self.prefix:
                names.append(name)
        return (split, tuple(names)) if split else None


def split_folders(folders: Iterable[Parts], to_use: bool = True) -> SplitFolders | None:
    """The split in a tree, given the folders that hold images directly.

    Raises:
        FomoError: it is ``to_use``, but two folders stand for one split, or it is not clear whether there is one.
    """
    folders = list(folders)
    children: dict[Parts, set[str]] = defaultdict(set)
    for folder in folders:
        for level, name in enumerate(folder):
            children[folder[:level]].add(name)
    named = {parent: _named(names) for parent, names in children.items()}
    strong = {parent: kept for parent, each in named.items() if (kept := _partition(each, children[parent]))}
    for parent, each in strong.items() if to_use else ():
        _check_clear(parent, each, children[parent], strong)
        _check_whole(parent, each, named[parent])
    for parent in children.keys() - strong.keys():
        _check_no_other(parent, named[parent], children)
    leading = {other[:level] for other in strong for level in range(len(other) + 1)}
    whole = {parent: _alone(each) for parent, each in named.items() if each and len(each) == len(children[parent])}
    whole = {parent: each for parent, each in whole.items() if parent not in leading}
    parents = whole | strong if strong else _weak(whole, folders)
    if not parents:
        return None
    heads = [parent for parent in parents if not _is_below(parent, parents)]
    return SplitFolders(parents, num_common(heads))


def _named(names: Iterable[str]) -> dict[str, NamedSplit]:
    return {name: named for name in names if (named := named_split(name)) is not None}


def _alone(named: Mapping[str, NamedSplit]) -> dict[str, NamedSplit]:
    """Without the other words of the names."""
    return {name: NamedSplit(each.split, ()) for name, each in named.items()}


def _partition(named: Mapping[str, NamedSplit], beside: set[str]) -> dict[str, NamedSplit]:
    """Folders beside each other whose names are alike but for the split; nothing where there is only one split.

    The other words of the names are kept where they tell classes apart: ``cat_train``, ``cat_test``, ``dog_train``.
    """
    splits: dict[str, set[str]] = defaultdict(set)
    for each in named.values():
        splits[folded(each.rest)].add(each.split)
    parted = {rest for rest, found in splits.items() if len(found) > 1}
    kept = {name: each for name, each in named.items() if folded(each.rest) in parted}
    if beside - kept.keys() and any(name.casefold() in SHORT for name in kept):
        return {}
    return kept if len(parted) > 1 else _alone(kept)


def _is_below(folder: Parts, parents: Mapping[Parts, Mapping[str, NamedSplit]]) -> bool:
    return any(folder[level] in parents.get(folder[:level], ()) for level in range(len(folder)))


def _weak(whole: Mapping[Parts, Mapping[str, NamedSplit]], folders: list[Parts]) -> Mapping[Parts, Any]:
    """Where no two splits lie beside each other: all images lie in split folders, of several classes."""
    heads = {parent: each for parent, each in whole.items() if not _is_below(parent, whole)}
    if not heads or not all(_is_below(folder, heads) for folder in folders):
        return {}
    holds_classes = any(len(folder) > len(parent) + 1 for parent in heads for folder in folders)
    return whole if len(heads) > 1 or holds_classes else {}


def _check_clear(
    parent: Parts, named: Mapping[str, NamedSplit], children: set[str], strong: Mapping[Parts, Mapping[str, NamedSplit]]
) -> None:
    place = _place(parent)
    if _is_below(parent, strong):
        raise FomoError(f"in {place}: {_listed(named)} look like a split inside of another split; {WAYS}.")
    by_split: dict[tuple[str, str], str] = {}
    for name, each in sorted(named.items()):
        twin = by_split.setdefault((each.split, folded(each.rest)), name)
        if re.sub(r"\d+", "#", twin) != re.sub(r"\d+", "#", name):  # numbered parts are one split
            raise FomoError(
                f"in {place}: '{twin}' and '{name}' are both the {each.split} split: remove one of them; {WAYS}."
            )
    others = sorted(children - named.keys())
    if len(others) > len(named):
        raise FomoError(
            f"in {place}: {_listed(named)} look like a split, {_listed(others)} beside them like classes: "
            f"put them apart; {WAYS}."
        )


def _check_whole(parent: Parts, kept: Mapping[str, NamedSplit], named: Mapping[str, NamedSplit]) -> None:
    """Refuse a split that lacks a part which other folders, by their names, are."""
    there = {each.split for each in kept.values()}
    lost = [name for name, each in named.items() if each.split not in there]
    if lost:
        raise FomoError(
            f"in {_place(parent)}: {_listed(kept)} look like a split, and {_listed(lost)} beside them like its "
            f"{named[lost[0]].split} part: call one of each train, validation or test; {WAYS}."
        )


def _check_no_other(parent: Parts, named: Mapping[str, NamedSplit], children: Mapping[Parts, set[str]]) -> None:
    """Refuse folders that hold the same folders, as the parts of a split do, where only one is named like a part."""
    beside = sorted(children[parent])
    odd = [name for name in beside if name in named or FOLD.fullmatch(name)]
    for name in odd:
        within = children.get((*parent, name), set())
        twin = next((other for other in beside if other != name and _as_many(within, children, (*parent, other))), None)
        if twin is not None and (name not in named or twin not in named):
            raise FomoError(
                f"in {_place(parent)}: '{name}' and '{twin}' hold the same folders ({_listed(within)}), as parts of a "
                f"split do: call them train, validation and test, put their images together, or give one of them as "
                f"PATH; with `--splits ignore` their names are parts of the classes' names."
            )


def _as_many(names: set[str], children: Mapping[Parts, set[str]], folder: Parts) -> bool:
    """Whether a folder holds two or more of some names, and at least half of them."""
    return len(names & children.get(folder, set())) >= max(2, len(names) / 2)


def _place(parent: Parts) -> str:
    return "/".join(parent) or "the root"


def _listed(names: Iterable[str]) -> str:
    return ", ".join(f"'{name}'" for name in sorted(names)[:4])


def num_common(ways: Collection[Parts]) -> int:
    """The number of names that all ways begin with."""
    shortest = min(map(len, ways))
    return next((level for level in range(shortest) if len({way[level] for way in ways}) > 1), shortest)
