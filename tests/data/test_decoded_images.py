"""Images kept in memory: the stored ones, decoded once, and never more than the memory allows."""

import dataclasses
import pickle

import cv2
import numpy as np
import pytest

from au_jax.data import crop_jpeg, decoded_images
from au_jax.data.decoded_images import DecodedImages
from au_jax.data.sources import Source, open_source
from au_jax.errors import UserError


def source(tiny_faces):
    return open_source(tiny_faces, "opt", "closeup", 0.25, 0)


@pytest.fixture
def decodings(monkeypatch):
    """The numbers of images that were decoded, one for each call of `Source.images`."""
    calls = []
    read = Source._read

    def counted(self, indices):
        calls.append(len(indices))
        return read(self, indices)

    monkeypatch.setattr(Source, "_read", counted)
    return calls


def test_an_image_is_decoded_once_however_its_record_is_reached(tiny_faces, decodings):
    opt = source(tiny_faces)
    fresh = dataclasses.replace(opt, decoded=None)
    part = opt.subset(np.array([5, 9, 2]))
    np.testing.assert_array_equal(part.images([0, 1]), fresh.images([5, 9]))
    np.testing.assert_array_equal(opt.images(np.array([2, 9, 2])), fresh.images([2, 9, 2]))
    np.testing.assert_array_equal(part.images([2, 0]), fresh.images([2, 5]))
    assert decodings == [2, 2, 2, 3, 2]  # of `opt` 2 and then twice record 2
    given = part.images([0])
    given[:] = 0  # belongs to who asked for it
    np.testing.assert_array_equal(opt.images([5]), fresh.images([5]))


def test_another_process_begins_with_none(tiny_faces, decodings):
    opt = source(tiny_faces)
    opt.images([0])
    moved = pickle.loads(pickle.dumps(opt))
    np.testing.assert_array_equal(moved.images([0]), opt.images([0]))
    assert decodings == [1, 1]


def test_a_split_that_takes_too_much_memory_is_read_each_time(tiny_faces, decodings, monkeypatch):
    opt = source(tiny_faces)
    image = opt.images([0])[0]
    bytes_needed = len(opt) * image.size
    for most, calls in ((bytes_needed - 1, [1, 1]), (bytes_needed, [1])):
        monkeypatch.setattr(decoded_images, "_MOST_BYTES", most)
        fresh = dataclasses.replace(opt, decoded=DecodedImages(len(opt)))
        decodings.clear()
        for _ in range(2):
            np.testing.assert_array_equal(fresh.images([0])[0], image)
        assert decodings == calls


def test_an_image_of_another_size_is_named_though_the_others_are_kept(tiny_faces, monkeypatch):
    opt = source(tiny_faces)
    opt.images([0, 1])
    decode, (other,) = crop_jpeg.decode, opt.jpegs([2])

    def decoded(jpeg, size):
        image = decode(jpeg, size)
        return cv2.resize(image, (8, 8)) if jpeg == other else image

    monkeypatch.setattr(crop_jpeg, "decode", decoded)
    sizes = rf"'{opt.table.keys[2]}' is \(8, 8\) px and '{opt.table.keys[0]}'"
    with pytest.raises(UserError, match=sizes):
        opt.images([0, 2])
