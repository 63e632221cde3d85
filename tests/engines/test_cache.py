"""The pool of key-value rows against a dictionary of lists."""

import random

import pytest
import torch

from detente.engines.cache import GROWTH, Pool, make_slice

HEADS, SIZE = 2, 3
CPU = torch.device("cpu")


def test_a_slice_by_hand():
    part = make_slice([4, 0], cached=[3, 0], new=[1, 3], device=CPU)
    assert part.rows.tolist() == [4, 0]
    assert part.positions.tolist() == [[0, 0, 3], [0, 1, 2]]  # the newest token of every chat is in the last column
    assert part.valid.tolist() == [[False, False, True], [True, True, True]]
    assert part.span == 4
    assert part.first_row is None
    assert part.first_position is None
    assert part.attention_mask.shape == (2, 1, 3, 4)
    assert part.attention_mask[0, 0, 2].tolist() == [True, True, True, True]
    assert part.attention_mask[1, 0].tolist() == [[True, False, False, False], [True, True, False, False], [True] * 3 + [False]]


@pytest.mark.parametrize(
    ("rows", "cached", "new", "first_row", "first_position"),
    [([2, 3], [5, 5], [2, 2], 2, 5), ([3, 2], [5, 5], [2, 2], None, 5), ([2, 3], [5, 4], [2, 2], 2, None), ([7], [1], [4], 7, 1)],
)
def test_what_can_be_read_without_a_copy(rows, cached, new, first_row, first_position):
    part = make_slice(rows, cached, new, CPU)
    assert (part.first_row, part.first_position) == (first_row, first_position)


def states(numbers):
    """Keys (B, H, N, D) that are these numbers (B, N), with a different multiple for every head and entry."""
    scale = torch.arange(1.0, HEADS * SIZE + 1).reshape(1, HEADS, 1, SIZE)
    return torch.tensor(numbers, dtype=torch.float32)[:, None, :, None] * scale


def test_random_play_equals_a_dictionary():
    """Chats of different lengths grow in random company, rows are copied and cut; what is read is what was written."""
    rng = random.Random(0)
    pool = Pool(layers=2)
    written: dict[int, list[float]] = {}
    for step in range(120):
        pool.reserve(8 if step < 60 else 16, 1)
        rows = rng.sample(range(pool.rows), rng.randint(1, 5))
        if rng.random() < 0.5:
            rows = list(range(rows[0] % 4, rows[0] % 4 + len(rows)))
        for row in rows:
            cut = rng.randint(0, len(written.get(row, [])))
            written[row] = written.get(row, [])[:cut]
        if rng.random() < 0.3:  # all of one length
            shortest = min(len(written[row]) for row in rows)
            written |= {row: written[row][:shortest] for row in rows}
        new = [rng.randint(1, 4)] * len(rows) if rng.random() < 0.3 else [rng.randint(1, 4) for _ in rows]
        cached = [len(written[row]) for row in rows]
        pool.reserve(pool.rows, max(c + n for c, n in zip(cached, new, strict=True)))
        pool.part = make_slice(rows, cached, new, CPU)
        numbers = [[rng.random() for _ in range(n)] for n in new]
        padded = [[99.0] * (max(new) - len(row)) + row for row in numbers]
        for row, more in zip(rows, numbers, strict=True):
            written[row] = written[row] + more
        for layer in range(2):
            keys, values = pool.update(states(padded) + layer, states(padded) - layer, layer)
            assert keys.shape == (len(rows), HEADS, pool.part.span, SIZE)
            for i, row in enumerate(rows):
                expected = states([written[row]])[0]
                torch.testing.assert_close(keys[i, :, : expected.shape[1]], expected + layer)
                torch.testing.assert_close(values[i, :, : expected.shape[1]], expected - layer)
        source, *others = rng.sample(sorted(written), min(3, len(written)))
        length = rng.randint(0, len(written[source]))
        if others and length:
            pool.copy(source, others, length)
            written |= dict.fromkeys(others, written[source][:length])


def test_capacity_grows_in_steps_and_keeps_what_it_holds():
    pool = Pool(layers=1)
    pool.reserve(2, 3)
    assert (pool.rows, pool.capacity) == (2, GROWTH)
    pool.part = make_slice([0, 1], [0, 0], [2, 2], CPU)
    pool.update(states([[1, 2], [3, 4]]), states([[5, 6], [7, 8]]), 0)
    pool.reserve(5, GROWTH + 1)
    assert (pool.rows, pool.capacity) == (5, 2 * GROWTH)
    pool.part = make_slice([1], [2], [1], CPU)
    keys, values = pool.update(states([[9]]), states([[10]]), 0)
    torch.testing.assert_close(keys, states([[3, 4, 9]]))
    torch.testing.assert_close(values, states([[7, 8, 10]]))
    pool.reserve(1, 1)  # never shrinks
    assert (pool.rows, pool.capacity) == (5, 2 * GROWTH)


def test_a_row_that_is_full_to_the_last_token_can_be_copied():
    pool = Pool(layers=1)
    pool.reserve(2, GROWTH)
    pool.part = make_slice([0], [0], [GROWTH], CPU)
    full = states([list(range(GROWTH))])
    pool.update(full, -full, 0)
    pool.copy(0, [1], GROWTH)
    pool.part = make_slice([1], [GROWTH - 1], [1], CPU)
    keys, values = pool.update(full[:, :, -1:], -full[:, :, -1:], 0)
    torch.testing.assert_close(keys, full)
    torch.testing.assert_close(values, -full)
