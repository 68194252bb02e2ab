"""LeNet-5, AlexNet, VGG-16 and a small VGG: published counts, and PyTorch's values and gradients from the same weights."""

import types

import numpy as np
import pytest

import nn
from nn.module import observing

SMALL = {"width": 32, "blocks": (1, 1, 1), "in_channels": 1, "image_size": 28, "hidden": 256, "classes": 10}


def count(model):
    return sum(parameter.size for parameter in model.parameters())


# -- the published numbers -----------------------------------------------------------------------------------------------


def test_lenet5_has_the_published_size():
    model = nn.models.LeNet5(rng=0)
    assert count(model) == 61_706
    assert [count(layer) for layer in (model.c1, model.c3, model.c5, model.f6)] == [156, 2416, 48_120, 10_164]
    assert model(np.zeros((3, 1, 32, 32), np.float32)).shape == (3, 10)
    assert nn.models.LeNet5(padding=2, modern=True, rng=0)(np.zeros((3, 1, 28, 28), np.float32)).shape == (3, 10)


def test_lenet5_as_published_and_modern_differ_in_pools_and_activations():
    kinds = [{type(module).__name__ for module in nn.models.LeNet5(modern=modern, rng=0).modules()} for modern in (False, True)]
    assert kinds[0] - kinds[1] == {"AvgPool2D", "Tanh"} and kinds[1] - kinds[0] == {"MaxPool2D", "ReLU"}


def test_the_small_vgg_has_about_80_000_parameters():
    model = nn.models.SmallVGG(rng=0)
    assert count(model) == 79_426
    assert model(np.zeros((2, 1, 28, 28), np.float32)).shape == (2, 10)


def test_a_narrow_vgg_doubles_its_filters_until_eight_times_the_first():
    filters = [layer.out_channels for layer in nn.models.VGG16(**SMALL, rng=0).features if isinstance(layer, nn.Conv2D)]
    assert filters == [32, 64, 128]
    deep = nn.models.VGG16(width=2, blocks=(1, 2, 1, 1, 1), image_size=(32, 64), hidden=4, rng=0)
    assert [layer.out_channels for layer in deep.features if isinstance(layer, nn.Conv2D)] == [2, 4, 4, 8, 16, 16]
    assert deep(np.zeros((1, 3, 32, 64), np.float32)).shape == (1, 1000)


@pytest.mark.parametrize("make", [nn.models.LeNet5, nn.models.SmallVGG, lambda rng: nn.models.VGG16(**SMALL, rng=rng)])
def test_a_seed_makes_the_same_weights_as_its_generator(make):
    one, twin, other = make(rng=3).state_dict(), make(rng=np.random.default_rng(3)).state_dict(), make(rng=4).state_dict()
    for name, array in one.items():
        np.testing.assert_array_equal(array, twin[name])
    assert any((array != other[name]).any() for name, array in one.items())


@pytest.mark.parametrize(
    ("make", "images"),
    [
        (lambda rng: nn.models.LeNet5(rng=rng), (50, 1, 32, 32)),
        (lambda rng: nn.models.LeNet5(modern=True, rng=rng), (50, 1, 32, 32)),
        (lambda rng: nn.models.SmallVGG(rng=rng), (20, 1, 28, 28)),
        (lambda rng: nn.models.VGG16(**SMALL, rng=rng), (20, 1, 28, 28)),
    ],
    ids=["lenet5", "lenet5-modern", "small-vgg", "narrow-vgg"],
)
def test_first_logits_neither_vanish_nor_explode(make, images, rng):
    logits = make(rng=0)(rng.standard_normal(images, np.float32)).data
    assert 0.1 < logits.std() < 10


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="AlexNet: variant must be 'grouped' or 'one-column', not 'two'"):
        nn.models.AlexNet(variant="two")
    with pytest.raises(ValueError, match="VGG16: 5 blocks halve images of 28 to nothing"):
        nn.models.VGG16(image_size=28)
    with pytest.raises(ValueError, match="VGG16: width must be"):
        nn.models.VGG16(width=0)
    with pytest.raises(ValueError, match="LeNet5: rng must be"):
        nn.models.LeNet5(rng="seed")


# -- PyTorch -------------------------------------------------------------------------------------------------------------


def lenet5(torch, modern):
    pool, activation = (torch.MaxPool2d, torch.ReLU) if modern else (torch.AvgPool2d, torch.Tanh)
    maps = [torch.Conv2d(1, 6, 5), activation(), pool(2), torch.Conv2d(6, 16, 5), activation(), pool(2), torch.Flatten()]
    return torch.Sequential(
        *maps, torch.Linear(400, 120), activation(), torch.Linear(120, 84), activation(), torch.Linear(84, 10)
    )


def small_vgg(torch):
    def block(*channels):
        return torch.Conv2d(*channels, 3, padding=1, bias=False), torch.BatchNorm2d(channels[1]), torch.ReLU()

    maps = [
        *block(1, 24),
        *block(24, 24),
        torch.MaxPool2d(2),
        *block(24, 48),
        *block(48, 48),
        torch.MaxPool2d(2),
        *block(48, 96),
    ]
    return torch.Sequential(*maps, torch.AdaptiveAvgPool2d(1), torch.Flatten(), torch.Linear(96, 10))


def alexnet(torch, grouped):
    def convolution(*shape, **settings):
        return torch.Conv2d(*shape, **settings), torch.ReLU()

    normalization = [torch.LocalResponseNorm(5, alpha=5e-4, beta=0.75, k=2.0)] if grouped else []
    first, second, fourth, groups = (96, 256, 384, 2) if grouped else (64, 192, 256, 1)
    return torch.Sequential(
        *convolution(3, first, 11, stride=4, padding=0 if grouped else 2), *normalization, torch.MaxPool2d(3, 2),
        *convolution(first, second, 5, padding=2, groups=groups), *normalization, torch.MaxPool2d(3, 2),
        *convolution(second, 384, 3, padding=1), *convolution(384, fourth, 3, padding=1, groups=groups),
        *convolution(fourth, 256, 3, padding=1, groups=groups), torch.MaxPool2d(3, 2), torch.Flatten(),
        torch.Linear(9216, 4096), torch.ReLU(), torch.Linear(4096, 4096), torch.ReLU(), torch.Linear(4096, 1000),
    )  # fmt: skip


def vgg16(torch, plan=(64, 64, "M", 128, 128, "M", 256, 256, 256, "M", 512, 512, 512, "M", 512, 512, 512, "M"),
          channels=3, sizes=(25_088, 4096, 4096, 1000)):  # fmt: skip
    layers = []
    for filters in plan:
        layers += [torch.MaxPool2d(2)] if filters == "M" else [torch.Conv2d(channels, filters, 3, padding=1), torch.ReLU()]
        channels = channels if filters == "M" else filters
    first, second, third, last = sizes
    head = [torch.Linear(first, second), torch.ReLU(), torch.Linear(second, third), torch.ReLU(), torch.Linear(third, last)]
    return torch.Sequential(*layers, torch.Flatten(), *head)


def narrow_vgg(torch):
    return vgg16(torch, (32, "M", 64, "M", 128, "M"), 1, (1152, 256, 256, 10))


def with_our_decisions(torch, calls):
    """PyTorch's layers, but where a ReLU lets numbers through and which number a max-pool takes is read from our calls.

    In millions of numbers some are so close to 0, or to their neighbour, that rounding decides; and each such decision changes
    the gradient by more than all rounding: PyTorch's own of VGG-16 in float32 is 2e-3 away from that in float64. With the same
    decisions all gradients agree. That they were close is checked here.
    """

    class ReLU(torch.nn.Module):
        def forward(self, x):
            _, ours = calls.pop(0)
            positive = torch.from_numpy(ours > 0)
            assert x.detach()[positive != (x > 0)].abs().sum() <= 1e-5 * x.detach().abs().sum()
            return x * positive

    class MaxPool2d(torch.nn.MaxPool2d):
        def forward(self, x):
            ours, _ = calls.pop(0)
            largest, places = torch.nn.functional.max_pool2d(
                torch.tensor(ours), self.kernel_size, self.stride, return_indices=True
            )
            taken = x.flatten(2).gather(2, places.flatten(2)).view(places.shape)
            assert (super().forward(x) - taken).detach().sum() <= 1e-5 * largest.abs().sum()
            return taken

    return types.SimpleNamespace(**vars(torch.nn) | {"ReLU": ReLU, "MaxPool2d": MaxPool2d})


def with_calls(model, x):
    """The logits, and what each ReLU and max-pool was given and made."""
    calls, outputs = [], [x]

    def notice(module, output):
        if isinstance(module, nn.ReLU | nn.MaxPool2D):
            calls.append((outputs[-1], output.data))
        outputs[:] = [output.data]

    with observing(notice):
        return model(x), calls


def apart(ours, theirs):
    """The norm of the difference over the norm of PyTorch's."""
    ours, theirs = ours.ravel(), theirs.numpy(force=True).ravel()
    return np.linalg.norm(ours - theirs) / np.linalg.norm(theirs)


def compare_a_training_step(model, make_oracle, images, rng):
    """Loss, logits and gradients of a training step within 1e-4 of PyTorch's from the same weights, and so the new weights."""
    torch = pytest.importorskip("torch")
    x = rng.standard_normal(images, np.float32)
    labels = rng.integers(model.parameters()[-1].size, size=len(x))
    logits, calls = with_calls(model, x)
    loss = nn.cross_entropy(logits, labels)
    loss.backward()

    with torch.device("meta"):  # without weights: they are ours
        oracle = make_oracle(with_our_decisions(torch, calls))
    named = list(oracle.named_parameters())
    assert [tuple(tensor.shape) for _, tensor in named] == [parameter.shape for parameter in model.parameters()]
    theirs = {
        name: torch.from_numpy(parameter.data).requires_grad_()
        for (name, _), parameter in zip(named, model.parameters(), strict=True)
    }
    buffers = {name: torch.zeros(b.shape, dtype=b.dtype) for name, b in oracle.named_buffers()}
    expected = torch.func.functional_call(oracle, theirs | buffers, torch.from_numpy(x))
    their_loss = torch.nn.functional.cross_entropy(expected, torch.tensor(labels))
    their_loss.backward()
    assert not calls

    assert abs(loss.item() / their_loss.item() - 1) < 1e-4
    assert apart(logits.data, expected) < 1e-4
    for (name, parameter), their in zip(model.named_parameters(), theirs.values(), strict=True):
        assert parameter.grad.dtype == np.float32
        assert apart(parameter.grad.data, their.grad) < 1e-4, name
    nn.optim.SGD(model.parameters(), lr=0.01).step()
    for (name, parameter), their in zip(model.named_parameters(), theirs.values(), strict=True):
        assert parameter.dtype == np.float32
        assert apart(parameter.data, their.detach() - 0.01 * their.grad) < 1e-5, name


SMALL_ONES = [
    (lambda: nn.models.LeNet5(rng=0), lambda t: lenet5(t, modern=False), (4, 1, 32, 32)),
    (lambda: nn.models.LeNet5(modern=True, rng=0), lambda t: lenet5(t, modern=True), (4, 1, 32, 32)),
    (lambda: nn.models.SmallVGG(dropout=0.0, rng=0), small_vgg, (4, 1, 28, 28)),
    (lambda: nn.models.VGG16(**SMALL, dropout=0.0, rng=0), narrow_vgg, (2, 1, 28, 28)),
]


@pytest.mark.parametrize(
    ("make", "make_oracle", "images"), SMALL_ONES, ids=["lenet5", "lenet5-modern", "small-vgg", "narrow-vgg"]
)
def test_a_training_step_of_a_small_one_is_pytorchs(make, make_oracle, images, rng):
    compare_a_training_step(make(), make_oracle, images, rng)


LARGE_ONES = [
    (lambda: nn.models.AlexNet(dropout=0.0, rng=0), lambda t: alexnet(t, True), (2, 3, 227, 227), 60_965_224, 724),
    (
        lambda: nn.models.AlexNet(variant="one-column", dropout=0.0, rng=0),
        lambda t: alexnet(t, False),
        (2, 3, 224, 224),
        61_100_840,
        714,
    ),
    (lambda: nn.models.VGG16(dropout=0.0, rng=0), vgg16, (1, 3, 224, 224), 138_357_544, 15_470),
]


@pytest.mark.large
@pytest.mark.parametrize(
    ("make", "make_oracle", "images", "size", "millions"), LARGE_ONES, ids=["alexnet", "alexnet-one-column", "vgg16"]
)
def test_a_training_step_of_a_large_one_is_pytorchs(make, make_oracle, images, size, millions, rng):
    model = make()
    assert count(model) == size
    products = [row.flops / 2 for row in nn.summary(model, (1, *images[1:])).rows if row.kind in ("Conv2D", "Linear")]
    assert round(sum(products) / 1e6, -1 if millions > 1000 else None) == millions  # multiply-adds for an image
    compare_a_training_step(model, make_oracle, images, rng)
