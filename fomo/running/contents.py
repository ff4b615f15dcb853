"""What a run rests on beside its configuration: the contents of what the configuration only names."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

from fomo.config import factory
from fomo.config.code import code_hashes
from fomo.config.schema import Config, Resolved
from fomo.errors import FomoError
from fomo.model.agreement import properties
from fomo.model.clip import ClipModel
from fomo.model.weights import state_sha256
from fomo.results.card import RunCard, read_card
from fomo.results.config_file import differences
from fomo.stream.definition import Stream
from fomo.stream.fingerprint import stream_data_sha256
from fomo.system.digest import json_digest

WAYS_OUT = (
    "`fomo score` and `fomo report` show its result; to run it with what is there now, choose another run.dir, "
    "or resume=again, which starts anew beside it."
)
PROBE = "A photo of the \u201cbig\u201d caf\u00e9's 12 cats &amp; \u732b, C++; " * 8
"""A text, longer than most contexts, whose tokens tell tokenizers apart."""


def base_sha256(model: ClipModel) -> str:
    """Hash of the base model θ₀ before anything was done to it.

    It covers the weights, what is computed of them, and how the model reads images and texts.
    """
    tokens = model.tokenize([PROBE, "cat"]).tolist()
    computed = properties(model.architecture) if model.architecture else {}
    return json_digest([state_sha256(model.network), asdict(model.preprocess), computed, tokens])


def contents_of(resolved: Resolved, base: str, stream: Stream) -> dict[str, Any]:
    """Hashes of the base model, of the stream's definition and data, and of the code of every part that is not ours."""
    data = stream_data_sha256(stream, resolved.config.evaluation.split)
    heard = {key: value for key, value in resolved.values.items() if key != "log"}  # which changes no result
    return {
        "base model": base,
        "stream": stream.sha256,
        "data": data,
        "code": code_hashes({**heard, "datasets": list(stream.datasets)}),  # a stream file names some
    }


def check_unchanged(run: Path, resolved: Resolved) -> str:
    """Compare what a finished run was made with to what its configuration names now; what could not be compared.

    Raises:
        FomoError: something is not what it was, or no longer there or of use, or the result is not what the run wrote;
            it is named.
    """
    card = read_card(run)
    card.check_untouched(run)
    if not card.base_sha256:
        return "Its card is of an older version: whether base model, data and code are still the same is not known."
    try:
        now = _contents_now(resolved.config, resolved)
    except FomoError as error:
        raise FomoError(
            f"{run} is finished, but what it was made with is not to be had now: {error} {WAYS_OUT}"
        ) from error
    changed = differences(_contents_then(card), now)
    if changed:
        raise FomoError(
            f"{run} is finished, but what it was made with is not what is there now ({'; '.join(changed)}). {WAYS_OUT}"
        )
    return ""


def _contents_now(config: Config, resolved: Resolved) -> dict[str, Any]:
    base = base_sha256(factory.model(config))
    return contents_of(resolved, base, factory.stream(config))


def _contents_then(card: RunCard) -> dict[str, Any]:
    return {
        "base model": card.base_sha256,
        "stream": card.stream_sha256,
        "data": card.stream_data_sha256,
        "code": dict(card.code),
    }
