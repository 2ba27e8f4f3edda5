"""The chassis as a wheel, for a service that leaves the repository. The pinned build
backend builds it without the internet; the test imports it from where it is
unpacked."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2]

# Imports every module in the wheel's own list and reports where it came from.
IMPORT = """
import importlib, json
from importlib.metadata import distribution

wheel = distribution("fastapi-starter-chassis")
files = [str(file) for file in wheel.files]
names = [name[:-3].replace("/", ".") for name in files if name.endswith(".py")]
modules = [importlib.import_module(name.removesuffix(".__init__")) for name in names]
print(json.dumps({
    "version": wheel.version,
    "same": importlib.import_module("chassis").__version__,
    "files": files,
    "from": [module.__file__ for module in modules],
}))
"""


def python(*words: str, **env: str) -> str:
    result = subprocess.run(
        [sys.executable, *words], capture_output=True, text=True, env=env
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty folder with the wheel in it."""
    built, target = tmp_path_factory.mktemp("built"), tmp_path_factory.mktemp("target")
    pip = ["-m", "pip", "--disable-pip-version-check", "--quiet"]
    offline = ["--no-index", "--no-deps"]
    build = ["wheel", "--no-build-isolation", "--wheel-dir", str(built), str(FOLDER)]
    python(*pip, *build, *offline)
    (wheel,) = built.iterdir()
    python(*pip, "install", *offline, "--target", str(target), str(wheel))
    return target


@pytest.mark.promise(
    "docs/adr/0011-one-chassis.md",
    "A service that leaves the repository takes the chassis as a wheel.",
)
def test_the_wheel_is_complete_and_works(target: Path) -> None:
    told = json.loads(python("-c", IMPORT, PYTHONPATH=str(target)))
    assert told["version"] == told["same"]
    assert all(Path(file).is_relative_to(target) for file in told["from"])
    source = FOLDER / "src"
    ours = {str(file.relative_to(source)) for file in source.rglob("*.py")}
    assert ours | {"chassis/py.typed"} <= set(told["files"])
