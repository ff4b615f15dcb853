"""Signs, letters of other scripts, and written words: glyphs of one paint on another."""

from collections.abc import Sequence
from functools import partial

from numpy.random import Generator

from streams.pocket.drawings import canvas
from streams.pocket.drawings.general.paints import paint_pair
from streams.pocket.drawings.generator import Picture, PoolFamily

SIGNS = {
    "sun": "☀", "cloud": "☁", "comet": "☄", "hot spring": "♨", "coffee": "☕", "biohazard": "☣", "ankh": "☥",
    "hammer and pick": "⚒", "crossed swords": "⚔", "scales": "⚖", "gear": "⚙", "atom": "⚛", "recycling": "♻",
    "wheelchair": "♿", "chess king": "♚", "chess queen": "♛", "chess rook": "♜", "chess bishop": "♝",
    "chess pawn": "♟", "writing hand": "✍", "pencil": "✏", "check mark": "✔", "ballot mark": "✘", "asterisk": "✱",
    "snowflake": "❄", "blossom": "✿", "female sign": "♀", "male sign": "♂", "aries": "♈", "taurus": "♉",
    "gemini": "♊", "cancer": "♋", "leo": "♌", "virgo": "♍", "libra": "♎", "scorpio": "♏", "sagittarius": "♐",
    "capricorn": "♑", "aquarius": "♒", "pisces": "♓", "keyboard": "⌨", "infinity": "∞", "integral": "∫",
    "sum sign": "∑", "square root": "√", "not equal": "≠", "empty set": "∅", "left arrow": "←", "right arrow": "→",
    "up arrow": "↑", "down arrow": "↓", "turning arrow": "↻", "question mark": "?", "exclamation mark": "!",
    "ampersand": "&", "at sign": "@", "percent": "%", "hash sign": "#", "dollar": "$", "euro": "€", "pound": "£",
    "yen": "¥", "paragraph": "¶", "section": "§", "copyright": "©",
}  # fmt: skip
SCRIPTS = {
    "zhe": "Ж", "sha": "Ш", "ya": "Я", "yu": "Ю", "de": "Д", "tse": "Ц", "che": "Ч", "shcha": "Щ", "hard sign": "Ъ",
    "yery": "Ы", "ayb": "Ա", "ben": "Բ", "gim": "Գ", "da": "Դ", "khe": "Խ", "aleph": "א", "bet": "ב", "shin": "ש",
    "lamed": "ל", "tet": "ט", "ani": "ა", "bani": "ბ", "doni": "დ", "kani": "კ",
}  # fmt: skip
WORDS = (
    "menu", "sale", "open", "exit", "taxi", "hotel", "cafe", "news", "jazz", "free", "push", "pull", "shop", "bank",
    "love", "home", "gift", "rock", "fire", "mind", "big", "yes", "bus", "zoo",
)  # fmt: skip
SIGN_FONTS = ("DejaVuSans.ttf", "DejaVuSans-Bold.ttf")


def draw_text(texts: Sequence[str], fonts: Sequence[str], height: float, rng: Generator, label: int) -> Picture:
    """A text in one paint on a ground of another.

    Args:
        texts: the text of each class.
        fonts: files of matplotlib's fonts, one of which is drawn.
        height: mean height of the font of a text of one character, as a share of the canvas.
        rng: the image's generator.
        label: the class.
    """
    ink, ground = paint_pair(rng)
    sheet = canvas.noise(rng, ground.color, int(rng.integers(2, 8)), rng.uniform(0, 28))
    upper = len(texts[label]) > 1 and rng.random() < 0.5
    text = texts[label].upper() if upper else texts[label]
    size = height / max(1.0, 0.85 * len(text))
    name = fonts[int(rng.integers(len(fonts)))]
    image = canvas.finish(canvas.glyph(rng, text, name, ink.color, sheet, size, 15))
    return Picture(image, (ink.name, f"{ground.name} background"))


FAMILIES = (
    PoolFamily(
        "signs", tuple(SIGNS), ("the {} sign", "a {} icon", "the {} emoji"),
        partial(draw_text, tuple(SIGNS.values()), SIGN_FONTS, 0.85),
    ),
    PoolFamily(
        "scripts", tuple(SCRIPTS), ("{}, foreign script", "the character {}", "calligraphy of {}"),
        partial(draw_text, tuple(SCRIPTS.values()), SIGN_FONTS, 0.8),
    ),
    PoolFamily(
        "words", tuple(f"the word {word}" for word in WORDS), ("{} on a board", "lettering, {}", "{} in print"),
        partial(draw_text, WORDS, canvas.SEEN_FONTS, 1.05),
    ),
)  # fmt: skip
