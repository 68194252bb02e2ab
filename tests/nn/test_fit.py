"""The training loop: what it records, how it ends, and that a resumed training comes to the same bits."""

import math
import signal
from functools import partial

import numpy as np
import pytest

import nn
import tensorgrad as tg

DIGITS, LABELS = nn.data.load_mnist("test", root=nn.data.SHIPPED_DIGITS)
IMAGES = (DIGITS[:120, :, ::2, ::2] / 255).astype(np.float32)  # (120, 1, 14, 14)
LABELS = LABELS[:120]


def network(seed=0):
    return nn.Sequential(
        nn.Flatten(),
        nn.Linear(196, 16, rng=seed),
        nn.ReLU(),
        nn.Dropout(0.2, rng=seed + 1),
        nn.Linear(16, 10, rng=seed + 2),
    )


def training(epochs, *, model=None, optimizer=nn.optim.Adam, lr=0.01, prefetch=False, **settings):
    model = network() if model is None else model
    data = nn.data.batches(IMAGES[:90], LABELS[:90], 20, shuffle=True, augment=nn.data.augment.affine(shift=1), rng=5)
    data = nn.data.prefetch(data) if prefetch else data
    held_out = nn.data.batches(IMAGES[90:], LABELS[90:], 30, shuffle=False)
    return nn.fit(
        model,
        data,
        optimizer(model.parameters(), lr=lr),
        epochs=epochs,
        evaluations={"held_out_accuracy": held_out},
        progress=False,
        **settings,
    )


def test_it_learns_and_records_every_step():
    done = training(30, schedule=nn.schedules.cosine(0.01, 150))
    history = done.history
    assert done.stopped == "done" and len(history) == 30 * 5
    assert history["loss"][-10:].mean() < history["loss"][:10].mean() / 2
    np.testing.assert_array_equal(history["iteration"], np.arange(1, 151))
    np.testing.assert_array_equal(history["epoch"], np.repeat(np.arange(1, 31), 5))
    assert history["lr"][0] == 0.01 and np.all(np.diff(history["lr"]) < 0)
    evaluated = np.isfinite(history["held_out_accuracy"])
    np.testing.assert_array_equal(np.flatnonzero(evaluated), np.arange(4, 150, 5))  # at the ends of epochs
    assert history["held_out_accuracy"][evaluated].max() > 0.5


def test_it_is_a_plain_loop():
    """The same steps as a loop written by hand."""
    model, data = network(), nn.data.batches(IMAGES, LABELS, 40, shuffle=True, rng=1)
    loss = partial(nn.cross_entropy, label_smoothing=0.1)
    fitted = nn.fit(model, data, nn.optim.SGD(model.parameters(), lr=0.1), epochs=2, loss=loss, progress=False)
    by_hand, data = network(), nn.data.batches(IMAGES, LABELS, 40, shuffle=True, rng=1)
    optimizer, losses = nn.optim.SGD(by_hand.parameters(), lr=0.1), []
    for _ in range(2):
        for x, t in data:
            value = loss(by_hand(x), t)
            optimizer.zero_grad()
            value.backward()
            optimizer.step()
            losses.append(value.item())
    np.testing.assert_array_equal(fitted.history["loss"], losses)
    for mine, other in zip(model.parameters(), by_hand.parameters(), strict=True):
        np.testing.assert_array_equal(mine.data, other.data)


@pytest.mark.parametrize("optimizer", [nn.optim.Adam, partial(nn.optim.SGD, momentum=0.9, nesterov=True)])
@pytest.mark.parametrize("prefetch", [False, True])
def test_a_resumed_training_comes_to_the_same_bits(tmp_path, optimizer, prefetch):
    settings = {
        "optimizer": optimizer,
        "prefetch": prefetch,
        "schedule": nn.schedules.one_cycle(0.02, 20),
        "best": "held_out_accuracy",
    }
    whole = training(4, **settings)
    file = tmp_path / "training.safetensors"
    training(2, checkpoint=file, **settings)
    resumed = training(4, model=network(seed=50), checkpoint=file, resume=True, **settings)  # other weights and generators
    for mine, other in zip(whole.model.parameters(), resumed.model.parameters(), strict=True):
        np.testing.assert_array_equal(mine.data, other.data)
    for column in ("iteration", "loss", "lr", "held_out_accuracy"):
        np.testing.assert_array_equal(whole.history[column], resumed.history[column])
    assert (resumed.best_epoch, resumed.best_value) == (whole.best_epoch, whole.best_value)
    assert [path.name for path in tmp_path.iterdir()] == ["training.safetensors"]


def test_a_checkpoint_of_another_training_changes_nothing(tmp_path):
    file = tmp_path / "training.safetensors"
    training(1, checkpoint=file)
    other = nn.Sequential(nn.Flatten(), nn.Linear(196, 10, rng=0))
    before = other.state_dict()
    with pytest.raises(ValueError, match="checkpoint of another training"):
        training(2, model=other, checkpoint=file, resume=True)
    for name, array in other.state_dict().items():
        np.testing.assert_array_equal(array, before[name])
    with pytest.raises(FileNotFoundError, match="missing"):
        training(2, checkpoint=tmp_path / "missing.safetensors", resume=True)


def test_the_best_weights_are_kept_and_patience_ends():
    scores = iter([0.5, 0.7, 0.6, 0.65, 0.9])
    states = []

    def score(model):
        states.append(model.state_dict())
        return next(scores)

    model = network()
    data = nn.data.batches(IMAGES, LABELS, 60, shuffle=True, rng=0)
    optimizer = nn.optim.SGD(model.parameters(), lr=0.1)
    settings = {"evaluations": {"score": score}, "best": "score", "patience": 2, "progress": False}
    done = nn.fit(model, data, optimizer, epochs=9, **settings)
    assert (done.stopped, done.epoch, done.best_epoch, done.best_value) == ("no better", 4, 2, 0.7)
    for name, array in model.state_dict().items():
        np.testing.assert_array_equal(array, states[1][name])


def test_callbacks_see_each_step_and_can_end_it():
    seen = []

    def third(training):
        seen.append((training.iteration, training.row["loss"], len(training.batch[0])))
        if training.iteration == 3:
            training.stop("that will do")

    done = training(2, callbacks=[third])
    assert done.stopped == "that will do" and [s[0] for s in seen] == [1, 2, 3] and len(done.history) == 3
    assert [s[1] for s in seen] == done.history["loss"].tolist() and seen[0][2] == 20


def test_ctrl_c_ends_after_the_step():
    done = training(5, callbacks=[lambda t: signal.raise_signal(signal.SIGINT) if t.iteration == 4 else None])
    assert done.stopped == "interrupted" and done.iteration == 4 and len(done.history) == 4


def test_a_loss_that_is_no_number_ends_it():
    model = network()
    tg.assign(model.parameters()[0], np.full((16, 196), np.inf, np.float32))
    with np.errstate(all="ignore"):
        done = training(3, model=model)
    assert done.stopped == "not finite" and done.iteration == 1 and not math.isfinite(done.history["loss"][0])


def test_gradients_are_clipped():
    largest = []

    def look(training):
        norm = math.sqrt(sum(float((p.grad.data**2).sum()) for p in training.model.parameters()))
        largest.append(norm)

    training(2, max_norm=0.01, callbacks=[look])
    assert max(largest) <= 0.01 * 1.0001


def test_the_mode_of_the_model_comes_back():
    model = network().eval()
    modes = []
    training(1, model=model, callbacks=[lambda t: modes.append(t.model.training)])
    assert all(modes) and not model.training


def test_settings_that_do_not_fit_are_refused():
    for settings, message in [
        ({"best": "luck"}, "luck"),
        ({"patience": 2}, "patience needs best"),
        ({"resume": True}, "resume=True needs checkpoint"),
        ({"evaluate_every": 0}, "evaluate_every"),
    ]:
        with pytest.raises(ValueError, match=message):
            training(1, **settings)
    with pytest.raises(ValueError, match="length"):
        nn.fit(network(), iter([]), None, epochs=1)


def test_prefetching_gives_the_same_batches_and_passes_errors_on():
    def draws():
        return nn.data.batches(IMAGES, LABELS, 32, shuffle=True, augment=nn.data.augment.affine(rotate=9), rng=3)

    for (x, t), (y, u) in zip(draws(), nn.data.prefetch(draws(), ahead=3), strict=True):
        np.testing.assert_array_equal(x, y)
        np.testing.assert_array_equal(t, u)

    def failing():
        yield 1
        raise RuntimeError("the disk is gone")

    taken = iter(nn.data.prefetch(failing()))
    assert next(taken) == 1
    with pytest.raises(RuntimeError, match="the disk is gone"):
        next(taken)


class Seen:
    """A measure that notes how it found the model."""

    def __init__(self):
        self.states = []

    def __call__(self, model):
        out = model(np.zeros((2, 196), np.float32))
        self.states.append((model.training, out.requires_grad))
        return float(len(self.states))


def digits(count=40, batch=16):
    rng = np.random.default_rng(0)
    return nn.data.batches(rng.random((count, 196), dtype=np.float32), rng.integers(0, 10, count), batch, shuffle=False)


def test_functions_that_evaluate_find_the_model_in_use_and_without_a_graph():
    model, seen = network(), Seen()
    nn.fit(model, digits(), nn.optim.SGD(model.parameters(), 0.1), epochs=2, evaluations={"seen": seen}, progress=False)
    assert seen.states == [(False, False)] * 2 and model.training


@pytest.mark.parametrize("error", [KeyError, KeyboardInterrupt])
@pytest.mark.parametrize("training_before", [True, False])
def test_the_mode_comes_back_whatever_happens(error, training_before):
    def broken(training):
        raise error("x")

    model = network().train(training_before)
    with pytest.raises(error):
        nn.fit(model, digits(), nn.optim.SGD(model.parameters(), 0.1), epochs=1, callbacks=[broken], progress=False)
    assert all(module.training == training_before for module in model.modules())


def test_parts_that_were_in_use_stay_in_use():
    model = network()
    model[3].eval()
    nn.fit(model, digits(), nn.optim.SGD(model.parameters(), 0.1), epochs=1, evaluations={"a": digits()}, progress=False)
    assert [module.training for module in model.modules()] == [True, True, True, True, False, True]


def test_an_optimizer_of_another_model_is_refused():
    model = network()
    with pytest.raises(ValueError, match="holds none of the parameters of this Sequential"):
        nn.fit(model, digits(), nn.optim.SGD(network().parameters(), 0.1), epochs=1)
    nn.fit(model, digits(), nn.optim.SGD(model[4].parameters(), 0.1), epochs=1, progress=False)  # the head alone


def test_the_line_of_an_epoch_has_the_mean_loss_of_its_samples(capsys):
    model, losses = network(), []
    data = digits(40, 16)  # the last batch has 8
    training = nn.fit(
        model, data, nn.optim.SGD(model.parameters(), 0.1), epochs=1, callbacks=[lambda t: losses.append(t.row["loss"])]
    )
    mean = (16 * losses[0] + 16 * losses[1] + 8 * losses[2]) / 40
    assert f"loss {mean:.4f}" in capsys.readouterr().out and training.history["loss"].tolist() == losses


def test_a_pair_of_arrays_is_no_batches():
    model = network()
    images, labels = np.zeros((40, 196), np.float32), np.zeros(40, int)
    for data in ((images, labels), [images, tg.Tensor(labels)]):
        with pytest.raises(TypeError, match=r"pair of arrays of shapes \(40, 196\) and \(40,\); cut it with nn.data.batches"):
            nn.fit(model, data, nn.optim.SGD(model.parameters(), 0.1), epochs=1)
    with pytest.raises(TypeError, match="the evaluation held_out must give batches"):
        nn.fit(model, digits(), nn.optim.SGD(model.parameters(), 0.1), epochs=1, evaluations={"held_out": (images, labels)})
