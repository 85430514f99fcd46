//! Cost of decoding one order in each format of a source, and of mapping it, on one core.
//!
//! `cargo bench --locked --bench decode`. The first line is the direct path of native touchpoints, without a source.

use std::hint::black_box;
use std::sync::Arc;

use criterion::{Criterion, criterion_group, criterion_main};
use lifecycle_processor::decode::{Decoder, Format, Framing, SchemaSource};
use lifecycle_processor::kafka::Record;
use lifecycle_processor::lifecycle::vocabulary::Vocabulary;
use lifecycle_processor::mapping::{Mapping, preset};
use lifecycle_processor::runtime::Translator;
use lifecycle_processor::wire::touchpoint_json::{Scratch, TouchpointDecoder, TouchpointOptions};
use serde_json::Map;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const OPTIONS: TouchpointOptions = TouchpointOptions { bytes_max: 1 << 20 };
const JSON: &str = r#"{"event_id":"e-123456","customer_id":"customer-42","type":"order_completed","occurred_at":"2026-01-31T09:00:00Z","order_id":"o-123456","amount":"49.99","currency":"EUR"}"#;
const SEGMENT: &str = r#"{"type":"track","event":"Order Completed","messageId":"e-123456","userId":"customer-42","timestamp":"2026-01-31T09:00:00Z","properties":{"order_id":"o-123456","total":"49.99","currency":"EUR"}}"#;
const SCHEMA: &str = r#"{"type":"record","name":"Order","fields":[
    {"name":"event_id","type":"string"},{"name":"customer_id","type":["null","string"]},{"name":"type","type":"string"},
    {"name":"occurred_at","type":{"type":"long","logicalType":"timestamp-millis"}},{"name":"order_id","type":"string"},
    {"name":"amount","type":{"type":"bytes","logicalType":"decimal","precision":12,"scale":2}},
    {"name":"currency","type":"string"}]}"#;

/// Returns the order as Avro: lengths and zigzag numbers written by hand.
fn avro() -> Vec<u8> {
    let text = |text: &str| [&[u8::try_from(text.len() * 2).expect("a short text")], text.as_bytes()].concat();
    let instant = [0x80, 0xca, 0xbe, 0xb4, 0x82, 0x67];
    [
        text("e-123456"),
        [&[2][..], &text("customer-42")].concat(),
        text("order_completed"),
        instant.to_vec(),
        text("o-123456"),
        vec![4, 0x13, 0x87],
        text("EUR"),
    ]
    .concat()
}

/// Returns the order as the Protobuf contract.
fn protobuf() -> Vec<u8> {
    let field = |tag: u8, bytes: &[u8]| [&[tag << 3 | 2, u8::try_from(bytes.len()).expect("short")], bytes].concat();
    let instant = [0x08, 0x90, 0x89, 0xf7, 0xcb, 0x06];
    [
        field(1, b"e-123456"),
        field(2, b"customer-42"),
        field(3, b"order_completed"),
        field(4, &instant),
        field(5, b"o-123456"),
        field(6, b"49.99"),
        field(7, b"EUR"),
    ]
    .concat()
}

fn decoder(format: Format) -> Decoder {
    let schema = match format {
        Format::Avro => SchemaSource::File("order.avsc".into(), SCHEMA.as_bytes().to_vec()),
        Format::Json | Format::CloudEvents | Format::Protobuf => SchemaSource::None,
    };
    Decoder::new(format, Framing::Plain, schema, None).expect("a valid schema")
}

fn bench(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("decode");
    let native = TouchpointDecoder::new(&Vocabulary::default(), OPTIONS);
    group.bench_function("native touchpoint", |bencher| {
        bencher.iter(|| {
            let mut scratch = Scratch::default();
            black_box(native.decode(black_box(JSON.as_bytes()), &mut scratch).expect("a touchpoint").amount)
        });
    });
    for (name, format, value) in [
        ("JSON to a value", Format::Json, JSON.as_bytes().to_vec()),
        ("Avro to a value", Format::Avro, avro()),
        ("Protobuf to a value", Format::Protobuf, protobuf()),
    ] {
        let mut decoder = decoder(format);
        let touchpoint = decoder.decode(&value, &[]).expect("a valid record");
        assert_eq!(
            (&touchpoint["amount"], &touchpoint["customer_id"]),
            (&"49.99".into(), &"customer-42".into()),
            "{name}"
        );
        group.bench_function(name, |bencher| bencher.iter(|| black_box(decoder.decode(black_box(&value), &[]))));
    }
    let segment = preset("segment").expect("a preset");
    let (mapping, _) = Mapping::compile(&segment, &Map::new()).expect("a valid preset");
    for (name, translator, value) in [
        ("translate a native touchpoint", Translator::new(decoder(Format::Json), None, OPTIONS), JSON),
        ("translate a Segment call", Translator::new(decoder(Format::Json), Some(Arc::new(mapping)), OPTIONS), SEGMENT),
    ] {
        let mut translator = translator;
        let value = Some(value.as_bytes().to_vec());
        let record = Record { partition: 0, offset: 0, timestamp_ms: None, key: None, value, headers: Vec::new() };
        group.bench_function(name, |bencher| bencher.iter(|| black_box(translator.translate(black_box(&record)))));
    }
    group.finish();
}

criterion_group!(benches, bench);
criterion_main!(benches);
