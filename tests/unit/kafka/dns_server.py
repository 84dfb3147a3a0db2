"""A name server on this machine that knows only SRV records, and may change its mind."""

from __future__ import annotations

import socket
import threading
from types import TracebackType

import dns.flags
import dns.message
import dns.rcode
import dns.rrset

Srv = tuple[int, int, int, str]
"""Priority, weight, port, host."""


class SrvServer:
    """Answers over UDP on 127.0.0.1 while it is entered.

    Attributes:
        records: By name; may be changed at any time. A name without an entry does not exist.
        asked: The names it was asked for.
    """

    def __init__(self, records: dict[str, list[Srv]]) -> None:
        self.records, self.asked = records, list[str]()
        self.answers = True
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def _serve(self) -> None:
        while True:
            query, sender = self._socket.recvfrom(4096)
            if not query:
                return
            if self.answers:
                self._socket.sendto(self._answer(dns.message.from_wire(query)).to_wire(), sender)

    def _answer(self, query: dns.message.Message) -> dns.message.Message:
        answer = dns.message.make_response(query, recursion_available=True)
        (question,) = query.question
        name = question.name.to_text(omit_final_dot=True)
        self.asked.append(name)
        if name not in self.records:
            answer.set_rcode(dns.rcode.NXDOMAIN)
        elif found := self.records[name]:
            texts = [f"{priority} {weight} {port} {host}" for priority, weight, port, host in found]
            answer.answer.append(dns.rrset.from_text(question.name, 1, "IN", "SRV", *texts))
        return answer

    def __enter__(self) -> SrvServer:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as end:
            end.sendto(b"", ("127.0.0.1", self.port))
        self._thread.join(10)
        self._socket.close()
