"""What counts as changed by applying."""

from typing import Any

from deploy.changes import changes, field_paths, read_objects, replaced
from tests.unit.kubernetes.fields import fields_of

Object = dict[str, Any]
OLD = "kubectl-client-side-apply"
NOTE = {"kubectl.kubernetes.io/last-applied-configuration": "{}"}


def deployment(managed: list[Object], **spec: Any) -> Object:
    metadata = {"name": "nginx", "managedFields": managed, "annotations": {}}
    return {"kind": "Deployment", "metadata": metadata, "spec": spec}


def entry(
    manager: str, fields: Object, operation: str = "Update", **more: str
) -> Object:
    known = {"manager": manager, "operation": operation, **more}
    return {**known, "fieldsV1": fields_of(fields)}


OURS = entry("kubectl", {"spec": {"paused": 1, "replicas": 1}}, "Apply")
SCALED = entry("kubectl", {"spec": {"paused": 1}}, "Apply")
# At creation, client-side apply also owns what the cluster has added, as replicas.
CREATED = entry(OLD, {"spec": {"replicas": 1}, "metadata": {"annotations": NOTE}})


def difference(before: Object, after: Object) -> list[str]:
    return list(changes({"deployment/nginx": before}, {"deployment/nginx": after}))


def test_versions_and_states_do_not_count() -> None:
    before, after = deployment([OURS], paused=1), deployment([OURS], paused=1)
    after["metadata"] |= {"resourceVersion": "2", "generation": 2}
    after["status"] = {"replicas": 3}
    assert difference(before, after) == []
    after["metadata"]["labels"] = {"a": "b"}
    assert difference(before, after) == ["deployment/nginx configured"]


def test_replicas_count_if_a_manifest_names_them() -> None:
    one, two = deployment([OURS], replicas=1), deployment([OURS], replicas=2)
    assert difference(one, two) == ["deployment/nginx configured"]
    for first in (SCALED, CREATED):
        one, two = deployment([first], replicas=1), deployment([SCALED], replicas=2)
        assert difference(one, two) == []


def test_taking_over_from_client_side_apply_is_no_change() -> None:
    """kubectl hands its fields over; the values stay."""
    before = deployment([CREATED], replicas=1)
    before["metadata"]["annotations"] = dict(NOTE)
    after = deployment([OURS], replicas=1)
    assert difference(before, after) == []
    assert list(replaced(before, after)) == []


def test_values_of_somebody_else_are_named() -> None:
    template = {"containers": [{"name": "nginx", "image": "x"}]}
    hand = entry("kubectl-edit", {"spec": {**template, "replicas": 2}})
    state = entry("controller", {"status": {"replicas": 2}}, subresource="status")
    kept = entry("kubectl-edit", {"spec": template})
    after = deployment([OURS, kept, state])
    found = list(replaced(deployment([OURS, hand, state]), after))
    assert found == [("kubectl-edit update", ".spec.replicas")]
    scale = entry("kubectl", {"spec": {"replicas": 2}}, subresource="scale")
    found = list(replaced(deployment([OURS, scale]), after))
    assert found == [("kubectl scale", ".spec.replicas")]
    assert list(field_paths(kept["fieldsV1"]))[-1] == ".spec.containers[nginx].image"


def test_kubectl_prints_nothing_one_or_a_list() -> None:
    assert read_objects("") == {}
    one = '{"kind": "Service", "metadata": {"name": "a"}}'
    assert set(read_objects(one)) == {"service/a"}
    assert set(read_objects(f'{{"kind": "List", "items": [{one}]}}')) == {"service/a"}
