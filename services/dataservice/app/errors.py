"""The one exception that a service raises on purpose."""


class ServiceError(Exception):
    """A refusal: the request was understood and is answered with this error.

    `code` is for programs (`unsortable_list`), `message` for people. The caller gets
    both, so neither may hold a secret. Any other exception means that the handler
    failed: the message is delivered again and, at the limit, dead-lettered.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
