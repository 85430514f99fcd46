//! Writer for the Prometheus text exposition format, version 0.0.4.

use std::fmt::{Display, Write};

use crate::telemetry::catalogue::{Kind, METRICS};
use crate::telemetry::histogram::Histogram;

/// Label names and values of a series.
pub(super) type Labels<'a> = &'a [(&'static str, &'a str)];

/// A page of metrics in the text format. [`metric`](Self::metric) begins a metric; the series follow.
#[derive(Default)]
pub(super) struct Exposition {
    text: String,
    /// The metric whose series are being written.
    name: &'static str,
}

impl Exposition {
    /// Returns the text.
    pub(super) fn finish(self) -> String {
        self.text
    }

    /// Begins a metric of the catalogue.
    pub(super) fn metric(&mut self, name: &'static str) -> &mut Self {
        let metric =
            METRICS.iter().find(|metric| metric.name == name).expect("only metrics of the catalogue are written");
        let kind = match metric.kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        };
        let help = metric.help.replace('\\', "\\\\");
        _ = writeln!(self.text, "# HELP {name} {help}\n# TYPE {name} {kind}");
        self.name = name;
        self
    }

    /// Writes one series of the current metric.
    pub(super) fn series(&mut self, labels: Labels<'_>, value: impl Display) -> &mut Self {
        self.line("", labels, None, value);
        self
    }

    /// Writes the buckets, sum and count of a histogram as series of the current metric.
    pub(super) fn histogram(&mut self, labels: Labels<'_>, of: &Histogram) -> &mut Self {
        for (bound, count) in of.buckets() {
            self.line("_bucket", labels, Some(&bound.to_string()), count);
        }
        self.line("_bucket", labels, Some("+Inf"), of.count());
        self.line("_sum", labels, None, of.sum());
        self.line("_count", labels, None, of.count());
        self
    }

    fn line(&mut self, suffix: &str, labels: Labels<'_>, bound: Option<&str>, value: impl Display) {
        self.text.push_str(self.name);
        self.text.push_str(suffix);
        let bound = bound.map(|bound| ("le", bound));
        let mut separator = '{';
        for (label, content) in labels.iter().copied().chain(bound) {
            let content = content.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
            _ = write!(self.text, "{separator}{label}=\"{content}\"");
            separator = ',';
        }
        if separator == ',' {
            self.text.push('}');
        }
        _ = writeln!(self.text, " {value}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::catalogue;

    #[test]
    fn labels_are_quoted() {
        let mut page = Exposition::default();
        page.metric(catalogue::MODEL_INFO).series(&[("model", "a\"b\\c\nd"), ("version", "1")], 1);
        let page = page.finish();
        assert!(page.ends_with("\nlifecycle_model_info{model=\"a\\\"b\\\\c\\nd\",version=\"1\"} 1\n"), "{page}");
    }

    #[test]
    fn a_histogram_has_buckets_a_sum_and_a_count() {
        let mut histogram = Histogram::new(&[0.5, 1.0]);
        histogram.observe(0.75);
        histogram.observe(2.0);
        let mut page = Exposition::default();
        page.metric(catalogue::HTTP_DURATION).histogram(&[("path", "/livez")], &histogram);
        let page = page.finish();
        let expected = "\
lifecycle_http_request_duration_seconds_bucket{path=\"/livez\",le=\"0.5\"} 0
lifecycle_http_request_duration_seconds_bucket{path=\"/livez\",le=\"1\"} 1
lifecycle_http_request_duration_seconds_bucket{path=\"/livez\",le=\"+Inf\"} 2
lifecycle_http_request_duration_seconds_sum{path=\"/livez\"} 2.75
lifecycle_http_request_duration_seconds_count{path=\"/livez\"} 2
";
        assert!(page.ends_with(expected), "{page}");
    }
}
