"""A bound socket, before any server takes it: so that a port in use is told in one sentence."""

from __future__ import annotations

import socket

from rapbot.errors import ConfigError


def listen(host: str, port: int, what: str, hint: str) -> socket.socket:
    """Not blocking. Raises ConfigError, which names `what` cannot listen there and ends with the `hint`."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
        listening.listen(128)
    except OSError as error:
        listening.close()
        raise ConfigError(f"{what} cannot use {host}:{port}: {error.strerror}. {hint}") from error
    listening.setblocking(False)
    return listening
