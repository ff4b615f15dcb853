"""Greek letters and Unicode symbols: one glyph in two colours."""

from collections.abc import Sequence
from functools import partial

from numpy.random import Generator
from PIL import Image

from streams.pocket.drawings import canvas, geometry
from streams.pocket.drawings.generator import PocketDataset

GREEK = {
    "alpha": "\N{GREEK SMALL LETTER ALPHA}",
    "beta": "\N{GREEK SMALL LETTER BETA}",
    "gamma": "\N{GREEK SMALL LETTER GAMMA}",
    "delta": "\N{GREEK SMALL LETTER DELTA}",
    "epsilon": "\N{GREEK SMALL LETTER EPSILON}",
    "zeta": "\N{GREEK SMALL LETTER ZETA}",
    "eta": "\N{GREEK SMALL LETTER ETA}",
    "theta": "\N{GREEK SMALL LETTER THETA}",
    "lambda": "\N{GREEK SMALL LETTER LAMDA}",
    "mu": "\N{GREEK SMALL LETTER MU}",
    "xi": "\N{GREEK SMALL LETTER XI}",
    "pi": "\N{GREEK SMALL LETTER PI}",
    "rho": "\N{GREEK SMALL LETTER RHO}",
    "sigma": "\N{GREEK SMALL LETTER SIGMA}",
    "tau": "\N{GREEK SMALL LETTER TAU}",
    "upsilon": "\N{GREEK SMALL LETTER UPSILON}",
    "phi": "\N{GREEK SMALL LETTER PHI}",
    "chi": "\N{GREEK SMALL LETTER CHI}",
    "psi": "\N{GREEK SMALL LETTER PSI}",
    "omega": "\N{GREEK SMALL LETTER OMEGA}",
}
GREEK_FONTS = (
    "DejaVuSans.ttf", "DejaVuSans-Bold.ttf", "DejaVuSansMono-Bold.ttf", "DejaVuSerif.ttf", "DejaVuSerif-Bold.ttf",
    "STIXGeneralBol.ttf",
)  # fmt: skip

SYMBOLS = {
    "umbrella": "\N{UMBRELLA}",
    "snowman": "\N{SNOWMAN}",
    "telephone": "\N{BLACK TELEPHONE}",
    "skull and crossbones": "\N{SKULL AND CROSSBONES}",
    "radioactivity": "\N{RADIOACTIVE SIGN}",
    "peace": "\N{PEACE SYMBOL}",
    "yin yang": "\N{YIN YANG}",
    "anchor": "\N{ANCHOR}",
    "scissors": "\N{BLACK SCISSORS}",
    "airplane": "\N{AIRPLANE}",
    "envelope": "\N{ENVELOPE}",
    "music": "\N{BEAMED EIGHTH NOTES}",
    "chess knight": "\N{BLACK CHESS KNIGHT}",
    "smiling face": "\N{WHITE SMILING FACE}",
    "shamrock": "\N{SHAMROCK}",
    "fleur-de-lis": "\N{FLEUR-DE-LIS}",
}
SYMBOL_FONTS = ("DejaVuSans.ttf", "DejaVuSans-Bold.ttf")


def draw_glyph(
    texts: Sequence[str], fonts: Sequence[str], height: float, turn: float, least: float, rng: Generator, label: int
) -> Image.Image:
    """One glyph in one colour, on a ground of blotches of another.

    Args:
        texts: the glyph of each class.
        fonts: files of matplotlib's fonts, one of which is drawn.
        height: mean height of the font, as a share of the canvas.
        turn: largest turn to either side, in degrees.
        least: contrast of the two colours.
        rng: the image's generator.
        label: the class.
    """
    ink, ground = canvas.color_pair(rng, least)
    backdrop = canvas.noise(rng, ground, strength=12.0)
    image = canvas.glyph(rng, texts[label], fonts[int(rng.integers(len(fonts)))], ink, backdrop, height, turn)
    return geometry.grainy(rng, image)


DATASETS = (
    PocketDataset(
        name="pocket_greek",
        role="adaptation",
        domain="printed glyph",
        classes=tuple(GREEK),
        templates=("a photo of the greek letter {}", "{} in greek script", "the greek character {}, printed"),
        draw=partial(draw_glyph, tuple(GREEK.values()), GREEK_FONTS, 0.95, 6.0, 230.0),
    ),
    PocketDataset(
        name="pocket_symbols",
        role="adaptation",
        domain="printed glyph",
        classes=tuple(SYMBOLS),
        templates=("a pictogram for {}", "the symbol of {}", "a dingbat, {}"),
        draw=partial(draw_glyph, tuple(SYMBOLS.values()), SYMBOL_FONTS, 0.95, 20.0, 140.0),
    ),
)
