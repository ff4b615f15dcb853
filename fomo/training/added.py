"""Parameters of a method's own: those that a part registers on the network, and those that it keeps in itself."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

from torch import Tensor, nn

from fomo.errors import FomoError
from fomo.method import Method
from fomo.model.weights import plain_names

SETTING_UP = ("begin_run", "begin_task", "end_task")
"""The hooks in which a part may register something on the network; ``load_state_dict`` is the fourth place."""


class Added(NamedTuple):
    """A tensor that the network has from a part: the part's name, and whether it was registered to be trained."""

    part: str
    trained: bool


@contextmanager
def noting(added: dict[str, Added], name: str, part: Method, network: nn.Module) -> Iterator[None]:
    """Note, by its plain name, what the network has afterwards and had not before. Adapters have no plain name.

    Args:
        added: What the network has from parts, by plain name; added to.
        name: The part's.
        part: Who is called inside.
        network: What it may register something on.

    Raises:
        FomoError: a part registers something, and does not say that it deploys more than plain weights.
    """
    before = plain_names(network)
    yield
    trained = dict(network.named_parameters())
    new = sorted(plain_names(network) - before)
    if new and part.plain_weights:
        raise FomoError(
            f"{name} ({type(part).__qualname__}) registers '{new[0]}' on the network, for which a plain model has no "
            "place: set plain_weights = False in the class, and the result is marked so."
        )
    for each in new:
        added.setdefault(each, Added(name, each in trained and trained[each].requires_grad))


def kept_inside(part: Method, network: nn.Module) -> dict[str, Tensor]:
    """The parameters that a part keeps in its attributes and trains itself, by attribute; none of the network's."""
    of_network = {id(parameter) for parameter in network.parameters()}
    found = _parameters(vars(part))
    return {name: p.detach() for name, p in found.items() if p.requires_grad and id(p) not in of_network}


def _parameters(value: Any) -> dict[str, nn.Parameter]:
    if isinstance(value, nn.Parameter):
        return {"": value}
    if isinstance(value, nn.Module):
        return dict(value.named_parameters())
    inner = value if isinstance(value, Mapping) else dict(enumerate(value)) if isinstance(value, (list, tuple)) else {}
    return {
        f"{key}.{name}".rstrip("."): parameter
        for key, each in inner.items()
        for name, parameter in _parameters(each).items()
    }
