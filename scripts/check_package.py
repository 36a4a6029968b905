"""Look into a built sdist and wheel for everything that an install needs.

check_package.py FOLDER    where `python -m build` put the two
"""

from __future__ import annotations

import subprocess
import sys
import tarfile
import tempfile
import zipfile
from importlib.metadata import Distribution, distributions
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "src" / "napari_unet"
LARGEST_WHEEL_MB = 30


def files_of_package() -> set[str]:
    """Return every file under src, as the wheel names it."""
    return {
        path.relative_to(PACKAGE.parent).as_posix()
        for path in PACKAGE.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


def faults_of_sdist(sdist: Path) -> list[str]:
    """Return what the sdist lacks for a build from it."""
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    expected = {f"src/{name}" for name in files_of_package()} | {
        "CHANGELOG.md",
        "LICENSE",
        "README.md",
        "napari.yaml",
        "pyproject.toml",
        "tests",
    }
    present = names | {name.partition("/")[0] for name in names}
    return [f"{sdist.name} lacks {name}" for name in sorted(expected - present)]


def faults_of_wheel(wheel: Path) -> list[str]:
    """Return what the wheel lacks, what it should not hold, and whether it is heavy."""
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    expected = files_of_package() | {"napari_unet/napari.yaml", "napari_unet/py.typed"}
    faults = [f"{wheel.name} lacks {name}" for name in sorted(expected - names)]
    foreign = {name for name in names - expected if ".dist-info/" not in name}
    faults += [f"{wheel.name} should not hold {name}" for name in sorted(foreign)]
    size_mb = wheel.stat().st_size / 1e6
    if size_mb > LARGEST_WHEEL_MB:
        faults.append(f"{wheel.name} has {size_mb:.0f} MB, more than is kind")
    return faults


def faults_of_metadata(found: Distribution) -> list[str]:
    """Return what an installer, PyPI or napari would not find in the metadata."""
    faults = []
    entries = {(entry.group, entry.name): entry for entry in found.entry_points}
    manifest = entries.get(("napari.manifest", "napari-unet"))
    if manifest is None or manifest.value != "napari_unet:napari.yaml":
        faults.append("no entry point napari.manifest: napari would not see the plugin")
    if ("console_scripts", "napari-unet") not in entries:
        faults.append("no command napari-unet")
    base = [name for name in found.requires or [] if "extra ==" not in name]
    for name in base:
        if name.lower().startswith(("napari", "pyqt", "pyside")):
            faults.append(f"the base install would bring {name}")
    if not any(name.startswith("torch") and "==" not in name for name in base):
        faults.append("torch is not an open range among the base dependencies")
    metadata = found.metadata.json
    if "all" not in metadata.get("provides_extra", []):
        faults.append("no extra 'all'")
    for field, value in {
        "metadata_version": "2.4",
        "name": "napari-unet",
        "license_expression": "BSD-3-Clause",
        "requires_python": ">=3.11",
        "description_content_type": "text/markdown",
    }.items():
        if metadata.get(field) != value:
            faults.append(f"{field} is {metadata.get(field)!r}, not {value!r}")
    return faults


def faults_of_install(wheel: Path) -> list[str]:
    """Install the wheel alone into a folder of its own and look at its metadata."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps"]
        subprocess.run([*command, "--target", folder, str(wheel)], check=True)
        (found,) = distributions(name="napari-unet", path=[folder])
        return faults_of_metadata(found)


def main() -> int:
    """Check the one sdist and the one wheel in the folder given."""
    folder = Path(sys.argv[1])
    sdists, wheels = list(folder.glob("*.tar.gz")), list(folder.glob("*.whl"))
    if len(sdists) != 1 or len(wheels) != 1:
        print(f"{folder} should hold one sdist and one wheel: {sdists + wheels}")
        return 1
    faults = faults_of_sdist(sdists[0]) + faults_of_wheel(wheels[0])
    faults += faults_of_install(wheels[0])
    for fault in faults:
        print(fault)
    if not faults:
        print(f"{sdists[0].name} and {wheels[0].name} are complete")
    return 1 if faults else 0


if __name__ == "__main__":
    raise SystemExit(main())
