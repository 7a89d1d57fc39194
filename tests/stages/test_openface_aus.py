"""The stage of OpenFace's own AUs: what it scores, AUs and faces it lacks, and bad folders."""

import numpy as np
import pytest
from encoding import make_context, with_table

from au_jax.errors import UserError
from au_jax.stages.openface_aus import OpenFaceAUs


def images(source):
    """`source` as if its records were images of a prepared data set, a/0.jpg, a/1.jpg, ..."""
    keys = [f"emotionet/a/{number}.jpg#0" for number in range(len(source))]
    return with_table(source, keys=np.array(keys))


def write(path, present, intensity):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        f"face, confidence, AU12_r, AU28_c, AU12_c\n0, 0.9, {intensity}, 0.0, {present}\n"
    )


def stage(folder, **fields):
    return OpenFaceAUs(str(folder), crop="wide", validate=("opt-val",), test=(), **fields)


def test_the_aus_that_openface_has_are_scored_and_no_face_is_absent(tiny_faces, tmp_path):
    context = make_context(tiny_faces, tmp_path, "openface", change=images)
    source = context.source("opt-val", "wide")
    for number in range(1, len(source)):
        write(tmp_path / f"csv/a/{number}.csv", float(number % 2), number % 5)
    stage(tmp_path / "csv").run(context)
    scores = context.folder.read_scores("opt-val", 1)
    assert scores.aus.tolist() == ["AU12", "AU28"]
    assert scores.logits[0].tolist() == [-1, -1]  # without a file
    number = np.arange(1, len(source))
    smile = np.where(number % 2 == 1, 6, -6) + number % 5
    np.testing.assert_array_equal(scores.logits[1:], np.stack([smile, -6 + 0 * smile], 1))
    np.testing.assert_array_equal(
        scores.labels[:, 0], source.table.labels[:, source.aus.index("AU12")]
    )


def test_folders_and_records_that_do_not_fit_are_refused(tiny_faces, tmp_path):
    def refused(sentence, folder, change=images):
        context = make_context(tiny_faces, tmp_path, "openface", change=change)
        with pytest.raises(UserError, match=sentence):
            stage(folder).run(context)

    refused(r"give --config\.stages\.openface\.folder=FOLDER", "")
    (tmp_path / "csv").mkdir()
    refused(r"no \.csv file with a face for the .* such as a/0\.jpg", tmp_path / "csv")
    write(tmp_path / "csv/0.csv", 1.0, 2.0)
    refused("'opt-val' are no images of a data set", tmp_path / "csv", lambda source: source)

    def frames(source):
        return with_table(images(source), frame=np.zeros(len(source), np.int32))

    refused("'opt-val' are frames of videos", tmp_path / "csv", frames)
