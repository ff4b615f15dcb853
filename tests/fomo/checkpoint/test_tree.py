"""State as data: what goes in comes back, to the order of keys and of dimensions."""

import json
from typing import Any

import pytest
import timm.optim
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load, save
from torch import Tensor

from fomo.checkpoint.files import snapshot
from fomo.checkpoint.state import load_optimizer
from fomo.checkpoint.tree import pack, unpack
from fomo.errors import FomoError
from methods.optimizers import from_timm

PLAIN = (
    st.sampled_from([torch.float32, torch.bfloat16])
    | st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text()
)
KEYS = st.integers() | st.text()
TREES = st.recursive(
    PLAIN,
    lambda inner: st.lists(inner) | st.lists(inner).map(tuple) | st.dictionaries(KEYS, inner),
    max_leaves=20,
)


def usable(name: str) -> bool:
    """Whether an optimizer can be made here (some need packages, a GPU or second derivatives) and run in the loop.

    Kron cannot: it compiles itself, which the counter of FLOPs does not allow.
    """
    if "kron" in name:
        return False
    try:
        from_timm([("p", torch.nn.Parameter(torch.ones(2, 2)))], name, 0.01, 0.1)
    except (FomoError, RuntimeError):
        return False
    return True


def there_and_back(tree: Any) -> Any:
    """Through the bytes of both files."""
    packed = snapshot(tree)
    return unpack(json.loads(json.dumps(packed.state)), load(save(dict(packed.tensors))), "cpu")


def listed(tree: Any) -> Any:
    """A tree in which the order and the type of keys count for equality."""
    if isinstance(tree, dict):
        return ("dict", [(type(key), key, listed(value)) for key, value in tree.items()])
    if isinstance(tree, (list, tuple)):
        return (type(tree), [listed(value) for value in tree])
    return (type(tree), tree)


@given(TREES)
def test_plain_trees_come_back_as_they_were(tree: Any) -> None:
    assert listed(there_and_back(tree)) == listed(tree)


@pytest.mark.parametrize(
    "tensor",
    [
        torch.randn(3, 4),
        torch.randn(3, 4).T,
        torch.randn(2, 3, 4).permute(2, 0, 1),
        torch.randn(2, 3, 4, 5).to(memory_format=torch.channels_last),
        torch.tensor(1.5, dtype=torch.float64),
        torch.tensor([True, False]),
        torch.arange(6, dtype=torch.int64).view(2, 3).T,
        torch.randn(4).bfloat16(),
        torch.empty(0, 3),
        torch.randn(1, 3, 1),
    ],
    ids=lambda tensor: f"{tensor.dtype}{tuple(tensor.shape)}{tensor.stride()}",
)
def test_tensors_keep_type_values_and_layout(tensor: Tensor) -> None:
    back = there_and_back({"a": [tensor]})["a"][0]
    assert back.dtype == tensor.dtype and torch.equal(back, tensor)
    assert back.is_contiguous() == tensor.is_contiguous()
    if 1 not in tensor.shape:
        assert back.stride() == tensor.stride()


def test_a_view_that_repeats_itself_is_kept_by_value() -> None:
    assert torch.equal(there_and_back(torch.ones(3, 1).expand(3, 4)), torch.ones(3, 4))


def test_a_snapshot_does_not_change_with_the_run() -> None:
    tensor = torch.zeros(3)
    packed = snapshot({"a": tensor})
    tensor.fill_(1)
    assert len(packed.tensors) == 1 and all(not value.any() for value in packed.tensors.values())


def test_what_is_no_data_is_refused_by_its_place() -> None:
    with pytest.raises(FomoError, match=r"/optimizer/state/0.*of type Generator: no pickle"):
        pack({"optimizer": {"state": [torch.Generator()]}}, {})


def stepped(name: str, steps: int, stored_after: int | None = None) -> list[Tensor]:
    """Small parameters after some steps of an optimizer; it is stored and loaded into a fresh one on the way."""
    drawn = torch.Generator().manual_seed(0)
    parameters = [torch.nn.Parameter(torch.randn(shape, generator=drawn)) for shape in ((8, 6), (6,), ())]
    made = [(f"p{number}", parameter) for number, parameter in enumerate(parameters)]
    optimizer = from_timm(made, name, 0.01, 0.1)
    for step in range(steps):
        if step == stored_after:
            state = there_and_back(optimizer.state_dict())
            optimizer = from_timm(made, name, 0.01, 0.1)
            load_optimizer(optimizer, state)
        for parameter in parameters:
            parameter.grad = torch.randn(parameter.shape, generator=drawn)
        optimizer.step()
    return parameters


@pytest.mark.parametrize("name", [n for n in timm.optim.list_optimizers() if usable(n)])
def test_every_optimizer_of_timm_goes_on_as_it_was(name: str) -> None:
    for one, other in zip(stepped(name, 5), stepped(name, 5, stored_after=3), strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("node", [{}, {"list": [], "tuple": []}])
def test_a_node_of_no_kind_or_of_two_is_an_error_of_value(node: dict[str, Any]) -> None:
    """Not the end of an iteration, which a generator around it would swallow."""
    with pytest.raises(ValueError, match="unpack"):
        unpack(node, {}, "cpu")
