import io
import os
import socket
import struct
import subprocess
import zlib

import cv2
import numpy as np
import pytest
import raw_sets
from PIL import Image, ImageOps

from au_jax.data.image_io import BadImageError, Video, read_image


def kind(path) -> str:
    with pytest.raises(BadImageError) as caught:
        read_image(path)
    return caught.value.kind


def noise() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (90, 120, 3), np.uint8)


def saved(path, **options):
    Image.fromarray(noise()).save(path, **options)
    return path


def empty_png(side: int) -> bytes:
    """The first bytes of a PNG that says it has side x side pixels."""
    head = b"IHDR" + struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    chunks = struct.pack(">I", 13) + head + struct.pack(">I", zlib.crc32(head))
    return b"\x89PNG\r\n\x1a\n" + chunks + struct.pack(">I", 1000) + b"IDAT"


def test_formats_give_rgb(tmp_path):
    for name in ("a.png", "b.bmp", "ö ü.tif"):
        image, data = read_image(saved(tmp_path / name))
        np.testing.assert_array_equal(image, noise())
        assert data == (tmp_path / name).read_bytes()
    red = np.zeros((8, 8, 3), np.uint8)
    red[..., 0] = 255
    Image.fromarray(red).save(tmp_path / "red.jpg")
    assert read_image(tmp_path / "red.jpg")[0][4, 4].argmax() == 0


def test_grey_and_transparent_images_get_three_channels(tmp_path):
    for mode in ("L", "RGBA", "P"):
        Image.fromarray(noise()).convert(mode).save(tmp_path / f"{mode}.png")
        assert read_image(tmp_path / f"{mode}.png")[0].shape == (90, 120, 3)
    Image.fromarray(noise()).convert("CMYK").save(tmp_path / "c.jpg")
    assert read_image(tmp_path / "c.jpg")[0].shape == (90, 120, 3)


def test_grey_of_16_bits_keeps_its_levels(tmp_path):
    grey = noise()[..., 0]
    cv2.imwrite(str(tmp_path / "16.png"), grey.astype(np.uint16) * 257)
    np.testing.assert_array_equal(read_image(tmp_path / "16.png")[0], np.stack([grey] * 3, -1))


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_png_of_16_bits_is_scaled_to_8(tmp_path, channels):
    levels = np.random.default_rng(1).integers(0, 65536, (30, 40, channels), np.uint16)
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in levels)
    colour_type = {1: 0, 2: 4, 3: 2, 4: 6}[channels]  # grey and colours, without and with alpha
    head = struct.pack(">IIBBBBB", 40, 30, 16, colour_type, 0, 0, 0)
    chunks = b"".join(
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        for name, body in ((b"IHDR", head), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    )
    (tmp_path / "16.png").write_bytes(b"\x89PNG\r\n\x1a\n" + chunks)
    expected = levels[..., [0, 0, 0] if channels < 3 else [0, 1, 2]] / 257
    assert np.abs(read_image(tmp_path / "16.png")[0] - expected).max() <= 1


def test_levels_without_a_white_are_refused(tmp_path):
    Image.fromarray(np.linspace(0, 1, 64, dtype=np.float32).reshape(8, 8)).save(tmp_path / "f.tif")
    with pytest.raises(BadImageError, match="none is known as white; save it with 8 or 16 bits"):
        read_image(tmp_path / "f.tif")


@pytest.mark.parametrize("orientation", range(1, 9))
def test_images_are_turned_upright(tmp_path, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    for name in ("a.jpg", "a.png"):
        Image.fromarray(noise()).save(tmp_path / name, exif=exif)
        with Image.open(tmp_path / name) as opened:
            expected = np.array(ImageOps.exif_transpose(opened))
        np.testing.assert_array_equal(read_image(tmp_path / name)[0], expected)
        assert (expected.shape == (120, 90, 3)) == (orientation >= 5)  # turned a quarter


def test_broken_exif_does_no_harm_to_a_whole_jpeg(tmp_path):
    path = saved(tmp_path / "a.jpg")
    expected, data = read_image(path)
    path.write_bytes(data[:2] + b"\xff\xe1\0\x10Exif\0\0XX\0*\0\0\xff\xff" + data[2:])
    np.testing.assert_array_equal(read_image(path)[0], expected)


def test_what_is_wrong(tmp_path):
    assert kind(tmp_path / "none.jpg") == "missing"
    assert kind(tmp_path / "nul\0.jpg") == "missing"
    (tmp_path / "folder.jpg").mkdir()
    assert kind(tmp_path / "folder.jpg") == "unreadable"
    (tmp_path / "text.jpg").write_text("this is no image")
    assert kind(tmp_path / "text.jpg") == "unreadable"
    (tmp_path / "empty.jpg").touch()
    assert kind(tmp_path / "empty.jpg") == "unreadable"
    assert kind(tmp_path / "text.jpg" / "under.jpg") == "missing"


@pytest.mark.parametrize("name", ["cut.jpg", "cut.png"])
@pytest.mark.parametrize("part", [0.3, 0.7, 0.99])
def test_cut_off_images(tmp_path, name, part):
    path = saved(tmp_path / name)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * part)])
    assert kind(path) == "unreadable"


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("fault", ["cut and closed", "bytes missing", "bytes wrong"])
def test_damaged_jpegs_that_decoders_fill_up(tmp_path, mode, progressive, fault):
    path = tmp_path / "a.jpg"
    Image.fromarray(noise()).convert(mode).save(path, progressive=progressive)
    data = path.read_bytes()
    assert read_image(path)[0].shape == (90, 120, 3)
    start, middle = data.index(b"\xff\xda") + 20, len(data) // 2
    if fault == "cut and closed":
        spoilt = data[:middle] + b"\xff\xd9"
    elif fault == "bytes missing":
        spoilt = data[:start] + data[start + len(data) // 3 :]
    else:
        spoilt = data[:middle] + bytes(400) + data[middle + 400 :]
    assert cv2.imdecode(np.frombuffer(spoilt, np.uint8), cv2.IMREAD_COLOR) is not None
    path.write_bytes(spoilt)
    with pytest.raises(BadImageError, match="cannot be decoded") as caught:
        read_image(path)
    assert caught.value.kind == "unreadable"


def test_only_known_formats_are_opened_by_their_contents(tmp_path, monkeypatch):
    def started(*_, **__):
        raise AssertionError("a decoder started a program")

    monkeypatch.setattr(subprocess, "Popen", started)
    script = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n%%EOF\n"
    (tmp_path / "eps.jpg").write_bytes(script)
    assert kind(tmp_path / "eps.jpg") == "unreadable"
    for form in ("PPM", "TGA", "ICO", "PCX", "SGI", "PDF", "DDS"):
        Image.fromarray(noise()).save(tmp_path / "a.jpg", format=form)
        assert kind(tmp_path / "a.jpg") == "unreadable", form
    for form in ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF"):
        Image.fromarray(noise()).save(tmp_path / "a.xyz", format=form)
        assert read_image(tmp_path / "a.xyz")[0].shape == (90, 120, 3), form


def test_first_picture_of_an_animation(tmp_path):
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    for name in ("a.gif", "a.tif", "a.webp"):
        frames[0].save(tmp_path / name, save_all=True, append_images=frames[1:])
        assert read_image(tmp_path / name)[0][4, 4].argmax() == 0


@pytest.mark.parametrize("read", [read_image, Video])
def test_what_is_no_regular_file_is_refused_at_once(tmp_path, monkeypatch, read):
    monkeypatch.chdir(tmp_path)  # a socket's name may not be long
    os.mkfifo("pipe")
    os.mkdir("folder")
    os.symlink("/dev/zero", "device")
    os.symlink("itself", "itself")
    with socket.socket(socket.AF_UNIX) as endless:
        endless.bind("socket")
        for name in ("pipe", "folder", "device", "itself", "socket"):
            with pytest.raises(BadImageError, match="cannot be opened"):
                read(tmp_path / name)


def test_jpeg_with_something_behind_its_end(tmp_path):
    path = saved(tmp_path / "a.jpg")
    path.write_bytes(path.read_bytes() + b"camera maker's notes")
    assert read_image(path)[0].shape == (90, 120, 3)


def test_huge_images_are_refused_before_they_are_decoded(tmp_path):
    (tmp_path / "huge.png").write_bytes(empty_png(30_000))
    assert kind(tmp_path / "huge.png") == "too large"
    buffer = io.BytesIO()
    Image.new("RGB", (16, 16)).save(buffer, "JPEG")
    data = bytearray(buffer.getvalue())
    start = data.index(b"\xff\xc0")  # the frame header: height and width stand at 5 and 7
    data[start + 5 : start + 9] = struct.pack(">HH", 30_000, 30_000)
    (tmp_path / "huge.jpg").write_bytes(bytes(data))
    assert kind(tmp_path / "huge.jpg") == "too large"


def test_video_frames_are_the_right_ones(tmp_path):
    raw_sets.video(tmp_path / "v.avi", 8)
    frames = Video(tmp_path / "v.avi")
    for position in (0, 1, 4, 7):
        assert np.abs(frames.frame(position).astype(int) - 10 * (position + 1)).max() <= 3
    with pytest.raises(BadImageError, match="ends at frame 8"):
        frames.frame(8)
    frames.close()


def test_video_tells_its_length_and_the_time_of_a_frame(tmp_path):
    raw_sets.video(tmp_path / "v.avi", 8)  # 20 frames a second
    frames = Video(tmp_path / "v.avi")
    frames.frame(3)
    assert (frames.length, frames.decoded) == (8, 4)
    assert frames.timestamp == pytest.approx(0.15)


def test_videos_are_turned_upright(tmp_path):
    path = tmp_path / "v.mp4"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), 5, (64, 32))
    left_bright = np.full((32, 64, 3), 30, np.uint8)
    left_bright[:, :32] = 220
    writer.write(left_bright)
    writer.release()
    data = bytearray(path.read_bytes())
    matrix = data.index(b"tkhd") + 4 + 40  # behind the box's type and its fields of version 0
    data[matrix : matrix + 36] = struct.pack(">9i", 0, 1 << 16, 0, -1 << 16, 0, 0, 0, 0, 1 << 30)
    path.write_bytes(data)
    image = Video(path).frame(0)
    assert image.shape == (64, 32, 3)  # a quarter turn clockwise: what was left is above
    assert image[:20].mean() > 180 > 80 > image[44:].mean()


def test_video_that_is_none(tmp_path):
    with pytest.raises(BadImageError, match="no such file"):
        Video(tmp_path / "v.avi")
    (tmp_path / "v.avi").write_bytes(b"no video")
    with pytest.raises(BadImageError, match="cannot be read as a video"):
        Video(tmp_path / "v.avi")


def test_playlist_is_no_video(tmp_path):
    (tmp_path / "v.avi").write_text("#EXTM3U\n#EXTINF:1,\n/etc/passwd\n")
    with pytest.raises(BadImageError, match=r"cannot be read as a video \(MP4"):
        Video(tmp_path / "v.avi")


def test_video_colours(tmp_path):
    writer = cv2.VideoWriter(str(tmp_path / "c.avi"), cv2.VideoWriter.fourcc(*"MJPG"), 5, (32, 32))
    writer.write(np.full((32, 32, 3), (0, 0, 255), np.uint8))  # red, as OpenCV writes it
    writer.release()
    assert Video(tmp_path / "c.avi").frame(0)[9, 9].argmax() == 0
