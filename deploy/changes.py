"""Names what applying changed: a line for each object that is new or different.

    python3 -m deploy.changes BEFORE AFTER

Both files hold objects as `kubectl -o json --show-managed-fields` prints them. Standard
error tells which values of somebody else the manifests have replaced.

Server-side apply itself says the same of every object, changed or not. Versions of
objects do not help either: they also change when controllers write a status.
"""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

Object = dict[str, Any]

# Whoever runs `kubectl apply --server-side` is called so.
APPLIER = "kubectl"

# Fields that change without anybody having changed the object.
OF_THE_CLUSTER = ("resourceVersion", "generation", "managedFields")
LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"


def read_objects(text: str) -> dict[str, Object]:
    """Objects by kind and name; kubectl prints one alone, several in a List."""
    if not text.strip():
        return {}
    found = json.loads(text)
    items = found["items"] if found["kind"] == "List" else [found]
    return {
        f"{each['kind'].lower()}/{each['metadata']['name']}": each for each in items
    }


def owned_fields(each: Object) -> dict[str, set[str]]:
    """The paths of fields by their manager; those of the status are left out.

    `kubectl apply` of earlier releases is no manager of its own here: kubectl hands
    its fields over.
    """
    owned: dict[str, set[str]] = {}
    for entry in each["metadata"].get("managedFields", []):
        paths = set(field_paths(entry.get("fieldsV1", {})))
        if entry.get("subresource") == "status":
            continue
        by_apply = f".metadata.annotations.{LAST_APPLIED}" in paths
        name = APPLIER if by_apply else entry["manager"]
        owned.setdefault(name, set()).update(paths)
    return owned


def field_paths(fields: Object, prefix: str = "") -> Iterator[str]:
    """Paths of the leaves of a `fieldsV1`, such as .spec.containers[nginx].image."""
    for key, inner in fields.items():
        kind, _, name = key.partition(":")
        if kind == "k":  # an element of a list, by the fields that are its key
            name = ",".join(str(value) for value in json.loads(name).values())
        if kind != ".":
            path = f"{prefix}.{name}" if kind == "f" else f"{prefix}[{name}]"
            if set(inner) <= {"."}:
                yield path
            yield from field_paths(inner, path)


def content(each: Object) -> Object:
    """What somebody may have changed on purpose."""
    result = {key: value for key, value in each.items() if key != "status"}
    metadata = {k: v for k, v in each["metadata"].items() if k not in OF_THE_CLUSTER}
    notes = {**metadata.pop("annotations", {})}
    notes.pop(LAST_APPLIED, None)
    result["metadata"] = {**metadata, "annotations": notes}
    if ".spec.replicas" not in owned_fields(each).get(APPLIER, ()):
        # An autoscaler's, who may change them between the two looks.
        result["spec"] = {
            k: v for k, v in each.get("spec", {}).items() if k != "replicas"
        }
    return result


def replaced(before: Object, after: Object) -> Iterator[tuple[str, str]]:
    """Manager and path of each value that was somebody else's and now is ours."""
    later = owned_fields(after)
    for manager, paths in owned_fields(before).items():
        if manager != APPLIER:
            lost = paths - later.get(manager, set())
            yield from ((manager, path) for path in sorted(lost & later[APPLIER]))


def changes(before: dict[str, Object], after: dict[str, Object]) -> Iterator[str]:
    """The lines."""
    for name, each in after.items():
        if name not in before:
            yield f"{name} created"
        elif content(before[name]) != content(each):
            yield f"{name} configured"


def main(first: str, second: str) -> None:
    """Prints all."""
    before, after = (read_objects(Path(name).read_text()) for name in (first, second))
    for line in changes(before, after):
        print(line)
    for name in before.keys() & after.keys():
        for manager, path in replaced(before[name], after[name]):
            print(
                f"note: {name}: {manager} had set {path}; the manifest's value is back",
                file=sys.stderr,
            )


if __name__ == "__main__":
    main(*sys.argv[1:])
