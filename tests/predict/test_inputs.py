"""Which files paths, folders and patterns stand for."""

import numpy as np
import pytest

from au_jax.errors import UserError
from au_jax.faces.face import Face
from au_jax.predict import frames, inputs
from au_jax.predict.face_crops import FaceCrops, make_finders
from au_jax.predict.frames import Frame, Origin
from au_jax.predict.inputs import Input
from au_jax.predict.tracks import Tracks


def test_folders_patterns_and_repeated_files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("b.JPG", "a.png", "sub/c.mp4", "sub/.d.png", ".hidden/e.png", "sub/f.txt", "odd"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    listed, others = inputs.resolve(["."])
    assert listed == [Input("a.png", "image"), Input("b.JPG", "image"), Input("sub/c.mp4", "video")]
    assert others == ["odd", "sub/f.txt"]
    again, others = inputs.resolve(["sub/*.mp4", "sub/c.mp4", "odd"])
    assert again == [Input("sub/c.mp4", "video"), Input("odd", "image")]
    assert others == []


def test_a_number_is_a_camera_unless_a_file_has_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert inputs.resolve(["0"]) == ([Input("0", "camera")], [])
    (tmp_path / "0").touch()
    assert inputs.resolve(["0"]) == ([Input("0", "image")], [])


class Camera:
    """Five frames, then it is unplugged."""

    def __init__(self, number: int):
        self.left = 5

    def isOpened(self):
        return True

    def grab(self):
        self.left -= 1
        return self.left >= 0

    def retrieve(self):
        return True, np.full((4, 4, 3), (0, 0, self.left), np.uint8)

    def release(self):
        self.left = 0


def test_what_cannot_be_looked_at_is_refused():
    with pytest.raises(UserError, match=r"--input=a{300} cannot be opened: File name too long"):
        inputs.resolve(["a" * 300])
    with pytest.raises(UserError, match="there is no file ²"):
        inputs.resolve(["²"])


def test_a_camera_is_read_until_it_ends(monkeypatch):
    monkeypatch.setattr(frames.cv2, "VideoCapture", Camera)
    read = list(frames.read([Input("0", "camera")], every=2))
    assert [frame.origin.frame for frame in read] == [0, 2, 4]
    assert [frame.image[0, 0].tolist() for frame in read] == [[4, 0, 0], [2, 0, 0], [0, 0, 0]]
    times = [frame.origin.timestamp for frame in read]
    assert times == sorted(times)
    monkeypatch.setattr(Camera, "isOpened", lambda self: False)
    with pytest.raises(UserError, match="--input=7: there is no camera of this number"):
        list(frames.read([Input("7", "camera")]))


def test_whole_images_stand_for_faces_where_networks_read_those(monkeypatch):
    sides = {"as_is": 8}
    looking = FaceCrops(sides, make_finders(sides, "largest", 1))
    image = np.arange(16 * 32 * 3, dtype=np.int64).reshape(16, 32, 3).astype(np.uint8)
    looked = looking.look(Frame(Origin("a", 0), image))
    assert looked.faces[0].box.tolist() == [0, 0, 32, 16]
    assert np.isnan(looked.faces[0].pose).all()
    assert looked.crops[0]["as_is"].shape == (8, 8, 3)
    with pytest.raises(UserError, match="unknown value of --faces 'each'; known: largest, all"):
        make_finders(sides, "each", 1)


def face(left: float) -> Face:
    box = np.array([left, 0, 10, 10], np.float32)
    return Face(box, 1.0, np.zeros((68, 2), np.float32), np.zeros(3, np.float32))


def test_tracks_by_hand():
    tracks = Tracks()

    def numbers(frame: int, *lefts: float, position: int = 0) -> list[int]:
        origin = Origin("v", position, frame, moving=True)
        return tracks.numbers(origin, [face(left) for left in lefts])

    assert numbers(0, 0, 50) == [0, 1]
    assert numbers(1, 51, 3) == [1, 0]  # in whatever order they come
    assert numbers(2, 6, 30) == [0, 2]  # 1 is gone, another one is there
    assert numbers(3, 9, 8) == [3, 0]  # both overlap; the nearer one goes on
    tracks = Tracks(tracks.state())
    assert numbers(4, 9) == [3]
    assert numbers(5) == []
    assert numbers(6, 9) == [4]
    assert numbers(0, 9, position=1) == [0]  # another video
