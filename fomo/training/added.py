"""Parameters of a method's own: those that a part registers on the network, and those that it keeps in itself."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

from torch import Tensor, nn

from fomo.method import Method
from fomo.model.weights import plain_names

SETTING_UP = ("begin_run", "begin_task", "end_task")
"""The hooks in which a part may register something on the network; ``load_state_dict`` is the fourth place."""


class Added(NamedTuple):
    """A tensor that the network has from a part: the part's name, and whether it was registered to be trained."""

    part: str
    trained: bool


@contextmanager
def noting(added: dict[str, Added], part: str, network: nn.Module) -> Iterator[None]:
    """Note, by its plain name, what the network has afterwards and had not before. Adapters have no plain name."""
    before = plain_names(network)
    yield
    trained = dict(network.named_parameters())
    for name in sorted(plain_names(network) - before):
        added.setdefault(name, Added(part, name in trained and trained[name].requires_grad))


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
