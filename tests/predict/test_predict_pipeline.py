"""Work in threads: the order, what is raised, and a caller who leaves."""

import itertools
import threading

import pytest

from au_jax.predict.pipeline import in_threads


def test_results_come_in_order():
    first_waits = threading.Event()

    def work(item: int) -> int:
        if item == 0:
            assert first_waits.wait(10)
        if item == 3:
            first_waits.set()
        return item * item

    assert list(in_threads(iter(range(50)), work, 3, 8)) == [k * k for k in range(50)]


def test_no_more_items_are_drawn_than_there_are_places():
    drawn, worked, most = itertools.count(), itertools.count(), [0]
    done = [0]

    def items():
        for k in range(200):
            most[0] = max(most[0], next(drawn) + 1 - done[0])
            yield k

    def work(item: int) -> int:
        done[0] = next(worked) + 1
        return item

    assert len(list(in_threads(items(), work, 2, 3))) == 200
    assert most[0] <= 2 * 2 + 2  # those at work when the count was read


@pytest.mark.parametrize("where", ["draw", "work"])
def test_what_is_raised_reaches_the_caller_in_its_place(where):
    def items():
        for k in range(9):
            if where == "draw" and k == 5:
                raise ValueError("five")
            yield k

    def work(item: int) -> int:
        if where == "work" and item == 5:
            raise ValueError("five")
        return item

    results = in_threads(items(), work, 2, 2)
    assert [next(results) for _ in range(5)] == [0, 1, 2, 3, 4]
    with pytest.raises(ValueError, match="five"):
        next(results)


def test_a_caller_who_leaves_ends_the_threads():
    before = threading.active_count()
    results = in_threads(itertools.count(), lambda item: item, 2, 2)
    assert next(results) == 0
    results.close()
    assert threading.active_count() == before
