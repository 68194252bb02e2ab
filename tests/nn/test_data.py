"""The digits: those shipped, faults in files, downloads from mirrors that fail in every way, and batches."""

import gzip
import hashlib
import os
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from nn import data
from nn.data import idx, mnist
from nn.data.make_digits import make_digits

FULL_SET = os.environ.get("TENSORGRAD_MNIST")
needs_full_set = pytest.mark.skipif(not FULL_SET, reason="TENSORGRAD_MNIST names no folder with the full set")

NAMES = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")
IMAGES, LABELS = NAMES[:2]


@pytest.fixture(autouse=True)
def no_full_set(monkeypatch):
    """Whatever the environment names, a test finds the shipped digits unless it says otherwise."""
    monkeypatch.delenv("TENSORGRAD_MNIST", raising=False)


@pytest.fixture
def contents():
    """The bytes of four small files: 6 training digits and 4 for testing."""
    rng = np.random.default_rng(0)
    files = {}
    for name, count in zip(NAMES, (6, 6, 4, 4), strict=True):
        if "images" in name:
            files[name] = idx.encode(rng.integers(256, size=(count, 28, 28), dtype=np.uint8))
        else:
            files[name] = idx.encode(rng.integers(10, size=count, dtype=np.uint8))
    return files


@pytest.fixture
def root(tmp_path, contents):
    for name, raw in contents.items():
        (tmp_path / name).write_bytes(raw)
    return tmp_path


# -- what is shipped ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("split", "count", "first_labels"),
    [("train", 3000, [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]), ("test", 500, [7, 2, 1, 0, 4, 1, 4, 9, 5, 9])],
)
def test_shipped_digits(split, count, first_labels):
    images, labels = data.load_mnist(split)
    assert images.shape == (count, 1, 28, 28) and images.dtype == np.uint8
    assert labels.shape == (count,) and labels.dtype == np.int64
    assert labels[:10].tolist() == first_labels
    assert images.min() == 0 and images.max() == 255
    assert set(labels) == set(range(10))
    images[0] = 0  # the arrays are the caller's own
    assert data.load_mnist(split)[0][0].any()


def test_shipped_digits_are_well_under_a_megabyte():
    assert sum(path.stat().st_size for path in data.SHIPPED_DIGITS.iterdir()) < 600_000


@needs_full_set
@pytest.mark.parametrize(("split", "count"), [("train", 60_000), ("test", 10_000)])
def test_shipped_digits_begin_the_full_set(split, count):
    shipped_images, shipped_labels = data.load_mnist(split)
    images, labels = data.load_mnist(split, root=FULL_SET)
    assert images.shape == (count, 1, 28, 28) and labels.shape == (count,)
    np.testing.assert_array_equal(images[: len(shipped_images)], shipped_images)
    np.testing.assert_array_equal(labels[: len(shipped_labels)], shipped_labels)


@needs_full_set
def test_make_digits_makes_what_is_shipped(tmp_path):
    make_digits(Path(FULL_SET), tmp_path)
    for name in NAMES:
        made, shipped = tmp_path / f"{name}.gz", data.SHIPPED_DIGITS / f"{name}.gz"
        assert gzip.decompress(made.read_bytes()) == gzip.decompress(shipped.read_bytes())


def test_make_digits_refuses_files_that_are_not_mnist(root, tmp_path):
    with pytest.raises(ValueError, match=f"{IMAGES}: corrupt, or another data set"):
        make_digits(root, tmp_path / "made")
    assert not (tmp_path / "made").exists()


def test_shipped_digits_are_held_against_their_checksum(tmp_path, monkeypatch):
    for path in data.SHIPPED_DIGITS.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    raw = bytearray(gzip.decompress((tmp_path / f"{IMAGES}.gz").read_bytes()))
    raw[-1] ^= 1
    (tmp_path / f"{IMAGES}.gz").write_bytes(gzip.compress(bytes(raw)))
    assert data.load_mnist("train", root=tmp_path)[0].shape == (3000, 1, 28, 28)  # as anybody's digits they are good
    monkeypatch.setattr(mnist, "SHIPPED_DIGITS", tmp_path)
    with pytest.raises(ValueError, match="SHA-256"):
        data.load_mnist("train")


# -- files in a folder --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("packed", [False, True])
def test_root_with_files_gzipped_or_not(root, contents, packed):
    if packed:
        for name in NAMES:
            (root / name).unlink()
            (root / f"{name}.gz").write_bytes(gzip.compress(contents[name]))
    images, labels = data.load_mnist("test", root=root)
    assert images.shape == (4, 1, 28, 28)
    assert images.tobytes() == contents["t10k-images-idx3-ubyte"][16:]
    assert labels.tolist() == list(contents["t10k-labels-idx1-ubyte"][8:])


def test_environment_names_the_root_and_an_argument_goes_before_it(root, monkeypatch, tmp_path):
    monkeypatch.setenv("TENSORGRAD_MNIST", str(root))
    assert len(data.load_mnist("train")[0]) == 6
    assert len(data.load_mnist("train", root=data.SHIPPED_DIGITS)[0]) == 3000
    monkeypatch.setenv("TENSORGRAD_MNIST", "")
    assert len(data.load_mnist("train")[0]) == 3000


def test_an_unknown_split_is_refused():
    with pytest.raises(ValueError, match="'train' or 'test', not 'valid'"):
        data.load_mnist("valid")


def packed_and_cut(raw):
    return gzip.compress(raw)[:-20]


def packed_with_a_byte_changed(raw):
    packed = bytearray(gzip.compress(raw))
    packed[len(packed) // 2] ^= 0x55
    return bytes(packed)


FAULTS = {
    "empty": (IMAGES, lambda raw: b"", "begins with nothing, where an idx file of images has 00 00 08 03"),
    "labels for images": (IMAGES, lambda raw: idx.encode(np.zeros(6, np.uint8)), "begins with 00 00 08 01"),
    "images for labels": (LABELS, lambda raw: idx.encode(np.zeros((6, 28, 28), np.uint8)), "of labels has 00 00 08 01"),
    "a web page": (IMAGES, lambda raw: b"<!DOCTYPE html>", "another kind of file"),
    "cut in the header": (IMAGES, lambda raw: raw[:10], "truncated within the header, after 10 of 16 bytes"),
    "cut in the pixels": (IMAGES, lambda raw: raw[:-1], "truncated; the header announces 6 x 28 x 28 = 4,704 bytes"),
    "too long": (LABELS, lambda raw: raw + b"\0", "too long; the header announces 6 = 6 bytes and it holds 7"),
    "gzipped and cut": (IMAGES, packed_and_cut, "truncated or corrupt"),
    "gzipped and changed": (IMAGES, packed_with_a_byte_changed, "truncated or corrupt"),
    "other counts": (LABELS, lambda raw: idx.encode(np.zeros(5, np.uint8)), "6 images and train-labels-idx1-ubyte 5 labels"),
    "other sizes": (IMAGES, lambda raw: idx.encode(np.zeros((6, 28, 27), np.uint8)), "28 x 27 pixels; MNIST's are 28 x 28"),
    "a label 10": (LABELS, lambda raw: raw[:-1] + b"\x0a", "the label 10"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_faulty_file_is_named_with_what_is_wrong(root, contents, fault):
    name, damage, message = FAULTS[fault]
    (root / name).write_bytes(damage(contents[name]))
    with pytest.raises(ValueError, match=message) as raised:
        data.load_mnist("train", root=root)
    assert str(root / name) in str(raised.value) or fault == "other counts"
    data.load_mnist("test", root=root)  # its files are good


def test_a_missing_file_is_named_with_the_cure(root):
    (root / LABELS).unlink()
    with pytest.raises(FileNotFoundError, match=rf"neither {LABELS} nor {LABELS}.gz; nn.data.download_mnist\("):
        data.load_mnist("train", root=root)


# -- downloads ----------------------------------------------------------------------------------------------------


class Mirrors:
    """Web servers in one: the first folder of an address chooses how it answers."""

    def __init__(self, contents):
        self.packed = {f"{name}.gz": gzip.compress(raw) for name, raw in contents.items()}
        self.asked = []
        mirrors = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                how, file = self.path.strip("/").split("/")
                mirrors.asked.append((how, file))
                mirrors.answer(self, how, mirrors.packed[file])

            def log_message(self, *arguments):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01})
        self.thread.start()

    def answer(self, handler, how, body):
        if how == "absent":
            handler.send_error(404)
            return
        if how == "silent":
            time.sleep(0.6)
            return
        if how == "changed":
            body = packed_with_a_byte_changed(body)
        if how == "other":
            body = gzip.compress(b"another file")
        handler.send_response(200)
        if how != "unannounced":
            handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body[: len(body) // 2] if how == "cut" else body)

    def address(self, how):
        return f"http://127.0.0.1:{self.server.server_port}/{how}/"

    def close(self):
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


@pytest.fixture
def mirrors(contents, monkeypatch):
    """Mirrors of the four small files, whose checksums stand in for those of MNIST."""
    for name, raw in contents.items():
        monkeypatch.setitem(mnist.FULL_SHA256, name, hashlib.sha256(raw).hexdigest())
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    running = Mirrors(contents)
    yield running
    running.close()


def download(mirrors, root, *ways):
    return data.download_mnist(root, mirrors=[mirrors.address(how) for how in ways], timeout=0.2, progress=False)


@pytest.mark.parametrize("how", ["good", "unannounced"])
def test_download_then_load(mirrors, contents, tmp_path, how):
    root = download(mirrors, tmp_path / "new" / "folder", how)
    assert sorted(path.name for path in root.iterdir()) == sorted(f"{name}.gz" for name in NAMES)
    assert data.load_mnist("train", root=root)[0].tobytes() == contents[IMAGES][16:]


@pytest.mark.parametrize("how", ["absent", "cut", "changed", "other", "silent"])
def test_download_goes_on_to_the_next_mirror(mirrors, tmp_path, how):
    download(mirrors, tmp_path, how, "good")
    assert mirrors.asked == [(way, f"{name}.gz") for name in NAMES for way in (how, "good")]
    assert len(data.load_mnist("test", root=tmp_path)[0]) == 4


def test_download_without_a_good_mirror_says_why_and_writes_nothing(mirrors, tmp_path):
    with pytest.raises(OSError, match="no mirror gave train-images") as raised:
        download(mirrors, tmp_path / "folder", "absent", "cut", "changed", "other", "silent")
    reasons = str(raised.value).splitlines()[1:6]
    for how, reason, line in zip(
        ("absent", "cut", "changed", "other", "silent"),
        ("404", "truncated", "truncated or corrupt", "SHA-256", "timed out|closed"),
        reasons,
        strict=True,
    ):
        assert mirrors.address(how) in line
        assert any(word in line for word in reason.split("|")), line
    assert not (tmp_path / "folder").exists()


def test_download_keeps_what_is_whole_and_replaces_what_is_not(mirrors, root, contents):
    (root / IMAGES).write_bytes(contents[IMAGES][:-1])
    (root / LABELS).unlink()
    download(mirrors, root, "good")
    assert mirrors.asked == [("good", f"{IMAGES}.gz"), ("good", f"{LABELS}.gz")]
    assert (root / IMAGES).read_bytes() == contents[IMAGES]
    assert sorted(path.name for path in root.iterdir()) == sorted([*NAMES[:1], f"{LABELS}.gz", *NAMES[2:]])
    mirrors.asked.clear()
    download(mirrors, root)  # no mirror is needed any more
    assert not mirrors.asked


def test_download_gives_up_a_mirror_that_does_not_stop_sending(mirrors, tmp_path, monkeypatch):
    monkeypatch.setattr("nn.data.download.MOST_BYTES", 100)
    with pytest.raises(OSError, match="sends more than 100 bytes"):
        download(mirrors, tmp_path, "good")
    assert not list(tmp_path.iterdir())


def test_the_checksums_are_those_of_mnist():
    """As published with the data set and in other libraries."""
    assert [mnist.FULL_SHA256[name][:8] for name in NAMES] == ["ba891046", "65a50cbb", "0fa7898d", "ff7bcfd4"]


# -- batches ------------------------------------------------------------------------------------------------------


@pytest.fixture
def examples():
    """Ten examples that can be told apart: image i holds 784 i onward, and its label is i."""
    return np.arange(10 * 784, dtype=np.float32).reshape(10, 1, 28, 28), np.arange(10)


def test_batches_in_order(examples):
    images, labels = examples
    epoch = list(data.batches(images, labels, 4, shuffle=False))
    assert [len(x) for x, _ in epoch] == [4, 4, 2]
    np.testing.assert_array_equal(np.concatenate([x for x, _ in epoch]), images)
    np.testing.assert_array_equal(np.concatenate([t for _, t in epoch]), labels)


def test_a_shuffled_epoch_has_each_example_once_and_the_next_another_order(examples):
    images, labels = examples
    batches = data.batches(images, labels, 3, shuffle=True, rng=np.random.default_rng(0))
    assert len(batches) == 4
    orders = []
    for _ in range(2):
        epoch = list(batches)
        for x, t in epoch:
            np.testing.assert_array_equal(x, images[t])
        orders.append(np.concatenate([t for _, t in epoch]).tolist())
        assert sorted(orders[-1]) == list(range(10))
    assert orders[0] != orders[1] != list(range(10))


def test_with_replacement_every_batch_is_full_and_drawn_from_all(examples):
    images, labels = examples
    batches = data.batches(images, labels, 4, shuffle=True, replace=True, rng=0)
    assert len(batches) == 3
    drawn = []
    for _ in range(200):
        for x, t in batches:
            assert len(t) == 4
            np.testing.assert_array_equal(x, images[t])
            drawn.append(t)
    drawn = np.array(drawn)  # 600 batches of 4
    counts = np.bincount(drawn.ravel(), minlength=10)
    assert counts.min() > 180 and counts.max() < 300  # 240 expected, deviation 15
    twice = np.mean([len(set(t)) < 4 for t in drawn])
    assert 0.4 < twice < 0.6  # 1 - 10*9*8*7/10^4 = 0.496


def test_section_seven_draws_fifteen_batches_an_epoch():
    images, labels = data.load_mnist("train")
    batches = data.batches(images, labels, 200, shuffle=True, replace=True, rng=0)
    assert [x.shape for x, _ in batches] == [(200, 1, 28, 28)] * 15


def test_the_same_seed_gives_the_same_batches(examples):
    for replace in (False, True):
        first, again, other = (
            [t.tolist() for _, t in data.batches(*examples, 4, shuffle=True, replace=replace, rng=seed)] for seed in (5, 5, 6)
        )
        assert first == again != other


def test_batches_keep_dtypes_and_own_their_memory(examples):
    images, labels = examples
    one_hot = np.eye(10, dtype=np.float32)
    for x, t in data.batches(images.astype(np.uint8), one_hot, 5, shuffle=False):
        assert x.dtype == np.uint8 and t.dtype == np.float32 and t.shape == (5, 10)
    for x, _ in data.batches(images, labels, 10, shuffle=False):
        x[:] = -1
    assert images.min() == 0


def test_images_of_a_batch_lie_with_the_batch_innermost(examples):
    for x, _ in data.batches(*examples, 5, shuffle=True, rng=0):
        assert x.transpose(1, 2, 3, 0).flags.c_contiguous


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"batch_size": 0}, "at least 1, not 0"),
        ({"batch_size": 2.0}, "whole number"),
        ({"batch_size": True}, "whole number"),
        ({"labels": np.arange(9)}, r"\(10, 1, 28, 28\) and labels of shape \(9,\)"),
        ({"labels": 3}, "labels of shape"),
        ({"images": np.zeros((0, 1, 28, 28)), "labels": np.zeros(0)}, "no examples"),
        ({"replace": True, "shuffle": False}, "shuffle=True"),
    ],
)
def test_batches_refuse_bad_arguments_at_once(examples, change, message):
    arguments = {"images": examples[0], "labels": examples[1], "batch_size": 4, "shuffle": True, "rng": 0} | change
    with pytest.raises(ValueError, match=message):
        data.batches(**arguments)
