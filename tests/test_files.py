"""Files are replaced whole: names, links, permissions, and what killed processes leave."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import nn
import tensorgrad as tg
from tensorgrad.files import replacing

posix = pytest.mark.skipif(os.name != "posix", reason="permissions and links of POSIX")


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


WRITERS = {
    "weights": ("w.safetensors", lambda path: nn.save_weights(nn.Linear(2, 2, rng=0), path)),
    "picture": ("p.dot", lambda path: tg.graph(tg.Tensor([1.0], requires_grad=True) * 2.0).save(path)),
    "page": ("p.html", lambda path: tg.graph(tg.Tensor([1.0], requires_grad=True) * 2.0).save(path)),
    "plot": ("p.png", lambda path: nn.training.save_plot(path, [0, 1], {"a": [0, 1]}, ylabel="a")),
}


@posix
@pytest.mark.parametrize("what", WRITERS)
def test_a_new_file_has_the_permissions_of_any_new_file_and_an_old_one_keeps_its_own(what, tmp_path):
    name, write = WRITERS[what]
    (tmp_path / "any").touch()
    write(tmp_path / name)
    assert mode(tmp_path / name) == mode(tmp_path / "any")
    (tmp_path / name).chmod(0o600)
    write(tmp_path / name)
    assert mode(tmp_path / name) == 0o600


@posix
@pytest.mark.parametrize("what", WRITERS)
def test_a_link_stays_and_what_it_points_to_is_replaced(what, tmp_path):
    name, write = WRITERS[what]
    (tmp_path / "there").mkdir()
    target, link = tmp_path / "there" / name, tmp_path / name
    target.write_text("old")
    link.symlink_to(target)
    write(link)
    assert link.is_symlink() and target.read_bytes() != b"old"


@pytest.mark.parametrize("what", WRITERS)
def test_names_as_long_as_a_file_system_takes_them(what, tmp_path):
    suffix = Path(WRITERS[what][0]).suffix
    path = tmp_path / ("n" * (255 - len(suffix)) + suffix)
    WRITERS[what][1](path)
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("what", WRITERS)
def test_the_home_folder(what, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    name, write = WRITERS[what]
    write(f"~/made/{name}")
    assert (tmp_path / "made" / name).stat().st_size


def test_weights_and_data_are_read_from_the_home_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    model = nn.Linear(2, 2, rng=0)
    nn.save_weights(model, tmp_path / "w.safetensors")
    nn.load_weights(nn.Linear(2, 2, rng=1), "~/w.safetensors")
    with pytest.raises(FileNotFoundError, match=str(tmp_path)):
        nn.data.load_mnist("test", root="~/nowhere")


@posix
def test_what_a_killed_process_left_is_removed_by_the_next_that_writes_the_file(tmp_path):
    code = "import os, sys; from tensorgrad.files import replacing\nwith replacing(sys.argv[1]) as new:\n"
    code += "    new.write_text('half')\n    os.kill(os.getpid(), 9)"
    root = Path(tg.__file__).parent.parent
    for name in ("a.txt", "b.txt"):
        subprocess.run([sys.executable, "-c", code, str(tmp_path / name)], cwd=root, check=False)
    stranger = tmp_path / ".12345678.txt"
    stranger.touch()
    assert len(list(tmp_path.iterdir())) == 3
    with replacing(tmp_path / "a.txt") as new:
        new.write_text("whole")
    left = [file.name for file in tmp_path.iterdir()]
    assert len(left) == 3 and "a.txt" in left and stranger.name in left  # b's leftover is b's


def test_nothing_is_left_where_writing_fails(tmp_path):
    (tmp_path / "a.txt").write_text("old")
    with pytest.raises(KeyError), replacing(tmp_path / "a.txt") as new:
        new.write_text("half")
        raise KeyError
    assert [file.read_text() for file in tmp_path.iterdir()] == ["old"]


def written(path, tensors):
    """A safetensors file of tensors (dtype, shape, bytes), by hand."""
    header, data = {}, b""
    for name, (dtype, shape, content) in tensors.items():
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [len(data), len(data) + len(content)]}
        data += content
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + data)


def test_bfloat16_is_read_exactly_as_float32(tmp_path):
    values = np.array([[1.0, -2.5], [3.140625, np.inf]], np.float32)  # all of them bfloat16
    bits = (values.view(np.uint32) >> 16).astype("<u2").tobytes()
    bias = np.array([0.5, 0.25], np.float32)
    written(tmp_path / "w.safetensors", {"bias": ("F32", [2], bias.tobytes()), "weight": ("BF16", [2, 2], bits)})
    model = nn.Linear(2, 2, rng=0)
    nn.load_weights(model, tmp_path / "w.safetensors")
    assert np.array_equal(model.weight.data, values) and np.array_equal(model.bias.data, bias)


def test_dtypes_that_numpy_lacks_are_named(tmp_path):
    written(tmp_path / "w.safetensors", {"bias": ("F32", [2], bytes(8)), "weight": ("F8_E4M3", [2, 2], bytes(4))})
    model = nn.Linear(2, 2, rng=0)
    before = model.state_dict()
    with pytest.raises(ValueError, match=r"holds weight in F8_E4M3, which NumPy has no numbers for; convert it to F32"):
        nn.load_weights(model, tmp_path / "w.safetensors")
    assert all(np.array_equal(model.state_dict()[name], array) for name, array in before.items())
