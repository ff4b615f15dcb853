"""What a step changes, network, method and optimizer, as a tree to keep; and back into the same objects."""

from collections.abc import Iterator, Mapping
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from fomo.errors import FomoError, NotFinite
from fomo.system.magnitude import largest
from fomo.system.parted import part_of


class Stateful(Protocol):
    """A part of a run that a checkpoint keeps; the state is plain values and tensors, in dicts, lists and tuples."""

    def state_dict(self) -> dict[str, Any]:
        """What a run that goes on has to know. Not copied: valid until the next step."""

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a state."""


class MethodState(Protocol):
    """What a checkpoint asks of a method: its state may attach adapters to the network as it is loaded."""

    def state_dict(self) -> dict[str, Tensor]:
        """What is to be kept besides network and optimizer. Not copied."""

    def load_state_dict(self, network: nn.Module, state: Mapping[str, Tensor]) -> None:
        """Go on from a state."""


def training_state(network: nn.Module, method: MethodState, optimizer: torch.optim.Optimizer | None) -> dict[str, Any]:
    """What a step changes, and the order in which the optimizer has it. Not copied: valid until the next step.

    Raises:
        FomoError: the optimizer moves parameters that the network does not have any more.
    """
    groups = optimizer.param_groups if optimizer else ()
    optimized = {id(parameter) for group in groups for parameter in group["params"]}
    _check_still_there(network, optimized)
    return {
        "network": network.state_dict(),
        "method": method.state_dict(),
        "optimizer": optimizer.state_dict() if optimizer else None,
        "trained": [name for name, parameter in network.named_parameters() if id(parameter) in optimized],
    }


def _check_still_there(network: nn.Module, optimized: set[int]) -> None:
    """Refuse a network in which a part has put other parameters in the place of those that the optimizer moves."""
    there = {id(parameter) for parameter in network.parameters()}
    if optimized <= there:
        return
    others = [name for name, p in network.named_parameters() if p.requires_grad and id(p) not in optimized]
    raise FomoError(
        f"{len(optimized - there)} parameters that the optimizer moves are not the network's any more, so that nothing "
        f"trains what is in their place ({', '.join(others[:3]) or 'nothing'}). A part changes weights within a task "
        "in place: with torch.no_grad(): parameter.copy_(value)."
    )


def check_state(state: Mapping[str, Any], task: int, step: int | None) -> None:
    """Refuse a state that nobody could go on from.

    Raises:
        NotFinite: an entry is NaN or infinite; it is named as the state has it, ``method.PART.KEY``.
    """
    entries = list(tensors_of(state))
    if largest(tensor for _, tensor in entries).isfinite():
        return
    for name, tensor in entries:
        if not largest([tensor]).isfinite():
            of_part = name.removeprefix("method.")
            where = "" if of_part == name else f" of the part '{of_part.split('.')[0]}'"
            whoever = ", whoever has written to it" if name.startswith("network.") else ""
            raise NotFinite(task, step, f"in the state{where}, {name} is not finite{whoever}")


def tensors_of(tree: Any, name: str = "") -> Iterator[tuple[str, Tensor]]:
    """The tensors of a tree of mappings and sequences, and the way to each, with points."""
    if isinstance(tree, Tensor):
        yield name, tree
    keyed = tree.items() if isinstance(tree, Mapping) else enumerate(tree) if isinstance(tree, (list, tuple)) else ()
    for key, value in keyed:
        yield from tensors_of(value, f"{name}.{key}" if name else str(key))


def load_model(network: nn.Module, method: MethodState, state: Mapping[str, Any]) -> None:
    """Method, then network: the method attaches adapters, so that the network's state fits."""
    method.load_state_dict(network, state["method"])
    load_network(network, state["network"])


def load_network(network: nn.Module, state: Mapping[str, Tensor]) -> None:
    """The values, and the order of dimensions in memory: a folded adapter may leave a weight transposed.

    Raises:
        FomoError: the network has other tensors than the state.
    """
    own_state = network.state_dict()
    _check_names(own_state, state)
    state = {name: part_of(value, own_state[name]) for name, value in state.items()}
    network.load_state_dict(state)
    for name, value in network.state_dict(keep_vars=True).items():
        if value.stride() != state[name].stride():
            value.data = state[name].to(value.device)


def _fitting(values: Mapping[str, Any], parameter: Tensor) -> dict[str, Any]:
    """What an optimizer knows of a parameter, in parts as that is; the count of its steps is a number."""
    return {
        key: part_of(value, parameter) if isinstance(value, Tensor) and key != "step" else value
        for key, value in values.items()
    }


def _check_names(own: Mapping[str, Tensor], state: Mapping[str, Tensor]) -> None:
    """Refuse a network that is not made as the kept one was: parts attach what they add, however a run goes on."""
    lines = [f"the state has {name}, the network lacks it" for name in state if name not in own]
    lines += [f"the network has {name}, the state lacks it" for name in own if name not in state]
    lines += [
        f"{name} is {list(value.shape)} in the state, {list(own[name].shape)} in the network"
        for name, value in state.items()
        if name in own and value.shape != own[name].shape and not value.numel() == own[name].numel() == 1
    ]
    if lines:
        more = f" and {len(lines) - 1} more" if len(lines) > 1 else ""
        raise FomoError(
            f"the network is made in another way than when it was kept: {lines[0]}{more}. What a part attaches, its "
            "begin_run, begin_task and load_state_dict have to attach again."
        )


def load_optimizer(optimizer: torch.optim.Optimizer, state: Mapping[str, Any]) -> None:
    """Load, and undo what torch's own loading casts to the type of the parameter.

    Raises:
        FomoError: the optimizer has other groups than the state.
    """
    sizes, kept = (
        [len(group["params"]) for group in groups] for groups in (optimizer.param_groups, state["param_groups"])
    )
    if sizes != kept:
        raise FomoError(
            f"the optimizer is over {sizes} parameters by group, its state over {kept}: after load_state_dict that has "
            "to require a gradient which did when the state was kept."
        )
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    loaded = {number: _fitting(values, parameters[number]) for number, values in state["state"].items()}
    optimizer.load_state_dict({**state, "state": loaded})
    for number, values in loaded.items():
        optimizer.state[parameters[number]].update(values)
