//! The trace context of a record, as in the W3C recommendation: the header `traceparent`, and `tracestate` beside it.

use std::fmt;

/// The name of the header with trace id, span id and flags.
pub const TRACEPARENT: &str = "traceparent";
/// The name of the header with the state that tracing systems add; it is passed on unchanged.
pub const TRACESTATE: &str = "tracestate";

/// The length of a `traceparent` of version 00: `00-`, 32 digits, `-`, 16 digits, `-`, two digits.
const LENGTH: usize = 55;

/// The span that a record belongs to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TraceContext {
    /// The trace; not zero.
    pub trace_id: u128,
    /// The span; not zero.
    pub span_id: u64,
    /// Whether the span is recorded.
    pub is_sampled: bool,
}

impl TraceContext {
    /// Parses the value of `traceparent`; `None` when it is invalid. Fields that a later version appends are ignored.
    #[must_use]
    pub fn parse(value: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(value).ok()?;
        let is_hexadecimal = |text: &str| text.bytes().all(|it| it.is_ascii_digit() || (b'a'..=b'f').contains(&it));
        let mut fields = text.splitn(5, '-');
        let mut field = |length: usize| fields.next().filter(|it| it.len() == length && is_hexadecimal(it));
        let (version, trace_id, span_id, flags) = (field(2)?, field(32)?, field(16)?, field(2)?);
        if version == "ff" || (version == "00" && text.len() != LENGTH) {
            return None;
        }
        let trace_id = u128::from_str_radix(trace_id, 16).ok().filter(|it| *it != 0)?;
        let span_id = u64::from_str_radix(span_id, 16).ok().filter(|it| *it != 0)?;
        let is_sampled = u8::from_str_radix(flags, 16).ok()? & 1 == 1;
        Some(Self { trace_id, span_id, is_sampled })
    }
}

/// Writes the value of `traceparent`.
impl fmt::Display for TraceContext {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "00-{:032x}-{:016x}-{:02x}", self.trace_id, self.span_id, u8::from(self.is_sampled))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXAMPLE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn a_context_is_parsed_and_written() {
        let context = TraceContext::parse(EXAMPLE.as_bytes()).unwrap();
        assert!(context.is_sampled);
        assert_eq!(context.to_string(), EXAMPLE);
        let later = TraceContext::parse(EXAMPLE.replacen("00", "cc", 1).replace("-01", "-08-more").as_bytes()).unwrap();
        assert_eq!(later, TraceContext { is_sampled: false, ..context }, "fields of a later version are ignored");
    }

    #[test]
    fn an_invalid_context_is_ignored() {
        let zero_trace = EXAMPLE.replace("4bf92f3577b34da6a3ce929d0e0e4736", &"0".repeat(32));
        let zero_span = EXAMPLE.replace("00f067aa0ba902b7", &"0".repeat(16));
        let longer = format!("{EXAMPLE}-00");
        let (capitals, version) = (EXAMPLE.to_uppercase(), EXAMPLE.replacen("00", "ff", 1));
        for text in ["", "00", &EXAMPLE[..54], &zero_trace, &zero_span, &longer, &capitals, &version] {
            assert_eq!(TraceContext::parse(text.as_bytes()), None, "{text}");
        }
        assert_eq!(TraceContext::parse(&[0xff; LENGTH]), None);
    }
}
