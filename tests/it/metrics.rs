//! Metrics of the service on a real broker: a scrape contains exactly the metrics of the catalogue, with correct
//! values.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::process::{Command, Stdio};

use jiff::{Timestamp, ToSpan};
use lifecycle_processor::telemetry::catalogue::METRICS;

use crate::broker::{self, ConsumedRecord, NewRecord};
use crate::exactly_once::deployment::{Deployment, Instance, now};

/// Customers become at risk after two seconds without an order, by wall time.
const SHORT_SILENCE: &str = "clock: {lateness: 500ms}\nparameters: {orders_45d: {silent_after: seconds(2)}}";

/// A scrape: the page, and the values by series (name with labels).
struct Scrape {
    page: String,
    series: BTreeMap<String, f64>,
}

impl Scrape {
    fn of(instance: &Instance) -> Option<Self> {
        let page = instance.scrape()?;
        let series = page.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).map(|line| {
            let (series, value) = line.rsplit_once(' ').expect("a line has a value");
            (series.to_owned(), value.parse().expect("a value is a number"))
        });
        Some(Self { series: series.collect(), page })
    }

    /// Waits until a scrape of `instance` satisfies `condition`.
    fn wait_for(what: &str, instance: &Instance, condition: impl Fn(&Self) -> bool) -> Self {
        broker::until(what, || Self::of(instance).filter(&condition))
    }

    fn get(&self, series: &str) -> f64 {
        self.series.get(series).copied().unwrap_or_else(|| panic!("{series} is missing in\n{}", self.page))
    }

    /// Returns the sum of all series with this prefix.
    fn sum(&self, prefix: &str) -> f64 {
        self.series.iter().filter(|(series, _)| series.starts_with(prefix)).map(|(_, value)| value).sum()
    }

    /// Returns the labels of a metric with their values, without that of the buckets of a histogram.
    fn labels(&self, name: &str) -> BTreeMap<String, BTreeSet<String>> {
        let mut labels = BTreeMap::<_, BTreeSet<_>>::new();
        for series in self.series.keys() {
            let Some(rest) = series.strip_prefix(name) else { continue };
            let Some((suffix, list)) = rest.split_once('{') else { continue };
            if !["", "_bucket", "_sum", "_count"].contains(&suffix) {
                continue;
            }
            // Text between quotes and text outside alternate. No value contains a quote.
            let parts: Vec<&str> = list.split('"').collect();
            for label in parts.chunks_exact(2) {
                let key = label[0].trim_matches([',', '=']);
                if key != "le" {
                    labels.entry(key.to_owned()).or_default().insert(label[1].to_owned());
                }
            }
        }
        labels
    }

    /// Returns the partitions that appear as a label.
    fn partitions(&self) -> BTreeSet<String> {
        let partition = |series: &String| Some(series.split_once("{partition=\"")?.1.split('"').next()?.to_owned());
        self.series.keys().filter_map(partition).collect()
    }
}

/// Returns the labels that the catalogue lists, each with its values; none if it lists no values.
fn documented_labels(labels: &str) -> BTreeMap<String, BTreeSet<String>> {
    let mut documented = BTreeMap::<_, BTreeSet<_>>::new();
    let mut label = String::new();
    // `cause (touchpoint, time), mode`: a word in parentheses is a value of the label before them.
    let mut is_value = false;
    for word in labels.split([' ', ',']).filter(|word| !word.is_empty()) {
        is_value |= word.starts_with('(');
        let name = word.trim_matches(['(', ')']).to_owned();
        if is_value {
            documented.entry(label.clone()).or_default().insert(name);
        } else {
            label.clone_from(&name);
            documented.entry(name).or_default();
        }
        is_value &= !word.ends_with(')');
    }
    documented
}

fn touchpoint(event: &str, customer: &str, occurred_at: Timestamp) -> NewRecord {
    let order = format!("order-of-{event}");
    NewRecord::keyed(
        customer,
        &format!(
            r#"{{"event_id":"{event}","customer_id":"{customer}","type":"order_completed","occurred_at":"{occurred_at}","order_id":"{order}","amount":10,"currency":"USD"}}"#
        ),
    )
}

fn bytes(records: &[ConsumedRecord]) -> f64 {
    let length = |part: &Option<Vec<u8>>| part.as_ref().map_or(0, Vec::len);
    as_f64(records.iter().map(|record| length(&record.key) + length(&record.value)).sum())
}

#[expect(clippy::cast_precision_loss, reason = "counts far below 2^52")]
fn as_f64(count: usize) -> f64 {
    count as f64
}

#[expect(clippy::float_cmp, reason = "whole numbers far below 2^52")]
fn assert_equal(what: &str, found: f64, expected: f64) {
    assert!(found == expected, "{what}: {found} instead of {expected}");
}

/// Returns the output of `promtool check metrics`.
fn promtool_findings(page: &str) -> String {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/prometheus");
    let folder = Command::new(script).output().expect("scripts/prometheus can be run");
    let folder = String::from_utf8(folder.stdout).expect("a path");
    assert!(!folder.trim().is_empty(), "scripts/prometheus found no Prometheus; its output is above");
    let mut promtool = Command::new(format!("{}/promtool", folder.trim()))
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool can be run");
    promtool.stdin.take().expect("it is piped").write_all(page.as_bytes()).expect("promtool reads");
    let output = promtool.wait_with_output().expect("promtool ends");
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// Checks that each metric has the labels of the catalogue, and no other values than it lists.
fn check_labels(scrape: &Scrape) {
    for metric in METRICS {
        let (documented, found) = (documented_labels(metric.labels), scrape.labels(metric.name));
        assert!(found.keys().eq(documented.keys()), "{}: {:?} instead of {documented:?}", metric.name, found.keys());
        for (label, values) in found {
            let allowed = &documented[&label];
            assert!(allowed.is_empty() || values.is_subset(allowed), "{}: {label}: {values:?}", metric.name);
        }
    }
}

fn check_restore_metrics(deployment: &Deployment) {
    let instance = deployment.start("a");
    let scrape = Scrape::wait_for("the customers are restored", &instance, |scrape| {
        scrape.get("lifecycle_restore_duration_seconds_count") >= 2.0
    });
    assert!(scrape.get("lifecycle_customers_restored_total") >= 20.0);
    assert_equal("restoring", scrape.get("lifecycle_partitions_restoring"), 0.0);
    instance.stop();
}

fn check_scrape_is_counted(before: &Scrape, instance: &Instance) {
    // A scrape is counted after its response, so it does not include itself. There is no other client.
    let again = Scrape::of(instance).expect("metrics are served");
    for answers in
        ["requests_total{path=\"/metrics\",code=\"200\"}", "request_duration_seconds_count{path=\"/metrics\"}"]
    {
        let [before, after] = [before, &again].map(|scrape| scrape.get(&format!("lifecycle_http_{answers}")));
        assert_equal(answers, after, before + 1.0);
    }
}

#[test]
fn a_scrape_matches_the_catalogue_and_the_topics() {
    let source = broker::topic("source", 1);
    let sources = format!("sources: [{{name: shop, topics: [{source}]}}]");
    let deployment = Deployment::new(2, &format!("workers: 2\n{SHORT_SILENCE}\n{sources}"));
    let started_at = now();
    let mut records: Vec<_> =
        (0..20).map(|it| touchpoint(&format!("event-{it}"), &format!("customer-{it}"), started_at)).collect();
    records.extend((0..3).map(|it| touchpoint(&format!("event-{it}"), &format!("customer-{it}"), started_at)));
    records.push(touchpoint("event-late", "customer-4", started_at - 30.seconds()));
    records.push(touchpoint("event-ahead", "customer-5", started_at + 24.hours()));
    records.push(NewRecord::keyed("customer-6", "not a touchpoint"));
    // In a transaction, so that both partitions end with a control record, which consumers never receive.
    broker::produce_committed(&deployment.touchpoints, &records);
    let input = broker::read_committed(&deployment.touchpoints);
    assert_eq!(input.iter().map(|record| record.partition).collect::<BTreeSet<_>>().len(), 2);

    let instance = deployment.start("a");
    let is_done = |scrape: &Scrape| {
        scrape.sum("lifecycle_transitions_total{model=\"orders_45d\",kind=\"stage\"") >= 20.0
            && scrape.sum("lifecycle_lag_records{").abs() < 0.5
            && scrape.page.contains("lifecycle_ingest_lag_records{")
    };
    let scrape = Scrape::wait_for("all customers are silent long enough", &instance, is_done);

    let kinds = scrape.page.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '));
    let kinds: Vec<_> = kinds.collect();
    let names: BTreeSet<_> = kinds.iter().map(|(name, _)| *name).collect();
    assert_eq!(names.len(), kinds.len(), "each metric is exported once");
    assert_eq!(names, METRICS.iter().map(|metric| metric.name).collect());
    assert!(kinds.iter().all(|(_, kind)| *kind != "summary"));
    for name in names {
        assert!(scrape.series.keys().any(|series| series.starts_with(name)), "{name} has no series");
    }
    check_labels(&scrape);
    assert_eq!(promtool_findings(&scrape.page), "");
    for secret in ["customer-1", "event-1", "not a touchpoint", deployment.touchpoints.as_str()] {
        assert!(!scrape.page.contains(secret), "{secret} appears in\n{}", scrape.page);
    }

    let consumed = scrape.get("lifecycle_touchpoints_consumed_total");
    assert_equal("consumed", consumed, as_f64(input.len()));
    let applied = scrape.get("lifecycle_touchpoints_applied_total");
    let duplicates = scrape.get("lifecycle_touchpoints_duplicate_total");
    let dead_letters = scrape.sum("lifecycle_dead_letters_total{");
    assert_equal("applied, duplicates and dead letters", applied + duplicates + dead_letters, consumed);
    assert_equal("duplicates", duplicates, 3.0);
    assert_equal("dead letters in future", scrape.get("lifecycle_dead_letters_total{reason=\"in_future\"}"), 1.0);
    assert_equal("late", scrape.get("lifecycle_touchpoints_late_total"), 1.0);
    assert_equal("bytes read", scrape.get("lifecycle_touchpoint_bytes_total"), bytes(&input));

    let published = broker::read_committed(&deployment.transitions);
    assert_eq!(broker::read_committed(&deployment.replay), [], "all of it is live");
    assert_equal("transitions", scrape.sum("lifecycle_transitions_total{"), as_f64(published.len()));
    let moved = "lifecycle_stage_moves_total{model=\"orders_45d\",from=\"\",to=\"at_risk\"}";
    assert_equal("moves", scrape.get(moved), 20.0);
    assert_equal("customers", scrape.get("lifecycle_customers{model=\"orders_45d\",stage=\"at_risk\"}"), 20.0);
    let dead = broker::read_committed(&deployment.dead_letters);
    let changelog = broker::read_committed(&deployment.changelog);
    for (kind, seen) in
        [("transitions", &published), ("replay", &Vec::new()), ("dead_letters", &dead), ("changelog", &changelog)]
    {
        let labels = format!("{{topic_kind=\"{kind}\"}}");
        assert_equal(kind, scrape.get(&format!("lifecycle_records_written_total{labels}")), as_f64(seen.len()));
        assert_equal(kind, scrape.get(&format!("lifecycle_bytes_written_total{labels}")), bytes(seen));
    }

    let by_time = scrape.get("lifecycle_event_latency_seconds_count{cause=\"time\"}");
    let by_touchpoint = scrape.get("lifecycle_event_latency_seconds_count{cause=\"touchpoint\"}");
    assert_equal("latencies", by_time + by_touchpoint, as_f64(published.len()));
    assert_equal("latencies of transitions caused by time", by_time, 20.0);
    assert_equal("latencies of records", scrape.get("lifecycle_append_latency_seconds_count"), consumed);
    assert_equal("batches", scrape.get("lifecycle_batch_touchpoints_sum"), consumed);
    let commits = scrape.get("lifecycle_commits_total{result=\"committed\"}");
    assert_equal("batches", scrape.get("lifecycle_batch_touchpoints_count"), commits);
    let woken = scrape.get("lifecycle_wake_ups_total");
    assert_equal("late wake-ups", scrape.get("lifecycle_wake_up_lateness_seconds_count"), woken);
    assert!(scrape.get("lifecycle_wake_up_lateness_seconds_sum") / woken < 10.0);

    assert_equal("partitions", scrape.get("lifecycle_topic_partitions"), 2.0);
    assert_equal("partitions", scrape.get("lifecycle_partitions_assigned"), 2.0);
    let rebalances = scrape.get("lifecycle_rebalance_duration_seconds_count");
    let gained = scrape.get("lifecycle_partitions_rebalanced_total{event=\"gained\"}");
    assert!(rebalances >= 2.0 && rebalances <= gained, "{rebalances} of {gained}");
    assert_equal("running", scrape.get("lifecycle_service_state{state=\"running\"}"), 1.0);
    let mut now_seconds = as_f64(usize::try_from(started_at.as_second()).expect("after 1970"));
    for partition in ["0", "1"] {
        let of = |name: &str| scrape.get(&format!("lifecycle_{name}{{partition=\"{partition}\"}}"));
        assert_equal("lag", of("lag_records"), 0.0);
        assert_equal("lag", of("lag_seconds"), 0.0);
        // Including the control record in which one of the partitions ends.
        let number = partition.parse().expect("a number");
        let (_, end) = broker::range_at(broker::bootstrap(), &deployment.touchpoints, number);
        assert_equal("position", of("partition_position"), as_f64(usize::try_from(end).expect("an offset")));
        assert_equal("remaining", of("restore_remaining_records"), 0.0);
        assert!((of("partition_reached_timestamp_seconds") - now_seconds).abs() < 2.0);
        assert!(of("partition_clock_timestamp_seconds") > now_seconds);
    }
    now_seconds = as_f64(usize::try_from(now().as_second()).expect("after 1970"));
    let uptime = now_seconds - scrape.get("process_start_time_seconds");
    for worker in ["0", "1"] {
        let spent = scrape.sum(&format!("lifecycle_worker_seconds_total{{worker=\"{worker}\""));
        let idle = scrape.get(&format!("lifecycle_worker_seconds_total{{worker=\"{worker}\",activity=\"idle\"}}"));
        assert!(spent > 1.0 && spent < uptime + 2.0 && idle > 0.0 && idle < spent, "{spent} s of {uptime} s");
    }
    check_scrape_is_counted(&scrape, &instance);
    instance.stop();
    check_restore_metrics(&deployment);
}

#[test]
fn no_partition_is_exported_by_two_instances_during_rebalances() {
    let deployment = Deployment::new(4, "workers: 1\nclock: {source: touchpoints}");
    let started_at = now();
    let records: Vec<_> = (0..40).map(|it| touchpoint(&format!("e{it}"), &format!("c{it}"), started_at)).collect();
    broker::produce(&deployment.touchpoints, &records);
    let all: BTreeSet<_> = (0..4).map(|partition: i32| partition.to_string()).collect();
    let has_all = |scrape: &Scrape| scrape.partitions() == all;
    let a = deployment.start("a");
    let alone = Scrape::wait_for("one instance has all partitions", &a, has_all);
    assert!(alone.get("lifecycle_partitions_rebalanced_total{event=\"gained\"}") >= 4.0);

    let b = deployment.start("b");
    let scrapes = || Some((Scrape::of(&a)?, Scrape::of(&b)?));
    let (of_a, of_b) = broker::until("both have partitions", || {
        let (of_a, of_b) = scrapes()?;
        let (in_a, in_b) = (of_a.partitions(), of_b.partitions());
        assert!(in_a.is_disjoint(&in_b), "{in_a:?} and {in_b:?}");
        (&in_a | &in_b == all && !in_b.is_empty()).then_some((of_a, of_b))
    });
    assert!(of_a.get("lifecycle_partitions_rebalanced_total{event=\"revoked\"}") >= 1.0);
    let customers = |scrape: &Scrape| scrape.sum("lifecycle_partition_customers{");
    let both = broker::until("both have restored their customers", || {
        let (of_a, of_b) = scrapes()?;
        Some(customers(&of_a) + customers(&of_b)).filter(|&both| both >= 40.0)
    });
    assert_equal("customers", both, 40.0);
    assert!(of_b.get("lifecycle_partitions_assigned") >= 1.0);
    b.stop();
    let alone = Scrape::wait_for("one instance has all partitions again", &a, |scrape| {
        has_all(scrape) && customers(scrape) >= 40.0
    });
    assert_equal("customers", customers(&alone), 40.0);
    a.stop();
}

#[test]
fn the_memory_limit_pauses_every_worker_and_the_lag_stays_visible() {
    let deployment = Deployment::new(2, "workers: 2\nstate: {max_bytes: 1MiB}");
    let started_at = now();
    let records_for = |partition: i32, names: std::ops::Range<i32>| {
        names.map(move |name| NewRecord {
            partition: Some(partition),
            ..touchpoint(&format!("e{name}"), &format!("c{partition}-{name}"), started_at)
        })
    };
    // All customers are in one partition and therefore in one worker, which may use the whole limit, not half of it.
    broker::produce(&deployment.touchpoints, &records_for(0, 0..6_000).collect::<Vec<_>>());
    let instance = deployment.start("a");
    let bytes = |scrape: &Scrape| scrape.sum("lifecycle_partition_state_bytes{");
    // A customer counts at once, but has no record, and therefore hardly any bytes, before its first commit.
    let half = Scrape::wait_for("the records of all customers take more than half of the limit", &instance, |scrape| {
        scrape.get("lifecycle_touchpoints_consumed_total") >= 6_000.0
            && bytes(scrape) > 0.5 * scrape.get("lifecycle_state_limit_bytes")
    });
    let limit = half.get("lifecycle_state_limit_bytes");
    assert!(bytes(&half) < limit, "{} of {limit} bytes", bytes(&half));
    assert_equal("customers", half.sum("lifecycle_partition_customers{"), 6_000.0);
    assert_equal("ready", half.get("lifecycle_ready"), 1.0);

    broker::produce(&deployment.touchpoints, &records_for(0, 6_000..20_000).collect::<Vec<_>>());
    let full = Scrape::wait_for("the memory is full", &instance, |scrape| scrape.get("lifecycle_ready") < 0.5);
    assert!(bytes(&full) >= limit, "{} of {limit} bytes", bytes(&full));

    // The worker without customers updates its memory budget up to a second later.
    broker::until("both workers have paused", || {
        let status = instance.get("/v1/partitions")?;
        (status.matches("\"is_over_limit\":true").count() == 2).then_some(())
    });

    // Unread records count as lag, also in the partition without customers.
    broker::produce(
        &deployment.touchpoints,
        &records_for(1, 0..50).chain(records_for(0, 20_000..20_500)).collect::<Vec<_>>(),
    );
    let lag =
        |scrape: &Scrape, partition: i32| scrape.get(&format!("lifecycle_lag_records{{partition=\"{partition}\"}}"));
    // A paused worker queries its end offsets once per interval, each worker at its own time, so a scrape between two
    // queries shows the new records of one partition and not yet those of the other.
    let consumed_and_lag =
        |scrape: &Scrape| scrape.get("lifecycle_touchpoints_consumed_total") + lag(scrape, 0) + lag(scrape, 1);
    let later = Scrape::wait_for("all unread records count as lag", &instance, |scrape| {
        consumed_and_lag(scrape) >= 20_550.0 && scrape.get("lifecycle_lag_seconds{partition=\"0\"}") > 0.0
    });
    assert_equal("consumed and lag", consumed_and_lag(&later), 20_550.0);
    assert_equal("lag of the partition without customers", lag(&later, 1), 50.0);
    assert_equal("ready", later.get("lifecycle_ready"), 0.0);
    instance.stop();
}
