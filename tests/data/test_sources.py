import dataclasses
import json
import shutil

import numpy as np
import pytest

from au_jax import aus
from au_jax.data import records, sources
from au_jax.data.sources import Table, by_unit, open_source
from au_jax.errors import UserError


@pytest.fixture
def broken(tiny_faces, tmp_path):
    """A copy of the tiny data set that a test may damage."""
    return shutil.copytree(tiny_faces, tmp_path / "faces")


def source(folder, split="opt", crop="closeup"):
    return open_source(folder, split, crop, val_fraction=0.25, seed=0)


def test_records_come_back_as_they_were_asked_for(tiny_faces):
    opt = source(tiny_faces)
    assert len(opt) == 48
    assert opt.aus == aus.EMOTIONET
    assert len(set(opt.table.keys)) == 48
    images = opt.images(np.array([5, 0, 5]))
    assert images.shape == (3, 40, 40, 3)
    assert images.dtype == np.uint8
    np.testing.assert_array_equal(images[0], images[2])
    assert (images[0] != images[1]).any()
    # The table is kept in a file after the first reading, and reads the same.
    again = source(tiny_faces)
    for column in ("keys", "labels", "pose", "face", "subject", "frame"):
        np.testing.assert_array_equal(getattr(opt.table, column), getattr(again.table, column))


def test_train_and_val_part_the_split_by_subject(tiny_faces):
    train, val = source(tiny_faces, "opt-train"), source(tiny_faces, "opt-val")
    assert len(train) + len(val) == 48
    assert len(val) >= 12
    assert not set(train.table.subject) & set(val.table.subject)
    assert not set(train.table.keys) & set(val.table.keys)


def table_of(subject, video=""):
    """A table of which only the subjects and the videos matter."""
    columns = {field.name: np.zeros(len(subject)) for field in dataclasses.fields(Table)}
    subject, video = (np.array(texts, np.str_) for texts in np.broadcast_arrays(subject, video))
    return Table(**columns | {"subject": subject, "video": video})


def parted_by_subject_alone(subjects, fraction, seed):
    """The rule that splits were parted by before videos counted."""
    names, index, counts = np.unique(subjects, return_inverse=True, return_counts=True)
    order = np.random.default_rng(seed).permutation(len(names))
    before = np.cumsum(counts[order]) - counts[order]
    marked = np.zeros(len(names), bool)
    marked[order[before < fraction * len(subjects)]] = True
    return marked[index]


def test_by_unit_takes_whole_subjects_until_the_share_is_reached():
    subjects = np.repeat(["a", "b", "c", "d", "e"], 4)
    marked = by_unit(table_of(subjects), 0.3, seed=1)
    assert marked.sum() == 8  # one subject is 20 %, two are 40 %
    for subject in "abcde":
        assert len(set(marked[subjects == subject])) == 1


@pytest.mark.parametrize("has_videos", [False, True])
def test_named_subjects_with_videos_of_their_own_are_parted_as_ever(has_videos):
    for seed in range(20):
        rng = np.random.default_rng(seed)
        subjects = rng.choice([f"S{i}" for i in range(12)], 100)
        videos = np.array([f"{s}/{rng.integers(3)}" for s in subjects]) if has_videos else ""
        np.testing.assert_array_equal(
            by_unit(table_of(subjects, videos), 0.25, seed),
            parted_by_subject_alone(subjects, 0.25, seed),
        )


def test_no_video_is_parted_whoever_is_named_in_it():
    for seed in range(20):
        rng = np.random.default_rng(seed)
        videos = rng.choice([f"v{i}" for i in range(20)], 200)
        persons = np.array([f"p{int(v[1:]) // 2}{rng.integers(2)}" for v in videos])
        subjects = np.where(rng.random(200) < 0.3, "", persons)
        marked = by_unit(table_of(subjects, videos), 0.25, seed)
        assert 0 < marked.sum() < 200
        assert not set(videos[marked]) & set(videos[~marked])
        assert not (set(subjects[marked]) & set(subjects[~marked])) - {""}


def test_records_that_name_neither_subject_nor_video_stay_together():
    subjects = np.repeat(["", "a", "b", "c"], 5)
    for seed in range(10):
        assert len(set(by_unit(table_of(subjects), 0.25, seed)[:5])) == 1


def stored_with(monkeypatch, **changed):
    """Replaces columns of what a prepared split holds."""
    stored = sources._table
    monkeypatch.setattr(sources, "_table", lambda *at: dataclasses.replace(stored(*at), **changed))


def test_a_part_without_records_is_refused(tiny_faces, monkeypatch):
    stored_with(monkeypatch, subject=np.full(48, "one"), video=np.full(48, ""))
    assert len(source(tiny_faces, "opt-val")) == 48
    with pytest.raises(UserError, match=r"'opt-train' of .* has no records: the subjects and"):
        source(tiny_faces, "opt-train")


def test_images_of_nobody_named_are_parted_one_by_one(tiny_faces, monkeypatch):
    stored_with(monkeypatch, subject=np.full(48, ""), video=np.full(48, ""))
    keys = source(tiny_faces).table.keys
    train, val = source(tiny_faces, "opt-train"), source(tiny_faces, "opt-val")
    assert 0 < len(val) < len(train)
    assert sorted([*train.table.keys, *val.table.keys]) == sorted(keys)


def test_subset_and_given_labels_join_on_keys(tiny_faces):
    opt = source(tiny_faces)
    keys = opt.table.keys[[7, 3]]
    given = opt.with_labels(keys, ["AU12", "AU01"], np.array([[1, 0], [0, 1]], np.int8))
    np.testing.assert_array_equal(given.table.keys, keys)
    np.testing.assert_array_equal(given.images([0]), opt.images([7]))
    np.testing.assert_array_equal(given.aligned(("AU01", "AU12")).table.labels, [[0, 1], [1, 0]])
    with pytest.raises(UserError, match="the first 'elsewhere'"):
        opt.with_labels(np.array(["elsewhere"]), ["AU12"], np.ones((1, 1), np.int8))


def test_unknown_split_and_crop_are_named(tiny_faces):
    with pytest.raises(UserError, match=r"unknown split .* 'train'; known: .*opt-val"):
        source(tiny_faces, "train")
    with pytest.raises(UserError, match=r"unknown crop .* 'arcface'; known: closeup, wide"):
        source(tiny_faces, crop="arcface")


def test_half_written_folders_are_refused(broken, tmp_path):
    with pytest.raises(UserError, match="not a whole prepared data set"):
        source(tmp_path / "nowhere")
    file = next(broken.glob("*-opt.array_record*"))
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    with pytest.raises(UserError, match=r"opt\.array_record.*prepare the data set again"):
        source(broken)
    file.unlink()
    with pytest.raises(UserError, match="missing or half-written"):
        source(broken)
    (broken / "dataset_info.json").unlink()
    with pytest.raises(UserError, match="not a whole prepared data set"):
        source(broken)


def test_table_is_read_anew_beside_other_shards(broken, tiny_faces):
    """The label table of a split is that of its shards, not one that fits their number."""
    labels = source(broken).table.labels
    stored = dict(np.load(broken / "table-opt.npz"))
    np.savez(broken / "table-opt.npz", **stored | {"labels": 1 - np.abs(labels)})
    assert (source(broken).table.labels == 1 - np.abs(labels)).all()  # it is believed
    shard = next(broken.glob("*-opt.array_record*"))
    shutil.copy(shard, broken / "other")
    (broken / "other").replace(shard)  # the same records, written at another time
    np.testing.assert_array_equal(source(broken).table.labels, labels)
    np.testing.assert_array_equal(np.load(broken / "table-opt.npz")["labels"], labels)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 cut", None])
def test_damaged_table_is_read_anew(broken, content):
    labels = source(broken).table.labels
    table = broken / "table-opt.npz"
    table.write_bytes(table.read_bytes()[:-400] if content is None else content)
    np.testing.assert_array_equal(source(broken).table.labels, labels)


@pytest.mark.parametrize("name", ["dataset_info.json", "features.json", "metadata.json"])
@pytest.mark.parametrize("content", ["", "{", "[]", "5", "{}"])
def test_damaged_descriptions_are_refused(broken, name, content):
    (broken / name).write_text(content)
    with pytest.raises(UserError, match=f"^{broken} (is not|was not|holds)"):
        source(broken)


@pytest.mark.parametrize(
    "changed", [{"aus": "AU01"}, {"aus": [1]}, {"aus": ["AU01"]}, {"aus": ["x"]}, {"crops": None}]
)
def test_descriptions_that_do_not_fit_the_records(broken, changed):
    metadata = json.loads((broken / "metadata.json").read_text())
    (broken / "metadata.json").write_text(json.dumps(metadata | changed))
    with pytest.raises(
        UserError, match=r"run --mode=prepare|prepare the data set again|unknown AU"
    ):
        source(broken)


def test_records_that_cannot_be_read(broken):
    shard = next(broken.glob("*-opt.array_record*"))
    whole = source(broken)
    data = bytearray(shard.read_bytes())
    data[data.index(b"\xff\xd8\xff") + 99] ^= 1
    shard.write_bytes(data)
    with pytest.raises(UserError, match=r"records of split 'opt' .*prepare the data set again"):
        source(broken)
    with pytest.raises(UserError, match=r"are damaged .*prepare the data set again"):
        whole.jpegs(np.arange(48))


def test_corrupt_jpeg_names_its_record(tiny_faces, monkeypatch):
    opt = source(tiny_faces)
    whole = type(opt).jpegs
    monkeypatch.setattr(
        type(opt), "jpegs", lambda self, rows: [*whole(self, rows)[:-1], b"\xff\xd8 cut off"]
    )
    with pytest.raises(UserError, match=f"'{opt.table.keys[9]}' .* corrupt JPEG"):
        opt.images(np.array([2, 9]))


def test_labels_outside_the_code_are_refused(broken):
    record = records.Record(key="x/1", crops={"closeup": b""}, labels=np.array([1, 9, 0]))
    with pytest.raises(UserError, match=r"'x/1' has labels \[9\]"):
        record.example()
    table = broken / "table-opt.npz"
    table.unlink(missing_ok=True)
    parse = sources._parser()

    def damaged(raw):
        features = parse(raw)
        features["labels"].int64_list.value[4] = 3
        return features

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sources, "_parser", lambda: damaged)
        with pytest.raises(UserError, match=r"has a label outside -1, 0, 1 .*3\]"):
            source(broken)
    assert not table.exists()
