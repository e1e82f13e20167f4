"""An image installs one extra: it must bring every library that its service imports."""

import re
import sys
import tomllib
from importlib.metadata import PackageNotFoundError, distribution, packages_distributions
from pathlib import Path

import grimp
import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
SERVICES = ("registry", "ingestion", "features", "training", "serving", "monitoring", "local")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
OURS = [
    Path(package).name
    for package in tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"][
        "targets"
    ]["wheel"]["packages"]
]
OPTIONAL = {"pygrpc_native"}  # an engine that is chosen by a setting, extra `native`


def normal(requirement: str) -> str:
    return re.split(r"[\s\[<>=!~;]", requirement, maxsplit=1)[0].lower().replace("_", "-")


def requirements_of(extra: str) -> set[str]:
    found: set[str] = set()
    for requirement in PROJECT["optional-dependencies"][extra]:
        if requirement.startswith("tidemill["):
            for inner in requirement[len("tidemill[") : -1].split(","):
                found |= requirements_of(inner)
        else:
            found.add(normal(requirement))
    return found


def with_what_they_need(names: set[str]) -> set[str]:
    known, waiting = set(), set(names)
    while waiting:
        name = waiting.pop()
        known.add(name)
        try:
            needs = distribution(name).requires or []
        except PackageNotFoundError:
            continue
        waiting |= {normal(one) for one in needs if "extra ==" not in one} - known
    return known


def imported_by(package: str) -> set[str]:
    """The libraries that a service imports, itself or by what it imports of ours."""
    graph = grimp.build_graph(*OURS, include_external_packages=True)
    own = {
        module
        for module in graph.modules
        if module.split(".")[0] == package and "testing" not in module.split(".")
    }
    seen, waiting, libraries = set(), set(own), set()
    while waiting:
        module = waiting.pop()
        seen.add(module)
        for imported in graph.find_modules_directly_imported_by(module):
            if imported.split(".")[0] not in OURS:
                libraries.add(imported.split(".")[0])
            elif "testing" not in imported.split("."):
                waiting |= {imported} - seen
    return libraries - OPTIONAL - set(sys.stdlib_module_names)


@pytest.mark.parametrize("service", SERVICES)
def test_an_extra_brings_every_library_that_its_service_imports(service: str) -> None:
    base = {normal(one) for one in PROJECT["dependencies"]}
    brought = with_what_they_need(base | requirements_of(service))
    providers = packages_distributions()
    lacking = {
        library
        for library in imported_by(f"tidemill_{service}")
        if not any(normal(one) in brought for one in providers.get(library, [library]))
    }
    assert lacking == set()
