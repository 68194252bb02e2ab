"""examples/architectures.py, run as a user runs it."""

import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

PROGRAM = Path(__file__).parent.parent / "examples" / "architectures.py"


def test_a_network_is_drawn_and_listed(tmp_path, environment):
    command = [sys.executable, str(PROGRAM), "--only", "LeNet5", "MnistCNN"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    folder = tmp_path / "runs" / "architectures"
    assert {path.name for path in folder.iterdir()} == {
        f"{n}.{s}" for n in ("LeNet5", "MnistCNN") for s in ("svg", "png", "txt")
    }
    assert "61,706" in (folder / "LeNet5.txt").read_text() and "61,706" in done.stdout
    drawn = "".join(ElementTree.parse(folder / "LeNet5.svg").getroot().itertext())
    assert drawn.count("avg_pool2d") == 2 and "images" in drawn


def test_an_unknown_network_is_refused(environment):
    done = subprocess.run([sys.executable, str(PROGRAM), "--only", "LeNet6"], env=environment, capture_output=True, text=True)
    assert done.returncode == 2 and "LeNet6" in done.stderr and "LeNet5" in done.stderr
