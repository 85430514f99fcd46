"""Serialises orders with the serialisers of Confluent's client, which register their schemas.

Reads one order per line from standard input, as JSON: {"id", "buyer", "placed_at" (milliseconds since 1970), "total"}.
Writes the value of each record in hexadecimal, one per line. Arguments: the format and the address of the registry.
"""

import datetime
import decimal
import json
import sys

from confluent_kafka.schema_registry import SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroSerializer
from confluent_kafka.schema_registry.json_schema import JSONSerializer
from confluent_kafka.schema_registry.protobuf import ProtobufSerializer
from confluent_kafka.serialization import MessageField, SerializationContext
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, timestamp_pb2

AVRO = """{"type": "record", "name": "Order", "namespace": "shop", "fields": [
    {"name": "id", "type": "string"},
    {"name": "buyer", "type": ["null", "string"], "default": null},
    {"name": "placed_at", "type": {"type": "long", "logicalType": "timestamp-millis"}},
    {"name": "total", "type": {"type": "bytes", "logicalType": "decimal", "precision": 12, "scale": 2}},
    {"name": "lines", "type": {"type": "array", "items": {"type": "record", "name": "Line", "fields": [
        {"name": "sku", "type": "string"}, {"name": "quantity", "type": "int"}]}}}]}"""
JSON_SCHEMA = """{"$schema": "http://json-schema.org/draft-07/schema#", "title": "Order", "type": "object", "properties": {
    "id": {"type": "string"}, "buyer": {"type": "string"}, "placed_at": {"type": "string"}, "total": {"type": "string"}}}"""


def order_class():
    """Returns the class of the second message of a schema, so that its index is not zero."""
    file = descriptor_pb2.FileDescriptorProto(
        name="orders.proto", package="shop", syntax="proto3", dependency=["google/protobuf/timestamp.proto"])
    file.message_type.add(name="Return").field.add(name="id", number=1, type=9, label=1)
    order = file.message_type.add(name="Order")
    for number, name in enumerate(["id", "buyer", "total"], 1):
        order.field.add(name=name, number=number, type=9, label=1)
    order.field.add(name="placed_at", number=4, type=11, label=1, type_name=".google.protobuf.Timestamp")
    pool = descriptor_pool.Default()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("shop.Order"))


def serialiser(form, registry):
    if form == "avro":
        serialise = AvroSerializer(registry, AVRO)

        def record(order):
            placed_at = datetime.datetime.fromtimestamp(order["placed_at"] / 1000, datetime.timezone.utc)
            lines = [{"sku": "a", "quantity": 2}, {"sku": "b", "quantity": 1}]
            return {**order, "placed_at": placed_at, "total": decimal.Decimal(order["total"]), "lines": lines}
    elif form == "protobuf":
        order_type = order_class()
        serialise = ProtobufSerializer(order_type, registry)

        def record(order):
            placed_at = timestamp_pb2.Timestamp()
            placed_at.FromMilliseconds(order["placed_at"])
            return order_type(id=order["id"], buyer=order["buyer"], total=order["total"], placed_at=placed_at)
    else:
        serialise = JSONSerializer(JSON_SCHEMA, registry)

        def record(order):
            placed_at = datetime.datetime.fromtimestamp(order["placed_at"] / 1000, datetime.timezone.utc)
            return {**order, "placed_at": placed_at.isoformat()}
    context = SerializationContext(f"orders-{form}", MessageField.VALUE)
    return lambda order: serialise(record(order), context)


def main():
    form, address = sys.argv[1:]
    serialise = serialiser(form, SchemaRegistryClient({"url": address}))
    for line in sys.stdin:
        print(serialise(json.loads(line)).hex())


main()
