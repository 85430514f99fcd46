//! Writes touchpoints as JSON lines, varying everything that does not change the meaning.

use fastrand::Rng;

use super::touchpoint::Millis;

/// A touchpoint before serialization.
#[derive(Clone, Debug)]
pub(crate) struct TouchpointDraft {
    pub(crate) event_id: String,
    pub(crate) type_name: String,
    pub(crate) at: Millis,
    pub(crate) order_id: Option<String>,
    /// In millionths.
    pub(crate) amount: Option<i64>,
    pub(crate) currency: Option<&'static str>,
    /// Name and value; the value is JSON text.
    pub(crate) properties: Vec<(String, String)>,
}

impl TouchpointDraft {
    /// Serializes the touchpoint as one JSON line.
    pub(crate) fn write(&self, customer_id: &str, rng: &mut Rng) -> String {
        let mut fields = vec![
            ("event_id".to_owned(), string(&self.event_id, rng)),
            ("customer_id".to_owned(), string(customer_id, rng)),
            ("type".to_owned(), string(&self.type_name, rng)),
            ("occurred_at".to_owned(), format!("\"{}\"", time(self.at, rng))),
        ];
        let null = |rng: &mut Rng| (rng.u8(..20) == 0).then(|| "null".to_owned());
        let order_id = self.order_id.as_ref().map(|id| string(id, rng));
        let amount = self.amount.map(|micros| decimal(micros, rng));
        let currency = self.currency.map(|code| string(code, rng));
        for (name, value) in [("order_id", order_id), ("amount", amount), ("currency", currency)] {
            fields.extend(value.or_else(|| null(rng)).map(|value| (name.to_owned(), value)));
        }
        // Unknown top-level fields count as properties, so some properties are written there.
        let (top, nested): (Vec<_>, Vec<_>) = self.properties.iter().cloned().partition(|_| rng.u8(..8) == 0);
        fields.extend(top);
        if !nested.is_empty() || rng.u8(..20) == 0 {
            fields.push(("properties".to_owned(), object(nested, rng)));
        }
        object(fields, rng)
    }
}

fn object(mut fields: Vec<(String, String)>, rng: &mut Rng) -> String {
    if rng.bool() {
        rng.shuffle(&mut fields);
    }
    let space = if rng.u8(..4) == 0 { " " } else { "" };
    let fields: Vec<String> = fields.into_iter().map(|(name, value)| format!("\"{name}\":{space}{value}")).collect();
    format!("{{{space}{}{space}}}", fields.join(&format!(",{space}")))
}

/// Serializes a string, sometimes with unnecessary escapes.
fn string(text: &str, rng: &mut Rng) -> String {
    if rng.u8(..25) != 0 {
        return serde_json::to_string(text).expect("text can be written");
    }
    let escaped: String = text
        .encode_utf16()
        .map(|unit| match u8::try_from(unit) {
            Ok(byte) if byte.is_ascii_alphanumeric() && rng.bool() => char::from(byte).to_string(),
            _ => format!("\\u{unit:04x}"),
        })
        .collect();
    format!("\"{escaped}\"")
}

/// Serializes an amount as a decimal number, sometimes with trailing zeros.
fn decimal(micros: i64, rng: &mut Rng) -> String {
    let sign = if micros < 0 { "-" } else { "" };
    let (units, rest) = (micros.unsigned_abs() / 1_000_000, micros.unsigned_abs() % 1_000_000);
    let digits = format!("{rest:06}");
    let digits = if rng.u8(..6) == 0 { &digits } else { digits.trim_end_matches('0') };
    if digits.is_empty() { format!("{sign}{units}") } else { format!("{sign}{units}.{digits}") }
}

/// Serializes an instant in RFC 3339, with a random offset and sometimes with extra digits.
fn time(at: Millis, rng: &mut Rng) -> String {
    let minutes: i64 = match rng.u8(..10) {
        0 => [330, -210, 840, -720, 60, -1][rng.usize(..6)],
        _ => 0,
    };
    let local = jiff::Timestamp::from_millisecond(at + minutes * 60_000).expect("a time within range").to_string();
    let (date, fraction) = local.trim_end_matches('Z').split_at(19);
    let fraction = match (rng.u8(..12), fraction) {
        (0, "") => ".000".to_owned(),
        // Digits after the millisecond are truncated. Times before 1970 are excluded, because the direction of
        // truncation is ambiguous for them.
        (1, fraction) if at >= 0 => {
            format!("{:.<1}{:0<3}", &fraction[..fraction.len().min(1)], fraction.get(1..).unwrap_or("")) + "7"
        }
        (_, fraction) => fraction.to_owned(),
    };
    let offset = match (minutes, rng.u8(..20)) {
        (0, 0) => "+00:00".to_owned(),
        (0, _) => "Z".to_owned(),
        _ => {
            let sign = if minutes < 0 { '-' } else { '+' };
            format!("{sign}{:02}:{:02}", minutes.abs() / 60, minutes.abs() % 60)
        }
    };
    format!("{date}{fraction}{offset}")
}

#[test]
fn a_written_touchpoint_parses_to_the_same_values() {
    let mut rng = Rng::with_seed(1);
    for round in 0..5_000 {
        let at = 1_700_000_000_000 + rng.i64(0..100_000) * [1, 10, 100, 1000][rng.usize(..4)];
        let draft = TouchpointDraft {
            event_id: format!("e\u{e9}\"\\ {round}"),
            type_name: "order_completed".to_owned(),
            at,
            order_id: rng.bool().then(|| "\u{1f600}".to_owned()),
            amount: Some(rng.i64(-2_000_000..2_000_000) * 10),
            currency: rng.bool().then_some("EUR"),
            properties: vec![("score".to_owned(), "9.5".to_owned())],
        };
        let line = draft.write("c", &mut rng);
        let read = super::touchpoint::Touchpoint::parse(&line);
        assert_eq!((&read.event_id, read.at, &read.order_id), (&draft.event_id, draft.at, &draft.order_id), "{line}");
        assert_eq!((read.amount, read.score), (draft.amount.map(i128::from), Some(9.5)), "{line}");
        assert_eq!(read.currency.as_deref(), draft.currency, "{line}");
    }
}
