"""The files of docs/deploy: read by the tools that know their languages, and held against what rapbot really takes.

No container engine runs here; what only that could show (that the images can be built) is not shown.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog
import yaml

from rapbot.concepts.postgres import PostgresConceptStore
from rapbot.config import load_settings
from tests.postgres import PostgresServer

ROOT = Path(__file__).parents[1]
DEPLOY = ROOT / "docs" / "deploy"
DOCKERFILE = DEPLOY / "Dockerfile"


def instructions() -> list[tuple[str, str]]:
    """(INSTRUCTION, its words) of the Dockerfile, lines put together."""
    whole = re.sub(r"\\\n", " ", re.sub(r"(?m)^#.*\n", "", DOCKERFILE.read_text(encoding="utf-8")))
    return [(one.partition(" ")[0], one.partition(" ")[2].strip()) for one in whole.splitlines() if one.strip()]


def stages() -> dict[str, list[tuple[str, str]]]:
    """Name -> its own instructions and those of the stages that it is built upon."""
    found: dict[str, list[tuple[str, str]]] = {}
    for name, words in instructions():
        if name == "FROM":
            base, _as, stage = words.split()
            found[stage] = list(found.get(base, []))
        elif found:
            found[stage].append((name, words))
    return found


def variables() -> Iterator[tuple[str, str, str]]:
    """(file, variable, value) of everything that is set for rapbot."""
    for _name, words in (one for one in instructions() if one[0] == "ENV"):
        yield from (("Dockerfile", *found) for found in re.findall(r"(RAPBOT_\w+)=(\S+)", words))
    for file in DEPLOY.glob("*.service"):
        for name, value in re.findall(r"(?m)^(?:# )?Environment=(RAPBOT_\w+)=(.+)$", file.read_text()):
            yield file.name, name, value
    for file in DEPLOY.glob("compose*.yaml"):
        for name, value in re.findall(r"(?m)^ +(?:# )?(RAPBOT_\w+): (.+)$", file.read_text()):
            yield file.name, name, value
    for file in DEPLOY.glob("kubernetes*.yaml"):
        for part in yaml.safe_load_all(file.read_text()):
            for one in part["spec"]["template"]["spec"]["containers"][0]["env"] if "template" in part["spec"] else ():
                if one["name"].startswith("RAPBOT_"):
                    yield file.name, one["name"], one["value"].replace("$(ORDINAL)", "2")


def test_hadolint_has_nothing_to_say_about_the_dockerfile() -> None:
    hadolint = Path(sys.executable).with_name("hadolint")
    done = subprocess.run([hadolint, "--no-color", DOCKERFILE], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


def test_every_option_that_is_set_is_one_that_rapbot_takes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    found = list(variables())
    assert {file for file, *_ in found} == {
        *("Dockerfile", "compose.yaml", "compose.cuda.yaml", "kubernetes.yaml", "kubernetes-several.yaml"),
        *("rapbot.service", "rapbot-backup.service"),
    }
    for file in {file for file, *_ in found}:
        with monkeypatch.context() as patch:
            for _file, name, value in (one for one in found if one[0] == file):
                patch.setenv(name, value)
            load_settings()


@pytest.mark.parametrize("target", ["cpu", "cuda"])
def test_an_image_runs_as_nobody_of_the_machine_and_holds_no_weights(target: str) -> None:
    made = stages()[target]
    assert made[-1] == ("USER", "10001:10001")
    assert ("VOLUME", '["/data", "/cache"]') in made
    assert [words for name, words in made if name == "HEALTHCHECK" and "/healthz" in words]
    assert ("ENTRYPOINT", '["python", "-m", "rapbot"]') in made
    copied = [words.split() for name, words in made if name == "COPY"]
    [packages] = [words for words in copied if words[0].startswith("--from")]
    assert packages == [f"--from=packages-{target}", "/opt/venv", "/opt/venv"]
    assert copied[0] == packages, "first: the layer that seldom changes"
    assert not [words for name, words in made if name == "RUN" and "fetch" in words]


def test_what_the_images_are_made_of_is_there_and_let_through() -> None:
    lines = (DEPLOY / "Dockerfile.dockerignore").read_text().splitlines()
    let_through = {line.removeprefix("!") for line in lines if line.startswith("!")}
    assert "*" in lines
    copied = {
        source
        for name, words in instructions()
        if name == "COPY" and not words.startswith("--from")
        for source in words.split()[:-1]
    }
    assert copied == let_through
    for source in copied:
        assert (ROOT / source).exists()


def test_the_image_gets_the_packages_that_pyproject_asks_for() -> None:
    command = [sys.executable, str(DEPLOY / "requirements.py"), "server", "encryption"]
    said = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    assert said == [*project["dependencies"], *extras["server"], *extras["encryption"]]


def test_compose_gives_secrets_as_files_and_opens_nothing_to_the_network() -> None:
    house: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
    services = house["services"]
    for service in services.values():
        assert set(service.get("secrets", [])) <= set(house["secrets"])
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", []))
        assert "no-new-privileges:true" in service["security_opt"]
        for volume in service["volumes"]:
            source = volume.partition(":")[0]
            assert source in house["volumes"] or (DEPLOY / source).is_file()
        for name, value in service.get("environment", {}).items():
            assert not re.search(r"(PASSWORD|TOKEN|KEY)$", name), "in a file, where no list of processes shows it"
            if name.endswith("_FILE"):
                assert value.removeprefix("/run/secrets/") in service["secrets"]
    bot = services["rapbot"]
    assert bot["read_only"]
    assert bot["cap_drop"] == ["ALL"]
    assert bot["depends_on"] == {"postgres": {"condition": "service_healthy"}}
    assert (DEPLOY / bot["build"]["context"]).resolve() == ROOT
    assert (ROOT / bot["build"]["dockerfile"]).samefile(DOCKERFILE)
    assert bot["build"]["target"] in stages()
    added = yaml.safe_load((DEPLOY / "compose.cuda.yaml").read_text())["services"]["rapbot"]
    assert added["build"]["target"] in stages()
    assert yaml.safe_load((DEPLOY / "prometheus.yaml").read_text())["scrape_configs"][0]["static_configs"] == [
        {"targets": ["rapbot:9464"]}
    ]


async def test_the_database_gets_a_role_of_its_own_that_is_no_superuser(
    postgres_server: PostgresServer, tmp_path: Path
) -> None:
    postgres_server.ensure_running()
    role = f"bot{time.monotonic_ns()}"
    secret = tmp_path / "password"
    secret.write_text("it's a \\ password\n")
    environment = {
        "DATABASE_PASSWORD_FILE": str(secret),
        "DATABASE_ROLE": role,
        "PATH": f"{postgres_server.programs}:{os.environ['PATH']}",
        "PGHOST": str(postgres_server.folder),
    }
    script = ["sh", str(DEPLOY / "postgres-init.sh")]
    done = subprocess.run(script, env=environment, capture_output=True, text=True, check=False)  # noqa: ASYNC221
    assert (done.returncode, done.stderr) == (0, "")
    try:
        with structlog.testing.capture_logs() as said:
            async with PostgresConceptStore.open(postgres_server.url(role, role), "encoder") as store:
                assert (await store.read("nobody")) is not None
        assert not [line for line in said if line["event"] == "postgres.isolation_off"]
    finally:
        await postgres_server.administer(f"DROP DATABASE {role} WITH (FORCE)", f"DROP ROLE {role}")


@pytest.mark.parametrize("name", ["kubernetes", "kubernetes-several"])
def test_kubernetes_asks_the_paths_that_there_are_and_gives_no_rights(name: str) -> None:
    parts = list(yaml.safe_load_all((DEPLOY / f"{name}.yaml").read_text()))
    [runs] = [part for part in parts if "template" in part["spec"]]
    pod = runs["spec"]["template"]["spec"]
    [container] = pod["containers"]
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    assert ("EXPOSE", str(ports["figures"])) in stages()["cpu"]
    for probe, path in (("startup", "/healthz"), ("liveness", "/healthz"), ("readiness", "/readyz")):
        assert container[f"{probe}Probe"]["httpGet"] == {"path": path, "port": "figures"}
    assert pod["securityContext"]["runAsUser"] == 10001
    assert pod["securityContext"]["runAsNonRoot"]
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    claims = {claim["metadata"]["name"] for claim in runs["spec"].get("volumeClaimTemplates", ())}
    volumes = {volume["name"] for volume in pod["volumes"]} | claims
    assert {mount["name"] for mount in container["volumeMounts"]} == volumes
    assert {mount["mountPath"] for mount in container["volumeMounts"]} >= {"/data", "/cache", "/tmp"}
    labels = runs["spec"]["template"]["metadata"]["labels"]
    assert runs["spec"]["selector"]["matchLabels"] == labels
    for service in (part for part in parts if part["kind"] == "Service"):
        assert service["spec"]["selector"] == labels
        assert {port["targetPort"] for port in service["spec"]["ports"]} <= set(ports)


def test_of_several_copies_each_has_a_shard_of_its_own() -> None:
    parts = list(yaml.safe_load_all((DEPLOY / "kubernetes-several.yaml").read_text()))
    [runs] = [part for part in parts if "template" in part["spec"]]
    set_to = {name: value for file, name, value in variables() if file == "kubernetes-several.yaml"}
    assert int(set_to["RAPBOT_DISCORD__SHARD_COUNT"]) == runs["spec"]["replicas"]
    assert set_to["RAPBOT_DISCORD__SHARD_IDS"] == "[2]"


@pytest.fixture
def units(tmp_path: Path) -> list[Path]:
    """The units as they would lie in a system where the program is installed."""
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd is not here")
    made = []
    for unit in sorted((*DEPLOY.glob("*.service"), *DEPLOY.glob("*.timer"))):
        made.append(tmp_path / unit.name)
        made[-1].write_text(re.sub(r"(?m)^ExecStart=\S+", "ExecStart=/bin/true", unit.read_text()))
    return made


def test_systemd_takes_the_units_and_finds_them_safe(units: list[Path]) -> None:
    analyze = ["systemd-analyze", "--man=no"]
    said = subprocess.run([*analyze, "verify", *units], capture_output=True, text=True, check=False)
    # What else is installed on this machine is not our business.
    assert not [line for line in said.stderr.splitlines() if "rapbot" in line], said.stderr
    services = [unit for unit in units if unit.suffix == ".service"]
    assert len(services) == 2
    for unit in services:
        command = ["systemd-analyze", "security", "--offline=true", "--threshold=20", str(unit)]
        told = subprocess.run(command, capture_output=True, text=True, check=False)
        assert told.returncode == 0, told.stdout
