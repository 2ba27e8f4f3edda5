"""A debugger as editors have it: the Debug Adapter Protocol over a socket.

https://microsoft.github.io/debug-adapter-protocol/specification
"""

import json
import socket
from pathlib import Path
from typing import Any

Message = dict[str, Any]


class Debugger:
    """Attached to the process that listens on a port."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=30)
        self._file = self._socket.makefile("rb")
        self._number = 0
        self._messages: list[Message] = []
        self.ask("initialize", adapterID="test", pathFormat="path")
        self._attaching = self._send("attach", justMyCode=True)
        self.wait_event("initialized")

    def break_at(self, file: Path, text: str) -> None:
        """Set a breakpoint at the first line with a text, and let the process run."""
        lines = file.read_text().splitlines()
        line = next(n for n, each in enumerate(lines, start=1) if text in each)
        answer = self.ask(
            "setBreakpoints", source={"path": str(file)}, breakpoints=[{"line": line}]
        )
        assert answer["breakpoints"][0]["verified"], answer
        self.ask("configurationDone")
        self._wait(lambda m: m.get("request_seq") == self._attaching)

    def wait_stopped(self) -> tuple[str, int]:
        """Wait until it stops. Returns the function's name and the thread."""
        thread = self.wait_event("stopped")["threadId"]
        frames = self.ask("stackTrace", threadId=thread)["stackFrames"]
        self._frame = frames[0]["id"]
        return frames[0]["name"], thread

    def evaluate(self, expression: str) -> str:
        """The value of an expression where the process stopped."""
        answer = self.ask("evaluate", expression=expression, frameId=self._frame)
        return str(answer["result"])

    def go_on(self, thread: int) -> None:
        """Let the process run, and disconnect."""
        self.ask("continue", threadId=thread)
        self.ask("disconnect", terminateDebuggee=False)
        self._socket.close()

    def ask(self, command: str, **arguments: Any) -> Message:
        """Send a request; returns the body of the answer."""
        number = self._send(command, **arguments)
        answer = self._wait(lambda message: message.get("request_seq") == number)
        assert answer["success"], answer
        body: Message = answer.get("body") or {}
        return body

    def wait_event(self, name: str) -> Message:
        """Wait for the next event of a name; returns its body."""
        event = self._wait(lambda message: message.get("event") == name)
        body: Message = event.get("body") or {}
        return body

    def _send(self, command: str, **arguments: Any) -> int:
        self._number += 1
        message = {"seq": self._number, "type": "request", "command": command}
        content = json.dumps({**message, "arguments": arguments}).encode()
        self._socket.sendall(b"Content-Length: %d\r\n\r\n" % len(content) + content)
        return self._number

    def _wait(self, is_wanted: Any) -> Message:
        while True:
            for message in self._messages:
                if is_wanted(message):
                    self._messages.remove(message)
                    return message
            self._messages.append(self._receive())

    def _receive(self) -> Message:
        length = 0
        while line := self._file.readline().strip():
            name, _, value = line.partition(b":")
            if name == b"Content-Length":
                length = int(value)
        message: Message = json.loads(self._file.read(length))
        return message
