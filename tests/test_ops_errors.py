"""What is refused, and that the message names the operation, what is wrong and the cure."""

from __future__ import annotations

import numpy as np
import pytest

import tensorgrad as tg

X = np.zeros((2, 3), np.float32)

REFUSED = {
    "axis out of range": (
        lambda x: tg.sum(x, 2),
        ValueError,
        "sum: axis 2 is out of range for 2 axes; choose one from -2 to 1",
    ),
    "axis twice": (lambda x: x.mean((0, -2)), ValueError, "mean: an axis stands twice"),
    "axis no integer": (lambda x: x.max(0.5), TypeError, "max: an axis must be an integer, not 0.5"),
    "reshape to another size": (lambda x: x.reshape(4, 2), ValueError, "reshape: 6 elements .* multiply to 6"),
    "reshape with two unknowns": (lambda x: x.reshape(-1, -1), ValueError, "reshape: 6 elements"),
    "reshape with negative sizes": (lambda x: x.reshape(-2, -3), ValueError, "reshape: 6 elements"),
    "permute too few": (lambda x: tg.permute(x, (0,)), ValueError, "permute: .* must name each of the 2 axes"),
    "permute twice": (lambda x: x.permute(0, 0), ValueError, "permute: .* once"),
    "squeeze a long axis": (lambda x: x.squeeze(0), ValueError, "squeeze: axis 0 of the shape .* only axes of size 1"),
    "broadcast": (lambda x: x.broadcast_to((4, 3)), ValueError, "broadcast_to: (.|\n)*Shapes broadcast when"),
    "add": (lambda x: x + np.zeros(4), ValueError, r"add: (.|\n)*y \(4,\) float64(.|\n)*Shapes broadcast when"),
    "concatenate nothing": (lambda x: tg.concatenate([]), ValueError, "concatenate: there is nothing to join"),
    "concatenate other sizes": (lambda x: tg.concatenate([x, x[:, :2]]), ValueError, r"concatenate: (.|\n)*xs\[1\] \(2, 2\)"),
    "stack other shapes": (lambda x: tg.stack([x, x[0]]), ValueError, r"stack: (.|\n)*xs\[1\] \(3,\)"),
    "split unevenly": (lambda x: tg.split(x, 2, axis=1), ValueError, "split: axis 1 .* 2 equal parts; pass indices"),
    "pad less than nothing": (lambda x: tg.pad(x, -1), ValueError, "pad: .* not negative"),
    "pad other axes": (lambda x: tg.pad(x, ((1, 1),) * 3), ValueError, "pad: .* each of 2 axes"),
    "astype complex": (lambda x: x.astype(complex), TypeError, "astype: a tensor holds real numbers"),
    "clip without bounds": (lambda x: x.clip(), TypeError, "clip: .* give low, high or both"),
    "clip by a tensor": (lambda x: x.clip(x, 1), TypeError, "clip: .* use maximum and minimum"),
    "index out of range": (lambda x: x[2], IndexError, "getitem: index 2 is out of bounds for axis 0 with size 2"),
    "too many indices": (lambda x: x[0, 0, 0], IndexError, "getitem: too many indices"),
    "index by a float": (lambda x: x[0.5], TypeError, "getitem: an index must be an integer, not 0.5"),
    "index by floats": (lambda x: x[np.zeros(2)], IndexError, "getitem: arrays used as indices must be of integer"),
    "index by a bool": (lambda x: x[True], IndexError, "getitem: True and False are no indices"),
    "mask of another shape": (lambda x: x[np.zeros((3, 3), bool)], IndexError, "getitem: boolean index did not match"),
    "matmul": (lambda x: x @ x, ValueError, "matmul: rows of 3 elements cannot be multiplied with columns of 2"),
    "matmul of a number": (lambda x: x @ 2.0, ValueError, r"matmul: .* multiply by it with \*"),
    "linear": (lambda x: tg.linear(x, x.T), ValueError, r"linear: .* \(out, in\)(.|\n)*w \(3, 2\)"),
    "linear's bias": (lambda x: tg.linear(x, x, np.zeros(3)), ValueError, "linear: the bias b .* each of the 2 rows"),
    "negative power of integers": (lambda x: tg.Tensor([1, 2]) ** -1, ValueError, "power: Integers to negative"),
    "dropout without generator": (lambda x: tg.dropout(x, 0.5, rng=3), TypeError, r"dropout: rng must be .*default_rng\(0\)"),
    "dropout's rate": (lambda x: tg.dropout(x, 1.5, rng=np.random.default_rng(0)), ValueError, "dropout: .* from 0 to 1"),
    "label too large": (lambda x: tg.cross_entropy(x, [0, 3]), ValueError, "cross_entropy: a label is 3, .* from 0 to 2"),
    "label negative": (lambda x: tg.cross_entropy(x, [0, -1]), ValueError, "cross_entropy: a label is -1, .* ignore_index"),
    "labels of floats": (lambda x: tg.cross_entropy(x, [0.0, 1.0]), TypeError, "cross_entropy: labels must be integers"),
    "labels of booleans": (lambda x: tg.cross_entropy(x, [True, False]), TypeError, "cross_entropy: labels must be integers"),
    "too few labels": (lambda x: tg.cross_entropy(x, [0]), ValueError, r"cross_entropy: .* integer labels of shape \(2,\)"),
    "labels in a column": (lambda x: tg.cross_entropy(x, [[0], [1]]), ValueError, "cross_entropy: targets of shape"),
    "logits of integers": (lambda x: tg.cross_entropy(np.zeros((2, 3), int), [0, 1]), TypeError, "logits must be floats"),
    "logits of images": (lambda x: tg.cross_entropy(np.zeros((2, 3, 4)), [0, 1]), ValueError, r"\(samples, classes\)"),
    "weight": (lambda x: tg.cross_entropy(x, [0, 1], weight=[1.0, 2.0]), ValueError, "weight has shape .* each of the 3"),
    "reduction": (lambda x: tg.cross_entropy(x, [0, 1], reduction="avg"), ValueError, "reduction must be one of 'mean'"),
    "smoothing": (lambda x: tg.cross_entropy(x, [0, 1], label_smoothing=2), ValueError, "from 0 to 1, and is 2"),
    "ignored rows": (lambda x: tg.cross_entropy(x, x, ignore_index=1), ValueError, "ignore_index goes with integer labels"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused_with_a_message_that_helps(case):
    call, error, message = REFUSED[case]
    with pytest.raises(error, match=message) as caught:
        call(tg.Tensor(X))
    assert type(caught.value) is error
