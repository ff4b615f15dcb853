"""Diagnostics: parts that measure and log, and leave training as it is."""

from typing import NamedTuple

from methods.diagnostics.curvature import Curvature
from methods.diagnostics.gradient_noise import GradientNoise
from methods.papers import PAPERS, Papers

__all__ = ["DIAGNOSTICS", "Curvature", "GradientNoise"]


class DiagnosticRow(NamedTuple):
    """A row of :data:`DIAGNOSTICS`: in words what is measured and when, its settings, what it costs, the papers."""

    measures: str
    settings: str
    costs: str
    papers: Papers


DIAGNOSTICS = {
    "curvature": DiagnosticRow(
        "where a task begins, on batches of D_t of b, 2b, 4b, …: the extreme eigenvalues of the Hessian of the "
        "contrastive loss (Lanczos, m products), 2/λ_max or Adam's largest stable rate, and the exponent by which that "
        "rate grows with b",
        "`batch_size` b, `num_sizes`, `num_products` m, `preconditioner` none or adam, `num_batches`, `beta`, `eps`",
        "a task: of each size one step, and two for each product",
        (PAPERS["random_matrix"], PAPERS["edge_of_stability"]),
    ),
    "gradient_noise": DiagnosticRow(
        "in every step, from exact shares of J pieces in its gradient: V = tr Σ, the noise scale V/‖G‖², and the "
        "batches that the norm test and the inner-product test ask for",
        "`num_pieces` J, `rows` of a piece, `norm` η, `inner` θ",
        "a step: J·`rows` rows learned from a second time",
        (PAPERS["noise_scale"], PAPERS["adadagrad"]),
    ),
}
