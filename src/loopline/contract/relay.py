"""Runs inside a sandbox's network and hands connections out of it. Executed as a script: nothing but Python's library.

Takes ports, two bytes each, from the socket whose descriptor is its argument; answers `+` with a connected socket, or
`-` where nothing listens.
"""

import socket
import sys

_TIMEOUT_S = 5.0


def main(descriptor: int) -> None:
    """Answers until the other end closes."""
    with socket.socket(fileno=descriptor) as channel:
        while len(asked := channel.recv(2)) == 2:
            try:
                with socket.create_connection(("127.0.0.1", int.from_bytes(asked)), timeout=_TIMEOUT_S) as made:
                    socket.send_fds(channel, [b"+"], [made.fileno()])
            except OSError:
                channel.sendall(b"-")


if __name__ == "__main__":
    main(int(sys.argv[1]))
