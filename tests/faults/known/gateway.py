"""Faults in nginx's configuration."""

from tests.faults.planted import Fault

FILE = "nginx_config.conf"
E2E = "tests/e2e/test_gateway.py"

FAULTS = (
    Fault(
        "the API believes any address that a client claims",
        FILE,
        "proxy_set_header X-Forwarded-For $remote_addr;",
        "proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;",
        ("tests/unit/test_gateway_rules.py",),
    ),
    Fault(
        "everybody is believed to be a trusted proxy",
        FILE,
        '"~*^1\\|\\s*(https|wss)\\b" https;',
        '"~*^.\\|\\s*(https|wss)\\b" https;',
        ("tests/unit/test_gateway_rules.py",),
    ),
    Fault(
        "an unsafe request id is passed on",
        FILE,
        '"~^[A-Za-z0-9._~:/+=@-]{1,128}$" $http_x_request_id;',
        '"~^.+$" $http_x_request_id;',
        (f"{E2E}::test_invalid_request_ids_are_not_repeated",),
    ),
    Fault(
        "floods are not limited",
        FILE,
        "limit_req zone=requests burst=${NGINX_BURST} nodelay;",
        "limit_req zone=requests burst=10000 nodelay;",
        (f"{E2E}::test_a_flood_is_answered_429",),
    ),
    Fault(
        "each IPv6 address is a client of its own",
        FILE,
        '"~(?s)^0(?<network>.{8}).{8}$" $network;',
        '"~(?s)^0(?<network>.{16})$" $network;',
        (f"{E2E}::test_an_ipv6_network_is_one_client",),
    ),
    Fault(
        "bodies of unknown length are not counted",
        FILE,
        '    "" "";\n    "~^([12]?',
        '    "" "";\n    "~^chunked$" "";\n    "~^([12]?',
        (f"{E2E}::test_large_bodies_at_a_time_are_bounded",),
    ),
    Fault(
        "a slow client holds a connection for a minute",
        FILE,
        "client_body_timeout 10s;",
        "client_body_timeout 60s;",
        (f"{E2E}::test_slow_clients_time_out",),
    ),
    Fault(
        "nginx says which version it is",
        FILE,
        "    server_tokens off;\n",
        "",
        (f"{E2E}::test_every_answer_has_the_headers_once",),
    ),
    Fault(
        "errors of the gateway in HTML",
        FILE,
        "    error_page 502 /.problem/502;\n",
        "",
        (f"{E2E}::test_the_api_is_down",),
    ),
    Fault(
        "nginx gives up before the API's deadline",
        FILE,
        "proxy_read_timeout ${NGINX_READ_TIMEOUT};",
        "proxy_read_timeout 300s;",
        (f"{E2E}::test_the_api_hangs",),
    ),
    Fault(
        "two headers of one name",
        FILE,
        '"" DENY;\n    default "";',
        '"" DENY;\n    default DENY;',
        (f"{E2E}::test_every_answer_has_the_headers_once",),
    ),
    Fault(
        "only one of the two copies is changed",
        "deploy/nginx/nginx_config.conf",
        "keepalive_timeout 60s;",
        "keepalive_timeout 75s;",
        (
            "tests/unit/kubernetes/test_agreement.py"
            "::test_the_gateway_is_the_one_of_the_root",
        ),
    ),
    Fault(
        "a container starts with a setting that cannot work",
        "deploy/nginx/check.sh",
        '"" | *[!0-9]* | ????????*) return 1 ;;',
        '"" | ????????*) return 1 ;;',
        ("tests/unit/test_gateway_settings.py",),
    ),
    Fault(
        "headers of successes only",
        FILE,
        "add_header X-Request-ID $own_request_id always;",
        "add_header X-Request-ID $own_request_id;",
        ("tests/unit/test_gateway_rules.py",),
    ),
)
