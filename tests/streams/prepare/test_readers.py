"""Class names that a person would say."""

from fomo.data.card import is_class_name
from streams.prepare.readers import fixed, spaced, spaced_caltech256, translated


def test_class_names_are_words_and_each_its_own() -> None:
    assert spaced("Apartment_building/outdoor") == "apartment building outdoor"
    assert [spaced_caltech256(raw) for raw in ("251.airplanes-101", "002.american-flag")] == [
        "airplanes",
        "american flag",
    ]
    signs = fixed("gtsrb")(None)
    flowers = fixed("flowers102")(None)
    assert len(set(flowers)) == 102 and flowers[59] == "pink-yellow dahlia" and flowers[101] == "blackberry lily"
    assert len(set(signs)) == 43 and signs[14] == "stop" and fixed("digits")(None) == list("0123456789")

    class Countries:
        classes = ("NO", "AD", "ZZ")

    assert translated("countries")(Countries) == ["Norway", "Andorra", "ZZ"]
    assert all(is_class_name(name) for name in [*signs, *fixed("clevr_counts")(None)])
