"""A Kafka broker: librdkafka's own, which speaks the protocol on a port of this machine.

It can be taken down, brought back on the same port, and told what to answer to a request. Its
functions are part of librdkafka's interface (``rdkafka_mock.h``) but not of the Python package,
so they are called in the library that the package brings along.
"""

from __future__ import annotations

import ctypes
from pathlib import Path

PRODUCE = 0
"""Number of the request that writes records."""

_PRODUCER = 0
_QUIET = {"log_level": "0"}


class KafkaBroker:
    """One broker, until `stop`."""

    def __init__(self) -> None:
        self._library = _loaded()
        settings = self._library.rd_kafka_conf_new()
        for name, value in _QUIET.items():
            self._library.rd_kafka_conf_set(settings, name.encode(), value.encode(), None, 0)
        self._client = self._library.rd_kafka_new(_PRODUCER, settings, None, 0)
        self._cluster = self._library.rd_kafka_mock_cluster_new(self._client, 1)

    @property
    def address(self) -> str:
        """``HOST:PORT``."""
        said: bytes = self._library.rd_kafka_mock_cluster_bootstraps(self._cluster)
        return said.decode()

    def go_down(self) -> None:
        """End all connections and take no new ones."""
        self._library.rd_kafka_mock_broker_set_down(self._cluster, 1)

    def come_back(self) -> None:
        self._library.rd_kafka_mock_broker_set_up(self._cluster, 1)

    def answer(self, request: int, *errors: int) -> None:
        """Answer the next requests of a kind with these errors."""
        given = (ctypes.c_int * len(errors))(*errors)
        self._library.rd_kafka_mock_push_request_errors_array(
            self._cluster, request, len(errors), given
        )

    def records(self, topic: str) -> list[tuple[bytes, bytes, dict[str, bytes]]]:
        """Key, value and headers of what a reader finds in a topic, in order of each key."""
        from confluent_kafka import Consumer, TopicPartition

        reader = Consumer(
            {"bootstrap.servers": self.address, "group.id": "reader", "enable.partition.eof": True}
            | {"log_level": 0, "fetch.wait.max.ms": 20}
        )
        parts = sorted(reader.list_topics(topic, timeout=30).topics[topic].partitions)
        found: list[tuple[bytes, bytes, dict[str, bytes]]] = []
        reader.assign([TopicPartition(topic, part, 0) for part in parts])
        ended = 0
        while ended < len(parts):
            record = reader.poll(30)
            if record is None:
                raise TimeoutError("the broker gives no records")
            if record.error() is not None:
                ended += 1
                continue
            found.append((record.key(), record.value(), dict(record.headers())))
        reader.close()
        return found

    def stop(self) -> None:
        self._library.rd_kafka_mock_cluster_destroy(self._cluster)
        self._library.rd_kafka_destroy(self._client)


def _loaded() -> ctypes.CDLL:
    import confluent_kafka

    folder = Path(confluent_kafka.__file__).parents[1] / "confluent_kafka.libs"
    library = ctypes.CDLL(str(next(folder.glob("librdkafka*"))))
    handle, number, text = ctypes.c_void_p, ctypes.c_int, ctypes.c_char_p
    for name, given, result in (
        ("rd_kafka_conf_new", [], handle),
        ("rd_kafka_conf_set", [handle, text, text, text, ctypes.c_size_t], number),
        ("rd_kafka_new", [number, handle, text, ctypes.c_size_t], handle),
        ("rd_kafka_destroy", [handle], None),
        ("rd_kafka_mock_cluster_new", [handle, number], handle),
        ("rd_kafka_mock_cluster_destroy", [handle], None),
        ("rd_kafka_mock_cluster_bootstraps", [handle], text),
        ("rd_kafka_mock_broker_set_down", [handle, ctypes.c_int32], number),
        ("rd_kafka_mock_broker_set_up", [handle, ctypes.c_int32], number),
        (
            "rd_kafka_mock_push_request_errors_array",
            [handle, ctypes.c_int16, ctypes.c_size_t, ctypes.POINTER(number)],
            None,
        ),
    ):
        function = getattr(library, name)
        function.argtypes, function.restype = given, result
    return library
