"""Events to an MQTT broker, and who is there: PREFIX/CAMERA/events, PREFIX/CAMERA/state, PREFIX/state."""

from __future__ import annotations

import logging
import re
import secrets
import socket
import sys
import threading
from typing import Any

from stgcn_deploy.errors import UsageError, requires
from stgcn_deploy.live.events import Event
from stgcn_deploy.live.settings import MqttSettings
from stgcn_deploy.live.sinks.base import SinkError

__all__ = ["MqttSink", "new_client"]

LOG = logging.getLogger(__name__)

# At least once.
QOS = 1
# What publish() returns: sent, kept until there is a connection, or not kept: too many are.
SENT, NO_CONNECTION = 0, 4
# Events kept while the broker is away.
ROOM = 1024
# So long the end waits for the broker to confirm, seconds.
FAREWELL = 2.0


def new_client(settings: MqttSettings) -> Any:
    """A client of paho-mqtt that is not connected yet.

    Raises:
        MissingDependencyError: paho-mqtt is not installed.
    """
    with requires("the mqtt sink", 'pip install "stgcn-deploy[mqtt]"'):
        from paho.mqtt.client import Client
        from paho.mqtt.enums import CallbackAPIVersion
    client = Client(CallbackAPIVersion.VERSION2, client_id=f"stgcn-{secrets.token_hex(6)}")
    if settings.username is not None:
        client.username_pw_set(settings.username, settings.password)
    if settings.tls:
        client.tls_set()
    client.connect_timeout = 3.0
    client.reconnect_delay_set(min_delay=1, max_delay=30)
    client.max_queued_messages_set(ROOM)
    return client


class MqttSink:
    """Publishes each event; the client's own thread connects, again and again where it must.

    A broker that is away when this starts, or later, is waited for: so many events are kept, newer ones
    are refused ("overflow").  State of cameras is retained, and published again with each connection.

    Args:
        client: instead of a real one.

    Raises:
        UsageError: a host or prefix that cannot be one.
        MissingDependencyError: paho-mqtt is not installed.
    """

    def __init__(self, settings: MqttSettings, *, client: Any | None = None) -> None:
        if not re.fullmatch(r"[^\s/@]+", settings.host):
            raise UsageError(
                "sink: host of mqtt is a name or an address alone; port, username and tls are fields "
                "of their own."
            )
        if not re.fullmatch(r"[^/#+\s\x00]+(/[^/#+\s\x00]+)*", settings.prefix):
            raise UsageError(
                f"sink: mqtt prefix {settings.prefix!r} is no topic; write words with / between them, "
                'without "+", "#" and spaces.'
            )
        if settings.password is not None and settings.username is None:
            raise UsageError("sink: mqtt has a password, but no username to go with it.")
        self.name = f"mqtt {settings.host}:{settings.port}"
        self._prefix = settings.prefix
        self._client: Any = new_client(settings) if client is None else client
        # Camera -> its newest state.  Published by the sink's thread and, when connected, by the client's.
        self._states: dict[str, str] = {}
        # Messages of ours that are not events, of which nothing is counted.
        self._greetings: set[int] = set()
        self._published = 0
        self._confirmed = 0
        self._connected = False
        self._said = ""
        self._changed = threading.Condition()
        self._client.on_connect = self._on_connect
        self._client.on_connect_fail = self._on_connect_fail
        self._client.on_disconnect = self._on_disconnect
        self._client.on_publish = self._on_publish
        self._client.on_socket_open = _no_delay
        self._client.will_set(f"{self._prefix}/state", "offline", qos=QOS, retain=True)
        self._client.connect_async(settings.host, settings.port, keepalive=30)
        self._client.loop_start()

    def emit(self, event: Event) -> None:
        """See Sink."""
        kind = "state" if event.type == "camera_state" and event.camera else "events"
        topic = "/".join(part for part in (self._prefix, event.camera, kind) if part)
        line = event.as_line()
        if kind == "state":
            with self._changed:
                self._states[topic] = line
        self._publish(topic, line, retain=kind == "state")

    def close(self) -> None:
        """See Sink."""
        if self._client is None:
            return
        with self._changed:
            self._changed.wait_for(
                lambda: not self._connected or self._confirmed >= self._published, FAREWELL
            )
            lost = self._published - self._confirmed
            connected = self._connected
        if connected:
            # Who leaves in order is not missed: the broker would not publish the last will.
            self._client.publish(f"{self._prefix}/state", "offline", retain=True)
        self._client.disconnect()
        self._client.loop_stop()
        # The client closes its last sockets when it goes, which a circle of references would put off.
        self._client = None
        if lost > 0:
            raise SinkError(f"not confirmed by the broker: {lost}.", "stopping", events=lost)

    def _publish(self, topic: str, payload: str, *, retain: bool) -> None:
        try:
            code = self._client.publish(topic, payload, qos=QOS, retain=retain).rc
        except ValueError as error:
            raise SinkError(f"{topic!r} cannot be published to: {error}.", "refused") from error
        if code not in (SENT, NO_CONNECTION):
            raise SinkError(f"{ROOM} messages wait for the broker already.", "overflow")
        with self._changed:
            self._published += 1

    def _on_connect(
        self, client: Any, _data: object, _flags: object, code: Any, _properties: object
    ) -> None:
        if code.is_failure:
            self._say(f"the broker refuses us: {code}; we go on trying")
            return
        self._say("connected")
        with self._changed:
            self._connected = True
            states = dict(self._states)
            self._greetings.clear()
        for topic, payload in {f"{self._prefix}/state": "online", **states}.items():
            # Not QOS: these would find no room where events fill the queue, and are said again anyway.
            greeting = client.publish(topic, payload, retain=True)
            with self._changed:
                self._greetings.add(greeting.mid)

    def _on_connect_fail(self, _client: Any, _data: object) -> None:
        error = sys.exc_info()[1]
        why = getattr(error, "strerror", None) or type(error).__name__
        self._say(f"no connection ({why}); events are kept and sent later")

    def _on_disconnect(
        self, _client: Any, _data: object, _flags: object, code: Any, _properties: object
    ) -> None:
        with self._changed:
            self._connected = False
            self._changed.notify_all()
        if code.is_failure:
            self._say(f"connection lost ({code}); events are kept and sent again")

    def _on_publish(
        self, _client: Any, _data: object, number: int, _code: object, _properties: object
    ) -> None:
        with self._changed:
            if number in self._greetings:
                self._greetings.discard(number)
            else:
                self._confirmed += 1
            self._changed.notify_all()

    def _say(self, text: str) -> None:
        """Log what changed, once."""
        if text != self._said:
            self._said = text
            LOG.warning("%s: %s", self.name, text)


def _no_delay(_client: Any, _data: object, sock: socket.socket) -> None:
    """Small messages would wait for the confirmation of those before them."""
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
