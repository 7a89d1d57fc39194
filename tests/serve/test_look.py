"""What a model finds in an upload: the table of `--mode=predict`, in bounded memory."""

import cv2
import numpy as np
import pytest
from PIL import Image
from red_faces import HEIGHT, WIDTH, draw, write_video

from au_jax.ensemble.predictor import Predictor
from au_jax.errors import UserError
from au_jax.predict import run as run_module
from au_jax.serve.look import look
from au_jax.serve.upload import Limits

LIMITS = Limits()


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def predicted(networks, name: str, every: int = 1) -> str:
    """The table that `--mode=predict` writes of a file of the current folder."""
    from pathlib import Path

    run_module.predict(networks, [name], Path("o.csv"), every=every, faces="all")
    return Path("o.csv").read_text()


def test_a_picture_gives_the_table_of_predict(model, networks, here):
    Image.fromarray(draw((5, 5, 30), (90, 20, 60))).save("two.png")
    told = []
    seen = look(model, here / "two.png", LIMITS, lambda *counts: told.append(counts))
    assert told == [(0, 1), (1, 1), (1, 1)]
    assert (seen.moving, seen.every, seen.remark, seen.faces) == (False, 1, "", {0: 1, 1: 1})
    assert seen.row(0, 0).answer.box[2] > 50  # the largest first
    assert seen.csv(model.selection.thresholds) == predicted(networks, "two.png")


def test_moved_thresholds_decide_again_without_the_networks(model, here, monkeypatch):
    Image.fromarray(draw((40, 20, 50))).save("a.png")
    seen = look(model, here / "a.png", LIMITS)
    monkeypatch.delattr(Predictor, "member_logits")
    probabilities = seen.row(0, 0).probabilities
    for thresholds, decided in (
        ([0.0, 0.0, 0.0], "1,1,1"),
        ([1.0, 1.0, 1.0], "0,0,0"),
        ([float(probabilities[0]), 1.0, 0.0], "1,0,1"),  # present where p >= t
    ):
        assert seen.csv(thresholds).splitlines()[1].endswith(f",{decided},")


def test_every_nth_frame_of_a_video(model, networks, here):
    absent = (8, 9)
    frames = [draw(*([] if k in absent else [(20 + k, 30, 40)]), seed=k) for k in range(23)]
    write_video(here / "v.avi", frames)
    told = []
    seen = look(model, here / "v.avi", Limits(frames=6), lambda *counts: told.append(counts))
    assert (seen.every, len(seen.images)) == (4, 6)
    assert [image.origin.frame for image in seen.images] == [0, 4, 8, 12, 16, 20]
    assert told == [(0, 6), (4, 6), (6, 6), (6, 6)]
    assert seen.faces == {1: 3, 0: 2}  # the one most often seen first
    assert seen.csv(model.selection.thresholds) == predicted(networks, "v.avi", every=4)
    assert np.isnan(seen.curves(1)[:, 0]).tolist() == [True] * 3 + [False] * 3
    assert seen.curves(1)[4].tolist() == seen.row(4, 1).probabilities.tolist()


def test_frames_are_kept_small_and_boxes_are_in_pixels_of_the_file(model, here):
    large = cv2.resize(draw((40, 20, 50)), (10 * WIDTH, 10 * HEIGHT))
    cv2.imwrite("large.png", large[..., ::-1])
    (image,) = look(model, here / "large.png", LIMITS).images
    assert (image.width, image.height) == (1600, 960)
    assert cv2.imdecode(np.frombuffer(image.jpeg, np.uint8), cv2.IMREAD_COLOR).shape[:2] == (
        768,
        1280,
    )


def test_a_recording_that_does_not_say_its_length_is_counted(model, here, monkeypatch):
    write_video(here / "v.avi", [draw((40, 20, 50))] * 9)
    monkeypatch.setattr("au_jax.data.image_io.Video.length", 0)
    seen = look(model, here / "v.avi", Limits(frames=3))
    assert [image.origin.frame for image in seen.images] == [0, 3, 6]
    with pytest.raises(UserError, match=r"^v\.avi is longer than 0 seconds; give a shorter video$"):
        look(model, here / "v.avi", Limits(seconds=0))


def test_a_video_that_lies_about_its_length_is_bounded_all_the_same(model, here, monkeypatch):
    write_video(here / "v.avi", [draw((40, 20, 50))] * 9)
    monkeypatch.setattr("au_jax.data.image_io.Video.length", 2)
    assert len(look(model, here / "v.avi", Limits(frames=3)).images) == 3


def test_a_video_that_breaks_off_is_shown_up_to_there_with_a_remark(model, here):
    write_video(here / "v.avi", [draw((40, 20, 50), seed=k) for k in range(30)])
    whole = (here / "v.avi").read_bytes()
    (here / "v.avi").write_bytes(whole[: len(whole) // 2])
    seen = look(model, here / "v.avi", LIMITS)
    assert 5 < len(seen.images) < 25
    assert seen.remark == f"v.avi ends at frame {len(seen.images)}, though it says it has 30."


@pytest.mark.parametrize(
    ("name", "start", "sentence"),
    [
        ("a.png", b"\x89PNG\r\n\x1a\n", r"^a\.png is no image \(.*\); give another file$"),
        ("a.jpg", b"\xff\xd8\xff", r"^a\.jpg is no image \(.*\); give another file$"),
        ("a.avi", b"RIFF\0\0\0\0AVI ", r"^a\.avi cannot be read as a video; give another file$"),
        ("a.mp4", b"\0\0\0\x18ftypisom", r"^a\.mp4 cannot be read as a video; give another file$"),
    ],
)
def test_broken_files(model, here, name, start, sentence):
    (here / name).write_bytes(start + b"nothing behind it" * 9)
    with pytest.raises(UserError, match=sentence):
        look(model, here / name, LIMITS)


def test_frames_and_times_above_the_limits(model, here):
    write_video(here / "v.avi", [draw((40, 20, 50))] * 50)
    with pytest.raises(UserError, match=r"has frames of 160 x 96 pixels, more than 0\.01 mega"):
        look(model, here / "v.avi", Limits(frame_pixels=10_000))
    with pytest.raises(UserError, match="is longer than 2 seconds"):
        look(model, here / "v.avi", Limits(seconds=2))
