"""Reads records in Confluent's wire format with Confluent's deserialiser, and the schema that each names.

Arguments: the brokers, the topic, the address of the registry, and the number of records; for Protobuf also a file with the
descriptors of the message, and its full name. Without them, the records are JSON, and each is validated against the schema
that it names. Prints for each record its fields as JSON, and the subjects of its schema.
"""

import json
import sys

from confluent_kafka import Consumer
from confluent_kafka.schema_registry import SchemaRegistryClient
from confluent_kafka.schema_registry.json_schema import JSONDeserializer
from confluent_kafka.schema_registry.protobuf import ProtobufDeserializer
from confluent_kafka.serialization import MessageField, SerializationContext
from google.protobuf import descriptor_pb2, descriptor_pool, json_format, message_factory
from google.protobuf import struct_pb2, timestamp_pb2  # noqa: F401, whose descriptors the messages need


def message_class(path, name):
    with open(path, "rb") as file:
        files = descriptor_pb2.FileDescriptorSet.FromString(file.read())
    pool = descriptor_pool.Default()
    for file in files.file:
        if not file.name.startswith("google/"):
            pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(name))


def main():
    brokers, topic, address, count, *protobuf = sys.argv[1:]
    registry = SchemaRegistryClient({"url": address})
    if protobuf:
        deserialise = ProtobufDeserializer(message_class(*protobuf), {"use.deprecated.format": False})
        title = f"message {protobuf[1].rsplit('.', 1)[1]}"
    else:
        deserialise = JSONDeserializer(None, schema_registry_client=registry)
        title = '"title"'
    consumer = Consumer({"bootstrap.servers": brokers, "group.id": f"{topic}-reader", "auto.offset.reset": "earliest",
                         "isolation.level": "read_committed"})
    consumer.subscribe([topic])
    for _ in range(int(count)):
        record = consumer.poll(30)
        if record is None or record.error():
            sys.exit(f"no record: {record and record.error()}")
        message = deserialise(record.value(), SerializationContext(topic, MessageField.VALUE))
        schema = registry.get_schema(int.from_bytes(record.value()[1:5], "big"))
        fields = json_format.MessageToDict(message, preserving_proto_field_name=True) if protobuf else message
        print(json.dumps({"fields": fields, "schema_type": schema.schema_type,
                          "subjects": sorted(registry.get_subjects()),
                          "has_message": title in schema.schema_str}))
    consumer.close()


main()
