"""The parser: fast help, one line for a wrong call, exit codes of every way out."""

import resource
import subprocess
import sys

import pytest
import torch

from napari_unet.cli import _info, _main
from napari_unet.errors import ImageError, OutOfMemoryError

COMMANDS = (
    *("train", "predict", "project", "evaluate", "export", "measure"),
    *("simulate", "info", "export-model", "doctor", "demo"),
)


def start(*args, code=None):
    command = ["-c", code] if code else ["-m", "napari_unet.cli"]
    return subprocess.run(
        [sys.executable, *command, *args], capture_output=True, text=True, timeout=120
    )


def test_help_is_fast():
    # processor time, which another busy program does not change much
    def used():
        usage = resource.getrusage(resource.RUSAGE_CHILDREN)
        return usage.ru_utime + usage.ru_stime

    best = 9.0
    for _ in range(3):
        before = used()
        done = start("--help")
        best = min(best, used() - before)
    assert done.returncode == 0
    assert all(command in done.stdout for command in COMMANDS)
    assert done.stderr == ""
    assert best < 0.3


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_explains_itself(cli, command):
    result = cli(command, "--help")
    assert result.code == 0
    assert result.out.startswith(f"usage: napari-unet {command}")


def test_version(cli):
    assert cli("--version").out.startswith("napari-unet 0.")


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        ("", "the following arguments are required: COMMAND"),
        ("fly", "invalid choice: 'fly'"),
        ("train", "the following arguments are required: --image, --annotation, --out"),
        ("predict --model m --image i", "the following arguments are required: --out"),
        ("train --image a --annotation b --out m --seconds -1", "'-1' is not a number"),
        (
            "train --image a --annotation b --out m --seconds nan",
            "'nan' is not a number",
        ),
        (
            "train --image a --annotation b --out m --seconds inf",
            "'inf' is not a number",
        ),
        ("demo --seconds nan", "'nan' is not a number"),
        ("demo --seconds -3", "'-3' is not a number"),
        ("train --image a --annotation b --out m --steps -1", "'-1' is not a whole"),
        ("simulate --truth t --out a --strokes -1", "'-1' is not a whole"),
        ("train --image a --annotation b --out m --steps 1.5", "'1.5' is not a whole"),
        ("train --image a --annotation b --out m --steps 1 --seconds 2", "not allowed"),
        (
            "train --image a --annotation b --out m --device gpu",
            "invalid choice: 'gpu'",
        ),
        ("train --image a --annotation b --out m --classes 2", "'2' is not VALUE=NAME"),
        ("simulate --truth t --out a --strokes many", "'many' is not a whole number"),
        ("simulate --truth t --out a --strokes 0", "is not a whole number of 1 or"),
        ("evaluate --prediction p", "the following arguments are required: --truth"),
        ("info m --verbose", "unrecognized arguments: --verbose"),
    ],
)
def test_wrong_call(cli, call, sentence):
    result = cli(*call.split())
    assert result.code == 2
    assert result.out == ""
    assert sentence in result.sentence()
    assert result.sentence().endswith("--help)")


@pytest.mark.parametrize(
    ("error", "code", "sentence"),
    [
        (ImageError("two\nlines"), 2, "napari-unet: two lines"),
        (MemoryError(), 2, "napari-unet: memory ran out"),
        (torch.OutOfMemoryError("CUDA"), 2, "napari-unet: memory ran out"),
        (OutOfMemoryError("no room for a tile"), 2, "napari-unet: no room for a tile"),
        (KeyboardInterrupt(), 130, "napari-unet: interrupted"),
    ],
)
def test_expected_ends(cli, monkeypatch, error, code, sentence):
    def fail(_):
        raise error

    monkeypatch.setattr(_info, "run", fail)
    result = cli("info", "bundled")
    assert result.code == code
    assert result.sentence().startswith(sentence)


@pytest.mark.parametrize(
    ("bug", "last"),
    [
        ("1 / 0", "ZeroDivisionError: division by zero"),
        # with and without torch, whose error for memory is of this kind too
        ("exec('raise RuntimeError(1)')", "RuntimeError: 1"),
        ("exec('import torch; raise RuntimeError(2)')", "RuntimeError: 2"),
    ],
)
def test_a_bug_keeps_its_traceback_and_exits_1(bug, last):
    done = start(
        "info",
        "bundled",
        code="import sys\n"
        "from napari_unet.cli import _info, main\n"
        f"_info.run = lambda args: {bug}\n"
        "sys.exit(main())",
    )
    assert done.returncode == 1
    assert done.stderr.startswith("Traceback")
    assert done.stderr.strip().endswith(last)


@pytest.mark.parametrize("call", ["--help", "--version"])
def test_whoever_reads_the_output_may_stop_reading(call):
    process = subprocess.Popen(
        [sys.executable, "-m", "napari_unet.cli", *call.split()],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    process.stdout.close()
    assert process.stderr.read() == b""
    process.stderr.close()
    assert process.wait(60) == 0


def test_every_command_is_listed_once():
    modules = [module.__name__.rpartition("._")[2] for module in _main._COMMANDS]
    names = [module.replace("_", "-") for module in modules]
    assert names == list(COMMANDS)


def test_package_runs_as_the_command() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "napari_unet", "--help"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("usage: napari-unet")
