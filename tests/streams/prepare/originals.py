"""Small copies of public datasets in their original layouts, packed as their authors pack them.

Each builder writes the archives of a recipe into a folder, the "site", and says what samples they hold: by split, or
under ``all`` where the dataset has no split of its own, the class and the image.
"""

import gzip
import io
import json
import pickle
import shutil
import struct
import tarfile
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import replace
from hashlib import md5
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from scipy.io import savemat  # type: ignore[import-untyped]
from torchvision import datasets as tv

from fomo.data.images import decode
from streams.prepare import RECIPES, DatasetRecipe
from streams.prepare.readers import fixed
from tests.fomo.helpers import encoded, picture, put

Samples = dict[str, list[tuple[str, bytes]]]
"""Class and RGB pixels of the samples of each split."""


def checksum(data: bytes) -> str:
    return md5(data).hexdigest()


def pack(path: Path, members: Mapping[str, bytes | str]) -> Path:
    """An archive of the kind that its name says."""
    path.parent.mkdir(parents=True, exist_ok=True)
    contents = {name: text.encode() if isinstance(text, str) else text for name, text in members.items()}
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w") as archive:
            for name, data in contents.items():
                archive.writestr(name, data)
        return path
    with tarfile.open(path, "w" if path.suffix == ".tar" else "w:gz") as tar:
        for name, data in contents.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return path


def at(recipe: DatasetRecipe, site: Path, **attributes: Any) -> DatasetRecipe:
    """The recipe with the checksums of the files at ``site``; ``attributes`` are those that torchvision keeps."""
    archives = tuple(
        replace(archive, md5=archive.md5 and checksum((site / archive.file).read_bytes()))
        for archive in recipe.archives
    )
    known: Any = recipe.reader
    reader = type(known.__name__, (known,), attributes)
    return replace(recipe, archives=archives, reader=reader)


class NumberedImages:
    """Numbered images, no two alike, and a record of what was handed out."""

    def __init__(self, size: tuple[int, int] = (12, 9)) -> None:
        self.samples: Samples = {}
        self._size, self._number = size, 0

    def array(self, split: str, name: str, gray: bool = False) -> np.ndarray:
        """Pixels uint8 [h, w, 3], or [h, w]."""
        self._number += 1
        image = picture(self._number, self._size).convert("L" if gray else "RGB")
        self.samples.setdefault(split, []).append((name, image.convert("RGB").tobytes()))
        return np.asarray(image)

    def file(self, split: str, name: str, kind: str = "JPEG") -> bytes:
        """An image file."""
        self._number += 1
        data = encoded(picture(self._number, self._size), kind)
        self.samples.setdefault(split, []).append((name, decode(data).tobytes()))
        return data


def cifar10(site: Path) -> tuple[DatasetRecipe, Samples]:
    numbered, names = NumberedImages((32, 32)), ["airplane", "polar_bear"]
    shown = ["airplane", "polar bear"]

    def batch(split: str, key: str) -> bytes:
        labels = [0, 1, 1]
        rows = [numbered.array(split, shown[label]).transpose(2, 0, 1).reshape(-1) for label in labels]
        return pickle.dumps({"data": np.stack(rows), key: labels})

    members = {f"data_batch_{n}": batch("train", "labels") for n in range(1, 6)} | {
        "test_batch": batch("test", "labels")
    }
    return _cifar(site, "CIFAR10", members, {"label_names": names}), numbered.samples


def cifar100(site: Path) -> tuple[DatasetRecipe, Samples]:
    numbered, names = NumberedImages((32, 32)), ["aquarium_fish", "wolf"]
    members = {}
    for split in ("train", "test"):
        arrays = [numbered.array(split, name) for name in ("wolf", "aquarium fish", "wolf")]
        rows = np.stack([array.transpose(2, 0, 1).reshape(-1) for array in arrays])
        members[split] = pickle.dumps({"data": rows, "fine_labels": [1, 0, 1], "coarse_labels": [0, 0, 0]})
    return _cifar(site, "CIFAR100", members, {"fine_label_names": names}), numbered.samples


def _cifar(site: Path, name: str, members: dict[str, bytes], meta: dict[str, Any]) -> DatasetRecipe:
    reader = getattr(tv, name)
    files = members | {reader.meta["filename"]: pickle.dumps(meta)}
    pack(site / reader.filename, {f"{reader.base_folder}/{file}": data for file, data in files.items()})
    checked = [[file, checksum(data)] for file, data in members.items()]
    return at(
        RECIPES[name],
        site,
        train_list=[row for row in checked if "test" not in row[0]],
        test_list=[row for row in checked if "test" in row[0]],
        meta=reader.meta | {"md5": checksum(files[reader.meta["filename"]])},
    )


def mnist(site: Path) -> tuple[DatasetRecipe, Samples]:
    return _mnist(site, "MNIST", ["0", "1", "2"])


def fashion_mnist(site: Path) -> tuple[DatasetRecipe, Samples]:
    return _mnist(site, "FashionMNIST", ["t-shirt/top", "trouser", "pullover"])


def _mnist(site: Path, name: str, shown: list[str]) -> tuple[DatasetRecipe, Samples]:
    numbered = NumberedImages((28, 28))
    for split, stem in (("train", "train"), ("test", "t10k")):
        labels = [2, 0, 1]
        pixels = np.stack([numbered.array(split, shown[label], gray=True) for label in labels])
        images = struct.pack(">4i", 0x803, *pixels.shape) + pixels.tobytes()
        put(site / f"{stem}-images-idx3-ubyte.gz", gzip.compress(images))
        put(site / f"{stem}-labels-idx1-ubyte.gz", gzip.compress(struct.pack(">2i", 0x801, 3) + bytes(labels)))
    return at(RECIPES[name], site), numbered.samples


def svhn(site: Path) -> tuple[DatasetRecipe, Samples]:
    numbered, table = NumberedImages((32, 32)), {}
    site.mkdir(parents=True, exist_ok=True)
    for split in ("train", "test"):
        pixels = np.stack([numbered.array(split, name) for name in ("0", "7", "0")], axis=3)
        savemat(site / f"{split}_32x32.mat", {"X": pixels, "y": np.array([[10], [7], [10]], np.uint8)})
        path = site / f"{split}_32x32.mat"
        table[split] = ["", path.name, checksum(path.read_bytes())]
    return at(RECIPES["SVHN"], site, split_list=table), numbered.samples


def stl10(site: Path) -> tuple[DatasetRecipe, Samples]:
    numbered, files = NumberedImages((96, 96)), {"unlabeled_X.bin": bytes(3 * 96 * 96)}
    for split in ("train", "test"):
        # An image is stored channel by channel, each in columns; labels start at 1.
        pixels = np.stack([numbered.array(split, name).transpose(2, 1, 0) for name in ("car", "bird")])
        files |= {f"{split}_X.bin": pixels.tobytes(), f"{split}_y.bin": bytes([2, 1])}
    pack(
        site / tv.STL10.filename,
        {f"stl10_binary/{name}": data for name, data in (files | {"class_names.txt": b"bird\ncar\n"}).items()},
    )
    lists = {
        key: [[name, checksum(files[name])] for name, _ in getattr(tv.STL10, key)]
        for key in ("train_list", "test_list")
    }
    return at(RECIPES["STL10"], site, **lists), numbered.samples


def eurosat(site: Path) -> tuple[DatasetRecipe, Samples]:
    numbered = NumberedImages()
    classes = {"AnnualCrop": "annual crop land", "River": "river"}
    members = {
        f"2750/{folder}/{folder}_{number}.jpg": numbered.file("all", name)
        for folder, name in classes.items()
        for number in range(1, 11)
    }
    pack(site / "EuroSAT.zip", members)
    return at(RECIPES["EuroSAT"], site), numbered.samples


def caltech101(site: Path) -> tuple[DatasetRecipe, Samples]:
    numbered = NumberedImages()
    members = {"101_ObjectCategories/BACKGROUND_Google/image_0001.jpg": encoded(picture(999), "JPEG")}
    for folder, name in (("Faces_easy", "faces easy"), ("accordion", "accordion")):
        for number in range(1, 6):
            members[f"101_ObjectCategories/{folder}/image_{number:04d}.jpg"] = numbered.file("all", name)
    inner = pack(site / "inner.tar.gz", members)
    pack(site / "caltech-101.zip", {"caltech-101/101_ObjectCategories.tar.gz": inner.read_bytes()})
    return at(RECIPES["CALTECH101"], site), numbered.samples


def caltech256(site: Path) -> tuple[DatasetRecipe, Samples]:
    numbered = NumberedImages()
    members = {}
    for target, (folder, name) in enumerate((("001.ak47", "ak47"), ("002.car-side-101", "car side"))):
        for number in range(1, 5):
            path = f"256_ObjectCategories/{folder}/{target + 1:03d}_{number:04d}.jpg"
            members[path] = numbered.file("all", name)
        members[f"256_ObjectCategories/{folder}/notes.txt"] = b"x"
    pack(site / "256_ObjectCategories.tar", members)
    return at(RECIPES["CALTECH256"], site), numbered.samples


def sun397(site: Path) -> tuple[DatasetRecipe, Samples]:
    numbered = NumberedImages()
    members: dict[str, bytes | str] = {"SUN397/ClassName.txt": "/a/abbey\n/a/apse/indoor\n"}
    for folder, name in (("a/abbey", "abbey"), ("a/apse/indoor", "apse indoor")):
        for number in range(4):
            members[f"SUN397/{folder}/sun_{folder[-3:]}{number}.jpg"] = numbered.file("all", name)
    pack(site / "SUN397.tar.gz", members)
    return at(RECIPES["SUN397"], site), numbered.samples


def flowers102(site: Path) -> tuple[DatasetRecipe, Samples]:
    numbered, names = NumberedImages(), fixed("flowers102")(None)
    ids: dict[str, list[int]] = {"trnid": [1, 2], "valid": [3, 4], "tstid": [5, 6]}
    labels, members = [1, 60, 60, 1, 60, 2], {}
    for key, split in (("trnid", "train"), ("valid", "validation"), ("tstid", "test")):
        for number in ids[key]:
            name = names[labels[number - 1] - 1]
            members[f"jpg/image_{number:05d}.jpg"] = numbered.file(split, name)
    pack(site / "102flowers.tgz", members)
    savemat(site / "imagelabels.mat", {"labels": np.array([labels])})
    savemat(site / "setid.mat", {key: np.array([value]) for key, value in ids.items()})
    table = {key: (name, checksum((site / name).read_bytes())) for key, (name, _) in tv.Flowers102._file_dict.items()}
    # As in the original, every list has more than one entry: a single one would be read as a number.
    return at(RECIPES["FLOWERS102"], site, _file_dict=table), numbered.samples


def food101(site: Path) -> tuple[DatasetRecipe, Samples]:
    numbered = NumberedImages()
    members: dict[str, bytes | str] = {}
    for split in ("train", "test"):
        listed: dict[str, list[str]] = {"apple_pie": [], "waffles": []}
        for folder, name in (("apple_pie", "apple pie"), ("waffles", "waffles")):
            for number in range(2):
                listed[folder].append(f"{folder}/{split}{number}")
                members[f"food-101/images/{folder}/{split}{number}.jpg"] = numbered.file(split, name)
        members[f"food-101/meta/{split}.json"] = json.dumps(listed)
    pack(site / "food-101.tar.gz", members)
    return at(RECIPES["Food101"], site), numbered.samples


def dtd(site: Path) -> tuple[DatasetRecipe, Samples]:
    numbered = NumberedImages()
    members: dict[str, bytes | str] = {}
    for ours, its in (("train", "train"), ("validation", "val"), ("test", "test")):
        lines = []
        for name in ("banded", "polka-dotted"):
            for number in range(2):
                lines.append(f"{name}/{name}_{its}{number}.jpg")
                members[f"dtd/images/{lines[-1]}"] = numbered.file(ours, name)
        members[f"dtd/labels/{its}1.txt"] = "\n".join(lines) + "\n"
    pack(site / "dtd-r1.0.1.tar.gz", members)
    return at(RECIPES["DTD"], site), numbered.samples


def fgvc_aircraft(site: Path) -> tuple[DatasetRecipe, Samples]:
    numbered, number = NumberedImages(), 0
    top = "fgvc-aircraft-2013b/data"
    members: dict[str, bytes | str] = {f"{top}/variants.txt": "737-200\nF/A-18\n"}
    for ours, its in (("train", "train"), ("validation", "val"), ("test", "test")):
        lines = []
        for name in ("737-200", "F/A-18"):
            number += 1
            lines.append(f"{number:07d} {name}")
            members[f"{top}/images/{number:07d}.jpg"] = numbered.file(ours, name)
        members[f"{top}/images_variant_{its}.txt"] = "\n".join(lines) + "\n"
    pack(site / "fgvc-aircraft-2013b.tar.gz", members)
    return at(RECIPES["FGVCAircraft"], site), numbered.samples


def gtsrb(site: Path) -> tuple[DatasetRecipe, Samples]:
    numbered, names = NumberedImages(), ["speed limit 20 km/h", "speed limit 30 km/h"]
    train = {
        f"GTSRB/Training/{target:05d}/0000{number}_00000.ppm": numbered.file("train", name, "PPM")
        for target, name in enumerate(names)
        for number in range(2)
    }
    pack(site / "GTSRB-Training_fixed.zip", train | {"GTSRB/Training/00000/GT-00000.csv": b"x"})
    test = {
        f"GTSRB/Final_Test/Images/{target:05d}.ppm": numbered.file("test", names[target], "PPM") for target in (0, 1)
    }
    pack(site / "GTSRB_Final_Test_Images.zip", test)
    header = "Filename;Width;Height;Roi.X1;Roi.Y1;Roi.X2;Roi.Y2;ClassId"
    rows = [f"{target:05d}.ppm;12;9;0;0;11;8;{target}" for target in (0, 1)]
    pack(site / "GTSRB_Final_Test_GT.zip", {"GT-final_test.csv": "\n".join([header, *rows]) + "\n"})
    return at(RECIPES["GTSRB"], site), numbered.samples


def oxford_pets(site: Path) -> tuple[DatasetRecipe, Samples]:
    numbered, images = NumberedImages(), {}
    annotations: dict[str, bytes | str] = {}
    for split, file in (("train", "trainval"), ("test", "test")):
        lines = []
        for label, (stem, name) in enumerate(
            (("Abyssinian", "Abyssinian"), ("american_bulldog", "American Bulldog")), 1
        ):
            images[f"images/{stem}_{split}.jpg"] = numbered.file(split, name)
            lines.append(f"{stem}_{split} {label} 1 1")
        annotations[f"annotations/{file}.txt"] = "\n".join(lines) + "\n"
    pack(site / "images.tar.gz", images)
    pack(site / "annotations.tar.gz", annotations)
    return at(RECIPES["OXFORDPETS"], site), numbered.samples


def country211(site: Path) -> tuple[DatasetRecipe, Samples]:
    numbered = NumberedImages()
    members = {
        f"country211/{its}/{code}/{number}.jpg": numbered.file(ours, name)
        for ours, its in (("train", "train"), ("validation", "valid"), ("test", "test"))
        for code, name in (("AD", "Andorra"), ("CI", "Côte d'Ivoire"), ("XK", "Kosovo"))
        for number in range(2)
    }
    pack(site / "country211.tgz", members)
    return at(RECIPES["COUNTRY211"], site), numbered.samples


def clevr(site: Path) -> tuple[DatasetRecipe, Samples]:
    numbered = NumberedImages()
    members: dict[str, bytes | str] = {"CLEVR_v1.0/images/test/CLEVR_test_000000.png": encoded(picture(998))}
    for ours, its in (("train", "train"), ("test", "val")):
        scenes = []
        for number, (count, name) in enumerate(((3, "three objects"), (10, "ten objects"))):
            file = f"CLEVR_{its}_{number:06d}.png"
            scenes.append({"image_filename": file, "objects": [{}] * count})
            members[f"CLEVR_v1.0/images/{its}/{file}"] = numbered.file(ours, name, "PNG")
        members[f"CLEVR_v1.0/scenes/CLEVR_{its}_scenes.json"] = json.dumps({"scenes": scenes})
    pack(site / "CLEVR_v1.0.zip", members)
    return at(RECIPES["CLEVR"], site), numbered.samples


def places365(site: Path) -> tuple[DatasetRecipe, Samples]:
    numbered = NumberedImages()
    lists = {
        "categories_places365.txt": b"/a/airfield 0\n/a/apse/indoor 1\n",
        "places365_train_standard.txt": b"/a/airfield/00000001.jpg 0\n/a/apse/indoor/00000001.jpg 1\n",
        "places365_val.txt": b"Places365_val_00000001.jpg 1\n",
    }
    pack(site / "filelist_places365-standard.tar", lists)
    train = {
        "data_256/a/airfield/00000001.jpg": numbered.file("train", "airfield"),
        "data_256/a/apse/indoor/00000001.jpg": numbered.file("train", "apse indoor"),
    }
    pack(site / "train_256_places365standard.tar", train)
    pack(site / "val_256.tar", {"val_256/Places365_val_00000001.jpg": numbered.file("test", "apse indoor")})
    sums = {name: (name, checksum(data)) for name, data in lists.items()}
    table = {"train-standard": sums["places365_train_standard.txt"], "val": sums["places365_val.txt"]}
    meta = sums["categories_places365.txt"]
    return at(RECIPES["PLACES365"], site, _CATEGORIES_META=meta, _FILE_LIST_META=table), numbered.samples


def inaturalist(site: Path) -> tuple[DatasetRecipe, Samples]:
    numbered = NumberedImages()
    worm = "00000_Animalia_Annelida_Clitellata_Haplotaxida_Lumbricidae_Lumbricus_terrestris"
    rose = "00001_Plantae_Tracheophyta_Magnoliopsida_Rosales_Rosaceae_Rosa_canina"
    for split, inside, file in (("train", "train_mini", "2021_train_mini.tgz"), ("test", "val", "2021_valid.tgz")):
        members = {
            f"{inside}/{folder}/{letter}.jpg": numbered.file(split, " ".join(folder.split("_")[-2:]))
            for folder in (worm, rose)
            for letter in "ba"
        }
        pack(site / file, members)
    return at(RECIPES["iNATURALIST2021"], site), numbered.samples


ORIGINALS: dict[str, Callable[[Path], tuple[DatasetRecipe, Samples]]] = {
    "CIFAR10": cifar10,
    "CIFAR100": cifar100,
    "MNIST": mnist,
    "FashionMNIST": fashion_mnist,
    "SVHN": svhn,
    "STL10": stl10,
    "EuroSAT": eurosat,
    "CALTECH101": caltech101,
    "CALTECH256": caltech256,
    "SUN397": sun397,
    "FLOWERS102": flowers102,
    "Food101": food101,
    "DTD": dtd,
    "FGVCAircraft": fgvc_aircraft,
    "GTSRB": gtsrb,
    "OXFORDPETS": oxford_pets,
    "COUNTRY211": country211,
    "CLEVR": clevr,
    "PLACES365": places365,
    "iNATURALIST2021": inaturalist,
}


def red(size: tuple[int, int] = (12, 9)) -> bytes:
    """One JPEG, always the same."""
    return encoded(Image.new("RGB", size, "red"), "JPEG")


def place(recipe: DatasetRecipe, site: Path, root: Path) -> None:
    """What a person does who has fetched the files elsewhere."""
    for archive in recipe.archives:
        archive.path(root).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(site / archive.file, archive.path(root))


def reference_info(folder: Path) -> Path:
    """The reference's JSON over the files of the small DTD: another split than the dataset's own."""
    names = ["banded", "polka-dotted"]
    put(folder / "DTD_classnames.json", json.dumps(names))
    for split, its in (("train", ("train", "val")), ("test", ("test",))):
        rows = {
            f"dtd/dtd/images/{name}/{name}_{part}{number}.jpg": {
                "classname": name,
                "default_caption": None,
                "primer_caption": f"A photo of a {name} texture.",
                "synthetic_caption": None,
                "synthetic_merged_caption": [f"a {name} thing"],
                "target": names.index(name),
            }
            for part in its
            for name in names
            for number in range(2)
        }
        put(folder / f"DTD_{split}.json", json.dumps(rows))
    return folder
