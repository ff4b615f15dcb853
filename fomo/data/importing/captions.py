"""Captions of an image file: the text beside it, else its class and the words of its name.

Many names say nothing: cameras and programs number their files, and databases name them by a hash. What such names
hold is no caption, and the prompt of the class serves alone.
"""

import re
from pathlib import Path

from fomo.data.importing.class_names import separated
from fomo.data.sources import MAX_TEXT_BYTES, Location
from fomo.data.texts import caption_lines, decoded, json_captions, parsed

PROMPT = "a picture of {}"
_MACHINE_WORDS = """
    img imgs dsc dscn dscf dsci dscm pxl mvimg imag cimg hpim kimg dcim pano burst vid mov mvi wp gopr gp gx gh dji sam
    sdc stitch coco ilsvrc fb whatsapp snapchat signal telegram wa wx hdr vhdr im mmexport isic adobestock shutterstock
    imgp mg inshot kakaotalk kakao viber tumblr photogrid videocapture lv ezgif hflip vflip 微信图片 mmqrcode
    istockphoto gettyimages depositphotos dreamstime alamy pexels unsplash hash md5 sha uuid guid
"""
MACHINE_WORDS = frozenset(_MACHINE_WORDS.split())
"""Prefixes that cameras and programs give, which are no words."""
_EMPTY_WORDS = """
    image images photo photos picture pictures pic pics frame frames received file files sample samples scan scanned
    untitled unnamed download downloads downloaded default noname new copy final edited edit cropped crop resized resize
    thumb thumbnail small large original screenshot screen shot capture camera foto fotos bild bilder imagen kopie train
    training test testing val valid validation unknown item no nr num number id idx index at am pm x px jpg jpeg png
    on line polish flip flipped rot rotated aug augmented mask lr hr sr gif maker output optimizer unbenannt kopyası
    téléchargement telechargement 下载 下載 截图 截圖 截屏 图片 圖片 图像 画像 写真 사진 изображение фото снимок صورة
    a b c d e f g h i j k l m n o p q r s t u v w y z
"""
EMPTY_WORDS = frozenset(_EMPTY_WORDS.split())
"""Words that say nothing of an image as long as no other word stands beside them."""
SEPARATORS = re.compile(r"[\s_\-.,+()\[\]{}~#@=&]+")
UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
HEXADECIMAL = re.compile(r"(?=.*\d)[0-9a-f]{6,}|[0-9a-f]{8,}", re.IGNORECASE)
"""The letters a to f make words too (facade), but no longer ones, and none with digits."""
HEXADECIMAL_PART = re.compile(r"[0-9a-f]+", re.IGNORECASE)
NUMBERED = re.compile(r"_?[A-Z]{1,5}[_-]?\d{3,}(?:[ _-]?(?:\(\d+\)|\d+))?")
"""Letters and a number, as devices call their files, whatever their maker: ``KIF_0012``, ``_MG_1234``."""
CONSONANTS = re.compile(r"[b-df-hj-np-tv-xz]{5,}", re.IGNORECASE)


def captions_of(path: Path, class_name: str, text: Path | None = None) -> list[str]:
    """The lines of the text beside an image, else the class prompt and the words of its name.

    Names alone rarely say the class that evaluation asks for; without any word the class prompt serves anyway.

    Raises:
        Unusable: the text cannot be decoded, is too long, or holds numbers alone.
    """
    if text is not None:
        return read_lines(text)
    name = words(path.stem)
    same = name.casefold() == class_name.casefold()
    prompt = PROMPT.replace("{}", class_name)
    return [f"{prompt}, {name}"] if any(sign.isalpha() for sign in name) and not same else []


def pair_captions(text: Path | None, about: Path | None) -> list[str]:
    """The captions of an image that has no class: the lines of the text beside it, else those in its JSON.

    Raises:
        Unusable: as :func:`captions_of`.
    """
    found = read_lines(text) if text is not None else []
    if found or about is None:
        return found
    return json_captions(parsed(Location(about).read(MAX_TEXT_BYTES)))


def read_lines(path: Path) -> list[str]:
    """The captions in a text, one a line; none where it is empty.

    Raises:
        Unusable: as :func:`captions_of`.
    """
    return caption_lines(decoded(Location(path).read(MAX_TEXT_BYTES))) if path.stat().st_size else []


def words(stem: str) -> str:
    """The words of a file name that a person wrote: no numbers, which count files, nor what machines write."""
    if NUMBERED.fullmatch(stem):
        return ""
    parts = [part for part in SEPARATORS.split(UUID.sub(" ", stem)) if part]
    if any(map(_has_digit, parts)) and len("".join(parts)) > 5 and all(map(HEXADECIMAL_PART.fullmatch, parts)):
        return ""
    kept = [word for part in parts for word in _words_of(part)]
    return "" if all(word.casefold() in EMPTY_WORDS for word in kept) else " ".join(kept)


def _words_of(part: str) -> list[str]:
    """The words of a part without separators: cut where capitals begin; numbers before and behind it go."""
    letters = part.strip("0123456789")
    of_machine = letters.casefold() in MACHINE_WORDS or CONSONANTS.fullmatch(letters) or _has_digit(letters)
    if of_machine or HEXADECIMAL.fullmatch(part):
        return []
    found = separated(letters).split()
    if len(found) > 2 and sum(len(word) < 3 for word in found) > len(found) / 2:  # dQwXcQ
        return []
    return [word for word in found if word.casefold() not in MACHINE_WORDS]


def _has_digit(word: str) -> bool:
    return any(sign.isdigit() for sign in word)
