"""Low-rank adaptation: LoRA, DoRA, VeRA. One way to place and attach updates, three ways to compute them."""

from methods.lora.adapters import Adapters, DoRA, LoRA, VeRA

__all__ = ["Adapters", "DoRA", "LoRA", "VeRA"]
