//! Collects every room's metrics and writes them as Prometheus text (exposition format 0.0.4).

use crate::histogram::Counts;
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
    /// Rises and falls; of several the greatest is told.
    Maximum,
    /// Counts by size.
    Histogram,
}

/// What was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// A number.
    Number(i64),
    /// What a histogram has counted.
    Counts(Counts),
}

impl From<u64> for Value {
    fn from(number: u64) -> Self {
        Self::Number(number as i64)
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Self::Number(number)
    }
}

impl From<Counts> for Value {
    fn from(counts: Counts) -> Self {
        Self::Counts(counts)
    }
}

/// One reading.
#[derive(Debug, Clone)]
pub struct Metric {
    /// Full name with the room's prefix and the unit last.
    pub name: &'static str,
    /// What it means, from the field's documentation.
    pub help: &'static str,
    /// How it behaves, and how it is joined with others of its name.
    pub kind: Kind,
    /// The value now.
    pub value: Value,
}

/// Anything that can be read for metrics. Made by [`crate::metrics!`].
pub trait Source: Send + Sync {
    /// Readings now, in declaration order.
    fn metrics(&self) -> Vec<Metric>;
}

/// All sources of the process. Instances of one room (one per shard) are joined as their kinds say.
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
        let mut joined: BTreeMap<&'static str, Metric> = BTreeMap::new();
        for metric in self.sources.iter().flat_map(|source| source.metrics()) {
            match joined.get_mut(metric.name) {
                Some(known) => known.join(&metric),
                None => drop(joined.insert(metric.name, metric)),
            }
        }
        let mut text = String::new();
        joined.values().for_each(|metric| metric.write(&mut text));
        text
    }
}

impl Metric {
    /// The value as a number; of a histogram, how many were observed.
    pub fn number(&self) -> i64 {
        match &self.value {
            Value::Number(number) => *number,
            Value::Counts(counts) => counts.count() as i64,
        }
    }

    /// Takes in another instance's reading.
    fn join(&mut self, other: &Self) {
        match (&mut self.value, &other.value) {
            (Value::Number(known), Value::Number(more)) if self.kind == Kind::Maximum => {
                *known = (*known).max(*more)
            }
            (Value::Number(known), Value::Number(more)) => *known += more,
            (Value::Counts(known), Value::Counts(more)) => known.add(more),
            _ => debug_assert!(false, "two metrics of one name"),
        }
    }

    // Writing to a String cannot fail.
    fn write(&self, text: &mut String) {
        let Self { name, .. } = self;
        let kind = match self.kind {
            Kind::Counter => "counter",
            Kind::Gauge | Kind::Maximum => "gauge",
            Kind::Histogram => "histogram",
        };
        let _ = writeln!(text, "# HELP {name} {}", self.help.trim());
        let _ = writeln!(text, "# TYPE {name} {kind}");
        match &self.value {
            Value::Number(number) => {
                let _ = writeln!(text, "{name} {number}");
            }
            Value::Counts(counts) => {
                for (bound, count) in counts.cumulative() {
                    let _ = writeln!(text, "{name}_bucket{{le=\"{bound}\"}} {count}");
                }
                let count = counts.count();
                let _ = writeln!(text, "{name}_bucket{{le=\"+Inf\"}} {count}");
                let _ = writeln!(text, "{name}_sum {}", counts.sum);
                let _ = writeln!(text, "{name}_count {count}");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    crate::metrics! {
        /// Of a test.
        struct Some("some") {
            /// So many.
            all_total: Counter,
            /// The longest.
            longest_us: Maximum,
            /// How long.
            took_us: Histogram,
        }
    }

    #[test]
    fn instances_are_joined_as_their_kinds_say() {
        let mut registry = Registry::default();
        for value in [20, 40] {
            let some = Arc::new(Some::default());
            some.all_total.add(value);
            some.longest_us.set(value as i64);
            some.took_us.observe(value);
            registry.register(some);
        }
        let text = registry.render();
        for line in [
            "some_all_total 60",
            "# TYPE some_longest_us gauge",
            "some_longest_us 40",
            "# TYPE some_took_us histogram",
            "some_took_us_bucket{le=\"16\"} 0",
            "some_took_us_bucket{le=\"32\"} 1",
            "some_took_us_bucket{le=\"64\"} 2",
            "some_took_us_bucket{le=\"+Inf\"} 2",
            "some_took_us_sum 60",
            "some_took_us_count 2",
        ] {
            assert!(text.lines().any(|found| found == line), "{line:?} is missing in {text}");
        }
    }
}
