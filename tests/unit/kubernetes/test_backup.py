"""The backups of the PostgreSQL in the cluster: deploy/components/backup."""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from local.state import LOCAL
from tests.unit.kubernetes.manifests import ROOT, Object, build, kubectl, selects
from tests.unit.kubernetes.test_references import check_references
from tests.unit.kubernetes.test_workloads import mebibytes, restricted_violations

FOLDER = ROOT / "deploy/components/backup"
kubectl()


@pytest.fixture(scope="module")
def objects() -> Iterator[dict[tuple[str, str], Object]]:
    """Of the development overlay with backups, by kind and name."""
    folder = LOCAL / "deploy-backup"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "kustomization.yaml").write_text(
        "namespace: fastapi-starter\n"
        "resources: [../../deploy/overlays/development]\n"
        "components: [../../deploy/components/backup]\n"
    )
    yield {(each["kind"], each["metadata"]["name"]): each for each in build(folder)}
    shutil.rmtree(folder)


def test_pods_name_what_is_there(objects: dict[tuple[str, str], Object]) -> None:
    job = yaml.safe_load((FOLDER / "restore-job.yaml").read_text())
    check_references([*objects.values(), job])


def pods(objects: dict[tuple[str, str], Object]) -> Iterator[Object]:
    job = yaml.safe_load((FOLDER / "restore-job.yaml").read_text())
    yield job["spec"]["template"]
    yield objects["Deployment", "postgres-wal"]["spec"]["template"]
    cron = objects["CronJob", "postgres-base-backup"]["spec"]
    yield cron["jobTemplate"]["spec"]["template"]


def test_its_pods_pass_the_restricted_level_and_share_one_volume(
    objects: dict[tuple[str, str], Object],
) -> None:
    postgres = objects["StatefulSet", "postgres"]["spec"]
    main = postgres["template"]["spec"]["containers"][0]
    for pod in pods(objects):
        assert list(restricted_violations(pod["spec"])) == []
        assert pod["metadata"]["labels"]["app.kubernetes.io/name"] == "postgres-backup"
        (container,) = pod["spec"]["containers"]
        assert container["image"] == main["image"], "of the server's version"
        claims = {
            volume["persistentVolumeClaim"]["claimName"]
            for volume in pod["spec"]["volumes"]
            if "persistentVolumeClaim" in volume
        }
        assert "postgres-backups" in claims
    assert ("PersistentVolumeClaim", "postgres-backups") in objects


def test_postgresql_lets_them_in_and_bounds_what_it_keeps(
    objects: dict[tuple[str, str], Object],
) -> None:
    spec = objects["StatefulSet", "postgres"]["spec"]["template"]["spec"]
    arguments = spec["containers"][0]["args"]
    base = yaml.safe_load_all((ROOT / "deploy/postgres/postgres.yaml").read_text())
    own = next(each for each in base if each["kind"] == "StatefulSet")
    kept = own["spec"]["template"]["spec"]["containers"][0]["args"]
    assert arguments[: len(kept)] == kept
    assert "max_slot_wal_keep_size=2GB" in arguments
    access = objects["ConfigMap", "postgres-backup"]["data"]["pg_hba.conf"]
    assert "host  all,replication all all          scram-sha-256" in access
    (rule,) = objects["NetworkPolicy", "postgres"]["spec"]["ingress"]
    labels = [each["podSelector"]["matchLabels"] for each in rule["from"]]
    assert {"app.kubernetes.io/name": "postgres-backup"} in labels


def test_they_reach_postgresql_alone(
    objects: dict[tuple[str, str], Object],
) -> None:
    policy = objects["NetworkPolicy", "postgres-backup"]["spec"]
    for pod in pods(objects):
        assert selects(policy["podSelector"], pod["metadata"]["labels"])
    server = objects["StatefulSet", "postgres"]["spec"]["template"]["metadata"]
    (rule,) = policy["egress"]
    (peer,) = rule["to"]
    assert selects(peer["podSelector"], server["labels"])
    assert [port["port"] for port in rule["ports"]] == [5432]
    assert set(policy["policyTypes"]) == {"Ingress", "Egress"}
    assert "ingress" not in policy


def test_their_volume_has_room_for_several_copies_of_the_data(
    objects: dict[tuple[str, str], Object],
) -> None:
    kept = objects["PersistentVolumeClaim", "postgres-backups"]["spec"]
    (data,) = objects["StatefulSet", "postgres"]["spec"]["volumeClaimTemplates"]
    sizes = [
        mebibytes({"memory": spec["resources"]["requests"]["storage"]})
        for spec in (kept, data["spec"])
    ]
    assert sizes[0] >= 3 * sizes[1]
    assert kept["accessModes"] == ["ReadWriteOnce"]  # what every disk has


def test_one_writes_at_a_time_and_where_the_volume_is(
    objects: dict[tuple[str, str], Object],
) -> None:
    receiver = objects["Deployment", "postgres-wal"]["spec"]
    assert receiver["replicas"] == 1 and receiver["strategy"] == {"type": "Recreate"}
    cron = objects["CronJob", "postgres-base-backup"]["spec"]
    assert cron["concurrencyPolicy"] == "Forbid" and cron["startingDeadlineSeconds"]
    assert re.fullmatch(r"\d+ \d+ \* \* \*", cron["schedule"])  # each day
    (rule,) = cron["jobTemplate"]["spec"]["template"]["spec"]["affinity"][
        "podAffinity"
    ]["requiredDuringSchedulingIgnoredDuringExecution"]
    assert rule["topologyKey"] == "kubernetes.io/hostname"
    assert selects(rule["labelSelector"], receiver["template"]["metadata"]["labels"])


def test_a_restore_that_failed_is_not_repeated() -> None:
    """It would put aside what the first one restored."""
    job = yaml.safe_load((FOLDER / "restore-job.yaml").read_text())["spec"]
    assert job["backoffLimit"] == 0
    assert job["template"]["spec"]["restartPolicy"] == "Never"


def test_secrets_are_for_the_process_alone(
    objects: dict[tuple[str, str], Object],
) -> None:
    for pod in pods(objects):
        for volume in pod["spec"]["volumes"]:
            assert "secret" not in volume or volume["secret"]["defaultMode"] == 0o440


def test_the_script_is_the_one_that_runs_on_this_machine(
    objects: dict[tuple[str, str], Object],
) -> None:
    script = objects["ConfigMap", "postgres-backup"]["data"]["backup.sh"]
    assert script == (Path(FOLDER) / "backup.sh").read_text()
