import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from au_jax.errors import UserError
from au_jax.faces.mean_face import MEAN_SHAPE
from au_jax.faces.openface import OpenFace, face_from_points


def points(yaw: float) -> np.ndarray:
    return Rotation.from_euler("y", -yaw, degrees=True).apply(MEAN_SHAPE)[:, :2] + 200


def openface_csv(path, rows, frame=True):
    names = [f"x_{i}" for i in range(68)] + [f"y_{i}" for i in range(68)]
    lines = [", ".join([*(["frame"] * frame), "confidence", "success", *names])]
    for number, confidence, success, values in rows:
        cells = [*([number] * frame), confidence, success, *values.T.reshape(-1).round(3)]
        lines.append(", ".join(map(str, cells)))
    path.write_text("\n".join(lines) + "\n")


def test_face_from_points_has_their_box_and_pose():
    face = face_from_points(points(20).reshape(-1).tolist())
    np.testing.assert_allclose(face.box[:2], points(20).min(0), rtol=1e-5)
    np.testing.assert_allclose(face.pose, [0, 20, 0], atol=3)


def test_openface_frames_count_from_one(tmp_path):
    rows = [(1, 0.9, 1, points(0)), (2, 0.9, 1, points(25)), (3, 0.1, 0, points(0))]
    openface_csv(tmp_path / "v.csv", rows)
    finder = OpenFace(tmp_path)
    face, count = finder.find("Videos/v.avi", 1)
    assert count == 1
    assert face.pose[1] == pytest.approx(25, abs=3)
    assert finder.find("Videos/v.avi", 2) == (None, 0)  # tracking failed
    assert finder.find("Videos/v.avi", 7) == (None, 0)
    assert finder.find("Videos/other.avi", 0) == (None, 0)


def test_openface_image_with_two_faces_takes_the_surer(tmp_path):
    openface_csv(tmp_path / "p.csv", [(0, 0.5, 1, points(0)), (0, 0.8, 1, points(-25))], False)
    face, count = OpenFace(tmp_path).find("a/p.jpg")
    assert count == 2
    assert face.pose[1] == pytest.approx(-25, abs=3)


def test_openface_without_landmarks_says_so(tmp_path):
    (tmp_path / "p.csv").write_text("frame, confidence, success\n1, 0.9, 1\n")
    with pytest.raises(UserError, match=r"p\.csv lacks the 2-D landmarks.*-2Dfp"):
        OpenFace(tmp_path).find("p.jpg")
    with pytest.raises(UserError, match="not a folder"):
        OpenFace(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("confidence", "c", "has no number as frame, success or confidence on line 2"),
        ("1, 0.9", "x, 0.9", "has no number as frame"),
        ("0.9, 1,", "0.9, yes,", "has no number as frame"),
        ("0.9", "1e400", "has no number as frame"),
        (", x_0,", ", z_0,", "lacks the 2-D landmarks x_0 .. y_67 on line 2"),
        ("0.9, 1,", "0.9, 1, 1.2.3,", "lacks the 2-D landmarks"),
        ("0.9", "\udcff", "cannot be read"),
    ],
)
def test_openface_with_other_things_than_numbers(tmp_path, old, new, sentence):
    path = tmp_path / "v.csv"
    openface_csv(path, [(1, 0.9, 1, points(0))])
    text = path.read_text().replace(old, new, 1)
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(UserError, match=rf"v\.csv {sentence}"):
        OpenFace(tmp_path).find("v.avi", 0)


def test_openface_says_aus_of_the_surer_face(tmp_path):
    (tmp_path / "p.csv").write_text(
        "frame, confidence, success, AU01_r, AU01_c, AU28_c, AU45_r, AU45_c\n"
        "1, 0.5, 1, 5.0, 1.0, 1.0, 0.0, 0.0\n"
        "1, 0.8, 1, 0.5, 0.0, 1.0, 2.5, 1.0\n"
        "1, 0.9, 0, nan, nan, nan, nan, nan\n"
    )
    said = OpenFace(tmp_path).action_units("a/p.jpg")
    assert said == {"AU01": -5.5, "AU28": 6.0, "AU45": 8.5, "AU43": 8.5}
    assert OpenFace(tmp_path).action_units("a/q.jpg") is None


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("AU01_c", "AU01", "lacks the columns AU01_c .. AU45_c on line 2; run OpenFace with -aus"),
        ("1.0", "0.5", "has no presence 0 or 1, or no intensity from 0 to 5, of AU01 on line 2"),
        ("3.5", "5.5", "has no presence 0 or 1, or no intensity"),
        ("3.5", "nan", "has no presence 0 or 1, or no intensity"),
        ("0.9", "?", "has no number as frame, success or confidence on line 2"),
    ],
)
def test_openface_with_other_things_than_aus(tmp_path, old, new, sentence):
    text = "confidence, AU01_r, AU01_c\n0.9, 3.5, 1.0\n"
    (tmp_path / "p.csv").write_text(text.replace(old, new))
    with pytest.raises(UserError, match=rf"p\.csv {sentence}"):
        OpenFace(tmp_path).action_units("p.jpg")
