"""Which files an upload may be, whatever their names say, and how large."""

import cv2
import pytest
from PIL import Image
from red_faces import draw, write_video

from au_jax.data.file_kind import kind_of
from au_jax.errors import UserError
from au_jax.serve.upload import Limits, check

LIMITS = Limits()


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "gif", "bmp", "tiff"])
def test_pictures_are_known_by_their_contents(tmp_path, suffix):
    path = tmp_path / "no_name"
    Image.fromarray(draw()).save(path, format={"jpg": "jpeg"}.get(suffix, suffix))
    assert check(path, LIMITS) == "image"


@pytest.mark.parametrize("suffix", ["avi", "mp4", "mov", "webm", "mkv"])
def test_videos_are_known_by_their_contents(tmp_path, suffix):
    codec = {"avi": "MJPG", "webm": "VP80", "mkv": "MJPG"}.get(suffix, "mp4v")
    write_video(tmp_path / f"v.{suffix}", [draw()] * 3, codec)
    path = (tmp_path / f"v.{suffix}").rename(tmp_path / "no_name")
    assert check(path, LIMITS) == "video"


@pytest.mark.parametrize(
    "contents",
    [
        b"#EXTM3U\n#EXTINF:1,\n/etc/passwd\n",
        b"ffconcat version 1.0\nfile /etc/passwd\n",
        b"%!PS-Adobe-3.0 EPSF-3.0\n",
        b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        b"\0\0\0\x18ftypheic\0\0\0\0",
        b"\0\0\0\x18ftypavif\0\0\0\0",
        b"RIFF\0\0\0\0WAVE",
        b"BM"[:1],
        b"",
    ],
)
def test_what_reads_other_files_or_is_not_known_is_refused(tmp_path, contents):
    for name in ("clip.mp4", "photo.jpg"):
        (tmp_path / name).write_bytes(contents)
        with pytest.raises(
            UserError, match=rf"^{name} is neither a picture \(JPEG, PNG, .* these$"
        ):
            check(tmp_path / name, LIMITS)


def test_only_the_first_bytes_are_needed():
    assert kind_of(b"\0\0\0\x18ftypisom") == "video"
    assert kind_of(cv2.imencode(".jpg", draw())[1].tobytes()[:12]) == "image"


def test_each_kind_has_its_own_size(tmp_path):
    small = Limits(image_bytes=1_000_000, video_bytes=2_000_000, seconds=60)
    (tmp_path / "a.jpg").write_bytes(b"\xff\xd8\xff" + bytes(1_500_000))
    (tmp_path / "a.mp4").write_bytes(b"\0\0\0\x18ftypisom" + bytes(1_500_000))
    assert check(tmp_path / "a.mp4", small) == "video"
    with pytest.raises(UserError, match=r"^a\.jpg has 1\.5 MB, and a picture may have 1 MB; give"):
        check(tmp_path / "a.jpg", small)
    (tmp_path / "a.mp4").write_bytes(b"\0\0\0\x18ftypisom" + bytes(2_500_000))
    with pytest.raises(UserError, match=r"^a\.mp4 has 2\.5 MB, and a video may have 2 MB; give"):
        check(tmp_path / "a.mp4", small)
    assert str(small) == "A picture may have 1 MB, a video 2 MB and 60 seconds."
