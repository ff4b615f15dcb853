"""The parts of a method in a rehearsal: their hooks run on fake tensors, or are declared."""

from collections.abc import Callable, Mapping
from contextlib import nullcontext
from numbers import Integral
from typing import Any

from torch import nn

from fomo.budget.flops import Meter
from fomo.budget.held import held, reachable
from fomo.budget.memory import PeakMemory
from fomo.errors import FomoError
from fomo.method import Method, Task
from fomo.training.methods import Methods


class RehearsedParts(Methods):
    """Parts whose hooks run on fake tensors, or are declared."""

    def __init__(self, parts: Mapping[str, Method], memory: PeakMemory) -> None:
        super().__init__(parts)
        self.memory = memory
        self.declare: Callable[[str, int], None]
        self.unseen = dict.fromkeys(parts, 0)
        """Bytes that each part says that it holds, beyond those that its hooks made here."""
        self.declared: set[str] = set()

    def call(self, name: str, hook: str, *arguments: Any, meter: Meter) -> Any:
        """Run the hook; one that declares its FLOPs is not run."""
        part = self.parts[name]
        network = arguments[0]
        task = next((each for each in arguments if isinstance(each, Task)), None)
        flops = _whole(f"{name}.flops({hook!r}, …)", part.flops(hook, network, task))
        if flops is None:
            result = self._run(name, hook, *arguments, meter=meter)
        else:
            self.declare(f"{name}.{hook}", flops)
            self.declared.add(f"{name}.{hook}")
            result = {"loss": arguments[-1], "deployed": nullcontext()}.get(hook)
        self._hold(name, network, _whole(f"{name}.held_bytes({hook!r}, …)", part.held_bytes(hook, network, task)))
        return result

    def _run(self, name: str, hook: str, *arguments: Any, meter: Meter) -> Any:
        try:
            return super().call(name, hook, *arguments, meter=meter)
        except FomoError:
            raise
        except Exception as error:  # whatever a plug-in's code raises
            raise FomoError(
                f"{name}.{hook} ({type(self.parts[name]).__name__}) failed while it was rehearsed on fake tensors, to "
                f"count its FLOPs: {type(error).__name__}: {error}. If it reads values, masks by them or uses files, "
                f"let its methods `flops` and `held_bytes` give what it costs and then holds."
            ) from error

    def _hold(self, name: str, network: nn.Module, num_bytes: int | None) -> None:
        """From here on, a part holds so many bytes in all; those that were not made here live from now on."""
        if num_bytes is not None:
            unseen = max(0, num_bytes - held({name: self.parts[name]}, network)[name])
            self.memory.take(unseen - self.unseen[name])
            self.unseen[name] = unseen

    def held(self, network: nn.Module) -> dict[str, int]:
        """Bytes that the parts hold and the network has; what no operation made is followed from here on."""
        for part in self.parts.values():
            for tensor in reachable(part):
                self.memory.add(tensor)
        found = held(self.parts, network)
        return {name: num_bytes + self.unseen.get(name, 0) for name, num_bytes in found.items()}


def _whole(what: str, number: int | None) -> int | None:
    """A number that a part declares."""
    if number is None:
        return None
    if isinstance(number, Integral) and not isinstance(number, bool) and number >= 0:
        return int(number)
    raise FomoError(f"{what} returned {number!r}: integers from 0 are allowed, and None for what the rehearsal finds.")
