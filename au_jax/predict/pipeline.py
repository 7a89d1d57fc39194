"""Work in threads ahead of who takes the results, in order and at a bounded memory."""

import queue
import threading
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def in_threads(
    items: Iterator[Item], work: Callable[[Item], Result], threads: int, ahead: int
) -> Generator[Result]:
    """The results of `work` on every item, in the items' order.

    One thread draws the items and `threads` others work on them, while the caller does something
    else. At most `2 * threads` items are there at once, from before they are drawn until they are
    worked on; at most `ahead` results wait for the caller, who closes the generator.

    Raises:
      Exception: what drawing an item or working on it raised, in its place.
    """
    stop = threading.Event()
    places = threading.Semaphore(2 * threads)
    results: queue.Queue[Future[Result] | None] = queue.Queue(ahead)

    def finish(item: Item) -> Result:
        try:
            return work(item)
        finally:
            del item
            places.release()

    def draw(pool: ThreadPoolExecutor) -> None:
        try:
            while places.acquire() and not stop.is_set():
                item = next(items, None)
                if item is None:
                    break
                results.put(pool.submit(finish, item))
                del item
        except Exception as error:
            failed: Future[Result] = Future()
            failed.set_exception(error)
            results.put(failed)
        finally:
            results.put(None)

    with ThreadPoolExecutor(threads) as pool:
        drawing = threading.Thread(target=draw, args=(pool,), daemon=True)
        drawing.start()
        try:
            while (result := results.get()) is not None:
                yield result.result()
        finally:
            stop.set()
            places.release()
            while drawing.is_alive():  # it may wait for room among the results
                try:
                    results.get(timeout=0.1)
                except queue.Empty:
                    continue
            drawing.join()
