//! Maps the whole of the UCI Online Retail data with `examples/online_retail.yaml` and compares customers, orders and
//! totals with sums over the lines of the file. Runs where the data set is present; it is not part of the repository.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader};
use std::path::Path;

use flate2::read::GzDecoder;
use lifecycle_processor::mapping::{Mapping, Outcome, RecordValues};
use lifecycle_processor::wire::model_file::ModelSource;
use serde_json::{Map, Value, json};

/// Maps the invoices in the file at `path` and compares.
pub(crate) fn compare(path: &Path) {
    let file = std::fs::File::open(path).expect("readable");
    let mut lines = BufReader::new(GzDecoder::new(file)).lines().map(|line| line.expect("text"));
    assert_eq!(lines.next().as_deref(), Some("InvoiceNo,StockCode,Quantity,InvoiceDate,UnitPrice,CustomerID,Country"));
    let mut invoices: BTreeMap<(String, String), Value> = BTreeMap::new();
    let (mut customers, mut orders, mut total, mut count) = (BTreeSet::new(), BTreeSet::new(), 0_i128, 0);
    for line in lines {
        let fields: Vec<&str> = line.splitn(7, ',').collect();
        let [invoice, _, quantity, date, price, customer, country] = fields[..] else { panic!("{line}") };
        count += 1;
        if !customer.is_empty() {
            customers.insert(customer.to_owned());
            if !invoice.starts_with('C') {
                orders.insert((invoice.to_owned(), customer.to_owned()));
                total += quantity.parse::<i128>().expect("a whole number") * millionths(price);
            }
        }
        let key = (invoice.to_owned(), customer.to_owned());
        let record = invoices.entry(key).or_insert_with(|| {
            json!({"InvoiceNo": invoice, "InvoiceDate": date, "CustomerID": customer, "Country": country, "lines": []})
        });
        let line = json!({"Quantity": quantity, "UnitPrice": price});
        record["lines"].as_array_mut().expect("a list").push(line);
    }
    assert_eq!((count, customers.len()), (541_909, 4_372));

    let text = include_str!("../../examples/online_retail.yaml").to_owned();
    let source = ModelSource { name: "online_retail.yaml".to_owned(), text };
    let (mapping, warnings) = Mapping::compile(&source, &Map::new()).expect("a mapping");
    assert_eq!(warnings, []);
    let (mut mapped_customers, mut mapped_orders, mut mapped_total) = (BTreeSet::new(), 0, 0_i128);
    let mut first = None;
    for value in invoices.into_values() {
        let record = RecordValues { key: Value::Null, headers: json!({}), value };
        match mapping.map(&record.as_record()) {
            Outcome::Touchpoints(touchpoints) => {
                for touchpoint in touchpoints {
                    if touchpoint.type_name == "order_completed" {
                        mapped_orders += 1;
                        mapped_total += touchpoint.amount.expect("an amount").as_micros();
                    }
                    first.get_or_insert_with(|| touchpoint.to_json());
                    mapped_customers.insert(touchpoint.customer_id);
                }
            }
            Outcome::Dropped(reason) => assert_eq!(reason, "guest"),
            Outcome::Invalid(cause) => panic!("{}: {}", cause.detail, record.value),
        }
    }
    assert_eq!((mapped_customers.len(), mapped_orders, mapped_total), (4_372, orders.len(), total));
    let first = first.expect("a touchpoint");
    assert_eq!((&first["customer_id"], &first["occurred_at"]), (&json!("17850"), &json!("2010-12-01T08:26:00Z")));
}

/// Reads a decimal with at most six decimal places.
fn millionths(text: &str) -> i128 {
    let (sign, digits) = text.strip_prefix('-').map_or((1, text), |digits| (-1, digits));
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    sign * format!("{whole}{fraction:0<6}").parse::<i128>().expect("a decimal")
}
