"""The texts of the pool, as loose as those of the web."""

from numpy.random import Generator

UNNAMED = 0.1
"""Share of captions that do not say what is shown."""
BARE = 0.3
"""Share of the others that are the concept alone, where its name means one thing in the whole pool."""
SAID = 0.4
"""Share of the words for what a picture shows beside its concept that are said."""
LONGEST = 50
"""Letters of a caption, beyond which no more such words are said: the models read 32 tokens."""
GENERAL = ("a photo of {}", "an image of {}", "{}, stock photo", "picture: {}", "best of {}", "{} (1)")
"""Phrasings that any concept may have."""
NOTHING = ("photo", "untitled", "stock image", "picture of the day", "see more", "image not found", "my collection")


def caption(rng: Generator, name: str, templates: tuple[str, ...], alone: bool, words: tuple[str, ...]) -> str:
    """The caption of a picture.

    Args:
        rng: the picture's generator.
        name: its concept.
        templates: phrasings with one ``{}``.
        alone: whether the name may stand alone, or in a phrasing that any concept may have.
        words: for what it shows beside the concept; each is said or not.
    """
    if rng.random() < UNNAMED:
        start = NOTHING[rng.integers(len(NOTHING))]
    elif alone and rng.random() < BARE:
        start = name
    else:
        phrasings = (*templates, *GENERAL) if alone else templates
        start = phrasings[rng.integers(len(phrasings))].format(name)
    text = start
    for word in words:
        if rng.random() < SAID and len(longer := f"{text}, {word}") <= LONGEST:
            text = longer
    return text
