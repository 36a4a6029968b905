"""Make what `make` needs, with nothing but Python and its standard library.

    bootstrap.py environment FOLDER REQUIREMENT...   a virtual environment with these
    bootstrap.py libraries window|screen             the system libraries of a window

Both look first and are done in a moment when nothing is missing. Neither asks anything.
"""

from __future__ import annotations

import argparse
import ctypes
import glob
import hashlib
import importlib.util
import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
STAMP = "installed.stamp"

# what Qt and OpenGL look for when a window opens, and the Debian package that has it
WINDOW = {
    "libGL.so.1": "libgl1",
    "libEGL.so.1": "libegl1",
    "libfontconfig.so.1": "libfontconfig1",
    "libglib-2.0.so.0": "libglib2.0-0",
    "libxkbcommon.so.0": "libxkbcommon0",
    "libdbus-1.so.3": "libdbus-1-3",
    "libxcb-cursor.so.0": "libxcb-cursor0",
    "libxcb-icccm.so.4": "libxcb-icccm4",
    "libxcb-keysyms.so.1": "libxcb-keysyms1",
    "libxcb-shape.so.0": "libxcb-shape0",
    "libxcb-xkb.so.1": "libxcb-xkb1",
    "libxkbcommon-x11.so.0": "libxkbcommon-x11-0",
}
# a screen that exists in memory only, drawn by the CPU
SCREEN = {"Xvfb": "xvfb", "*_dri.so": "libgl1-mesa-dri"}


def is_present(need: str) -> bool:
    """Whether a library loads, a driver lies where Mesa looks, a program is found."""
    if need.startswith("*"):
        return any(
            glob.glob(f"{folder}/dri/{need}")
            for folder in ("/usr/lib/*", "/usr/lib64", "/usr/lib")
        )
    if ".so" not in need:
        return shutil.which(need) is not None
    try:
        ctypes.CDLL(need)
    except OSError:
        return False
    return True


def missing_packages(needs: dict[str, str]) -> list[str]:
    """Return the Debian packages of what is not there."""
    return [package for need, package in needs.items() if not is_present(need)]


def provide_libraries(what: str) -> int:
    """Install what is missing as root; otherwise name it in one line, return 1."""
    if not sys.platform.startswith("linux"):
        return 0
    needs = WINDOW | (SCREEN if what == "screen" else {})
    packages = missing_packages(needs)
    if packages and os.geteuid() == 0 and shutil.which("apt-get"):
        print(f"Installing system libraries: {' '.join(packages)}", flush=True)
        apt_install(packages)
        packages = missing_packages(needs)
    if packages:
        print(
            "Missing system libraries, install them with: apt-get install -y "
            f"--no-install-recommends {' '.join(packages)}",
            file=sys.stderr,
        )
    return 1 if packages else 0


def apt_install(packages: list[str]) -> None:
    """Install without a question; a failure shows in what is missing afterwards."""
    apt = ["apt-get", "-q", "-o", "DPkg::Lock::Timeout=300"]
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    for arguments in (
        ["update"],
        ["install", "-y", "--no-install-recommends", *packages],
    ):
        subprocess.run(
            apt + arguments,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            check=False,
        )


def provide_environment(folder: Path, requirements: list[str]) -> int:
    """Make a virtual environment that holds the requirements, unless it stands already.

    The stamp holds all that the environment depends on, its own place included:
    scripts in it name their interpreter by its full path and do not survive a move.
    """
    base = f"{platform.python_version()} {sys.executable} {folder.resolve()}"
    files = [ROOT / name for name in ("pyproject.toml", "constraints.txt")]
    parts = ["\n".join(requirements).encode(), *(file.read_bytes() for file in files)]
    wanted = hashlib.sha256(b"\n".join(parts)).hexdigest()
    stamp = folder / STAMP
    found = stamp.read_text().split("\n") if stamp.exists() else []
    python = interpreter(folder)
    if found == [base, wanted] and python.exists():
        return 0
    what = "napari and torch" if ".[all]" in requirements else " ".join(requirements)
    print(f"Installing {what} into {folder.name}: some minutes, once", flush=True)
    if not (found and found[0] == base and python.exists()):
        reason = create(folder)
        if reason:
            print(f"bootstrap: {reason}", file=sys.stderr)
            return 1
    stamp.unlink(missing_ok=True)
    install(python, requirements)
    stamp.write_text(f"{base}\n{wanted}")
    return 0


def install(python: Path, requirements: list[str]) -> None:
    """Run pip and show of what it says only what takes long."""
    command = [*pip_command(python), "install", "-c", "constraints.txt", *requirements]
    with subprocess.Popen(
        command,
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
        errors="replace",
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if news := pip_news(line):
                print(news, flush=True)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)


def pip_news(line: str) -> str:
    """Return what a line of pip tells somebody who waits, or ''.

    That is a large download, or that all is there and only has to be unpacked.
    """
    found = re.match(
        r"\s*(Downloading|Using cached) ([^-\s]+)-\S+ \((.+ [MG]B)\)", line
    )
    if found:
        return f"  {found[1].lower()} {found[2]} ({found[3]})"
    start, _, names = line.partition("Installing collected packages: ")
    return f"  unpacking {names.count(',') + 1} packages" if names and not start else ""


def create(folder: Path) -> str:
    """Make an empty environment that has pip; return '' or why that did not work.

    Debian takes `ensurepip` out of Python and puts it into the package python3-venv:
    then the pip of the system fills the environment, or it fetches virtualenv, which
    brings its own. None of the three touches the system's Python.
    """
    if folder.is_file() or folder.is_symlink():
        folder.unlink()  # a pointer to another environment (PEP 832), or a stale link
    shutil.rmtree(folder, ignore_errors=True)
    for way in ways(folder):
        try:
            way()
            pip(interpreter(folder), "--version", stdout=subprocess.DEVNULL)
        except (subprocess.CalledProcessError, OSError):
            shutil.rmtree(folder, ignore_errors=True)
        else:
            return ""
    return (
        "could not make a virtual environment. Install python3-venv or python3-pip "
        "(Debian, Ubuntu: apt-get install python3-venv) and try again."
    )


def ways(folder: Path) -> Iterator[Callable[[], object]]:
    """Yield ways to make an environment, from the usual one to the last resort."""
    has_pip = importlib.util.find_spec("pip") is not None
    if importlib.util.find_spec("ensurepip"):
        yield lambda: run(sys.executable, "-m", "venv", str(folder))
    if has_pip and importlib.util.find_spec("venv"):

        def fill_from_outside() -> None:
            run(sys.executable, "-m", "venv", "--without-pip", str(folder))
            pip(Path(sys.executable), "--python", str(folder), "install", "-q", "pip")

        yield fill_from_outside
    if has_pip:

        def fetch_virtualenv() -> None:
            there = str(folder.with_name(f"{folder.name}-virtualenv"))
            wanted = ("-c", "constraints.txt", "virtualenv")
            pip(Path(sys.executable), "install", "-q", "--target", there, *wanted)
            command = [sys.executable, "-m", "virtualenv", "-q", str(folder)]
            run(*command, env=os.environ | {"PYTHONPATH": there})
            shutil.rmtree(there, ignore_errors=True)

        yield fetch_virtualenv


def interpreter(folder: Path) -> Path:
    """Return the environment's Python."""
    return folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def pip_command(python: Path) -> tuple[str, ...]:
    """Return how to call pip so that it never asks."""
    return (str(python), "-m", "pip", "--disable-pip-version-check", "--no-input")


def pip(python: Path, *arguments: str, **options: object) -> None:
    """Run pip, never asking, in the project's folder."""
    run(*pip_command(python), *arguments, **options)


def run(*command: str, **options: object) -> None:
    """Run a command to its end; CalledProcessError when it fails."""
    subprocess.run(  # type: ignore[call-overload]
        command, check=True, cwd=ROOT, stdin=subprocess.DEVNULL, **options
    )


def main() -> int:
    """Read the command line and do what it asks for."""
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    environment = commands.add_parser("environment")
    environment.add_argument("folder", type=Path)
    environment.add_argument("requirements", nargs=argparse.REMAINDER)
    libraries = commands.add_parser("libraries")
    libraries.add_argument("what", choices=["window", "screen"])
    given = parser.parse_args()
    try:
        if given.command == "libraries":
            return provide_libraries(given.what)
        return provide_environment(ROOT / given.folder, given.requirements)
    except subprocess.CalledProcessError as error:
        print(f"bootstrap: {' '.join(error.cmd)} failed", file=sys.stderr)
        return error.returncode


if __name__ == "__main__":
    raise SystemExit(main())
