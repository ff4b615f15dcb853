"""What may be compared: the track of a run, in words."""

import hashlib
from collections.abc import Mapping
from typing import Any

from fomo.results.card import RunCard
from fomo.results.scores import Scores
from fomo.system.digest import json_digest

CONTENTS = ("name", "root", "path", "pool", "pool_size", "adaptation", "retention")
"""Keys of the stream that say where the data is, or which: the track has that by its contents, wherever it lies."""


def track(scores: Scores, card: RunCard, values: Mapping[str, Any]) -> str:
    """What runs of one track share: the score version, the stream and its order, number of updates, datasets and the
    data in them, base model, precision, and prompts and subset of the evaluation.

    Whatever else differs is a choice of the method, and in the label. What an older run does not say is left out.
    """
    names = hashlib.sha256("\n".join(sorted(scores.datasets)).encode()).hexdigest()[:6]
    parts = [scores.stream.name, f"scores {scores.score_version}", f"{scores.num_tasks} updates"]
    parts += [*_setting(card, values.get("stream", {})), f"datasets {names}"]
    parts += [f"data {scores.stream.data_sha256[:6]}"] if scores.stream.data_sha256 else []
    parts += [f"measured {scores.stream.measured_sha256[:6]}"] if scores.stream.measured_sha256 else []
    parts += [f"base {card.base_sha256[:6]}"] if card.base_sha256 else []
    parts += _precision(values["runtime"])
    evaluation = values.get("evaluation", {})
    parts += _prompts(evaluation)
    subset = evaluation.get("subset", "none")
    parts += [f"path on subset {subset}, seed {evaluation.get('subset_seed')}"] if subset != "none" else []
    return ", ".join(parts)


def _setting(card: RunCard, stream: Mapping[str, Any]) -> list[str]:
    """The ordering, and a hash of all that decides order and use of the data beside the seed."""
    if not stream:
        return []
    kept = {key: value for key, value in stream.items() if key not in CONTENTS and value is not None}
    digest = json_digest([kept, card.stream_listing_sha256])[:6]
    seed = [f"stream seed {stream['seed']}"] if stream.get("seed") is not None else []
    return [f"ordering {stream.get('ordering', 'own')}", *seed, f"setting {digest}"]


def _prompts(evaluation: Mapping[str, Any]) -> list[str]:
    """Which prompt templates; of those of a file a hash, wherever the file lay."""
    templates = evaluation.get("templates")
    found = evaluation.get("prompts")
    own = f" {json_digest(found)[:6]}" if found else ""
    return [f"prompts {templates}{own}"] if templates else []


def _precision(runtime: Mapping[str, Any]) -> list[str]:
    """What is computed in and, where that is something else, what the budget is planned for."""
    precision, planned = (runtime.get(key, "auto") for key in ("precision", "planned_precision"))
    if precision == "auto":
        return []
    return [precision if planned in ("auto", precision) else f"{precision} planned as {planned}"]
