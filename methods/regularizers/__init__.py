"""Regularisers: terms of the loss that hold a model to what it was."""

from methods.regularizers.distillation import LwF
from methods.regularizers.ewc import EWC
from methods.regularizers.quadratic import L2
from methods.regularizers.si import SI
from methods.regularizers.zscl import ZSCL

__all__ = ["EWC", "L2", "SI", "ZSCL", "LwF"]
