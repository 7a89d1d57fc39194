import numpy as np
import pytest

from au_jax.data.pipeline import BatchRows, Stream, ordered_batches, training_batches
from au_jax.data.sources import open_source


@pytest.fixture(scope="module")
def streams(tiny_faces):
    def open_(split):
        return open_source(tiny_faces, split, "closeup", val_fraction=0.25, seed=0)

    return {"opt": Stream(open_("opt"), 6), "noisy": Stream(open_("noisy"), 2)}


def test_shares_are_fixed_and_each_pass_sees_every_record_once():
    rows = BatchRows({"a": (np.arange(10), 4), "b": (np.arange(3), 2)}, seed=0, steps=15)
    batches = [rows[i] for i in range(15)]
    assert {(len(b["a"]), len(b["b"])) for b in batches} == {(4, 2)}
    a = np.concatenate([b["a"] for b in batches])
    passes = a.reshape(6, 10)
    np.testing.assert_array_equal(np.sort(passes, 1), np.tile(np.arange(10), (6, 1)))
    assert (passes[0] != passes[1]).any()  # reshuffled
    other = BatchRows({"a": (np.arange(10), 4), "b": (np.arange(3), 2)}, seed=1, steps=15)
    assert any((rows[i]["a"] != other[i]["a"]).any() for i in range(2))


def test_a_stream_shorter_than_its_share_comes_round():
    np.testing.assert_array_equal(
        np.sort(np.bincount(BatchRows({"a": (np.arange(3), 7)}, 0, 1)[0]["a"])), [2, 2, 3]
    )


def test_batches_hold_the_records_of_their_index(streams):
    batch = next(training_batches(streams, seed=5, steps=3, threads=2))
    assert batch["opt"]["image"].shape == (6, 40, 40, 3)
    assert batch["noisy"]["labels"].dtype == np.int8
    for name, stream in streams.items():
        index = batch[name]["index"]
        np.testing.assert_array_equal(batch[name]["image"], stream.source.images(index))
        np.testing.assert_array_equal(batch[name]["labels"], stream.source.table.labels[index])


@pytest.mark.parametrize("threads", [1, 3])
def test_iterator_state_goes_on_with_the_same_batches(streams, threads):
    def batches():
        return training_batches(streams, seed=5, steps=8, threads=threads)

    whole = [b["noisy"]["index"] for b in batches()]
    assert len(whole) == 8
    first = batches()
    for _ in range(3):
        next(first)
    resumed = batches()
    resumed.set_state(first.get_state())
    for want, got in zip(whole[3:], resumed, strict=True):
        np.testing.assert_array_equal(want, got["noisy"]["index"])


def test_processes_load_the_parts_of_one_batch(streams):
    def first(process, processes):
        return next(
            training_batches(
                streams, seed=5, steps=1, threads=1, process=process, processes=processes
            )
        )

    whole, parts = first(0, 1), [first(p, 2) for p in range(2)]
    for field in ("image", "index"):
        joined = np.concatenate([p["opt"][field] for p in parts])
        np.testing.assert_array_equal(whole["opt"][field], joined)


def test_a_process_reads_only_its_own_records(streams, monkeypatch):
    source, read = streams["opt"].source, []
    images = type(source).images
    monkeypatch.setattr(
        type(source), "images", lambda self, rows: read.append(rows) or images(self, rows)
    )
    one = {"opt": streams["opt"]}
    batch = next(training_batches(one, seed=5, steps=1, threads=1, process=1, processes=2))
    np.testing.assert_array_equal(np.concatenate(read), batch["opt"]["index"])
    read.clear()
    part = next(ordered_batches(source, 8, 1, process=1, processes=2))
    np.testing.assert_array_equal(read[0], part["index"])
    assert len(part["index"]) == 4


@pytest.mark.parametrize("size", [5, 24, 40])
def test_evaluation_counts_every_record_once(streams, size):
    source = streams["noisy"].source
    batches = list(ordered_batches(source, size, threads=2))
    assert all(len(b["image"]) == size for b in batches)
    seen = np.concatenate([b["index"][b["valid"]] for b in batches])
    np.testing.assert_array_equal(seen, np.arange(len(source)))


def test_a_resampled_stream_goes_over_its_rows_and_tells_the_records_index(streams):
    resampled = np.array([4, 4, 4, 9, 2, 2])
    stream = Stream(streams["opt"].source, 3, resampled=resampled)
    batches = training_batches({"opt": stream}, seed=1, steps=4, threads=1)
    index = np.concatenate([b["opt"]["index"] for b in batches]).reshape(2, 6)
    np.testing.assert_array_equal(np.sort(index, 1), [np.sort(resampled)] * 2)


def test_streams_without_it_have_the_rows_of_the_plain_shuffle():
    rows = BatchRows({"a": (np.arange(7), 3)}, seed=2, steps=5)
    first = np.random.default_rng((2, 0, 0)).permutation(7)
    second = np.random.default_rng((2, 0, 1)).permutation(7)
    drawn = np.concatenate([rows[step]["a"] for step in range(4)])
    np.testing.assert_array_equal(drawn, [*first, *second[:5]])
