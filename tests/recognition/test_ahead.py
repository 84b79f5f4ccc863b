"""Results come in order and within bounds, whatever the threads are up to."""

import random
import threading
import time

import pytest

from recognition.bulk_enrolment import Ahead


def squares(count: int, **options: int) -> Ahead[int]:
    """Tasks that take a little while, each another one."""
    delays = random.Random(count)
    waits = [delays.uniform(0, 0.002) for _ in range(count)]

    def do(number: int) -> int:
        time.sleep(waits[number])
        return number**2

    return Ahead(do, count, size=lambda value: value, **options)


@pytest.mark.parametrize("threads", [1, 2, 7])
@pytest.mark.parametrize(("most", "most_size"), [(1, 0), (3, 50), (100, 10**9)])
@pytest.mark.parametrize("count", [0, 1, 40])
def test_results_come_in_order(threads: int, most: int, most_size: int, count: int) -> None:
    with squares(count, threads=threads, most=most, most_size=most_size).results() as results:
        assert list(results) == [number**2 for number in range(count)]


def test_no_more_than_allowed_are_done_ahead() -> None:
    begun: list[int] = []

    def do(number: int) -> int:
        begun.append(number)
        return 1

    ahead = Ahead(do, 100, threads=4, size=lambda value: value, most=5, most_size=100)
    with ahead.results() as results:
        for taken, _ in enumerate(results, start=1):
            time.sleep(0.001)
            assert len(begun) <= taken + 5
    assert sorted(begun) == list(range(100))


def test_none_begins_while_those_that_wait_are_too_large() -> None:
    begun: list[int] = []

    def do(number: int) -> int:
        begun.append(number)
        return 60

    ahead = Ahead(do, 20, threads=1, size=lambda value: value, most=20, most_size=100)
    with ahead.results() as results:
        for taken, _ in enumerate(results, start=1):
            time.sleep(0.002)
            assert len(begun) <= taken + 2  # 60 wait, one more begins, and 120 are too large


def test_an_exception_comes_in_its_place_and_ends_the_threads() -> None:
    def do(number: int) -> int:
        if number == 5:
            raise ZeroDivisionError
        return number

    before = threading.active_count()
    seen: list[int] = []
    ahead = Ahead(do, 10**6, threads=3, size=lambda value: value, most=9, most_size=10**9)
    with pytest.raises(ZeroDivisionError), ahead.results() as results:
        seen.extend(results)
    assert seen == [0, 1, 2, 3, 4]
    assert threading.active_count() == before


def test_leaving_early_stops_what_has_not_begun() -> None:
    begun: list[int] = []

    def do(number: int) -> int:
        begun.append(number)
        return 0

    ahead = Ahead(do, 10**6, threads=2, size=lambda value: value, most=10, most_size=0)
    with ahead.results() as results:
        assert next(results) == 0
    assert len(begun) <= 11
