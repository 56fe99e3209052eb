"""Opening a port to listen on, and what is said when that does not work."""

from __future__ import annotations

import socket

import pytest

from edge.contract.listening import ListenError, listen


def test_others_can_connect() -> None:
    """Port 0 takes a free one, on which clients are accepted."""
    with listen("127.0.0.1", 0, backlog=1) as listening, socket.create_connection(listening.getsockname()):
        client, _ = listening.accept()
        client.close()


def test_answers_are_sent_at_once() -> None:
    """What is accepted holds back no small piece until the one before is acknowledged."""
    with listen("127.0.0.1", 0, backlog=1) as listening, socket.create_connection(listening.getsockname()):
        client, _ = listening.accept()
        with client:
            assert client.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_a_port_in_use() -> None:
    """The address is named, and that another program has it."""
    with listen("127.0.0.1", 0, backlog=1) as listening:
        port = listening.getsockname()[1]
        with pytest.raises(ListenError) as caught:
            listen("127.0.0.1", port, backlog=1)
    what = "another program listens there: stop it, or choose another port"
    assert str(caught.value) == f"cannot listen on 127.0.0.1:{port}: {what}"


@pytest.mark.parametrize(
    ("host", "reason"),
    [("192.0.2.1", "that is no address of this machine: correct host"), ("no host", "no such host: correct host")],
)
def test_a_wrong_host(host: str, reason: str) -> None:
    """An address of another machine, and a word that is no address, are for the person to correct."""
    with pytest.raises(ListenError) as caught:
        listen(host, 8085, backlog=1)
    assert str(caught.value) == f"cannot listen on {host}:8085: {reason}"
