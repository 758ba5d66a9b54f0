"""The bill of materials of a release, CycloneDX 1.6: every package in its layers, and those the command line installs.

Names, versions, licences and who needs whom, as the packages themselves say. Nothing of the machine it was made on, and
no time: the same release has the same bill.
"""

import json
import re
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from importlib.metadata import Distribution, PackageNotFoundError, distribution, distributions
from pathlib import Path

from cyclonedx.contrib.license.factories import LicenseFactory
from cyclonedx.model import Property
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.output.json import JsonV1Dot6
from packageurl import PackageURL

COMMAND_LINE = "command line"

_PIN = re.compile(r"^([A-Za-z0-9._-]+)==([^ ;\\]+)", re.MULTILINE)
_NAME = re.compile(r"^[A-Za-z0-9._-]+")
_SPACE = uuid.UUID("5b3c1f0e-6f4e-4f0e-9d0c-2a6f3a5f5d10")  # made up once, for the serial numbers of our bills


@dataclass
class _Package:
    name: str
    version: str
    metadata: Distribution | None
    parts: set[str] = field(default_factory=set)


def of_materials(layers: Mapping[str, Path], pinned: Path, version: str) -> str:
    """Return the bill as JSON: of the built ``layers``, by name, and of what ``pinned`` installs for the commands."""
    packages = _packages(layers, pinned)
    root = Component(name="jitr", version=version, type=ComponentType.APPLICATION, bom_ref="jitr")
    components = {name: _component(each) for name, each in packages.items()}
    listed = "\n".join(sorted(f"{each.purl} {sorted(packages[name].parts)}" for name, each in components.items()))
    bom = Bom(serial_number=uuid.uuid5(_SPACE, f"{version}\n{listed}"), components=components.values())
    bom.metadata.component = root
    needed = {other for each in packages.values() for other in _needs(each, packages)}
    bom.register_dependency(root, [components[name] for name in packages if name not in needed])
    for name, each in packages.items():
        bom.register_dependency(components[name], [components[other] for other in _needs(each, packages)])
    made = json.loads(JsonV1Dot6(bom).output_as_string())
    del made["metadata"]["timestamp"]
    return json.dumps(made, indent=2, sort_keys=True) + "\n"


def _packages(layers: Mapping[str, Path], pinned: Path) -> dict[str, _Package]:
    found: dict[str, _Package] = {}
    for layer, folder in layers.items():
        for each in distributions(path=[str(folder / "python")]):
            _noted(found, _Package(each.metadata["Name"], each.version, each), f"layer {layer}")
    for name, version in _PIN.findall(pinned.read_text("utf-8")):
        _noted(found, _Package(name, version, _installed(name)), COMMAND_LINE)
    return dict(sorted(found.items()))


def _noted(found: dict[str, _Package], package: _Package, part: str) -> None:
    known = found.setdefault(_key(package.name), package)
    if known.version != package.version:
        raise SystemExit(f"{package.name} is {known.version} in one part and {package.version} in another: make lock")
    known.parts.add(part)


def _installed(name: str) -> Distribution | None:
    """None for what only other systems need."""
    try:
        return distribution(name)
    except PackageNotFoundError:
        return None


def _key(name: str) -> str:
    """As in https://packaging.python.org/en/latest/specifications/name-normalization/."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _component(package: _Package) -> Component:
    key = _key(package.name)
    licence = _licence(package.metadata)
    return Component(
        name=key,
        version=package.version,
        type=ComponentType.LIBRARY,
        bom_ref=f"{key}@{package.version}",
        purl=PackageURL("pypi", None, key, package.version),
        licenses=[LicenseFactory().make_from_string(licence)] if licence else [],
        properties=[Property(name="jitr:part", value=part) for part in sorted(package.parts)],
    )


def _licence(metadata: Distribution | None) -> str | None:
    """As an SPDX expression where there is one, else its name; not its whole text."""
    if metadata is None:
        return None
    told = metadata.metadata.json
    classified = [each for each in told.get("classifier", []) if each.startswith("License :: ")]
    licence = str(told.get("license_expression") or told.get("license") or "\n")
    return licence if "\n" not in licence else next((each.rpartition(" :: ")[2] for each in classified), None)


def _needs(package: _Package, packages: Mapping[str, _Package]) -> Iterable[str]:
    required = package.metadata.requires if package.metadata else None
    names = [_NAME.match(each) for each in required or [] if "extra ==" not in each]
    return sorted({_key(each[0]) for each in names if each} & packages.keys())
