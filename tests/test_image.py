"""The image and the services around it, as far as they can be checked without an engine."""

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parent.parent
DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")
COMPOSE = yaml.safe_load((ROOT / "compose.yaml").read_text(encoding="utf-8"))
SERVICES = COMPOSE["services"]


def pins(name: str) -> dict[str, str]:
    """Package to version, as a lock pins it (one of several where markers tell them apart)."""
    text = (ROOT / name).read_text(encoding="utf-8")
    return dict(re.findall(r"^([a-z0-9][a-z0-9.-]*)==([^ ;\\]+)", text, flags=re.MULTILINE))


def test_hadolint_has_nothing_to_say():
    hadolint = Path(sys.executable).with_name("hadolint")
    found = subprocess.run([hadolint, ROOT / "Dockerfile"], capture_output=True, text=True, check=False)
    assert (found.returncode, found.stdout) == (0, "")


def test_everything_the_image_copies_is_there_and_everything_shipped_is_copied():
    copied = {
        name
        for line in re.findall(r"^COPY (?!--from)(.*) \S+$", DOCKERFILE, flags=re.MULTILINE)
        for name in line.split()
    }
    assert [name for name in sorted(copied) if not (ROOT / name).exists()] == []
    packages = {file.parent.name for file in ROOT.glob("*/__init__.py")} - {"tests", "benchmarks"}
    assert packages <= copied
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8")
    assert {name for name in copied if f"!{name}\n" not in ignored} == set()


def test_the_image_runs_as_nobody_in_particular_and_is_watched():
    last = DOCKERFILE.rpartition("\nFROM ")[2]
    assert re.search(r"^USER \d+$", last, flags=re.MULTILINE)
    assert "HEALTHCHECK" in last
    assert "/healthz" in last


def test_the_image_installs_what_the_developers_have_and_no_more():
    runtime, developers = pins("requirements-runtime.lock"), pins("requirements.lock")
    assert {name: version for name, version in runtime.items() if developers.get(name) != version} == {}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = {re.match(r"[A-Za-z0-9-]+", one)[0].lower() for one in project["dependencies"]}
    assert wanted <= set(runtime)
    assert not {"mypy", "pytest", "pyspark", "schemathesis"} & set(runtime)


def test_locks_hold_hashes_and_no_address():
    for name in ("requirements.lock", "requirements-runtime.lock"):
        text = (ROOT / name).read_text(encoding="utf-8")
        assert "://" not in text
        assert text.count("==") <= text.count("--hash=sha256:")


def test_services_name_each_other_rightly():
    for service in SERVICES.values():
        assert set(service.get("depends_on", {})) <= set(SERVICES)
        for needed, how in service.get("depends_on", {}).items():
            assert how["condition"] != "service_healthy" or "healthcheck" in SERVICES[needed]
        named = {volume.partition(":")[0] for volume in service.get("volumes", [])}
        assert named <= set(COMPOSE["volumes"])
        assert {config["source"] for config in service.get("configs", [])} <= set(COMPOSE["configs"])
    environment = SERVICES["journeycast"]["environment"]
    assert "@postgres/" in environment["JOURNEYCAST_STORE"]
    assert environment["MLFLOW_TRACKING_URI"] == "http://mlflow:5000"


def test_no_password_is_written_down_and_no_image_comes_from_an_address():
    text = (ROOT / "compose.yaml").read_text(encoding="utf-8")
    assert set(re.findall(r"//journeycast:([^@\n]+)@", text)) == {"${POSTGRES_PASSWORD:?choose one in .env}"}
    images = [service["image"] for service in SERVICES.values()]
    images += re.findall(r"^FROM (\S+)", DOCKERFILE, flags=re.MULTILINE)
    assert [image for image in images if "/" in image] == []


def test_the_services_run_commands_that_exist():
    from typer.testing import CliRunner

    import journeycast

    for service in ("journeycast", "retrain"):
        words = SERVICES[service]["command"]
        help_text = CliRunner().invoke(journeycast.app, [words[0], "--help"]).output
        assert [word for word in words if word.startswith("--") and word not in help_text] == []
    assert shutil.which("mlflow", path=str(Path(sys.executable).parent))
