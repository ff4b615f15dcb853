"""Adapted weights are computed once a call of the module that reads them."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from torch import nn
from torch.nn.utils import parametrize


@contextmanager
def folded_once_a_call(network: nn.Module) -> Iterator[None]:
    """While open, a module computes an adapted weight once a call, however often the call reads it.

    Never longer: a weight that outlived the call would hide that its parameters were moved or exchanged, as a method
    does that looks at other weights. A layer that is computed again in the backward pass finds what it found before.
    """
    caches: list[AbstractContextManager[Any]] = []

    def enter(module: nn.Module, arguments: Any) -> None:
        cache = parametrize.cached()
        cache.__enter__()
        caches.append(cache)

    def leave(module: nn.Module, arguments: Any, result: Any) -> None:
        caches.pop().__exit__(None, None, None)

    handles = []
    for module in _readers(network):
        handles.append(module.register_forward_pre_hook(enter))
        handles.append(module.register_forward_hook(leave, always_call=True))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
        while caches:
            caches.pop().__exit__(None, None, None)


def _readers(network: nn.Module) -> Iterator[nn.Module]:
    """Modules with an adapted weight, their own or a direct child's, which attention reads; not the network itself."""
    adapted = {module for module in network.modules() if parametrize.is_parametrized(module)}
    for module in network.modules() if adapted else ():
        if module is not network and not adapted.isdisjoint((module, *module.children())):
            yield module
