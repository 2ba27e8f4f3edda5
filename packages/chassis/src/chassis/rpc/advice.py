"""What to do about the errors of RabbitMQ that retries alone cannot fix."""

import socket
import ssl

import amqp

from chassis.rabbitmq import RabbitMQServer


def broker_advice(server: RabbitMQServer, error: BaseException) -> str | None:
    """What the error means and which variable to check; None if retries may help."""
    text, user, vhost = str(error), server.user, server.vhost
    login, where = server.credentials_from, server.vhost_from
    host = "RPC_BROKER_URL" if where == "RPC_BROKER_URL" else "RABBITMQ_HOST"
    if isinstance(error, amqp.AccessRefused):
        if "Login was refused" in text:
            return f"user {user} or its password is wrong: check {login}"
        return (
            f"user {user} lacks permissions on the virtual host {vhost}: grant it what "
            "rabbitmq/definitions.json does, with `rabbitmqctl set_permissions`"
        )
    if isinstance(error, amqp.NotAllowed):
        if "limit" in text:
            return (
                "the broker accepts no more connections of this user or virtual host: "
                "run fewer processes, or raise its limit"
            )
        return f"no virtual host {vhost}, or not for user {user}: check {where}"
    if isinstance(error, ssl.SSLCertVerificationError):
        return (
            f"the broker's certificate is not trusted ({error.verify_message}): check "
            "RABBITMQ_SSL_CA_FILE and the host's name"
        )
    if isinstance(error, ssl.SSLError):
        if error.reason in ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE"):
            return "this port speaks no TLS: brokers have TLS at port 5671"
        return (
            "the broker refused the TLS session: check the client certificate, "
            "RABBITMQ_SSL_CERT_FILE"
        )
    if isinstance(error, socket.gaierror):
        return f"the name has no address: check {host}"
    return None
