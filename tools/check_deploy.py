"""Check what cannot be run here: compose, Kubernetes, the Dockerfile and the Prometheus rules.

Schemas come with the packages compose-spec and kubernetes-validate, so nothing is fetched; promtool
is asked too where it is installed.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import compose_spec
import kubernetes_validate
import yaml

ROOT = Path(__file__).resolve().parent.parent
DEPLOY = ROOT / "deploy"
COMPOSE = DEPLOY / "compose" / "compose.yaml"
KUSTOMIZATION = DEPLOY / "k8s" / "base" / "kustomization.yaml"
DOCKERFILE = DEPLOY / "Dockerfile"
RULES = DEPLOY / "prometheus" / "rules.yaml"
KUBERNETES = "1.32"


def main() -> int:
    """Print every finding; exit 1 if there is one."""
    targets = set(re.findall(r"^FROM \S+ AS (\w+)$", DOCKERFILE.read_text(), re.MULTILINE))
    found = [*_compose(targets), *_kubernetes(targets), *_rules()]
    print("\n".join(found) if found else "deploy: compose, k8s and rules are valid")
    return 1 if found else 0


def _compose(targets: set[str]) -> Iterator[str]:
    stated = yaml.safe_load(COMPOSE.read_text())
    plain = {key: value for key, value in stated.items() if not key.startswith("x-")}
    try:
        parsed = compose_spec.PyCompose.from_json(json.dumps(plain))
        parsed.validate()
    except ValueError as error:
        yield f"{COMPOSE.name}: {error}"
    for name, service in plain["services"].items():
        built = service.get("build")
        if built is not None and built["target"] not in targets:
            yield f"{COMPOSE.name}: {name} builds {built['target']}, which is no target"
        for port in service.get("ports", ()):
            if not str(port).startswith("127.0.0.1:"):
                yield f"{COMPOSE.name}: {name} publishes {port} beyond this machine"
        if _is_unpinned(service.get("image", "pinned:1")):
            yield f"{COMPOSE.name}: {name} runs an image of no stated version"


def _kubernetes(targets: set[str]) -> Iterator[str]:
    listed = yaml.safe_load(KUSTOMIZATION.read_text())["resources"]
    present = {path.name for path in KUSTOMIZATION.parent.glob("*.yaml")} - {KUSTOMIZATION.name}
    for name in sorted(present ^ set(listed)):
        yield f"{KUSTOMIZATION.name}: {name} is listed or present, not both"
    manifests = [
        (name, manifest)
        for name in sorted(present)
        for manifest in yaml.safe_load_all((KUSTOMIZATION.parent / name).read_text())
    ]
    for name, manifest in manifests:
        yield from _schema(name, manifest)
        if manifest["kind"] in {"Deployment", "StatefulSet"}:
            yield from _workload(name, manifest, targets)
    if "default-deny" not in {manifest["metadata"]["name"] for _, manifest in manifests}:
        yield "k8s: no network policy denies by default"


def _schema(file: str, manifest: dict[str, Any]) -> Iterator[str]:
    try:
        kubernetes_validate.validate(manifest, KUBERNETES, strict=True)
    except kubernetes_validate.ValidationError as error:
        where = "/".join(str(step) for step in error.path)
        yield f"{file}: {manifest['kind']} {manifest['metadata']['name']}: {where}: {error.message}"


def _workload(file: str, manifest: dict[str, Any], targets: set[str]) -> Iterator[str]:
    pod = manifest["spec"]["template"]["spec"]
    where = f"{file}: {manifest['metadata']['name']}"
    if not pod.get("securityContext", {}).get("runAsNonRoot"):
        yield f"{where}: may run as root"
    if pod.get("automountServiceAccountToken", True):
        yield f"{where}: mounts a token of the cluster"
    for container in pod["containers"]:
        yield from _container(f"{where}/{container['name']}", container, targets)


def _container(where: str, container: dict[str, Any], targets: set[str]) -> Iterator[str]:
    context = container.get("securityContext", {})
    if context.get("allowPrivilegeEscalation", True):
        yield f"{where}: may gain privileges"
    if context.get("capabilities", {}).get("drop") != ["ALL"]:
        yield f"{where}: keeps capabilities"
    if "memory" not in container.get("resources", {}).get("limits", {}):
        yield f"{where}: has no memory limit"
    image = container["image"]
    if _is_unpinned(image):
        yield f"{where}: runs an image of no stated version"
    ours = re.fullmatch(r"tidemill/(\w+):.+", image)
    if ours is not None and ours[1] not in targets:
        yield f"{where}: {image} is no target of the Dockerfile"
    if ours is not None and "grpc" not in container.get("readinessProbe", {}):
        yield f"{where}: is not asked for its health by gRPC"
    if "grpc" in container.get("startupProbe", {}):
        yield f"{where}: is killed at its start while it restores state or waits for a project"


def _is_unpinned(image: str) -> bool:
    tag = image.rpartition("/")[2].partition(":")[2]
    return tag in {"", "latest"}


def _rules() -> Iterator[str]:
    for group in yaml.safe_load(RULES.read_text())["groups"]:
        for rule in group["rules"]:
            if "alert" not in rule:
                continue
            runbook = rule.get("annotations", {}).get("runbook_url", "")
            if not (ROOT / runbook).is_file():
                yield f"{RULES.name}: {rule['alert']}: no runbook {runbook!r}"
            if rule.get("labels", {}).get("severity") not in {"page", "ticket"}:
                yield f"{RULES.name}: {rule['alert']}: severity is page or ticket"
    if (promtool := shutil.which("promtool")) is not None:
        done = subprocess.run(
            [promtool, "check", "rules", str(RULES)], check=False, capture_output=True, text=True
        )
        if done.returncode != 0:
            yield f"{RULES.name}: promtool: {done.stderr.strip()}"


if __name__ == "__main__":
    sys.exit(main())
