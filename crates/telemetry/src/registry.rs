//! Collects every room's metrics and writes them as Prometheus text (exposition format 0.0.4).

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Arc;

/// How a metric behaves over time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Only grows.
    Counter,
    /// Rises and falls.
    Gauge,
}

/// One reading.
#[derive(Debug, Clone)]
pub struct Metric {
    /// Full name with the room's prefix and the unit last.
    pub name: &'static str,
    /// What it means, from the field's documentation.
    pub help: &'static str,
    /// Counter or gauge.
    pub kind: Kind,
    /// The value now.
    pub value: i64,
}

/// Anything that can be read for metrics. Made by [`crate::metrics!`].
pub trait Source: Send + Sync {
    /// Readings now, in declaration order.
    fn metrics(&self) -> Vec<Metric>;
}

/// All sources of the process. Instances of one room (one per shard) are summed.
#[derive(Default)]
pub struct Registry {
    sources: Vec<Arc<dyn Source>>,
}

impl Registry {
    /// Adds an instance, for as long as the process lives.
    pub fn register(&mut self, source: Arc<dyn Source>) {
        self.sources.push(source);
    }

    /// The Prometheus text, sorted by name.
    pub fn render(&self) -> String {
        let mut sums: BTreeMap<&'static str, Metric> = BTreeMap::new();
        for metric in self.sources.iter().flat_map(|source| source.metrics()) {
            sums.entry(metric.name).and_modify(|sum| sum.value += metric.value).or_insert(metric);
        }
        let mut text = String::new();
        for metric in sums.values() {
            let kind = match metric.kind {
                Kind::Counter => "counter",
                Kind::Gauge => "gauge",
            };
            // Writing to a String cannot fail.
            let _ = writeln!(text, "# HELP {} {}", metric.name, metric.help.trim());
            let _ = writeln!(text, "# TYPE {} {kind}", metric.name);
            let _ = writeln!(text, "{} {}", metric.name, metric.value);
        }
        text
    }
}
