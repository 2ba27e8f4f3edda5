"""Faults in compose files and images."""

from tests.faults.planted import Fault

COMPOSE = "docker-compose.yml"
TESTS = "tests/unit/test_compose_files.py"
REDIS = "tests/unit/kubernetes/test_redis.py"

FAULTS = (
    Fault(
        "the API is open to the network",
        COMPOSE,
        '- "127.0.0.1:${API_HOST_PORT-8000}:8000"',
        '- "${API_HOST_PORT-8000}:8000"',
        (f"{TESTS}::test_ports_are_the_documented_ones_and_private",),
    ),
    Fault(
        "our processes keep all capabilities",
        COMPOSE,
        'size=64m"]\n  cap_drop: [ALL]\n',
        'size=64m"]\n',
        (f"{TESTS}::test_our_containers_have_no_privileges",),
    ),
    Fault(
        "Redis drops tasks when it is full",
        COMPOSE,
        '"--maxmemory-policy", "noeviction"',
        '"--maxmemory-policy", "allkeys-lru"',
        (REDIS,),
    ),
    Fault(
        "Redis forgets tasks with its process",
        COMPOSE,
        '"--appendonly", "yes"',
        '"--appendonly", "no"',
        (REDIS,),
    ),
    Fault(
        "Docker kills the API during its requests",
        COMPOSE,
        "stop_grace_period: 45s",
        "stop_grace_period: 10s",
        (f"{TESTS}::test_each_process_has_longer_to_stop_than_it_takes",),
    ),
    Fault(
        "the API starts before there are tables",
        COMPOSE,
        "migrations: {condition: service_completed_successfully}",
        "migrations: {condition: service_started}",
        ("tests/unit/test_compose_order.py",),
    ),
    Fault(
        "no limit of open files",
        COMPOSE,
        "x-server: &server\n  restart: unless-stopped\n  ulimits: *ulimits\n",
        "x-server: &server\n  restart: unless-stopped\n",
        (f"{TESTS}::test_every_container_has_a_limit_of_files",),
    ),
    Fault(
        "logs fill the disk",
        COMPOSE,
        'options: {max-size: 10m, max-file: "3"}',
        "options: {}",
        (f"{TESTS}::test_every_container_has_limits_and_restarts",),
    ),
    Fault(
        "the API runs as root",
        "backend/Dockerfile",
        "USER 10001:10001\n",
        "",
        (f"{TESTS}::test_dockerfiles_keep_the_contract",),
    ),
    Fault(
        "files that only their owner can read",
        "backend/Dockerfile",
        "COPY --chmod=0755 backend backend",
        "COPY backend backend",
        (
            f"{TESTS}::test_dockerfiles_keep_the_contract",
            f"{TESTS}::test_our_images_are_built_alike",
        ),
    ),
    Fault(
        "a full queue drops its oldest requests",
        "rabbitmq/definitions.json",
        '"x-overflow": "reject-publish"',
        '"x-overflow": "drop-head"',
        ("packages/chassis/tests/unit/test_topology.py",),
        of_demo=True,
    ),
    Fault(
        "a poisonous request comes back for ever",
        "rabbitmq/definitions.json",
        '        "x-delivery-limit": 3,\n',
        "",
        ("packages/chassis/tests/unit/test_topology.py",),
        of_demo=True,
    ),
    Fault(
        "dead letters are kept without an end",
        "rabbitmq/definitions.json",
        '        "x-message-ttl": 604800000\n',
        '        "x-message-ttl": 6048000000\n',
        ("packages/chassis/tests/unit/test_topology.py",),
        of_demo=True,
    ),
    Fault(
        "the API may declare and read any queue",
        "rabbitmq/definitions.json",
        '"configure": "^(events|events\\\\.api\\\\..+|rpc\\\\.reply\\\\..+)$"',
        '"configure": ".*"',
        ("packages/chassis/tests/integration/test_rights.py",),
    ),
    Fault(
        "a pull request's code gets the token of the repository",
        ".github/workflows/ci.yml",
        "permissions: {}\n\nconcurrency",
        "permissions: write-all\n\nconcurrency",
        ("tests/unit/test_workflows.py",),
    ),
    Fault(
        "RabbitMQ's messages go with its container",
        COMPOSE,
        '    volumes: ["rabbitmq-data:/var/lib/rabbitmq"]\n',
        "",
        (f"{TESTS}::test_data_outlives_its_container",),
    ),
    Fault(
        "the Collector gathers what it should refuse",
        "observability/otel-collector-config.yaml",
        "processors: [memory_limiter, resourcedetection, batch]",
        "processors: [batch, resourcedetection, memory_limiter]",
        ("tests/unit/test_collector.py",),
    ),
)
