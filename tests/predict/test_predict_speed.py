"""The figures of `--mode=benchmark --raw=VIDEO`."""

import pytest
from red_faces import draw, find_largest, write_video

from au_jax.ensemble import predictor
from au_jax.errors import UserError
from au_jax.predict import speed


@pytest.fixture
def red_speed(monkeypatch):
    monkeypatch.setattr(speed, "make_finders", lambda sides, faces, count: [find_largest] * count)


def test_every_part_has_a_rate(networks, red, red_speed, tmp_path, capsys):
    write_video(tmp_path / "v.avi", [draw((20 + k, 30, 40)) for k in range(12)])
    rates = speed.measure(predictor.load(networks), tmp_path / "v.avi")
    parts = ["decoding", "finding faces and cutting", "the networks", "end to end"]
    assert list(rates) == parts
    assert min(rates.values()) > 0
    speed.show(networks, tmp_path / "v.avi")
    assert "frames/s of v.avi on " in capsys.readouterr().out


def test_what_is_no_video_is_not_measured(networks, red, red_speed, tmp_path):
    (tmp_path / "text.mp4").write_text("no video")
    for name, reason in (("text.mp4", "cannot be read as a video"), ("gone.mp4", "there is no")):
        with pytest.raises(UserError, match=f"--raw=.*{name}: .*{reason}.*; give another video"):
            speed.measure(predictor.load(networks), tmp_path / name)


def test_videos_to_measure_with_show_a_face(networks, red, red_speed, tmp_path):
    write_video(tmp_path / "v.avi", [draw()] * 3)
    with pytest.raises(UserError, match=r"v\.avi shows no face in its first frames"):
        speed.measure(predictor.load(networks), tmp_path / "v.avi")
