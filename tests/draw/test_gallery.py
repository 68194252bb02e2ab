"""examples/gallery.py draws all of its pictures, with an engine and without."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def run(environment, *arguments):
    command = [sys.executable, str(ROOT / "examples" / "gallery.py"), *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True)


def test_every_picture_is_drawn(environment, gallery, tmp_path, any_engine):
    done = run(environment, "--output", str(tmp_path), "--formats", "svg")
    assert done.returncode == 0, done.stderr
    assert {path.name for path in tmp_path.iterdir()} == {f"{name}.svg" for name in gallery.PICTURES}


def test_pictures_without_an_engine(environment, tmp_path):
    environment = environment | {"TENSORGRAD_ENGINE": "none"}
    done = run(environment, "--output", str(tmp_path), "--only", "expression", "nan", "--formats", "html", "dot", "json")
    assert done.returncode == 0, done.stderr
    assert len(list(tmp_path.iterdir())) == 6


def test_wrong_names_are_refused(environment, tmp_path):
    done = run(environment, "--only", "nothing", "--output", str(tmp_path))
    assert done.returncode == 2
    assert "mnist_cnn" in done.stderr
