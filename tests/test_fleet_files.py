"""The files for several machines: valid, true to the image, to Parley's settings, and to what stands beside Parley."""

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from itertools import chain
from pathlib import Path, PurePosixPath
from typing import Any

import kubernetes_validate
import pytest
from deploy_files import (
    DEPLOYMENT,
    FOLDERS,
    KUBERNETES,
    SCALE,
    container,
    image_variables,
    kubernetes,
    objects,
    pod,
    read,
    stage,
    yaml_file,
)
from postgres import OWNER, PASSWORD, Postgres, missing, needed_wheel, postgres
from redis_servers import RedisServer
from running_server import ROOT

from app import create_app
from parley.checking import shared
from parley.checking.probe import Probe
from parley.knowledge.database import examination
from parley.knowledge.database.address import parse
from parley.settings import Settings

SCHEMAS_FROM, FOREIGN = "1.29", "monitoring.coreos.com/v1"
"""Oldest Kubernetes whose schemas must accept the files, and the one kind of objects that Kubernetes itself lacks."""
SECRET = "0123456789abcdef0123456789abcdef"
DEMANDED = re.compile(r"\$\{(\w+):\?[^}]+\}")
PODS = ("Deployment", "Job", "CronJob")


def services() -> Any:
    return yaml_file(SCALE)["services"]


def filled(text: str) -> str:
    """A value of the Compose file with a secret for each variable, as Compose would fill it in."""
    return re.sub(r"\$\{\w+:\?[^}]+\}", SECRET, text)


def test_compose_is_valid() -> None:
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", SCALE]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout


def test_compose_has_two_of_the_same_behind_nginx() -> None:
    both = [services()[name] for name in ("parley-1", "parley-2")]
    assert both[0] == both[1] and "command" not in both[0] and "ports" not in both[0]
    asked = re.findall(r"server (parley-\d):(\d+)", read("deploy/nginx.scale.conf"))
    assert asked == [(name, image_variables()["PORT"]) for name in ("parley-1", "parley-2")]
    # This machine alone: the one in front of it has the certificate.
    published = {name: one["ports"] for name, one in services().items() if "ports" in one}
    assert published == {"nginx": ["127.0.0.1:8000:8080"]} and "listen 8080;" in read("deploy/nginx.scale.conf")


def directives(file: str) -> set[str]:
    """What a file of nginx says of the calls that it passes on, without comments."""
    (block,) = re.findall(r"location / \{(.*?)\}", re.sub(r"#.*", "", read(file)), re.DOTALL)
    return {" ".join(one.split()) for one in block.split(";") if one.strip()}


def test_the_balancer_passes_calls_on_as_one_nginx_does() -> None:
    one, many = directives("deploy/nginx.conf"), directives("deploy/nginx.scale.conf")
    assert one - many == {"proxy_pass http://127.0.0.1:8000", "proxy_set_header Host $host"}
    assert {"proxy_pass http://parley", "proxy_next_upstream error timeout", "proxy_connect_timeout 1s"} <= many
    upstream = read("deploy/nginx.scale.conf").partition("upstream parley {")[2].partition("}")[0]
    assert "least_conn;" in upstream and "ip_hash" not in upstream


def test_compose_starts_in_the_order_of_need() -> None:
    waits = {name: one.get("depends_on", {}) for name, one in services().items()}
    healthy = {"condition": "service_healthy"}
    assert waits["publish"] == {"postgres": healthy, "valkey": healthy}
    assert waits["parley-1"] == {"valkey": healthy, "publish": {"condition": "service_completed_successfully"}}
    assert waits["nginx"] == {"parley-1": healthy, "parley-2": healthy}
    assert all("healthcheck" in services()[name] for name in ("parley-1", "nginx", "valkey", "postgres"))
    assert "'/ready'" in services()["parley-1"]["healthcheck"]["test"][-1]


def test_compose_demands_every_secret() -> None:
    texts = re.findall(r'"([^"\n]*\$\{[^"\n]*)"', read(SCALE))
    names = set(DEMANDED.findall(" ".join(texts)))
    assert names == {"API_KEYS", "REDIS_PASSWORD", "OWNER_PASSWORD", "READER_PASSWORD"}
    # Nothing has a default but the number of workers, and what is demanded elsewhere in the file.
    rest = {name for text in texts for name in re.findall(r"\$\{([^}]+)\}", DEMANDED.sub("", text))}
    assert rest == {"WEB_CONCURRENCY:-1", "REDIS_PASSWORD"}
    words = read(SCALE).partition("for name in ")[2].partition(";")[0].split()
    assert set(words) == names


def test_no_server_is_given_the_owners_password() -> None:
    # `deploy/.env` is read by Compose, `.env` by the servers as well.
    assert services()["parley-1"]["env_file"] == [{"path": "../.env", "required": False}]
    assert "OWNER_PASSWORD" not in str(services()["parley-1"]["environment"])
    assert "--env-file deploy/.env" in read(SCALE) and "\n.env\n" in read(".gitignore")


def test_compose_mounts_what_there_is_where_it_is_read() -> None:
    folder = stage("server")["WORKDIR"]
    for name, service in services().items():
        for volume in service.get("volumes", []):
            source, target = volume.split(":")[:2]
            assert source in yaml_file(SCALE)["volumes"] or (ROOT / "deploy" / source).exists(), name
            if source.startswith("../"):
                assert target == f"{folder}/{source.removeprefix('../')}"
    assert f"cache:{image_variables()['EMBEDDINGS_CACHE']}" in services()["parley-1"]["volumes"]
    assert f'"{image_variables()["EMBEDDINGS_CACHE"]}"]' in read("Dockerfile")
    assert services()["parley-1"]["build"] == ".." and services()["parley-1"]["read_only"]


def test_its_valkey_lets_the_limits_do_what_they_need() -> None:
    program, *arguments = services()["valkey"]["command"]
    rights = re.findall(r"^ACL SETUSER parley on >PASSWORD (.*)$", read("docs/security.md"), re.MULTILINE)
    assert program == "valkey-server" and rights == [" ".join(arguments[arguments.index("parley") + 3 :])]
    with RedisServer(*map(filled, arguments)) as server:
        url = filled(services()["parley-1"]["environment"]["REDIS_URL"])
        there = url.replace("valkey:6379", f"127.0.0.1:{server.port}")
        for word, status in ((SECRET, "ok"), ("another", "fail")):
            settings = Settings.from_environ({"REDIS_URL": there.replace(SECRET, word)})
            assert [one.status for one in shared.rights(Probe(settings, ROOT))] == [status]


@pytest.fixture(scope="module")
def database() -> Iterator[Postgres]:
    with postgres(needed_wheel()) as started:
        yield started


def test_its_database_is_read_and_not_written_by_servers(database: Postgres, tmp_path: Path) -> None:
    if not shutil.which("psql"):
        missing("psql")
    url = database.database()
    env = {"PATH": "/usr/bin:/bin", "READER_PASSWORD": PASSWORD}
    subprocess.run(["psql", "-q", "-f", "deploy/postgres.roles.sql", url], cwd=ROOT, env=env, check=True)
    runner = create_app(
        Settings(database_url=parse(url), embeddings_cache=tmp_path, rag_tier="lexical")
    ).test_cli_runner()
    *shell, commands = services()["publish"]["command"]
    for command in commands.split(" && "):
        program, *arguments = command.split()
        done = runner.invoke(args=arguments)
        assert (shell, program, done.exit_code) == (["sh", "-c"], "flask", 0), done.output

    found = examination.examine(parse(url.replace(OWNER, "parley_reader")), ())
    assert {one.severity for one in found} == {"ok"}, found
    assert "may read, not write" in str(found) and "default base: " in str(found)


def test_what_publishes_takes_the_servers_settings() -> None:
    # With these it is refused where no Redis is named; Kubernetes' job reads them from the servers' configmap.
    stored = {"MEMORY": "full", "MEMORY_STORE": "redis:", "EMBEDDINGS_CACHE": "redis"}
    publish, server = (services()[name]["environment"] for name in ("publish", "parley-1"))
    assert publish["REDIS_URL"] == server["REDIS_URL"]
    assert Settings.from_environ({**stored, "REDIS_URL": filled(publish["REDIS_URL"])}).redis_url
    redis, embeddings = (
        {"name": "parley", "key": key, "optional": True} for key in ("REDIS_URL", "EMBEDDINGS_API_KEY")
    )
    references = [one["valueFrom"]["secretKeyRef"] for one in container("CronJob")["env"]]
    assert redis in references and embeddings in references
    # Whatever holds a key is the secret's: nothing of it need stand in the configmap.
    assert {"secretRef": {"name": "parley"}} in container()["envFrom"]


def test_its_roles_are_those_of_the_urls() -> None:
    made = services()["postgres"]["environment"]
    owner, reader = (services()[name]["environment"]["DATABASE_URL"] for name in ("publish", "parley-1"))
    assert filled(owner) == f"postgresql://{made['POSTGRES_USER']}:{SECRET}@postgres:5432/kb?sslmode=disable"
    assert filled(reader) == f"postgresql://parley_reader:{SECRET}@postgres:5432/kb?sslmode=disable"
    assert "CREATE ROLE parley_reader" in read("deploy/postgres.roles.sql") and made["POSTGRES_DB"] == "kb"


@pytest.mark.parametrize("file", [name for name, one in objects().items() if one["apiVersion"] != FOREIGN])
@pytest.mark.parametrize("version", [SCHEMAS_FROM, kubernetes_validate.latest_version()])
def test_kubernetes_objects_are_valid(file: str, version: str) -> None:
    kubernetes_validate.validate(objects()[file], version, strict=True)


@pytest.mark.parametrize("folder", FOLDERS)
def test_kustomize_is_told_all_files_and_no_other(folder: str) -> None:
    told = yaml_file(f"{folder}/kustomization.yaml")
    there = {file.name for file in (ROOT / folder).glob("*.yaml")} - {"kustomization.yaml"}
    assert sorted(told["resources"]) == told["resources"] == sorted(there)
    assert told.get("images", []) in ([], yaml_file(f"{KUBERNETES}/kustomization.yaml")["images"])
    for file in there:
        assert "image: parley\n" not in read(f"{folder}/{file}") or told["images"][0]["name"] == "parley"


@pytest.mark.parametrize("folder", FOLDERS)
def test_kustomize_builds(folder: str) -> None:
    if not shutil.which("kubectl"):
        pytest.skip("kubectl is not installed")
    run = subprocess.run(["kubectl", "kustomize", folder], cwd=ROOT, capture_output=True, text=True)
    assert run.returncode == 0 and "image: parley" not in run.stdout, run.stderr


def test_kubernetes_has_all_that_a_fleet_needs() -> None:
    assert {one["kind"] for one in objects().values()} == {
        *("Deployment", "Service", "Ingress", "PodDisruptionBudget", "HorizontalPodAutoscaler", "NetworkPolicy"),
        *("Job", "CronJob", "PodMonitor"),
    }


def test_kubernetes_objects_belong_together() -> None:
    deployment = kubernetes("Deployment")
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    assert deployment["spec"]["selector"]["matchLabels"] == labels == kubernetes("Service")["spec"]["selector"]
    for kind in ("PodDisruptionBudget", "PodMonitor"):
        assert kubernetes(kind)["spec"]["selector"]["matchLabels"] == labels
    assert kubernetes("NetworkPolicy")["spec"]["podSelector"]["matchLabels"] == labels
    for spread in pod()["topologySpreadConstraints"]:
        assert spread["labelSelector"]["matchLabels"] == labels
    (rule,) = kubernetes("Ingress")["spec"]["rules"]
    backend = rule["http"]["paths"][0]["backend"]["service"]
    assert backend["name"] == kubernetes("Service")["metadata"]["name"]
    # No call may be sent to a pod that initialises the database.
    for kind in ("Job", "CronJob"):
        assert kubernetes(kind)["metadata"]["labels"].items().isdisjoint(labels.items())


def test_kubernetes_ports_have_one_name() -> None:
    (port,) = container()["ports"]
    name = port["name"]
    assert kubernetes("Service")["spec"]["ports"][0]["targetPort"] == name
    assert container()["readinessProbe"]["httpGet"]["port"] == container()["livenessProbe"]["httpGet"]["port"] == name
    assert kubernetes("NetworkPolicy")["spec"]["ingress"][0]["ports"] == [{"protocol": "TCP", "port": name}]
    (endpoint,) = kubernetes("PodMonitor")["spec"]["podMetricsEndpoints"]
    assert (endpoint["port"], endpoint["path"]) == (name, "/metrics")
    # /metrics wants a key of a caller's.
    assert endpoint["authorization"]["credentials"] == {"name": "parley-metrics", "key": "KEY"}


def test_kubernetes_scales_by_the_cores_that_workers_have() -> None:
    scaler, spec = kubernetes("HorizontalPodAutoscaler")["spec"], kubernetes("Deployment")["spec"]
    assert scaler["scaleTargetRef"]["name"] == kubernetes("Deployment")["metadata"]["name"]
    assert scaler["metrics"][0]["resource"] == {
        "name": "cpu",
        "target": {"type": "Utilization", "averageUtilization": 50},
    }
    assert scaler["behavior"]["scaleDown"]["stabilizationWindowSeconds"] == 300
    # Or each `apply` would set back what the autoscaler has chosen.
    assert "replicas" not in spec and scaler["minReplicas"] == 2
    workers = {one["name"]: one for one in container()["env"]}["WEB_CONCURRENCY"]["valueFrom"]["resourceFieldRef"]
    assert workers == {"containerName": "parley", "resource": "requests.cpu", "divisor": "1"}
    assert container()["resources"]["requests"]["cpu"].isdecimal() and "cpu" not in container()["resources"]["limits"]


def test_kubernetes_replaces_pods_without_a_gap() -> None:
    spec = kubernetes("Deployment")["spec"]
    assert spec["strategy"]["rollingUpdate"]["maxUnavailable"] == 0
    assert container()["readinessProbe"]["periodSeconds"] == 2
    assert pod()["terminationGracePeriodSeconds"] == Settings().graceful_timeout + 10
    assert container()["lifecycle"]["preStop"]["exec"]["command"] == ["sleep", "5"]
    assert kubernetes("PodDisruptionBudget")["spec"]["maxUnavailable"] == 1
    zone, host = pod()["topologySpreadConstraints"]
    assert (zone["topologyKey"], host["topologyKey"]) == ("topology.kubernetes.io/zone", "kubernetes.io/hostname")


def test_kubernetes_does_not_buffer() -> None:
    annotations = kubernetes("Ingress")["metadata"]["annotations"]
    prefix = "nginx.ingress.kubernetes.io/"
    assert annotations[f"{prefix}proxy-buffering"] == "off"
    assert int(annotations[f"{prefix}proxy-read-timeout"]) > Settings().stream_timeout


@pytest.mark.parametrize("kind", PODS)
def test_kubernetes_pods_have_few_rights(kind: str) -> None:
    within = container(kind)["securityContext"]
    assert within["readOnlyRootFilesystem"] and not within["allowPrivilegeEscalation"]
    assert within["capabilities"] == {"drop": ["ALL"]} and not pod(kind)["automountServiceAccountToken"]
    user = pod(kind)["securityContext"]
    assert user["runAsNonRoot"] and f"{user['runAsUser']}:{user['runAsGroup']}" == stage("server")["USER"]
    # Variables such as PARLEY_PORT would be taken for misspelled settings.
    assert pod(kind)["enableServiceLinks"] is False


@pytest.mark.parametrize("kind", PODS)
def test_kubernetes_mounts_every_place_that_is_written_to(kind: str) -> None:
    mounts = {PurePosixPath(one["mountPath"]): one["name"] for one in container(kind)["volumeMounts"]}
    volumes = {one["name"]: one["emptyDir"] for one in pod(kind)["volumes"]}
    assert volumes.keys() == {*mounts.values()} and PurePosixPath(image_variables()["HOME"]) in mounts
    if kind != "Job":
        assert PurePosixPath(image_variables()["EMBEDDINGS_CACHE"]) in mounts
    if kind == "Deployment":
        assert volumes[mounts[PurePosixPath("/dev/shm")]]["medium"] == "Memory"


def test_kubernetes_secrets_are_demanded_where_calls_need_them() -> None:
    references = chain.from_iterable(container(kind)["env"] for kind in PODS)
    found = {
        (one["valueFrom"]["secretKeyRef"]["name"], one["name"]): one["valueFrom"]["secretKeyRef"].get("optional", False)
        for one in references
        if "secretKeyRef" in one.get("valueFrom", {})
    }
    demanded = {name for (_, name), optional in found.items() if not optional}
    assert demanded == {"API_KEYS", "LLM_API_KEY", "DATABASE_URL"}
    # The owner's URL is in a secret of its own, which no server has.
    assert found["parley", "DATABASE_URL"] and not found["parley-owner", "DATABASE_URL"]
    assert "parley-owner" not in read(DEPLOYMENT)


def test_kubernetes_runs_commands_that_exist() -> None:
    commands = create_app(Settings()).cli.commands
    for kind in ("Job", "CronJob"):
        program, group, command = container(kind)["command"]
        assert program == "flask" and command in commands[group].commands  # type: ignore[attr-defined]
    publish = kubernetes("CronJob")["spec"]
    assert publish["suspend"] and publish["concurrencyPolicy"] == "Forbid"
