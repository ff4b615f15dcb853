"""Regularisers: terms of the loss, most of which hold a model to what it was."""

from typing import NamedTuple

from methods.papers import PAPERS, Papers
from methods.regularizers.conadv import ConAdv
from methods.regularizers.distillation import LwF
from methods.regularizers.ewc import EWC
from methods.regularizers.mclrec import MCLRec
from methods.regularizers.quadratic import L2
from methods.regularizers.si import SI
from methods.regularizers.zscl import ZSCL

__all__ = ["EWC", "L2", "REGULARIZERS", "SI", "ZSCL", "ConAdv", "LwF", "MCLRec"]


class RegularizerRow(NamedTuple):
    """A row of :data:`REGULARIZERS`: in words what is added to the loss, its settings, and the papers."""

    adds: str
    settings: str
    papers: Papers


REGULARIZERS = {
    "ewc": RegularizerRow(
        "λ/2 · Σ F (θ − θ*)², F ← γF + F_t after each task, F_t the mean over batches of D_t of the squared gradient "
        "of the batch's contrastive loss",
        "`strength` λ, `decay` γ, `num_samples`, `batch_size`",
        (PAPERS["ewc"], PAPERS["online_ewc"]),
    ),
    "si": RegularizerRow(
        "c · Σ Ω (θ − θ*)², Ω ← Ω + ω/(Δ² + ξ) after each task, ω ← ω − g·Δθ in each step, g the clipped gradient, "
        "Δθ the step as made",
        "`strength` c, `damping` ξ",
        (PAPERS["si"],),
    ),
    "l2": RegularizerRow(
        "λ/2 · ‖θ − θ₀‖², to the start of the run or of each task", "`strength` λ, `anchor`", (PAPERS["l2_sp"],)
    ),
    "lwf": RegularizerRow(
        "λ · (D + Dᵀ) on the batch, D = T²·KL of the base model's similarities of images to texts and the model's, "
        "softened by T",
        "`strength` λ, `temperature` T",
        (PAPERS["lwf"],),
    ),
    "zscl": RegularizerRow(
        "λ · (D + Dᵀ) as with `lwf`, but on the batch's pretraining rows and with the base model's texts on both "
        "sides; l2 · ‖θ − θ_start of the task‖²; and each task ends at the mean of its start and of the weights after "
        "every tenth of it",
        "`strength` λ, `temperature` T, `l2`, `average_every`",
        (PAPERS["zscl"],),
    ),
    "conadv": RegularizerRow(
        "λ · the contrastive loss of x̂ = x + ε·sign ∇ₓ, the gradient taken at the image tower of the step before",
        "`strength` λ, `epsilon` ε in 255ths, `lag`",
        (PAPERS["conadv"],),
    ),
    "mclrec": RegularizerRow(
        "β · the contrastive losses of (image, w(text)), (w(image), text) and (w(image), w(text)), plus β · γ · R, by "
        "which views stay unlike; w are small networks that learn after each step, by Adam",
        "`strength` β, `regularity` γ, `lr`, `features`",
        (PAPERS["mclrec"],),
    ),
}
