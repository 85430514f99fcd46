"""Stores transitions in SQLite, each once, and prints the new live ones.

    python consumer.py --bootstrap localhost:9092 --topic lifecycle.transitions --database transitions.db

Needs `pip install confluent-kafka`. The offsets are committed after the database, so a crash in between reads some records
again; the unique transition_id makes them harmless.
"""

import argparse
import json
import sqlite3

from confluent_kafka import Consumer, KafkaError, KafkaException

arguments = argparse.ArgumentParser(description="Store transitions in SQLite, each once.")
arguments.add_argument("--bootstrap", default="localhost:9092")
arguments.add_argument("--topic", action="append", required=True)
arguments.add_argument("--group", default="transitions-to-sqlite")
arguments.add_argument("--database", default="transitions.db")
arguments.add_argument("--exit-at-end", action="store_true", help="stop at the end of all partitions")
options = arguments.parse_args()

database = sqlite3.connect(options.database)
database.execute(
    """CREATE TABLE IF NOT EXISTS transitions (
        transition_id TEXT PRIMARY KEY, customer_id TEXT, model TEXT, kind TEXT, name TEXT, stage TEXT,
        sequence INTEGER, occurred_at TEXT, mode TEXT, late INTEGER)"""
)

consumer = Consumer(
    {
        "bootstrap.servers": options.bootstrap,
        "group.id": options.group,
        "isolation.level": "read_committed",  # hides the records of aborted transactions
        "enable.auto.commit": False,  # offsets are committed after the database
        "auto.offset.reset": "earliest",
        "enable.partition.eof": options.exit_at_end,
    }
)
ended = set()
assigned = set()


def on_assign(_, partitions):
    assigned.update((partition.topic, partition.partition) for partition in partitions)


consumer.subscribe(options.topic, on_assign=on_assign)
try:
    while not (options.exit_at_end and assigned and ended >= assigned):
        messages = consumer.consume(num_messages=500, timeout=1.0)
        for message in messages:
            if message.error():
                if message.error().code() != KafkaError._PARTITION_EOF:
                    raise KafkaException(message.error())
                ended.add((message.topic(), message.partition()))
                continue
            transition = json.loads(message.value())
            stored = database.execute(
                "INSERT OR IGNORE INTO transitions VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    transition["transition_id"],
                    transition["customer_id"],
                    transition["model"],
                    transition["kind"],  # later versions may add kinds; they are stored, not acted on
                    transition["name"],
                    transition.get("to"),
                    transition["sequence"],
                    transition["occurred_at"],
                    transition["mode"],
                    transition["late"],
                ),
            )
            # A campaign acts on what is new and live, never on replayed history.
            if stored.rowcount == 1 and transition["mode"] == "live":
                print(transition["customer_id"], transition["name"], flush=True)
        database.commit()
        if any(not message.error() for message in messages):
            consumer.commit(asynchronous=False)
finally:
    consumer.close()
    database.close()
