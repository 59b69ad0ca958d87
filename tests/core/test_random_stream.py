"""The random stream: the draws of MT19937, and Boost's distributions upon it, bit for bit."""

import zlib

import numpy as np
import pytest

from minicaffe import context
from minicaffe.errors import Error
from minicaffe.random_stream.generator import CHUNK, Generator
from minicaffe.random_stream.ziggurat import TAIL, unit_normals

# Draws that lead off the beaten path: layer 0 beyond the last edge (the tail), then the wedge of
# layer 64 with a second draw that rounds up to 1 and is replaced.
TAIL_DRAW = 0xFFFFFF00
WEDGE_DRAW = 0xFFFFFF80


def test_a_seed_gives_the_draws_of_the_reference_mersenne_twister():
    assert Generator(5489).draws(3).tolist() == [3499211612, 581869302, 3890346734]
    generator = Generator(5489)
    generator.draws(9999)
    assert generator.draw() == 4123659995  # the 10000th, which the C++ standard states


def test_seeds_count_modulo_2_to_the_32():
    assert Generator(-1).draw() == Generator(0xFFFFFFFF).draw()


def test_without_a_seed_two_streams_differ():
    assert Generator().draws(4).tolist() != Generator().draws(4).tolist()


# Checksums (CRC-32) of what a C++ program with Boost 1.74 writes as float32, and its next draw.
@pytest.mark.parametrize(
    ("seed", "make", "checksum", "following"),
    [
        pytest.param(1, lambda g: g.gaussian(300_000), 0x253F1CAE, 3361695452, id="gaussian"),
        pytest.param(
            1234, lambda g: g.gaussian(300_000, 0.5, 2), 0xBFA27D16, 2551255401, id="mean, std"
        ),
        pytest.param(
            7, lambda g: g.uniform(300_000, -0.1, 0.1), 0x0160D304, 2949898081, id="uniform"
        ),
        pytest.param(
            5, lambda g: g.bernoulli(300_000, 0.9), 0xB40AD827, 63035607, id="bernoulli"
        ),
        pytest.param(
            5,
            lambda g: g.bernoulli_float32(300_000, 0.15),
            0x2D13CD53,
            63035607,
            id="bernoulli in float32",
        ),
        pytest.param(
            9, lambda g: g.permutation(100_000), 0x957BB845, 4244992133, id="shuffle"
        ),
    ],
)  # fmt: skip
def test_values_are_those_of_boost(seed, make, checksum, following):
    generator = Generator(seed)
    values = np.asarray(make(generator), np.float32)
    assert zlib.crc32(values.tobytes()) == checksum
    assert generator.draw() == following


@pytest.mark.parametrize("n", [0, 1, 2, 100, CHUNK, CHUNK + 1])
@pytest.mark.parametrize("make", [Generator.gaussian, lambda g, n: g.uniform(n, -1, 2)])
def test_many_values_at_once_are_those_one_by_one(make, n):
    at_once, one_by_one = Generator(3), Generator(3)
    values = make(at_once, n)
    assert values.dtype == np.float32
    if n <= 100:
        assert values.tolist() == [make(one_by_one, 1)[0] for _ in range(n)]
    else:
        split = n // 3
        parts = [make(one_by_one, split), make(one_by_one, n - split)]
        assert np.array_equal(values, np.concatenate(parts))
    assert at_once.draw() == one_by_one.draw()


def test_a_tail_sample_is_beyond_the_last_edge_and_takes_its_draws_from_the_stream():
    ordinary = Generator(1).draws(20)
    values, used = unit_normals(np.append(np.uint32(TAIL_DRAW), ordinary), 1)
    assert values[0] < -TAIL
    assert used >= 3
    following, _ = unit_normals(ordinary[used - 1 :], 1)
    both, _ = unit_normals(np.append(np.uint32(TAIL_DRAW), ordinary), 2)
    assert both.tolist() == [values[0], following[0]]


def test_a_wedge_draw_that_rounds_to_one_is_replaced():
    tail = Generator(1).draws(10)
    direct = unit_normals(np.array([WEDGE_DRAW, *tail], np.uint32), 1)
    delayed = unit_normals(np.array([WEDGE_DRAW, 0xFFFFFFFF, *tail], np.uint32), 1)
    assert delayed == (direct[0], direct[1] + 1)


@pytest.mark.parametrize("stream", [[], [WEDGE_DRAW], [TAIL_DRAW], [TAIL_DRAW, 0xFFFFFF00]])
def test_a_stream_that_ends_inside_a_sample_is_too_short(stream):
    assert unit_normals(np.array(stream, np.uint32), 1) is None


def test_a_uniform_value_never_exceeds_the_upper_bound():
    values = Generator(2).uniform(1000, 1.0, float(np.nextafter(np.float32(1), np.float32(2))))
    assert set(values.tolist()) <= {1.0, float(np.nextafter(np.float32(1), np.float32(2)))}


def test_uniform_values_do_not_depend_on_how_many_are_made_at_once(monkeypatch):
    whole = Generator(2)
    expected = whole.uniform(1000, -1, 2)
    monkeypatch.setattr("minicaffe.random_stream.generator.CHUNK", 7)
    parts = Generator(2)
    np.testing.assert_array_equal(parts.uniform(1000, -1, 2), expected)
    assert parts.draw() == whole.draw()


def test_no_probability_takes_no_draw():
    generator = Generator(4)
    assert not generator.bernoulli(10, 0).any()
    assert not generator.bernoulli_float32(10, 0).any()
    assert generator.draw() == Generator(4).draw()


def test_masks_are_filled_with_the_same_draws():
    mask = np.empty(5000, np.float32)
    Generator(3).fill_bernoulli(mask, 0.3)
    np.testing.assert_array_equal(mask, Generator(3).bernoulli(5000, 0.3))


def uniform_int(generator: Generator, most: int) -> int:
    """A whole number in [0, most] as boost::uniform_int gives it: draws beyond are void."""
    bucket = 0xFFFFFFFF // (most + 1) + (0xFFFFFFFF % (most + 1) == most)
    while (value := generator.draw() // bucket) > most:
        pass
    return value


def test_a_shuffle_is_fisher_yates_from_the_end():
    generator = Generator(6)
    expected = list("abcdefg")
    for i in range(6, 0, -1):
        j = uniform_int(generator, i)
        expected[i], expected[j] = expected[j], expected[i]
    letters = list("abcdefg")
    Generator(6).shuffle(letters)
    assert letters == expected
    rows = np.arange(14).reshape(7, 2)
    Generator(6).shuffle(rows)
    assert [chr(ord("a") + row // 2) for row in rows[:, 0]] == expected


def test_a_stream_goes_on_from_a_saved_state():
    generator = Generator(11)
    generator.gaussian(1000)
    state = generator.get_state()
    expected = generator.draws(2000)
    other = Generator(12)
    other.set_state(state)
    assert np.array_equal(other.draws(2000), expected)
    assert len(state) < 2600


@pytest.mark.parametrize("state", [b"", b"x" * 2506, Generator(1).get_state()[:-1]])
def test_other_bytes_are_not_a_state(state):
    with pytest.raises(Error, match="not the state of a random generator"):
        Generator(1).set_state(state)


def test_a_position_beyond_the_state_is_refused():
    state = bytearray(Generator(1).get_state())
    state[8:10] = b"\xff\xff"
    with pytest.raises(Error, match="at most 624, not 65535"):
        Generator(1).set_state(bytes(state))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda g: g.uniform(1, 1, 0), "min <= max, not 1 and 0"),
        (lambda g: g.uniform(1, -3e38, 3e38), "finite bounds"),
        (lambda g: g.uniform(1, float("nan"), 1), "finite bounds"),
        (lambda g: g.gaussian(1, 0, 0), "above 0, not 0"),
    ],
)
def test_bounds_that_make_no_sense_are_refused(make, message):
    with pytest.raises(Error, match=message):
        make(Generator(1))


def test_the_seed_of_a_thread_is_set_in_its_context():
    context.set_random_seed(21)
    assert context.current().rng.draw() == Generator(21).draw()
