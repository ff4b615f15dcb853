"""Whether somebody looks at the layers of a network, or has put something of his own in a layer's place."""

from collections.abc import Iterable
from typing import Any

import torch
from torch import nn

LOOP = ("fomo.", "torch.distributed.fsdp.")
"""Where hooks that see no difference come from."""
BYPASSED = frozenset(("forward", "attention", "encode_text", "_pool", "_global_pool"))
"""Methods that ``fomo/model/fast.py`` passes by, or calls with less: who has one of its own is left to it."""


def is_listened_to(modules: Iterable[nn.Module]) -> bool:
    """Whether somebody's hook would see what a layer takes or returns, or somebody's method is in a layer's place."""
    if torch.nn.modules.module._has_any_global_hook():
        return True
    return any(not BYPASSED.isdisjoint(each.__dict__) or any(map(_is_foreign, _hooks(each))) for each in modules)


def _hooks(module: nn.Module) -> list[Any]:
    kinds = (module._forward_hooks, module._forward_pre_hooks, module._backward_hooks, module._backward_pre_hooks)
    return [hook for kind in kinds for hook in kind.values()] if any(kinds) else []


def _is_foreign(hook: Any) -> bool:
    return not str(getattr(hook, "__module__", "")).startswith(LOOP)
