"""What a release consists of, made into dist/: `make dist`.

    jitr-VERSION-py3-none-any.whl          the command line
    jitr-VERSION-requirements.txt          what it was tested with, pinned by hash, for those who install nothing else
    jitr-stack-VERSION-ARCHITECTURE.zip    the template with its functions and layers, deployed without this repository
    jitr-VERSION.cdx.json                  bill of materials, CycloneDX
    SHA256SUMS                             of all of these

The same sources give the same bytes, on any machine whose zlib compresses alike: no times, no users, no paths. Without
a Python of Lambda's own version (layers/jitr/Makefile) the layers have no bytecode, which is said, and is not the same.
"""

import argparse
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from tools import bill
from tools.architecture import bound
from tools.sam import environment

from jitr import __version__

ROOT = Path(__file__).resolve().parent.parent
ARCHITECTURES = ("arm64", "x86_64")
FUNCTIONS = ("cleanup", "fleet", "notify", "publish", "recheck", "register")
GUIDE = ROOT / "docs" / "deploy-a-release.md"

_TIME = (2020, 1, 1, 0, 0, 0)
_BUILD_HINTS = re.compile(r"^    Metadata:\n(?:      Build[A-Za-z]+: .*\n)+", re.MULTILINE)


def main(out: Path, architectures: Sequence[str] = ARCHITECTURES) -> None:
    """Make all of it anew in ``out``. Whatever fails leaves ``out`` as it was, and is a SystemExit that says why."""
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".dist-", dir=out.parent) as name:
        work = Path(name)
        made = work / "dist"
        made.mkdir()
        layers = _layers(work, architectures)
        _wheel(made)
        shutil.copyfile(ROOT / "requirements/cli.txt", made / f"jitr-{__version__}-requirements.txt")
        for architecture in architectures:
            _archive(made / f"jitr-stack-{__version__}-{architecture}.zip", _stack(architecture, layers))
        text = bill.of_materials(layers, ROOT / "requirements/cli.txt", __version__)
        (made / f"jitr-{__version__}.cdx.json").write_text(text, "utf-8")
        (made / "SHA256SUMS").write_text(sums(made), "utf-8")
        for path in made.iterdir():
            path.chmod(0o644)
        shutil.rmtree(out, ignore_errors=True)
        made.rename(out)


def sums(folder: Path) -> str:
    """Return the lines that `sha256sum --check` and `shasum -a 256 --check` read."""
    files = sorted(path for path in folder.iterdir() if path.name != "SHA256SUMS")
    return "".join(f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n" for path in files)


# --- its parts


def _wheel(made: Path) -> None:
    _run([sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(made)], ROOT)


def _layers(work: Path, architectures: Sequence[str]) -> dict[str, Path]:
    """Layers by name, each built by its own Makefile as `sam build` does; the one with YAML is for any processor."""
    found = {f"jitr-{each}": _layer(work / f"jitr-{each}", "jitr", each) for each in architectures}
    return found | {"yaml": _layer(work / "yaml", "yaml", architectures[0])}


def _layer(folder: Path, name: str, architecture: str) -> Path:
    """Built in a copy: nothing that lies beside the sources gets in, and nothing is left there."""
    copy = folder / "sources"
    shutil.copytree(ROOT / "layers" / name, copy, ignore=shutil.ignore_patterns("__pycache__"))
    target = f"build-{name.capitalize()}Layer"
    said = _run(
        ["make", "-s", target, f"ARTIFACTS_DIR={folder / 'layer'}", f"JITR_LAYER_ARCHITECTURE={architecture}"], copy
    )
    sys.stderr.write(said and f"{name} for {architecture}: {said}")
    return folder / "layer"


def _run(command: list[str], folder: Path) -> str:
    """Run a command and return its standard error. Raises SystemExit with all that it printed."""
    done = subprocess.run(  # noqa: S603 programs of ours
        command, cwd=folder, env=environment(os.environ), capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(f"{' '.join(command[:3])} failed (exit {done.returncode}):\n{done.stdout}{done.stderr}")
    return done.stderr


def _stack(architecture: str, layers: Mapping[str, Path]) -> dict[str, bytes]:
    """Return what the archive for one kind of processor holds, by name."""
    return {
        "LICENSE": (ROOT / "LICENSE").read_bytes(),
        "README.md": GUIDE.read_bytes(),
        "samconfig.toml": (ROOT / "samconfig.toml").read_bytes(),
        "template.yaml": template(architecture).encode(),
        **{name: (ROOT / "docs" / name).read_bytes() for name in ("webhooks.yaml", "signed-webhook.yaml")},
        **{f"deployer/{path.name}": path.read_bytes() for path in sorted((ROOT / "docs/deployer").glob("*.json"))},
        **{f"events/{path.name}": path.read_bytes() for path in sorted((ROOT / "docs/events").glob("*.json"))},
        "layers/jitr.zip": _zipped(_files(layers[f"jitr-{architecture}"])),
        "layers/yaml.zip": _zipped(_files(layers["yaml"])),
        **{
            f"functions/{each}.zip": _zipped({"app.py": (ROOT / "functions" / each / "app.py").read_bytes()})
            for each in FUNCTIONS
        },
    }


def template(architecture: str) -> str:
    """template.yaml for artifacts that are built already, for one kind of processor."""
    text = (ROOT / "template.yaml").read_text("utf-8")
    for each in FUNCTIONS:
        text = _replaced(text, f"CodeUri: functions/{each}\n", f"CodeUri: functions/{each}.zip\n")
    for each in ("jitr", "yaml"):
        text = _replaced(text, f"ContentUri: layers/{each}\n", f"ContentUri: layers/{each}.zip\n")
    text = bound(text, architecture)
    text = _replaced(
        text, "The layer must have been built for it, as `make build ARCHITECTURE=x86_64` does.",
        "There is an archive for each.",
    )  # fmt: skip
    text = _replaced(text, "Description: >-\n  Just-in-time", f"Description: >-\n  jitr {__version__}. Just-in-time")
    return _BUILD_HINTS.sub("", text)


def _replaced(text: str, old: str, new: str) -> str:
    if text.count(old) != 1:
        raise SystemExit(f"template.yaml has {old.strip()!r} {text.count(old)} times, not once")
    return text.replace(old, new)


# --- archives


def _files(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def _zipped(files: Mapping[str, bytes]) -> bytes:
    with tempfile.TemporaryFile() as file:
        _write(zipfile.ZipFile(file, "w"), files, zipfile.ZIP_DEFLATED)
        file.seek(0)
        return file.read()


def _archive(path: Path, files: Mapping[str, bytes]) -> None:
    folder = path.name.removesuffix(".zip")
    _write(zipfile.ZipFile(path, "w"), {f"{folder}/{name}": data for name, data in files.items()}, zipfile.ZIP_STORED)


def _write(target: zipfile.ZipFile, files: Mapping[str, bytes], compression: int) -> None:
    with target:
        for name in sorted(files):
            entry = zipfile.ZipInfo(name, _TIME)
            entry.compress_type = compression
            entry.create_system = 3  # Unix: Lambda reads the mode
            entry.external_attr = 0o100644 << 16
            target.writestr(entry, files[name], compresslevel=9)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Makes a release.")
    parser.add_argument("--out", type=Path, default=ROOT / "dist", help="the folder that is made anew")
    folder = parser.parse_args().out.resolve()
    main(folder)
    sys.stdout.write("".join(f"{each.stat().st_size:>9}  {each.name}\n" for each in sorted(folder.iterdir())))
