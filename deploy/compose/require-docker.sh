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
said=$(docker version --format '{{.Server.Version}}' 2>&1) && exit 0
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
