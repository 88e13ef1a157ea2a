"""MQTT: topics, who is there, and events that wait for a broker."""

from __future__ import annotations

import getpass
import json
import logging
import queue
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from liveevents import Dropped, event

from stgcn_deploy.errors import MissingDependencyError, UsageError
from stgcn_deploy.live.outlet import Outlet
from stgcn_deploy.live.settings import MqttSettings
from stgcn_deploy.live.sinks import mqtt
from stgcn_deploy.live.sinks.base import SinkError
from stgcn_deploy.live.sinks.mqtt import MqttSink
from stgcn_deploy.live.sinks.registry import make_sink

LONG = 60.0
WELL = SimpleNamespace(is_failure=False)


@dataclass
class Client:
    """Stands in for paho's client; what is published is confirmed at once, or never."""

    confirm: bool = True
    code: int = 0
    calls: list[Any] = field(default_factory=list)
    published: list[tuple[str, str, int, bool]] = field(default_factory=list)

    def __getattr__(self, name: str) -> Any:
        return lambda *args, **named: self.calls.append((name, args, named))

    def publish(self, topic: str, payload: str, qos: int = 0, retain: bool = False) -> Any:
        if "+" in topic:
            raise ValueError("Publish topic cannot contain wildcards.")
        number = len(self.published)
        if self.code in (0, 4):
            self.published.append((topic, payload, qos, retain))
            if self.confirm:
                self.on_publish(self, None, number, WELL, None)
        return SimpleNamespace(rc=self.code, mid=number)

    def connect_now(self) -> None:
        self.on_connect(self, None, None, WELL, None)

    def done(self) -> list[str]:
        return [name for name, _, _ in self.calls]


def sink(client: Client, **settings: Any) -> MqttSink:
    return MqttSink(MqttSettings(host="broker.example", **settings), client=client)


def test_topics() -> None:
    client = Client()
    one = sink(client, prefix="site/stgcn")
    one.emit(event(1))
    one.emit(event(2, "camera_state"))
    one.emit(event(3, "degraded", camera=""))
    assert [(topic, qos, retain) for topic, _, qos, retain in client.published] == [
        ("site/stgcn/door/events", 1, False),
        ("site/stgcn/door/state", 1, True),
        ("site/stgcn/events", 1, False),
    ]
    assert client.published[0][1] == event(1).as_line()


def test_who_is_there() -> None:
    client = Client()
    one = sink(client)
    assert client.done()[:3] == ["will_set", "connect_async", "loop_start"]
    assert client.calls[0][1:] == (("stgcn/state", "offline"), {"qos": 1, "retain": True})
    one.emit(event(1, "camera_state"))
    client.published.clear()
    client.connect_now()
    assert [(topic, retain) for topic, _, _, retain in client.published] == [
        ("stgcn/state", True),
        ("stgcn/door/state", True),
    ]
    assert client.published[0][1] == "online"
    assert json.loads(client.published[1][1])["id"] == "e1"
    one.close()
    assert client.published[-1] == ("stgcn/state", "offline", 0, True)
    assert client.done()[-2:] == ["disconnect", "loop_stop"]


def test_a_full_queue_is_told() -> None:
    client = Client(code=15)
    with pytest.raises(SinkError, match="wait for the broker") as caught:
        sink(client).emit(event(1))
    assert caught.value.reason == "overflow"


def test_a_camera_that_is_no_topic_is_told() -> None:
    with pytest.raises(SinkError, match="cannot be published") as caught:
        sink(Client()).emit(event(1, camera="a+b"))
    assert caught.value.reason == "refused"


def test_what_the_broker_did_not_confirm_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mqtt, "FAREWELL", 0.01)
    client = Client(confirm=False)
    one = sink(client)
    client.connect_now()
    for number in range(3):
        one.emit(event(number))
    client.on_publish(client, None, 1, WELL, None)
    with pytest.raises(SinkError) as caught:
        one.close()
    assert (caught.value.reason, caught.value.events) == ("stopping", 2)
    assert client.done()[-2:] == ["disconnect", "loop_stop"], "released all the same"


def test_a_broker_that_is_away_is_not_waited_for_at_the_end() -> None:
    client = Client(confirm=False, code=4)
    one = sink(client)
    one.emit(event(1))
    with pytest.raises(SinkError):
        one.close()
    assert len(client.published) == 1, "no farewell to nobody"


def test_what_changes_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    client = Client()
    with caplog.at_level(logging.WARNING):
        one = sink(client, username="user", password="s3cret")
        refused = SimpleNamespace(is_failure=True)
        for _ in range(3):
            client.on_connect(client, None, None, refused, None)
        for _ in range(3):
            try:
                raise ConnectionRefusedError(111, "Connection refused")
            except OSError:
                client.on_connect_fail(client, None)
        client.connect_now()
        client.on_disconnect(client, None, None, refused, None)
    assert len(caplog.messages) == 4
    assert "Connection refused" in caplog.text
    assert "s3cret" not in caplog.text + repr(one) + one.name


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"host": "mqtt://broker"}, "name or an address"),
        ({"host": ""}, "name or an address"),
        ({"host": "user:pw@broker"}, "name or an address"),
        ({"prefix": "a/#"}, "no topic"),
        ({"prefix": ""}, "no topic"),
        ({"prefix": "/a"}, "no topic"),
        ({"prefix": "a b"}, "no topic"),
        ({"password": "s3cret"}, "no username"),
    ],
)
def test_settings_that_cannot_work_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        MqttSink(MqttSettings(**({"host": "broker"} | settings)), client=Client())
    assert "pw" not in str(caught.value)
    assert "s3cret" not in str(caught.value)


def test_the_library_may_be_absent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "paho.mqtt.client", None)
    with pytest.raises(MissingDependencyError, match=r"stgcn-deploy\[mqtt\]"):
        make_sink(MqttSettings(host="broker"))


# A real broker, on this machine.

MOSQUITTO = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin")


@dataclass
class Broker:
    """mosquitto, which may be stopped and started again, and whoever listens to it."""

    folder: Path
    port: int
    process: subprocess.Popen[bytes] | None = None
    extra: str = ""

    def start(self) -> None:
        config = self.folder / "mosquitto.conf"
        # Else it becomes another user where it is started by root, who may not read this folder.
        config.write_text(
            f"user {getpass.getuser()}\nlistener {self.port} 127.0.0.1\n"
            f"{self.extra or 'allow_anonymous true'}\n"
        )
        assert MOSQUITTO
        self.process = subprocess.Popen(
            [MOSQUITTO, "-c", str(config)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        until = time.monotonic() + LONG
        while time.monotonic() < until and self.process.poll() is None:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1.0).close()
            except OSError:
                time.sleep(0.02)
            else:
                return
        pytest.fail("mosquitto does not answer")

    def stop(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait(LONG)
            self.process = None


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    if MOSQUITTO is None:
        pytest.skip("needs the program mosquitto, which is absent")
    pytest.importorskip("paho.mqtt", reason="needs paho-mqtt, which is absent")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    one = Broker(tmp_path, port)
    yield one
    one.stop()
    assert not [thread for thread in threading.enumerate() if "paho" in thread.name]


class Listener:
    """Subscribes to everything."""

    def __init__(self, port: int, **login: str) -> None:
        from paho.mqtt.client import Client
        from paho.mqtt.enums import CallbackAPIVersion

        self.got: queue.Queue[tuple[str, str, bool]] = queue.Queue()
        ready = threading.Event()
        self.client = Client(CallbackAPIVersion.VERSION2)
        if login:
            self.client.username_pw_set(**login)
        self.client.on_connect = lambda client, *_: client.subscribe("#", 1)
        self.client.on_subscribe = lambda *_: ready.set()
        self.client.on_message = lambda _client, _data, message: self.got.put(
            (message.topic, message.payload.decode(), message.retain)
        )
        self.client.reconnect_delay_set(1, 1)
        self.client.connect("127.0.0.1", port)
        self.client.loop_start()
        assert ready.wait(LONG)

    def next(self) -> tuple[str, str, bool]:
        return self.got.get(timeout=LONG)

    def until(self, topic: str, part: str) -> None:
        """Wait for a message."""
        while not ((found := self.next())[0] == topic and part in found[1]):
            pass

    def close(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()
        # It closes its last sockets when it goes, which a circle of references would put off.
        del self.client


def test_events_reach_a_broker(broker: Broker) -> None:
    broker.start()
    listener, dropped = Listener(broker.port), Dropped()
    outlet = Outlet(make_sink(MqttSettings(host="127.0.0.1", port=broker.port)), dropped)
    assert listener.next() == ("stgcn/state", "online", False)
    outlet.put(event(1))
    outlet.put(event(2, "camera_state"))
    assert listener.next() == ("stgcn/door/events", event(1).as_line(), False)
    assert listener.next() == ("stgcn/door/state", event(2, "camera_state").as_line(), False)
    assert outlet.close(LONG)
    assert listener.next() == ("stgcn/state", "offline", False)
    listener.close()
    later = Listener(broker.port)
    found = {later.next()[:2], later.next()[:2]}
    assert found == {
        ("stgcn/state", "offline"),
        ("stgcn/door/state", event(2, "camera_state").as_line()),
    }
    later.close()
    assert not dropped.reasons


def test_events_wait_for_a_broker_that_is_away(broker: Broker) -> None:
    dropped = Dropped()
    outlet = Outlet(make_sink(MqttSettings(host="127.0.0.1", port=broker.port)), dropped)
    outlet.put(event(1))
    broker.start()
    listener = Listener(broker.port)
    outlet.put(event(2, "camera_state"))
    listener.until("stgcn/door/state", '"e2"')
    listener.close()
    broker.stop()
    outlet.put(event(3))
    broker.start()
    listener = Listener(broker.port)
    outlet.put(event(4))
    # The broker forgot what it retained; the newest state is published again.
    listener.until("stgcn/door/state", '"e2"')
    listener.until("stgcn/door/events", '"e4"')
    assert outlet.close(LONG)
    listener.until("stgcn/state", "offline")
    listener.close()
    assert not dropped.reasons


def test_a_broker_says_so_when_we_vanish(broker: Broker) -> None:
    broker.start()
    listener = Listener(broker.port)
    one = make_sink(MqttSettings(host="127.0.0.1", port=broker.port))
    assert isinstance(one, MqttSink)
    listener.until("stgcn/state", "online")
    # A connection that breaks, without a farewell.
    one._client.socket().shutdown(socket.SHUT_RDWR)
    listener.until("stgcn/state", "offline")
    listener.until("stgcn/state", "online")
    one.close()
    listener.close()


def test_a_broker_that_asks_who_we_are(
    broker: Broker, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    program = shutil.which("mosquitto_passwd") or shutil.which("mosquitto_passwd", path="/usr/sbin")
    if program is None:
        pytest.skip("needs the program mosquitto_passwd, which is absent")
    people = tmp_path / "people"
    subprocess.run([program, "-b", "-c", str(people), "cam", "pw"], check=True, capture_output=True)
    broker.extra = f"allow_anonymous false\npassword_file {people}"
    broker.start()
    listener = Listener(broker.port, username="cam", password="pw")
    right = MqttSettings(host="127.0.0.1", port=broker.port, username="cam", password="pw")
    one = make_sink(right)
    listener.until("stgcn/state", "online")
    one.close()
    dropped = Dropped()
    with caplog.at_level(logging.WARNING):
        outlet = Outlet(
            make_sink(right.model_copy(update={"password": "wrong-one", "prefix": "no"})), dropped
        )
        outlet.put(event(1))
        until = time.monotonic() + LONG
        while "refuses us" not in caplog.text and time.monotonic() < until:
            time.sleep(0.02)
        assert outlet.close(LONG)
    assert "refuses us: Not authorized" in caplog.text
    assert "wrong-one" not in caplog.text
    assert dropped.reasons == {"stopping": 1}
    listener.close()
