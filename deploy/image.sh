#!/bin/sh
# Build steps that our Dockerfiles share.
#
#   image.sh install FOLDER   installs the packages of the folder's requirements.txt
#   image.sh finish FOLDER    copies the folder to /app, and packages/ into the venv
#
# CA_CERTIFICATES (PEM) contains a CA to trust for the package index.
set -eu

install() {
    if [ -n "${CA_CERTIFICATES:-}" ]; then
        printf '%s\n' "$CA_CERTIFICATES" >/usr/local/share/ca-certificates/build.crt
        update-ca-certificates
        export PIP_CERT=/etc/ssl/certs/ca-certificates.crt
    fi
    [ -d /opt/venv ] || python3 -m venv --without-pip /opt/venv
    # Only wheels, each checked by its hash: nothing is compiled, and nothing unpinned
    # gets in.
    python3 -m pip --python /opt/venv/bin/python install \
        --no-cache-dir --disable-pip-version-check \
        --require-hashes --only-binary :all: --no-deps -r "$1/requirements.txt"
}

finish() {
    groupadd --gid 10001 app
    useradd --uid 10001 --gid app --no-create-home --home-dir /tmp \
        --shell /usr/sbin/nologin app
    cp -r "$1" /app
    rm /app/requirements.txt
    set -- /opt/venv/lib/python3*/site-packages
    cp -r packages/*/src/. "$1"
    # Compile bytecode now, because the root file system is read-only later.
    /opt/venv/bin/python -m compileall -q /app "$1"
}

"$@"
