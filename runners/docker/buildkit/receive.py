"""What an exporter of a standalone buildkitd sends back: the image as an archive, in the messages of a call.

Must not know where the archive goes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from . import messages as pb
from .link import Call
from .serve import Answer, Handler

#: Takes the archive of an image, piece by piece, to its end. Raises TaskEngineError when it cannot be used.
Load = Callable[[Iterator[bytes]], None]


def receiver(load: Load) -> Handler:
    """Serves FileSend.DiffCopy: the call ends well when the image is where `load` brings it, and not before."""

    def handle(requests: Iterable[bytes], _call: Call) -> Answer:
        load(data for message in requests if (data := pb.BytesMessage.decode(message).data))
        yield from ()

    return handle
