"""A confluent-kafka client for the checks: the verbs are in loadtest/src/clients/program-client.ts."""

import base64
import json
import signal
import sys

import confluent_kafka
from confluent_kafka import Consumer, KafkaException, Producer
from confluent_kafka.admin import AdminClient, NewTopic


def info():
    version = f"{confluent_kafka.version()} (librdkafka {confluent_kafka.libversion()[0]})"
    say({"version": version, "codecs": ["none", "gzip", "snappy", "lz4", "zstd"]})


def create(bootstrap, topic, partitions):
    admin = AdminClient({"bootstrap.servers": bootstrap})
    for created in admin.create_topics([NewTopic(topic, int(partitions))]).values():
        created.result(timeout=30)


def produce(bootstrap, codec):
    producer = Producer({"bootstrap.servers": bootstrap, "compression.type": codec})
    counts = {"produced": 0}

    def on_delivery(error, _message):
        if error is not None:
            raise KafkaException(error)
        counts["produced"] += 1

    for line in sys.stdin:
        record = json.loads(line)
        headers = [(name, to_bytes(value)) for name, value in record["headers"]]
        arguments = {
            "key": to_bytes(record["key"]),
            "value": to_bytes(record["value"]),
            "partition": record["partition"],
            "headers": headers or None,
            "on_delivery": on_delivery,
        }
        producer.produce(record["topic"], **arguments)
        producer.poll(0)
    left = producer.flush(30)
    if left > 0:
        raise TimeoutError(f"{left} records are not acknowledged")
    say(counts)


def consume(bootstrap, group, *topics):
    consumer = Consumer(
        {"bootstrap.servers": bootstrap, "group.id": group, "auto.offset.reset": "earliest"}
    )
    running = True

    def stop(_signal, _frame):
        nonlocal running
        running = False

    def on_assign(_consumer, partitions):
        say({"assigned": [[partition.topic, partition.partition] for partition in partitions]})

    def on_revoke(_consumer, _partitions):
        say({"assigned": []})

    signal.signal(signal.SIGTERM, stop)
    consumer.subscribe(list(topics), on_assign=on_assign, on_revoke=on_revoke)
    while running:
        message = consumer.poll(0.1)
        if message is None:
            continue
        if message.error() is not None:
            print(message.error(), file=sys.stderr)
            continue
        say(
            {
                "topic": message.topic(),
                "partition": message.partition(),
                "offset": message.offset(),
                "key": to_text(message.key()),
                "value": to_text(message.value()),
                "headers": [[name, to_text(value)] for name, value in message.headers() or []],
            }
        )
    consumer.close()


def to_bytes(text):
    return None if text is None else base64.b64decode(text)


def to_text(data):
    return None if data is None else base64.b64encode(data).decode()


def say(line):
    print(json.dumps(line), flush=True)


{"info": info, "create": create, "produce": produce, "consume": consume}[sys.argv[1]](*sys.argv[2:])
