"""The figures of epochs: metrics.jsonl and TensorBoard events, after a kill and on a full disk."""

import errno
import struct

import pytest
from tensorboardX import event_file_writer, record_writer
from tensorboardX.proto.event_pb2 import Event, SessionLog

from au_jax.log import EpochLog, read_metrics

FIGURES = {"step": 5, "loss": 0.5, "learning_rate": 0.1}


def events_of(file):
    """The events of a TensorBoard file: records of a length, its hash, the bytes and their hash."""
    content, events = file.read_bytes(), []
    while content:
        (length,) = struct.unpack("<Q", content[:8])
        events.append(Event.FromString(content[12 : 12 + length]))
        content = content[16 + length :]
    return events


def test_what_a_killed_run_wrote_of_later_epochs_is_dropped(tmp_path, monkeypatch):
    path = tmp_path / "metrics.jsonl"
    for second, (done, epochs) in enumerate(((0, (1, 2, 3)), (2, (3, 4)))):
        monkeypatch.setattr(event_file_writer.time, "time", lambda t=second: 1_700_000_000.0 + t)
        with EpochLog(tmp_path / "tensorboard", path, done) as log:
            for epoch in epochs:
                log.write(epoch, {**FIGURES, "loss": 1 / epoch})
    assert [line["epoch"] for line in read_metrics(path)] == [1, 2, 3, 4]
    first, second = (events_of(f) for f in sorted((tmp_path / "tensorboard").iterdir()))
    losses = [
        (event.step, value.simple_value)
        for event in second
        for value in event.summary.value
        if value.tag == "loss"
    ]
    assert losses == [(3, pytest.approx(1 / 3)), (4, 0.25)]
    # TensorBoard forgets earlier steps from this one on.
    started = [e.step for e in second if e.session_log.status == SessionLog.START]
    assert started == [3]
    assert first[0].file_version == second[0].file_version == "brain.Event:2"


def test_epochs_are_kept_by_their_number_where_lines_were_lost(tmp_path, capsys):
    path = tmp_path / "metrics.jsonl"

    def write(done, epochs):
        with EpochLog(tmp_path / "tensorboard", path, done) as log:
            for epoch in epochs:
                log.write(epoch, {"step": epoch, "loss": 0.1, "learning_rate": 0.1})

    write(0, (1, 2, 3))
    write(5, (6, 7, 8))  # the lines of epochs 4 and 5 were lost
    assert "lacks the figures of 2 of 5 epochs" in capsys.readouterr().out
    write(7, (8, 9))
    assert [line["epoch"] for line in read_metrics(path)] == [1, 2, 3, 6, 7, 8, 9]


def test_a_full_disk_is_found_by_the_write_that_it_stops(tmp_path, monkeypatch):
    monkeypatch.setattr(record_writer, "open_file", lambda path: open("/dev/full", "wb"))  # noqa: SIM115
    with pytest.raises(OSError, match="No space left") as caught:
        EpochLog(tmp_path, tmp_path / "metrics.jsonl", 0)
    assert caught.value.errno == errno.ENOSPC
