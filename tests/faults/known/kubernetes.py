"""Faults in manifests, and in the scripts of a cluster."""

from tests.faults.planted import Fault

TESTS = "tests/unit/kubernetes"
WORKLOADS = f"{TESTS}/test_workloads.py"
API = "backend/backend-pod.yaml"

FAULTS = (
    Fault(
        "liveness asks the database",
        API,
        "livenessProbe:\n            httpGet: {path: /health/live",
        "livenessProbe:\n            httpGet: {path: /health/ready",
        (f"{WORKLOADS}::test_liveness_asks_no_other_server",),
    ),
    Fault(
        "less grace than a request takes",
        API,
        "terminationGracePeriodSeconds: 55",
        "terminationGracePeriodSeconds: 30",
        (f"{WORKLOADS}::test_its_grace_is_longer_than_preStop_and_drain",),
    ),
    Fault(
        "a rollout stops an API before the next is ready",
        API,
        "maxUnavailable: 0\n",
        "maxUnavailable: 1\n",
        (
            f"{WORKLOADS}"
            "::test_a_rollout_takes_nothing_away_before_its_successor_is_ready",
        ),
    ),
    Fault(
        "no time between preStop and the last request",
        API,
        "sleep: {seconds: 5}",
        "sleep: {seconds: 50}",
        (f"{WORKLOADS}::test_its_grace_is_longer_than_preStop_and_drain",),
    ),
    Fault(
        "a root file system that can be written",
        API,
        "readOnlyRootFilesystem: true",
        "readOnlyRootFilesystem: false",
        (f"{WORKLOADS}::test_it_goes_beyond_the_restricted_level",),
    ),
    Fault(
        "root in a container",
        API,
        "runAsNonRoot: true",
        "runAsNonRoot: false",
        (f"{WORKLOADS}::test_it_passes_the_restricted_level",),
    ),
    Fault(
        "a token of the cluster in the pod",
        API,
        "serviceAccountName: fastapi-api\n      automountServiceAccountToken: false",
        "serviceAccountName: fastapi-api\n      automountServiceAccountToken: true",
        (f"{WORKLOADS}::test_it_has_a_service_account_of_its_own_without_token",),
    ),
    Fault(
        "no limit of memory",
        API,
        "limits: {memory: 512Mi, ephemeral-storage: 256Mi}",
        "limits: {ephemeral-storage: 256Mi}",
        (f"{WORKLOADS}::test_its_resources_are_bounded",),
    ),
    Fault(
        "a budget that no drain of a node gets past",
        API,
        "maxUnavailable: 25%\n  unhealthy",
        "maxUnavailable: 0\n  unhealthy",
        (f"{WORKLOADS}::test_a_budget_bounds_what_maintenance_takes_away",),
    ),
    Fault(
        "any pod may call the API",
        "backend/backend-network-policy.yaml",
        "    - from:\n        - podSelector: "
        "{matchLabels: {app.kubernetes.io/name: nginx}}\n      ports: "
        "[{protocol: TCP, port: 8000}]",
        "    - ports: [{protocol: TCP, port: 8000}]",
        (f"{TESTS}/test_network.py",),
    ),
    Fault(
        "webhooks reach private addresses",
        "backend/backend-network-policy.yaml",
        "except: [fc00::/7, fe80::/10]",
        "except: [fe80::/10]",
        (f"{TESTS}/test_webhook_egress.py",),
    ),
    Fault(
        "pods may send anywhere",
        "deploy/base/network-policy.yaml",
        "podSelector: {}\n  policyTypes: [Ingress, Egress]",
        "podSelector: {}\n  policyTypes: [Ingress]",
        (
            f"{TESTS}/test_network.py",
            f"{WORKLOADS}::test_network_policies_deny_all_but_what_is_named",
        ),
    ),
    Fault(
        "both halves of a split cluster of RabbitMQ go on",
        "rabbitmq/rabbitmq-cluster.conf",
        "cluster_partition_handling = pause_minority",
        "cluster_partition_handling = ignore",
        (f"{TESTS}/test_rabbitmq_cluster.py",),
    ),
    Fault(
        "all nodes of RabbitMQ on one machine",
        "rabbitmq/rabbitmq-statefulset.yaml",
        "Execution:\n            - topologyKey: kubernetes.io/hostname",
        "Execution:\n            - topologyKey: kubernetes.io/os",
        (
            f"{WORKLOADS}::test_rabbitmq_keeps_its_quorum",
            f"{WORKLOADS}::test_replicas_are_spread",
        ),
    ),
    Fault(
        "maintenance takes two of three nodes of RabbitMQ",
        "rabbitmq/rabbitmq-pdb.yaml",
        "maxUnavailable: 1",
        "maxUnavailable: 2",
        (f"{WORKLOADS}::test_rabbitmq_keeps_its_quorum",),
    ),
    Fault(
        "Redis drops tasks when it is full",
        "deploy/redis/redis.yaml",
        "- noeviction",
        "- allkeys-lru",
        (f"{TESTS}/test_redis.py",),
    ),
    Fault(
        "Redis forgets tasks with its process",
        "deploy/redis/redis.yaml",
        '- --appendonly\n            - "yes"',
        '- --appendonly\n            - "no"',
        (f"{TESTS}/test_redis.py",),
    ),
    Fault(
        "no worker stays for the sweep",
        "deploy/components/keda/celery-scaledobject.yaml",
        "minReplicaCount: 2",
        "minReplicaCount: 0",
        (f"{TESTS}/test_schemas.py",),
    ),
    Fault(
        "KEDA looks at a queue that nobody fills",
        "deploy/components/keda/celery-scaledobject.yaml",
        "listName: default",
        "listName: celery",
        (f"{TESTS}/test_agreement.py", f"{TESTS}/test_schemas.py"),
    ),
    Fault(
        "a migration that hangs stops nothing",
        "backend/backend-migration-job.yaml",
        "  activeDeadlineSeconds: 600\n",
        "",
        (f"{TESTS}/test_migration_job.py",),
    ),
    Fault(
        "a password is in the repository",
        "backend/backend-config.env",
        "LOG_FORMAT=json",
        "RABBITMQ_PASSWORD=welcome1\nLOG_FORMAT=json",
        (f"{TESTS}/test_agreement.py", f"{TESTS}/test_schemas.py"),
    ),
    Fault(
        "everybody in a container reads its secrets",
        "backend/backend-beat-pod.yaml",
        "            defaultMode: 0440\n",
        "",
        (f"{WORKLOADS}::test_secrets_are_for_the_process_alone",),
    ),
    Fault(
        "an old autoscaler pulls at the new workers",
        "kubectl-setup.sh",
        '    forget_alternatives | tee -a "$work/changes"\n    if [ -z "$no_migration" ]; then\n        roll_out_application\n        roll_out_entrance\n',
        '    if [ -z "$no_migration" ]; then\n        roll_out_application\n        roll_out_entrance\n        forget_alternatives | tee -a "$work/changes"\n',
        (f"{TESTS}/test_setup_managed.py::test_without_keda_cpu_decides",),
    ),
    Fault(
        "the newest backups are deleted",
        "deploy/components/backup/backup.sh",
        'ls "$history/base" | sort -r | tail',
        'ls "$history/base" | sort | tail',
        ("tests/unit/test_backup_script.py",),
    ),
)
