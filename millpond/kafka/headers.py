"""Header names that are not UTF-8. The client gives names as text and cannot give those."""

from __future__ import annotations

from confluent_kafka import Message


def has_text_names(message: Message) -> bool:
    """Whether the client can give the record's headers. It may be asked of any record and any number of times.

    confluent-kafka 2.16.1 returns such headers once together with an exception, which a caller in C finds (`map`; a
    method call in hot Python code does not look), and after that without one, with nothing at all in place of the
    name: then only `repr` may look at them, and anything else ends the process.
    """
    try:
        (headers,) = map(Message.headers, (message,))
        for header in headers or ():
            if repr(header).startswith("(<NULL>"):
                return False
            header[0].encode()
    except (UnicodeError, SystemError):
        return False
    return True
