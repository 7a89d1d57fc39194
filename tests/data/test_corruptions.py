import dataclasses

import numpy as np
import pytest

from au_jax import aus
from au_jax.data import corruptions
from au_jax.data.corruptions import CORRUPTIONS, CorruptedKey, downsampled
from au_jax.data.pipeline import ordered_batches
from au_jax.data.sources import open_source


@pytest.fixture(scope="module")
def source(tiny_faces):
    return open_source(tiny_faces, "opt-val", "wide", 0.25, 0)


@pytest.fixture(scope="module")
def four(source):
    return corruptions.corrupted(source, "opt-val-expanded")


def test_images_are_resized_as_the_source_says(source):
    small = dataclasses.replace(source, size=20, decoded=None)
    assert corruptions.corrupted(small, "small").images([0, -1]).shape == (2, 20, 20, 3)


def test_copies_of_one_image_are_one_unit():
    keys = np.array([str(CorruptedKey(k, how)) for how in CORRUPTIONS for k in ("a#0", "b#1", "c")])
    nobody, subject = np.full(12, ""), np.tile(np.array(["", "p", ""]), 4)
    units = corruptions.units_of_copies(nobody, nobody, keys)
    assert units.tolist() == ["image a#0", "image b#1", "image c"] * 4
    units = corruptions.units_of_copies(subject, nobody, keys)
    assert units.tolist() == ["image a#0", "p", "image c"] * 4
    assert corruptions.units_of_copies(*[np.full(3, "")] * 2, keys[:3]).tolist() == [""] * 3


def of_corruption(four, corruption):
    at = np.arange(len(four)).reshape(4, -1)[CORRUPTIONS.index(corruption)]
    return four.images(at)


def test_keys_by_hand():
    assert str(CorruptedKey("a/1", "both")) == "a/1#both"
    assert str(CorruptedKey("a/b.jpg#0", "")) == "a/b.jpg#0"
    for text in ("a/b.jpg#0", "a/b.jpg#0#occluded", "a/1", "a/1#downsampled"):
        assert str(CorruptedKey.parse(text)) == text
    assert CorruptedKey.parse("a/b.jpg#0#occluded") == CorruptedKey("a/b.jpg#0", "occluded")
    assert CorruptedKey.parse("a/b.jpg#0") == CorruptedKey("a/b.jpg#0", "")


def black(images):
    return (images == 0).all(-1)


def test_every_record_stands_there_four_times(source, four):
    number = len(source)
    assert len(four) == len(four.table.keys) == len(set(four.table.keys.tolist())) == 4 * number
    for part, corruption in enumerate(CORRUPTIONS):
        rows = slice(part * number, (part + 1) * number)
        assert four.table.keys[rows].tolist() == [
            str(CorruptedKey(key, corruption)) for key in source.table.keys.tolist()
        ]
        for field in ("labels", "pose", "subject", "face"):
            np.testing.assert_array_equal(
                getattr(four.table, field)[rows], getattr(source.table, field)
            )


def test_images_are_corrupted_as_their_keys_say(source, four):
    originals = source.images(np.arange(len(source)))
    np.testing.assert_array_equal(of_corruption(four, ""), originals)
    low = of_corruption(four, "downsampled")
    np.testing.assert_array_equal(low, [downsampled(image) for image in originals])
    side = round(originals.shape[1] * corruptions.SIDE)
    for corruption, base in (("occluded", originals), ("both", low)):
        images = of_corruption(four, corruption)
        for image, before in zip(images, base, strict=True):
            rows, columns = np.nonzero((image != before).any(-1))
            assert max(np.ptp(rows), np.ptp(columns)) < side
            assert black(image).sum() >= side * side
    # One square per record, in the same place of both images, and not of all records.
    squares = black(of_corruption(four, "occluded"))
    places = {tuple(np.argwhere(square)[0]) for square in squares}
    assert len(places) > len(source) / 2
    assert (black(of_corruption(four, "both")) | ~squares).all()


def test_downsampling_loses_detail_but_no_brightness():
    checks = np.indices((40, 40)).sum(0) % 2 * np.uint8(200)
    image = np.repeat(checks[..., None], 3, -1).astype(np.uint8)
    np.testing.assert_array_equal(downsampled(image), np.full_like(image, 100))
    flat = np.full((31, 31, 3), 77, np.uint8)
    np.testing.assert_array_equal(downsampled(flat), flat)


def test_images_do_not_depend_on_how_they_are_read(four):
    order = np.random.default_rng(0).permutation(len(four))
    images = four.images(np.arange(len(four)))
    np.testing.assert_array_equal(four.images(order), images[order])
    np.testing.assert_array_equal(four.subset(order[:7]).images([0, 6]), images[order[[0, 6]]])
    batches = [b["image"][b["valid"]] for b in ordered_batches(four.aligned(aus.POSE), 9, 2)]
    np.testing.assert_array_equal(np.concatenate(batches), images)
