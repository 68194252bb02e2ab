"""Weights in files: safetensors that others read, atomic writes, and errors that say what is wrong."""

import os

import numpy as np
import pytest

import nn
import tensorgrad as tg

safetensors_numpy = pytest.importorskip("safetensors.numpy")


def model(seed=0):
    return nn.Sequential(nn.Conv2D(1, 2, 3, rng=seed), nn.Flatten(), nn.Linear(8, 3, rng=seed))


def same(first, second):
    first, second = first.state_dict(), second.state_dict()
    return all((first[name] == second[name]).all() for name in first)


def test_weights_come_back(tmp_path):
    source, target = model(0), model(1)
    path = tmp_path / "new folder" / "weights.safetensors"
    nn.save_weights(source, path)
    assert not same(source, target)
    nn.load_weights(target, str(path))
    assert same(source, target)
    assert os.listdir(path.parent) == ["weights.safetensors"]


def test_any_memory_order_is_saved_right(tmp_path):
    """The library writes memory as it lies, so arrays that are not in C order would come back shuffled."""
    state = {name: np.asfortranarray(array) for name, array in model().state_dict().items()}
    state["steps"] = np.array(3)

    class Anything:
        def state_dict(self):
            return state

    nn.save_weights(Anything(), tmp_path / "w.safetensors")
    stored = safetensors_numpy.load_file(tmp_path / "w.safetensors")
    assert sorted(stored) == sorted(state)
    for name, array in state.items():
        np.testing.assert_array_equal(stored[name], array)
        assert stored[name].shape == array.shape


def test_pytorch_reads_them(tmp_path):
    torch = pytest.importorskip("torch")
    loader = pytest.importorskip("safetensors.torch")
    source = model()
    nn.save_weights(source, tmp_path / "w.safetensors")
    theirs = torch.nn.Sequential(torch.nn.Conv2d(1, 2, 3), torch.nn.Flatten(), torch.nn.Linear(8, 3))
    theirs.load_state_dict(loader.load_file(tmp_path / "w.safetensors"))
    x = np.random.default_rng(0).standard_normal((2, 1, 4, 4), np.float32)
    np.testing.assert_allclose(source(x).data, theirs(torch.tensor(x)).detach().numpy(), rtol=1e-5, atol=1e-6)


def test_an_optimizer_is_saved_likewise(tmp_path):
    p, q = nn.Parameter([1.0]), nn.Parameter([1.0])
    first, second = nn.optim.Adam([p], 0.1), nn.optim.Adam([q], 0.2)
    p.grad = tg.Tensor([1.0])
    first.step()
    nn.save_weights(first, tmp_path / "adam.safetensors")
    nn.load_weights(second, tmp_path / "adam.safetensors")
    assert second.lr == 0.1
    for name, value in first.state_dict().items():
        np.testing.assert_array_equal(second.state_dict()[name], value)
        assert second.state_dict()[name].shape == value.shape


def test_a_save_that_fails_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "w.safetensors"
    nn.save_weights(model(0), path)
    before = path.read_bytes()

    def full_disk(arrays, new, metadata):
        new.write_bytes(b"half of it")
        raise RuntimeError("no space left on device")

    monkeypatch.setattr(safetensors_numpy, "save_file", full_disk)
    with pytest.raises(OSError, match=r"save_weights: cannot write .*w.safetensors: no space left"):
        nn.save_weights(model(1), path)
    assert path.read_bytes() == before and os.listdir(tmp_path) == ["w.safetensors"]


def test_a_link_stays_a_link(tmp_path):
    (tmp_path / "latest").symlink_to(tmp_path / "run1")
    nn.save_weights(model(), tmp_path / "latest")
    assert (tmp_path / "latest").is_symlink() and (tmp_path / "run1").is_file()


def test_files_that_cannot_be_loaded_are_named_and_change_nothing(tmp_path):
    target = model(1)
    with pytest.raises(FileNotFoundError, match="load_weights: there is no file"):
        nn.load_weights(target, tmp_path / "none.safetensors")
    with pytest.raises(IsADirectoryError, match="save_weights"):
        nn.save_weights(target, tmp_path)

    whole = tmp_path / "w.safetensors"
    nn.save_weights(model(0), whole)
    bad = tmp_path / "bad.safetensors"
    contents = whole.read_bytes()
    for damaged in (b"", b"hello", contents[:-1], contents[:40], b"\xff" * 100):
        bad.write_bytes(damaged)
        with pytest.raises(ValueError, match=r"bad\.safetensors is no safetensors file"):
            nn.load_weights(target, bad)

    nn.save_weights(nn.Sequential(nn.Conv2D(1, 2, 5), nn.Linear(2, 2)), bad)
    with pytest.raises(ValueError, match=r"bad\.safetensors does not fit") as caught:
        nn.load_weights(target, bad)
    for part in ("0.weight has shape (2, 1, 5, 5), needs (2, 1, 3, 3)", "missing: 2.weight, 2.bias", "unexpected: 1."):
        assert part in str(caught.value)
    assert same(target, model(1))
