"""Merging techniques: rows of data over the one streaming implementation of ``merge.py``.

Trimming: ``density`` is the share kept of a flattened task vector, ⌊density·n⌋ entries and at least one, those of equal
magnitude kept with them; n counts a tower, as in the code of Roth et al. 2024 (arXiv 2408.14471), or the model
(:data:`SCOPES`). TIES keeps the largest (Yadav et al. 2023, arXiv 2306.01708, over the model); Breadcrumbs (Davari and
Belilovsky 2024, arXiv 2312.06795, there per layer) leaves out the largest ``outliers`` of those. DARE (Yu et al. 2024,
arXiv 2311.03099) keeps each entry by chance and divides by ``density``, whatever the others are: it has no scope. No
other technique looks at more than an entry (MagMax) or a tensor (SLERP, Model Stock). No rescaling but DARE's.
"""

import inspect
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import fomo
from methods.merging import rules
from methods.papers import PAPERS, Papers

ARGUMENTS = ("values", "weights", "draws", "out")
"""What every rule is called with; what more it takes are settings of its own."""
SCOPES = {
    "tower": "the image tower (`visual.…`) and all else, the temperature too, each by itself",
    "model": "both towers together",
}
"""What a task vector is trimmed over, in words."""


@dataclass(frozen=True)
class Technique:
    """A rule, what it needs, and what it is called.

    Attributes:
        rule: makes one piece of several models' pieces.
        formula: the merge in words, for the docs.
        papers: the papers that it comes from.
        vectors: the rule sees task vectors θ − θ₀, and the merged one is added to θ₀; else it sees weights.
        whole: it sees each tensor as a whole; else in slices.
        weighted: the models' weights, each 0 or more, 1 together, have an influence.
        draws: it, or its trimming, is random.
        carries: an entry of a model that is not finite leaves one in the result, so that looking there is enough.
        trim: which entries are set to 0 beforehand: the smallest by ``magnitude``, some by ``chance``, or none.
        outliers: the share of all entries, the largest ones, that ``magnitude`` sets to 0 too.
    """

    rule: rules.Rule
    formula: str = ""
    papers: Papers = ()
    vectors: bool = True
    whole: bool = False
    weighted: bool = True
    draws: bool = False
    carries: bool = False
    trim: str | None = None
    outliers: float = 0.0


TECHNIQUES = {
    "interpolate": Technique(rules.interpolate, "Σ wᵢθᵢ", vectors=False, carries=True),
    "slerp": Technique(
        rules.slerp,
        "along the arc between two tensors, more than two in turn; per tensor",
        (PAPERS["slerp"],),
        vectors=False,
        whole=True,
    ),
    "task_arithmetic": Technique(
        rules.summed,
        "θ₀ + `scale`·Σ τᵢ, unweighted: the sum and not the mean, which is interpolation",
        (PAPERS["task_arithmetic"],),
        weighted=False,
        carries=True,
    ),
    "ties": Technique(
        rules.elect,
        "τᵢ trimmed to its largest entries; per entry the sign of Σ wᵢτᵢ, and the mean of those that have it; an exact "
        "draw stays at θ₀",
        (PAPERS["ties"],),
        trim="magnitude",
    ),
    "dare_ties": Technique(
        rules.elect,
        "TIES, but entries kept at random, divided by `density`",
        (PAPERS["dare"], PAPERS["ties"]),
        draws=True,
        trim="chance",
    ),
    "breadcrumbs_ties": Technique(
        rules.elect,
        "TIES, the largest hundredth of all entries left out of those kept",
        (PAPERS["breadcrumbs"], PAPERS["ties"]),
        trim="magnitude",
        outliers=0.01,
    ),
    "model_stock": Technique(
        rules.stock,
        "t·mean τ, t = k·cos Ω/(1 + (k−1)·cos Ω) from the mean cosine of k models, kept in 0 to 1; models equal to θ₀ "
        "are left out; per tensor",
        (PAPERS["model_stock"],),
        whole=True,
    ),
    "magmax": Technique(rules.largest, "per entry the τᵢ of largest magnitude", (PAPERS["magmax"],), weighted=False),
    "random": Technique(
        rules.choose,
        "per entry one of the models, drawn with their weights: a control",
        vectors=False,
        draws=True,
    ),
}
"""Every ``merging.technique`` that is built in."""


def technique_of(name: str) -> Technique:
    """The technique of that name, built in or of a plug-in.

    Raises:
        FomoError: there is none, or the plug-in is neither a rule nor a :class:`Technique`.
    """
    if name in TECHNIQUES:
        return TECHNIQUES[name]
    plugged = fomo.plugins("merges", TECHNIQUES)
    if name not in plugged:
        raise fomo.unknown("value of merging.technique", name, [*TECHNIQUES, *plugged])
    found = plugged[name].load()
    if not callable(found) and not isinstance(found, Technique):
        raise fomo.FomoError(
            f"{plugged[name]} is of type {type(found).__name__}: give a rule, or a Technique with its needs."
        )
    return found if isinstance(found, Technique) else Technique(found)


def with_options(name: str, options: Mapping[str, Any] | None) -> Technique:
    """The technique of that name, its rule bound to settings of its own.

    Raises:
        FomoError: the rule cannot be called as rules are, or does not take, or lacks, one of the settings.
    """
    row = technique_of(name)
    options = dict(options or {})
    given = list(inspect.signature(row.rule).parameters)[: len(ARGUMENTS)]
    fomo.check_arguments("merging.options", row.rule, options, given)
    try:
        inspect.signature(row.rule).bind(*ARGUMENTS, **options)
    except TypeError as error:
        raise fomo.FomoError(
            f"merging.technique={name}: the rule cannot be called as rule({', '.join(ARGUMENTS)}, SETTING=…): {error}."
        ) from None
    return replace(row, rule=partial(row.rule, **options)) if options else row


def check_factors(technique: str, scale: float, lines: Sequence[float] | None) -> None:
    """Refuse a ``scale`` or LiNeS' ``lines`` that is not finite, or that a technique without task vectors is given."""
    if not math.isfinite(scale):
        raise fomo.FomoError(f"merging.scale={scale}: allowed are finite numbers.")
    if lines is not None and not _is_pair(lines):
        raise fomo.FomoError(f"merging.lines={lines}: give two numbers, [α, β], or null.")
    if not technique_of(technique).vectors and (lines is not None or scale != 1):
        key = "lines" if lines is not None else "scale"
        raise fomo.FomoError(
            f"merging.{key} has no meaning for merging.technique={technique}, which uses no task vectors. Take one "
            f"that does, such as task_arithmetic, or leave it out."
        )


def _is_pair(lines: object) -> bool:
    numbers = list(lines) if isinstance(lines, (list, tuple)) else []
    return len(numbers) == 2 and all(isinstance(each, (int, float)) and math.isfinite(each) for each in numbers)


def check_density(density: float, row: Technique) -> None:
    """Refuse a density that is no share, or that keeps no more than the outliers, which the technique leaves out."""
    if not row.outliers < density <= 1:
        raise fomo.FomoError(
            f"merging.density={density}: allowed are above {row.outliers:g} to 1, a share of the task vector's entries."
        )


def check_scope(scope: str, row: Technique) -> None:
    """Refuse an unknown scope, and one of the model for a technique that finds no threshold."""
    if scope not in SCOPES:
        raise fomo.unknown("value of merging.scope", scope, SCOPES)
    if scope != "tower" and row.trim != "magnitude":
        raise fomo.FomoError(
            f"merging.scope={scope} has no meaning for a technique that trims by no threshold. Leave it at tower."
        )
