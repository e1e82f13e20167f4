"""Generate the protobuf and gRPC code of libs/sdk from protos/; `--check` only compares."""

import filecmp
import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PROTOS = ROOT / "protos"
TARGET = ROOT / "libs" / "sdk"


def generate(out: Path) -> None:
    """Write the modules of every .proto under `out`."""
    files = sorted(str(path.relative_to(PROTOS)) for path in PROTOS.rglob("*.proto"))
    plugins = {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"}
    subprocess.run(
        [
            *(sys.executable, "-m", "grpc_tools.protoc", f"-I{PROTOS}"),
            *(f"--python_out={out}", f"--pyi_out={out}"),
            *(f"--grpc_python_out={out}", f"--mypy_grpc_out=quiet:{out}"),
            *files,
        ],
        check=True,
        env={**os.environ, **plugins},
    )


def differences() -> list[str]:
    """Files of the committed code that are not what the protos give today."""
    with tempfile.TemporaryDirectory() as folder:
        fresh = Path(folder)
        generate(fresh)
        made = {path.relative_to(fresh) for path in fresh.rglob("*_pb2*")}
        kept = {
            path.relative_to(TARGET) for path in TARGET.rglob("*_pb2*") if path.suffix != ".pyc"
        }
        stale = [f"{path}: only in one of the two" for path in sorted(made ^ kept)]
        stale.extend(
            f"{path}: differs"
            for path in sorted(made & kept)
            if not filecmp.cmp(fresh / path, TARGET / path, shallow=False)
        )
    return stale


def main() -> int:
    """Generate, or with --check say what is out of date and fail."""
    if "--check" not in sys.argv[1:]:
        generate(TARGET)
        return 0
    stale = differences()
    for line in stale:
        print(line, file=sys.stderr)
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
