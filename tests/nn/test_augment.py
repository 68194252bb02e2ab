"""Random changes of images: what they keep, what they move, and that they are their generator's."""

import numpy as np
import pytest

from nn.data import load_mnist
from nn.data.augment import affine, elastic, read

DIGITS, _ = load_mnist("test")
IMAGES = DIGITS[:20].astype(np.float32)


def test_no_change_gives_the_images_back():
    for change in (affine(), elastic(0.0), affine() + elastic(0.0)):
        np.testing.assert_array_equal(change(IMAGES, np.random.default_rng(0)), IMAGES)


def test_reading_at_whole_points_moves_pixels_and_fills_with_zeros():
    rows, columns = np.meshgrid(np.arange(28.0), np.arange(28.0), indexing="ij")
    moved = read(IMAGES, np.broadcast_to(rows + 3, (20, 28, 28)), np.broadcast_to(columns - 2, (20, 28, 28)))
    np.testing.assert_array_equal(moved[:, :, :25, 2:], IMAGES[:, :, 3:, :26])
    assert not moved[:, :, 25:].any() and not moved[:, :, :, :2].any()


def test_reading_between_points_is_bilinear():
    image = np.array([[[[0.0, 4.0], [8.0, 16.0]]]], np.float32)
    value = read(image, np.full((1, 1, 1), 0.5), np.full((1, 1, 1), 0.25))
    assert value.item() == 0.5 * (0.75 * 0 + 0.25 * 4) + 0.5 * (0.75 * 8 + 0.25 * 16)


class Always:
    """A generator that draws the same five numbers for every image: angle, scale, shear, down, right."""

    def __init__(self, *drawn):
        self.drawn = drawn

    def uniform(self, low, high, shape):
        return np.broadcast_to(np.reshape(self.drawn, (5, 1, 1, 1)), shape)


def test_a_quarter_turn_equals_numpys():
    turned = affine(rotate=90)(IMAGES, Always(1, 0, 0, 0, 0))
    np.testing.assert_allclose(turned, np.rot90(IMAGES, -1, (2, 3)), atol=0.02)


def test_doubling_the_size_spreads_the_middle():
    larger = affine(scale=0.5)(IMAGES, Always(0, 1, 0, 0, 0))  # by 1.5
    assert larger.sum() == pytest.approx(1.5**2 * IMAGES[:, :, 5:23, 5:23].sum(), rel=0.15)
    shifted = affine(shift=3)(IMAGES, Always(0, 0, 0, 1, -1))
    np.testing.assert_array_equal(shifted[:, :, :25, 3:], IMAGES[:, :, 3:, :25])


def test_each_image_changes_in_its_own_way_and_the_seed_decides():
    same = np.repeat(IMAGES[:1], 5, axis=0)
    change = affine(rotate=10, scale=0.1, shear=0.1, shift=2) + elastic(1.0)
    first, again, other = (change(same, np.random.default_rng(seed)) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any() and all((first[k] != first[0]).any() for k in range(1, 5))
    assert first.dtype == np.float32 and first.strides[0] == 4  # the batch innermost


def test_elastic_shifts_have_the_size_asked_for():
    move = elastic(1.5, smoothness=3.0).moves[0]
    zero = np.zeros((400, 28, 28), np.float32)
    rows, columns = move(zero, zero, (28, 28), np.random.default_rng(0))
    assert np.std(rows) == pytest.approx(1.5, rel=0.05) and np.std(columns) == pytest.approx(1.5, rel=0.05)
    assert np.corrcoef(rows[:, 10, 10], rows[:, 10, 11])[0, 1] > 0.9  # neighbours move together


def test_bad_images_and_settings_are_refused():
    with pytest.raises(ValueError, match="float32"):
        affine(shift=1)(DIGITS[:2], np.random.default_rng(0))
    with pytest.raises(ValueError, match="rotate"):
        affine(rotate=-1)
