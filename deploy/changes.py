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

# Manager and operation of `kubectl apply --server-side`.
APPLIER = "kubectl apply"

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
        subresource = entry.get("subresource", "")
        if subresource == "status":
            continue
        # `kubectl scale` is kubectl too, but does not apply.
        name = f"{entry['manager']} {subresource or entry['operation'].lower()}"
        if f".metadata.annotations.{LAST_APPLIED}" in paths:
            name = APPLIER
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


def content(each: Object, with_replicas: bool) -> Object:
    """What somebody may have changed on purpose."""
    metadata = {k: v for k, v in each["metadata"].items() if k not in OF_THE_CLUSTER}
    notes = {**metadata.pop("annotations", {})}
    notes.pop(LAST_APPLIED, None)
    result = {**each, "metadata": {**metadata, "annotations": notes}, "status": None}
    if not with_replicas and "replicas" in each.get("spec", {}):
        result["spec"] = {**each["spec"], "replicas": None}
    return result


def differs(before: Object, after: Object) -> bool:
    """Whether applying has changed it. An autoscaler may change replicas meanwhile."""
    counts = ".spec.replicas" in owned_fields(after).get(APPLIER, ())
    return content(before, counts) != content(after, counts)


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
        elif differs(before[name], each):
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
