"""The reader of ICT-FaceKit: what it keeps, what it refuses, and its cached file."""

import os
import re
import shutil

import numpy as np
import pytest

from au_jax.data.rendered_faces import face_kit
from au_jax.data.rendered_faces.face_kit import BLENDSHAPES, IDENTITIES, LANDMARKS, NEUTRAL, PARTS
from au_jax.errors import UserError
from tests import face_kit_checkout


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    return face_kit_checkout.write(tmp_path_factory.mktemp("raw") / "ICT-FaceKit")


@pytest.fixture
def copy(checkout, tmp_path):
    return shutil.copytree(checkout, tmp_path / "copy")


@pytest.fixture(scope="module")
def kit(checkout, tmp_path_factory):
    return face_kit.load(checkout, tmp_path_factory.mktemp("cache"))


def test_keeps_the_vertices_of_drawn_faces_in_the_files_order(kit):
    # The 68 landmarks and the 20 vertices of the other parts.
    expected = face_kit_checkout.neutral()
    kept = np.sort([*LANDMARKS, *range(face_kit_checkout.PARTS_AT, len(expected))])
    np.testing.assert_allclose(kit.neutral, expected[kept], atol=1e-5)
    np.testing.assert_allclose(kit.neutral[kit.landmarks], expected[list(LANDMARKS)], atol=1e-5)
    assert kit.neutral.dtype == kit.identity.dtype == np.float32


def test_splits_a_quad_and_names_parts(kit):
    eye = kit.triangles_of("eye")
    assert len(eye) == 4  # two quads
    first = np.flatnonzero(kit.of("eye"))[:4]
    assert eye[:2].tolist() == [[first[0], first[1], first[2]], [first[0], first[2], first[3]]]
    counts = {name: int(kit.of(name).sum()) for name in PARTS}
    # The forehead's vertex is shared by face and head, and stays with the face.
    assert counts == {
        **{"face": 69, "head": 3, "socket": 0, "gums": 0, "teeth": 4, "eye": 8, "lashes": 4}
    }


def test_identity_and_expressions_are_offsets_from_the_mean_head(kit):
    front = kit.neutral[:, 2] > 8
    expected = np.zeros((60, len(kit.neutral), 3))
    expected[:, front, 2] = face_kit_checkout.STEP * np.arange(1, 61)[:, None]
    np.testing.assert_allclose(kit.identity, expected, atol=2e-5)
    smile = kit.names.index("mouthSmile_L")
    assert set(kit.moved[smile]) == set(np.flatnonzero(kit.neutral[:, 0] > 0))
    up = 0.02 * (1 + smile // 2)
    np.testing.assert_allclose(
        kit.offsets[smile], np.tile([0.1, up, 0.05], (len(kit.moved[smile]), 1)), atol=2e-5
    )


def test_inner_parts_far_back_are_left_out(checkout, tmp_path, monkeypatch):
    monkeypatch.setattr(face_kit, "SEEN_FROM", 11.0)  # the teeth lie at 10.5
    assert not face_kit.load(checkout, tmp_path).of("teeth").any()


def test_the_back_heads_material_holds_the_sockets_too(checkout, tmp_path, monkeypatch):
    monkeypatch.setattr(face_kit, "SOCKETS_FROM", face_kit_checkout.PARTS_AT + 3)
    kit = face_kit.load(checkout, tmp_path)
    assert int(kit.of("socket").sum()) == 1  # of the second triangle, what the first has not taken
    assert int(kit.of("head").sum()) == 2


def test_the_cached_file_holds_the_same(checkout, kit, tmp_path):
    again = [face_kit.load(checkout, tmp_path) for _ in range(2)]
    assert len(list(tmp_path.iterdir())) == 1
    for other in again:
        assert other.names == kit.names == BLENDSHAPES
        for name in ("neutral", "identity", "triangles", "part", "landmarks"):
            np.testing.assert_array_equal(getattr(other, name), getattr(kit, name))
        for mine, theirs in zip(other.moved + other.offsets, kit.moved + kit.offsets, strict=True):
            np.testing.assert_array_equal(mine, theirs)


def test_a_second_load_reads_no_shapes(checkout, tmp_path, monkeypatch):
    face_kit.load(checkout, tmp_path)
    monkeypatch.setattr(face_kit, "_vertices", None)
    face_kit.load(checkout, tmp_path)


def test_a_changed_file_is_read_again(copy, tmp_path):
    before = face_kit.load(copy, tmp_path / "cache")
    file = copy / "FaceXModel" / "identity000.obj"
    file.write_text(file.read_text().replace("10.45000", "10.95000"))
    os.utime(file, ns=(1, 1))
    after = face_kit.load(copy, tmp_path / "cache")
    # The chin's vertex, at z 10.40 in the mean head, moved by 0.05 and now moves by 0.55.
    chin = after.landmarks[8]
    assert before.identity[0, chin, 2] == pytest.approx(0.05, abs=1e-4)
    assert after.identity[0, chin, 2] == pytest.approx(0.55, abs=1e-4)


def test_a_write_that_breaks_off_leaves_nothing_to_be_taken(checkout, tmp_path, monkeypatch):
    def broken(file, **arrays):
        file.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez", broken)
    with pytest.raises(UserError, match=r"cannot write .*No space left on device"):
        face_kit.load(checkout, tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("until", "message"),
    [("f ", "lacks faces at landmarks"), ("usemtl M_EyeLashes", "has no faces of lashes")],
)
def test_a_mesh_that_is_cut_off_is_refused(copy, tmp_path, until, message):
    file = copy / "FaceXModel" / f"{NEUTRAL}.obj"
    lines = file.read_text().splitlines()
    end = next(i for i, line in enumerate(lines) if line.startswith(until))
    file.write_text("\n".join(lines[: end + 1]) + "\n")
    with pytest.raises(UserError, match=f"{message}; check the file out again"):
        face_kit.load(copy, tmp_path / "cache")


def test_missing_files_are_counted(copy, tmp_path):
    for name in IDENTITIES[:5]:
        (copy / "FaceXModel" / f"{name}.obj").unlink()
    expected = "FaceXModel lacks identity000.obj, identity001.obj, identity002.obj and 2 more; give"
    with pytest.raises(UserError, match=re.escape(expected)):
        face_kit.load(copy, tmp_path)


def test_a_folder_that_is_no_checkout(tmp_path):
    with pytest.raises(UserError, match=rf"lacks {NEUTRAL}\.obj, .* and \d+ more; give --raw"):
        face_kit.load(tmp_path, tmp_path)


@pytest.mark.parametrize(
    ("name", "old", "new", "message"),
    [
        ("identity003", "v 0 0 0\n", "", r"identity003\.obj has \d+ vertices, generic_neutral"),
        (
            "identity000",
            "v 0 0 0\n",
            "v 0 zero 0\n",
            r"identity000\.obj has a line .* 'v 0 zero 0'",
        ),
        ("identity000", "v 0 0 0\n", "v 0 0\n", r"identity000\.obj has a line .* 'v 0 0'"),
        ("identity000", "v 0 0 0\n", "v 0 nan 0\n", r"identity000\.obj has a line .* 'v 0 nan 0'"),
        (NEUTRAL, "usemtl M_Teeth\n", "f 1/1 99999/2 3/3\n", r"neutral_mesh\.obj .* 'f 1/1 99999"),
        (NEUTRAL, "usemtl M_Teeth\n", "f 1/1 two/2 3/3\n", r"neutral_mesh\.obj .* 'f 1/1 two"),
        (NEUTRAL, "usemtl M_", "usemtl X_", r"neutral_mesh\.obj has no faces of the known"),
    ],
)
def test_a_damaged_file_is_named(copy, tmp_path, name, old, new, message):
    file = copy / "FaceXModel" / f"{name}.obj"
    count = -1 if old == "usemtl M_" else 1
    file.write_text(file.read_text().replace(old, new, count))
    with pytest.raises(UserError, match=message):
        face_kit.load(copy, tmp_path / "cache")
