#!/bin/sh
# The steps of our Dockerfiles, run where the image is built.
#
#   image.sh install FOLDER   packages that the folder's requirements.txt pins
#   image.sh finish FOLDER    the folder as /app, and packages/ beside what is installed
#
# CA_CERTIFICATES, PEM, is a CA that signs for the index of packages.
set -eu

install() {
    if [ -n "${CA_CERTIFICATES:-}" ]; then
        printf '%s\n' "$CA_CERTIFICATES" >/usr/local/share/ca-certificates/build.crt
        update-ca-certificates
        export PIP_CERT=/etc/ssl/certs/ca-certificates.crt
    fi
    [ -d /opt/venv ] || python3 -m venv --without-pip /opt/venv
    # Wheels only, each by its hash: nothing is compiled, nothing unpinned comes in.
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
    # The root file system is read-only later: bytecode is written now.
    /opt/venv/bin/python -m compileall -q /app "$1"
    # A clone made under umask 077 is readable to its owner alone.
    chmod -R a+rX /app "$1"
}

"$@"
