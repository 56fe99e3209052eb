"""Staying connected to the broker: the loop around every connection by which the cloud receives messages."""

import asyncio
import hashlib
import secrets
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import NoReturn

import structlog
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type, wait_exponential

from edge.contract.broker_config import BrokerConfig
from edge.contract.mqtt import Connection, DisconnectedError, MqttError, connect

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 30.0
SAY_AGAIN_S = 300.0

_log = structlog.get_logger()


async def stay_subscribed(
    broker: BrokerConfig,
    *,
    name: str,
    topic_filters: Sequence[str],
    serve: Callable[[Connection], Awaitable[NoReturn]],
    max_inflight: int,
) -> NoReturn:
    """Connect, subscribe and `serve` the connection, for ever; a lost connection is made again.

    Each connection has a clean session and a client id of its own, beginning with `name`: what a lost one had not
    acknowledged comes again because its sender has no receipt. At most `max_inflight` messages wait to be served.
    """
    said = _Said(name)

    async def serve_one_connection() -> None:
        client_id = f"{name}-{secrets.token_hex(4)}"
        async with connect(broker, client_id=client_id, max_inflight=max_inflight) as connection:
            for topic_filter in topic_filters:
                await connection.subscribe(topic_filter)
            said.nothing()
            _log.info("subscribed", worker=name, broker=broker.address, topics=", ".join(topic_filters))
            try:
                await serve(connection)
            except DisconnectedError as error:
                _log.warning("connection lost", worker=name, reason=str(error))

    while True:
        await AsyncRetrying(
            retry=retry_if_exception_type(MqttError),
            wait=wait_exponential(FIRST_PAUSE_S, LONGEST_PAUSE_S, min=FIRST_PAUSE_S),
            before_sleep=said.why,
        )(serve_one_connection)
        await asyncio.sleep(FIRST_PAUSE_S)  # a broker that drops us at once is not to be stormed


def share_filter(broker: BrokerConfig, group: str, topic_filter: str) -> str:
    """Return the filter by which workers share what comes; raises OSError when our secret cannot be read.

    Brokers let everybody join a group whose name he knows, and Mosquitto hands its messages also to those who may not
    read them: there they are lost. So the name has something in it that only who enters by our secret can know.
    """
    secret = broker.password_file or (broker.tls.key_file if broker.tls is not None else None)
    if secret is not None:
        digest = hashlib.blake2b(secret.read_bytes().strip(), digest_size=16, person=b"anlan share").hexdigest()
        group = f"{group}-{digest}"
    return f"$share/{group}/{topic_filter}"


class _Said:
    """What was last logged of a missing connection: the same is said again only after a while."""

    def __init__(self, worker: str) -> None:
        self._worker = worker
        self.nothing()

    def nothing(self) -> None:
        """There is a connection: whatever comes next is news."""
        self._reason, self._at = "", 0.0

    def why(self, state: RetryCallState) -> None:
        """Log why there is no connection."""
        reason, now = str(state.outcome.exception()) if state.outcome else "", time.monotonic()
        if reason != self._reason or now - self._at >= SAY_AGAIN_S:
            _log.warning("no connection: messages wait at the gateways", worker=self._worker, reason=reason)
            self._reason, self._at = reason, now
