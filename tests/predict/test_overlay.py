"""Copies of the inputs with boxes and AUs drawn in."""

import cv2
import numpy as np
import pytest
from PIL import Image
from red_faces import HEIGHT, WIDTH, draw, write_video

from au_jax.data.image_io import Video
from au_jax.errors import UserError
from au_jax.predict import overlay
from au_jax.predict import run as run_module
from au_jax.predict.inputs import Input


def row(left: float, width: float, **aus) -> dict[str, str]:
    box = {"face_x": left, "face_y": 10, "face_width": width, "face_height": width}
    cells = {"face": 0, "success": 1, **box, **aus}
    return {name: str(value) for name, value in cells.items()}


@pytest.mark.parametrize("grey", [0, 128, 255])
def test_boxes_show_on_any_background_and_bars_are_as_long_as_the_probability(grey):
    image = np.full((200, 300, 3), grey, np.uint8)
    aus = {"AU01": 0.25, "AU12": 0.75, "AU01_c": 0, "AU12_c": 1}
    canvas = overlay.draw(image, [row(60, 100, **aus), row(200, 30, **aus)])
    line = canvas[60, 40:80].astype(int)  # across the left side of the box
    assert line.max() == 255
    assert line.min() == 0
    panel = canvas[:, 300:]
    absent, present = (
        (panel == colour).all(2).any(0).sum() for colour in (overlay._ABSENT, overlay._PRESENT)
    )
    assert present == pytest.approx(3 * absent, abs=3)
    assert (overlay.draw(image, [row(0, 0, **aus) | {"success": "0"}])[:, :300] == grey).all()


def test_photographs_and_videos_get_copies(networks, red, tmp_path):
    write_video(tmp_path / "v.avi", [draw((20 + 2 * k, 30, 40)) for k in range(8)])
    Image.fromarray(draw((40, 20, 50))).save(tmp_path / "a.png")
    (tmp_path / "bad.png").touch()
    names = [str(tmp_path / name) for name in ("v.avi", "bad.png", "a.png")]
    run_module.predict(networks, names, tmp_path / "o.csv", every=2, overlay=tmp_path / "drawn")
    copies = {path.name.split("_")[-1]: path for path in (tmp_path / "drawn").iterdir()}
    assert sorted(copies) == ["a.png.jpg", "v.avi.mp4"]
    image = cv2.imread(str(copies["a.png.jpg"]), cv2.IMREAD_COLOR_RGB)
    assert image.shape[0] >= HEIGHT
    assert image.shape[1] > WIDTH
    np.testing.assert_allclose(image[60, 65], (250, 20, 20), atol=40)  # within the face
    video = Video(copies["v.avi.mp4"])
    assert (video.length, video.rate) == (4, 10)
    assert (tmp_path / "o.csv").exists()
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"cannot write into --overlay=.*file: File exists"):
        run_module.predict(networks, names, tmp_path / "p.csv", overlay=tmp_path / "file")
    assert not (tmp_path / "p.csv.partial").exists()
    with pytest.raises(UserError, match="--overlay draws on files"):
        run_module.predict(networks, ["0"], tmp_path / "p.csv", overlay=tmp_path / "drawn")


def test_every_input_has_a_copy_of_its_own():
    paths = [
        "x.jpg",
        "../x.jpg",
        "p/1_a.jpg",
        "p_1/a.jpg",
        "q/b.jpg",
        f"{'long/' * 50}c.jpg",
        "v.avi",
    ]
    entries = [Input(path, "video" if path == "v.avi" else "image") for path in paths]
    names = overlay._file_names(entries)
    assert len(set(names)) == len(names)
    assert all(len(name) < 230 for name in names)
    assert names[4:] == ["q_b.jpg.jpg", names[5], "v.avi.mp4"]


def test_a_video_that_the_disk_has_no_room_for_is_not_taken_for_a_copy(tmp_path, monkeypatch):
    write_video(tmp_path / "v.avi", [draw((20, 30, 40))] * 6)
    entry, copy = Input(str(tmp_path / "v.avi"), "video"), tmp_path / "drawn" / "v.avi.mp4"
    copy.parent.mkdir()
    images = [np.full((HEIGHT, WIDTH, 3), 9 * k, np.uint8) for k in range(6)]
    overlay._write_one(entry, iter(images), 1, copy)
    assert overlay._has(copy, 6)
    assert not overlay._has(copy, 7)
    copy.unlink()
    opened = overlay.Video

    def cut_off(path):
        if path.suffix == ".mp4":
            path.write_bytes(path.read_bytes()[:-800])  # a part of the index
        return opened(path)

    monkeypatch.setattr(overlay, "Video", cut_off)
    with pytest.raises(UserError, match=r"cannot write .*v\.avi\.mp4; is the disk full"):
        overlay._write_one(entry, iter(images), 1, copy)
    assert not list(copy.parent.iterdir())
