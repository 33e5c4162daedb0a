"""examples/text: the trained transformer writes in C++ what it writes in Python."""
# SPDX-License-Identifier: Apache-2.0

import math
import subprocess
import sys
from pathlib import Path

import pytest

import moka
from moka import safetensors

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "text"
SENTENCE = "the quick brown fox jumps over the lazy dog. "


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> tuple[Path, str]:
    """The folder that train.py leaves after a few steps on one sentence, and what it printed."""
    folder = tmp_path_factory.mktemp("text")
    (folder / "texts").mkdir()
    (folder / "texts" / "fox").write_text(SENTENCE * 60)
    options = ["--text", folder / "texts", "--steps", 60, "--width", 32, "--layers", 1]
    command = [sys.executable, EXAMPLE / "train.py", folder / "out", *options]
    result = subprocess.run([str(word) for word in command], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    return folder / "out", result.stdout


def test_it_learns(trained):
    characters = (trained[0] / "characters.txt").read_text()
    bits = float(trained[1].partition("unseen text: ")[2].split()[0])
    assert bits < math.log2(len(characters)) / 2


@pytest.mark.parametrize("prompt", ["the quick", SENTENCE * 2])
def test_cpp_writes_what_python_writes(trained, build, prompt, monkeypatch):
    monkeypatch.syspath_prepend(str(EXAMPLE))
    from char_model import CharTransformer

    folder = trained[0]
    characters = (folder / "characters.txt").read_text()
    model = CharTransformer(len(characters), width=32, layers=1).eval()
    model.load_state_dict(safetensors.load_file(folder / "trained.safetensors"))
    text = [characters.index(character) for character in prompt]
    with moka.no_grad():
        for _ in range(30):
            text.append(int(model(moka.tensor([text[-model.context :]]))[0, -1].argmax()))
    result = subprocess.run(
        [build / "tests" / "text_example", folder, prompt, "30"], capture_output=True, text=True
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.rstrip("\n") == "".join(characters[number] for number in text)


def test_a_character_that_the_model_never_saw_is_named(trained, build):
    result = subprocess.run(
        [build / "tests" / "text_example", trained[0], "fox?", "3"], capture_output=True, text=True
    )
    assert result.returncode == 1
    assert "never saw the character '?'" in result.stderr
