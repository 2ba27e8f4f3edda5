#!/bin/sh
# Checks that Docker works, and explains what to do if not. Takes the Compose command.
if ! command -v docker >/dev/null; then
    echo "Docker is not on this machine: install it (https://docs.docker.com/engine/install/)," >&2
    echo "or run everything without containers: make run." >&2
    exit 1
fi
if ! "$@" version >/dev/null 2>&1; then
    echo "Docker Compose is missing: install docker-compose-plugin (or docker-compose)." >&2
    exit 1
fi
if said=$(docker version --format '{{.Server.Version}}' 2>&1); then
    # Containers have other users. After a clone under umask 077, these could not read
    # what is mounted. Names that begin with a dot, such as .env, stay private.
    find nginx_config.conf observability deploy/compose deploy/ha backend packages services \
        -name '.?*' -prune -o ! -perm -a+r -exec chmod a+rX {} + 2>/dev/null || true
    exit 0
fi
case $said in
*ermission\ denied*)
    echo "This user may not use Docker: sudo usermod -aG docker $(id -un), then log in again." >&2
    ;;
*)
    echo "$said" >&2
    echo "Docker does not answer: start it (sudo systemctl start docker, or Docker Desktop)." >&2
    ;;
esac
exit 1
