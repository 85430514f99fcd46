//! CPU time per record on one core: a native touchpoint, and a Segment event that a preset maps.
//!
//! `native` decodes a touchpoint with the properties of all shipped models. `segment/all` reads those parts of the
//! event that the mapping reads, maps it and writes the touchpoint, as ingest does. `segment/tree` does the same
//! through a tree of JSON, as ingest does for batches; `segment/parse` and `segment/map` are its first two steps.
//! `segment/whole` also reads the other parts, and writes the touchpoint through a tree.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use lifecycle_processor::config::ModelChoice;
use lifecycle_processor::mapping::{Mapping, Outcome, RecordValues, preset};
use lifecycle_processor::wire::touchpoint_json::{Scratch, TouchpointDecoder, TouchpointOptions};
use serde_json::Map;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const NATIVE: &str = r#"{"event_id":"ajs-next-1f0e0d0a","customer_id":"u-4711","type":"product_viewed","occurred_at":"2026-03-05T10:00:00.120Z","properties":{"product":"Cup","category":"kitchen","url":"https://shop.example/p1"}}"#;
const SEGMENT: &str = r#"{"type":"track","event":"Product Viewed","messageId":"ajs-next-1f0e0d0a","userId":"u-4711","anonymousId":"a-1","timestamp":"2026-03-05T10:00:00.120Z","originalTimestamp":"2026-03-05T12:00:00Z","sentAt":"2026-03-05T12:00:01Z","receivedAt":"2026-03-05T10:00:01.120Z","context":{"library":{"name":"analytics.js","version":"next-1.51.2"},"page":{"path":"/p1","title":"Cup","url":"https://shop.example/p1"},"userAgent":"Mozilla/5.0","ip":"192.0.2.1"},"properties":{"product_id":"p1","name":"Cup","category":"kitchen","price":4.2,"currency":"EUR"}}"#;

fn benches(criterion: &mut Criterion) {
    let models = ModelChoice::default().load(false).expect("the shipped models are valid");
    let decoder = TouchpointDecoder::new(&models.vocabulary, TouchpointOptions { bytes_max: 1 << 20 });
    criterion.bench_function("native", |bencher| {
        bencher.iter(|| {
            let mut scratch = Scratch::default();
            decoder.decode(black_box(NATIVE.as_bytes()), &mut scratch).expect("a touchpoint").occurred_at
        });
    });

    let source = preset("segment").expect("a preset");
    let (mapping, _) = Mapping::compile(&source, &Map::new()).expect("a mapping");
    let values = RecordValues::of_topic(None, [], SEGMENT.as_bytes()).expect("a record");
    assert!(matches!(mapping.map(&values.as_record()), Outcome::Touchpoints(all) if all.len() == 1));
    criterion.bench_function("segment/parse", |bencher| {
        bencher.iter(|| mapping.read(None, [], black_box(SEGMENT.as_bytes())).expect("a record"));
    });
    criterion.bench_function("segment/map", |bencher| {
        bencher.iter(|| mapping.map(&black_box(&values).as_record()));
    });
    let mut json = Vec::new();
    criterion.bench_function("segment/all", |bencher| {
        bencher.iter(|| {
            json.clear();
            let outcome = mapping.map_object(None, [], black_box(SEGMENT.as_bytes()));
            if let Some(Outcome::Touchpoints(touchpoints)) = outcome {
                for touchpoint in &touchpoints {
                    touchpoint.write_json(&mut json);
                }
            }
            json.len()
        });
    });
    criterion.bench_function("segment/tree", |bencher| {
        bencher.iter(|| {
            json.clear();
            let values = mapping.read(None, [], black_box(SEGMENT.as_bytes())).expect("a record");
            if let Outcome::Touchpoints(touchpoints) = mapping.map(&values.as_record()) {
                for touchpoint in &touchpoints {
                    touchpoint.write_json(&mut json);
                }
            }
            json.len()
        });
    });
    criterion.bench_function("segment/whole", |bencher| {
        bencher.iter(|| {
            json.clear();
            let values = RecordValues::of_topic(None, [], black_box(SEGMENT.as_bytes())).expect("a record");
            if let Outcome::Touchpoints(touchpoints) = mapping.map(&values.as_record()) {
                for touchpoint in &touchpoints {
                    json.extend_from_slice(touchpoint.to_json().to_string().as_bytes());
                }
            }
            json.len()
        });
    });
}

criterion_group!(mapping, benches);
criterion_main!(mapping);
