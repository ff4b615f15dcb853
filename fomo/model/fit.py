"""Loads tensors of others into an open_clip network: every key has to fit, and nothing is resized unasked."""

from collections.abc import Mapping

from open_clip.convert import convert_state_dict
from open_clip.model import CLIP, convert_to_custom_text_state_dict, resize_pos_embed, resize_text_pos_embed
from torch import Tensor

from fomo.errors import FomoError
from fomo.model.names import QUICK
from fomo.model.recognise import context_length_of, image_size_of, looks_like, models_like
from fomo.model.weight_files import OPENAI_EXTRAS, State
from fomo.system.text import first_line

COUNTERS = "num_batches_tracked"
"""Of BatchNorm: old files lack them, and nothing that is computed depends on them."""
POSITION_IDS = "text.transformer.embeddings.position_ids"
"""What earlier versions of transformers stored."""
LARGEST_LOG_SCALE = 10.0
"""Above it ``logit_scale`` is no logarithm: CLIP is kept at ln 100 = 4.6 in training, and e¹⁰ is 22,026."""


def load_fitting(network: CLIP, state: State, name: str, resize_image: bool, resize_text: bool) -> None:
    """Set the network to ``state``.

    Args:
        network: an open_clip model, changed in place.
        state: tensors by name, in open_clip's layout or one that it converts.
        name: what the model is called, for errors.
        resize_image: whether the positions of the image tower may be interpolated to the network's image size.
        resize_text: whether those of the text tower may be interpolated to its context length.

    Raises:
        FomoError: keys are missing, left over or of another shape.
    """
    state = _in_layout_of(network, state)
    if resize_image:
        resize_pos_embed(state, network)
    if resize_text:
        resize_text_pos_embed(state, network)
    _refuse_other_sizes(network, state, name)
    _refuse_misfit(network, state, name)
    _refuse_no_numbers(network, state)
    network.load_state_dict(state, strict=False)  # counters of BatchNorm may be missing


def _in_layout_of(network: CLIP, state: State) -> State:
    """The tensors under the names of the network, as open_clip converts older and foreign layouts."""
    try:
        state = convert_state_dict(network, {key: value for key, value in state.items() if key not in OPENAI_EXTRAS})
    except Exception as error:  # open_clip trusts the layout that a first key suggests
        raise FomoError(f"its layout is not what its names suggest ({first_line(error)}).") from error
    if "positional_embedding" in state and not hasattr(network, "positional_embedding"):
        state = convert_to_custom_text_state_dict(state)
    scale = state.get("logit_scale")
    if scale is not None and scale.numel() == 1:
        state["logit_scale"] = scale.reshape(network.logit_scale.shape)
    return {key: value for key, value in state.items() if key != POSITION_IDS or key in network.state_dict()}


def _refuse_other_sizes(network: CLIP, state: Mapping[str, Tensor], name: str) -> None:
    """Positions of another number would load once interpolated, into another model than was trained."""
    own = network.state_dict()
    missing, unexpected, reshaped = _misfit(own, state)
    if missing or unexpected or not all(key.endswith("positional_embedding") for key in reshaped):
        return
    # open_clip interpolates the positions of its own image transformers alone, and of every text tower
    for option, of, trained_on, can_resize in (
        ("image_size", image_size_of, "images of {} pixels", "visual.positional_embedding" in own),
        ("context_length", context_length_of, "texts of {} tokens", True),
    ):
        size = of(own)
        trained = of(state)
        if size and trained and size != trained:
            same = "".join(f" or model={each}" for each in _of_same_activation(name, models_like(state))[:1])
            other = f", or model.{option}={size} to interpolate on purpose" if can_resize else ""
            raise FomoError(
                f"it was trained on {trained_on.format(trained)}, the model takes {size}. "
                f"Give model.{option}={trained}{same}{other}."
            )


def _of_same_activation(name: str, others: list[str]) -> list[str]:
    """Models of a shape, those first whose activation the user chose; the tensors do not tell it."""
    return sorted(others, key=lambda each: each.endswith(QUICK) != name.endswith(QUICK))


def _misfit(own: Mapping[str, Tensor], state: Mapping[str, Tensor]) -> tuple[list[str], list[str], list[str]]:
    """Keys that are missing, left over, and of another shape."""
    missing = [key for key in own if key not in state and not key.endswith(COUNTERS)]
    unexpected = [key for key in state if key not in own]
    reshaped = [key for key in own if key in state and state[key].shape != own[key].shape]
    return missing, unexpected, reshaped


def _refuse_misfit(network: CLIP, state: Mapping[str, Tensor], name: str) -> None:
    own = network.state_dict()
    missing, unexpected, reshaped = _misfit(own, state)
    count = len(missing) + len(unexpected) + len(reshaped)
    if not count:
        return
    shapes = [f"{key} {list(state[key].shape)} for {list(own[key].shape)}" for key in reshaped]
    shown = [*(f"{key} missing" for key in missing), *shapes, *(f"{key} left over" for key in unexpected)]
    kinds = {"missing": missing, "left over": unexpected, "of another shape": reshaped}
    counts = ", ".join(f"{len(keys)} {kind}" for kind, keys in kinds.items() if keys)
    listed = "; ".join(first_line(each, 100) for each in shown[:3])
    raise FomoError(
        f"{count} keys do not fit '{name}' ({counts}): {listed}. It looks like {looks_like(state)}. "
        f"{_right_model(name, _of_same_activation(name, models_like(state)))}"
    )


def _refuse_no_numbers(network: CLIP, state: Mapping[str, Tensor]) -> None:
    """Refuse integers where the model has fractions, as in quantised files, what is not finite, and a scale that is no
    logarithm, as some stored it."""
    for key, own in network.state_dict().items():
        value = state.get(key)
        if value is None or not own.is_floating_point():
            continue
        if not value.is_floating_point():
            raise FomoError(f"{key} holds {value.dtype}, not fractions: save the weights before they are quantised.")
        if not value.to(own.dtype).isfinite().all():
            raise FomoError(f"{key} holds values that are not finite (NaN): the training that wrote it went wrong.")
    scale = state.get("logit_scale")
    if scale is not None and scale.max() > LARGEST_LOG_SCALE:
        raise FomoError(
            f"logit_scale is {float(scale.max()):g}, where CLIP has the logarithm of what multiplies its logits, at "
            "most ln 100 = 4.6: the factor itself seems to be stored. Save its logarithm."
        )


def _right_model(name: str, same: list[str]) -> str:
    if name in same:
        return "Save what the model has, and no more."
    return f"Choose model={same[0]}." if same else f"Choose the model it is of, or one of the tags of '{name}'."
