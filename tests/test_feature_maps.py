"""examples/feature_maps.py, run as a user runs it."""

import re
import subprocess
import sys
from pathlib import Path

PROGRAM = Path(__file__).parent.parent / "examples" / "feature_maps.py"


def test_the_feature_maps_have_the_shapes_of_the_course(tmp_path, environment):
    done = subprocess.run(
        [sys.executable, str(PROGRAM), "--filters", "edges"], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    shapes = [re.findall(r" (\(\d+, \d+, \d+, \d+\))", line) for line in done.stdout.splitlines()[:9]]
    assert [line[-1] for line in shapes] == [
        "(1, 1, 438, 438)",
        "(1, 1, 219, 219)",
        "(1, 10, 438, 438)",
        "(15, 10, 438, 438)",
        "(1, 32, 146, 146)",
        "(15, 64, 436, 436)",
        "(1, 8, 219, 219)",
        "(1, 32, 219, 219)",
        "(15, 30, 108, 108)",
    ]
    assert shapes[8] == [
        "(15, 3, 440, 440)",
        "(15, 10, 438, 438)",
        "(15, 10, 219, 219)",
        "(15, 30, 217, 217)",
        "(15, 30, 108, 108)",
    ]
    figures = sorted((tmp_path / "runs" / "feature_maps").iterdir())
    assert len(figures) == 15 and all(figure.suffix == ".png" for figure in figures)


def test_an_image_that_cannot_be_read_is_named(tmp_path, environment):
    (tmp_path / "no.png").write_text("not an image")
    for image in ("no.png", "missing.png"):
        command = [sys.executable, str(PROGRAM), "--image", image]
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
        assert done.returncode == 1 and image in done.stderr
