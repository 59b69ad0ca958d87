"""The example of captions: its net, its words, and what it learns."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from minicaffe.proto.files import read_net
from tests.conftest import CHECKOUT

FOLDER = CHECKOUT / "examples" / "captions"


def test_sentences_and_words_are_as_many_in_all_of_the_net() -> None:
    net = read_net(FOLDER / "captions_train_test.prototxt")
    layers = {layer.name: layer for layer in net.layer}
    tops = layers["captions"].cos_data_param.top
    assert len({top.channels for top in tops if top.transpose}) == 1
    words = layers["embedding"].embed_param.input_dim
    assert layers["predict"].inner_product_param.num_output == words


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.xdist_group("spark")
def test_pictures_get_words_of_their_own_captions(tmp_path: Path, shared: Path) -> None:
    """The loss falls below a tenth (exit status 0), and sentences have learned words."""
    for library in ("pyspark", "cv2", "matplotlib"):
        pytest.importorskip(library)
    data = shared / "data" / "captions" / "tiny_coco_cc"
    home = tmp_path / "examples" / "captions"
    home.mkdir(parents=True)
    for path in FOLDER.iterdir():
        if path.is_file():
            (home / path.name).write_bytes(path.read_bytes())
    done = subprocess.run(
        [sys.executable, str(home / "captions.py"), str(data)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(CHECKOUT)},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    first, last = map(float, re.findall(r"loss ([\d.]+) -> ([\d.]+)", done.stdout)[0])
    assert first == pytest.approx(6.07, abs=0.1)  # ln 431
    assert last < first / 10
    shares = dict(re.findall(r"(greedy|beam): (\d+)% of the words", done.stdout))
    assert int(shares["greedy"]) >= 90
    assert int(shares["beam"]) >= 90
    page = (home / "out" / "captions.html").read_text(encoding="utf-8")
    images = json.loads((data / "captions.json").read_text(encoding="utf-8"))["images"]
    assert page.count("<img ") == len(images)
    made = {path.name for path in (home / "out").iterdir()}
    assert {"captions.caffemodel", "loss.png", "vocab", "train"} <= made
