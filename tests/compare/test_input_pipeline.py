"""PyTorch's input: the records of ours in its order, and augmented alike."""

import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest
import torch
from subjects import make_subject

from au_jax import augment
from au_jax.augment import Augment
from au_jax.compare import input_pipeline, plain_images, sides
from au_jax.errors import UserError


@pytest.fixture(scope="module")
def subject(data_dir, tiny_faces, tmp_path_factory):
    return make_subject(data_dir, tmp_path_factory.mktemp("compare"))[0]


def load(subject, config, views=1, workers=0):
    return next(
        iter(
            input_pipeline.loader(
                subject.streams,
                config,
                subject.context.aus,
                seed=subject.seed,
                steps=2,
                workers=workers,
                views=views,
            )
        )
    )


def test_a_batch_has_our_records_and_mirrors_labels_with_their_images(subject):
    ours = sides.first_batch(subject)["opt"]
    plain = load(subject, Augment(image_size=40))["opt"]
    for field in ("index", "labels", "pose", "emotion"):
        np.testing.assert_array_equal(plain[field].numpy(), ours[field])
    images = plain["image"][:, 0].permute(0, 2, 3, 1).numpy()
    np.testing.assert_array_equal(images, ours["image"])
    flipped = load(subject, Augment(image_size=40, flip=1.0))["opt"]
    _, labels, pose = augment.augment(
        jnp.zeros(2, jnp.uint32),
        jnp.asarray(ours["image"]),
        jnp.asarray(ours["labels"]),
        jnp.asarray(ours["pose"]),
        Augment(image_size=40, flip=1.0),
        subject.context.aus,
    )
    np.testing.assert_array_equal(flipped["labels"].numpy(), labels)
    np.testing.assert_array_equal(flipped["pose"].numpy(), pose)
    mirrored = flipped["image"][:, 0].permute(0, 2, 3, 1).numpy()
    np.testing.assert_array_equal(mirrored, ours["image"][:, :, ::-1])


def test_views_come_one_after_the_other(subject):
    batch = load(subject, Augment(image_size=24), views=2)
    images = input_pipeline.views_in_order(batch)
    assert images.shape == (16, 3, 24, 24)
    assert images.dtype == torch.uint8
    torch.testing.assert_close(images[3], batch["opt"]["image"][3, 0])
    torch.testing.assert_close(images[8 + 3], batch["opt"]["image"][3, 1])
    assert (images[3] != images[8 + 3]).any()  # another crop


def test_every_operation_of_plain_pytorch_runs_and_changes_the_image(subject):
    plain = load(subject, Augment(image_size=40))["opt"]["image"]
    for operation in ("brightness", "contrast", "saturation", "greyscale", "downsample", "cutout"):
        changed = load(subject, Augment(image_size=40, **{operation: 1.0}))["opt"]["image"]
        assert changed.shape == plain.shape
        assert (changed != plain).float().mean() > 0.02, operation
    boxes = load(subject, Augment(image_size=20, resized_crop=1.0))["opt"]["image"]
    assert boxes.shape == (8, 1, 3, 20, 20)


@pytest.mark.parametrize("name", ["brightness", "contrast", "saturation"])
def test_operations_are_those_of_the_device(name):
    image = np.random.default_rng(0).integers(0, 256, (1, 6, 6, 3), np.uint8)
    ours = getattr(augment, f"adjust_{name}")(
        jnp.asarray(image / 255, jnp.float32), jnp.array([0.7])
    )
    theirs = getattr(plain_images, f"adjust_{name}")(
        torch.from_numpy(image[0]).permute(2, 0, 1), 0.7
    )
    levels = theirs.permute(1, 2, 0).numpy()
    np.testing.assert_allclose(levels / 255, ours[0], atol=0.51 / 255)


def test_an_operation_that_needs_torchvision_says_so(monkeypatch):
    monkeypatch.setattr(input_pipeline, "operations", plain_images)
    with pytest.raises(UserError, match=r"augmentation hue .* needs torchvision; install it with"):
        input_pipeline.Augmentation(Augment(image_size=8, hue=0.5))


def test_workers_read_the_same_records(subject):
    alone = load(subject, Augment(image_size=40))["opt"]
    workers = load(dataclasses.replace(subject), Augment(image_size=40), workers=1)["opt"]
    torch.testing.assert_close(workers["image"], alone["image"])
