//! Counters, gauges, maxima and histograms: what operators live by.
//!
//! Each room declares its metrics with [`metrics!`] as one struct of plain fields; every shard has its own
//! instance, so a hot path touches only memory of its own core. [`Registry`] collects the instances and
//! renders them as Prometheus text. How the instances are joined is said by the type: counters, gauges and histograms are summed, of
//! [`Maximum`] the greatest is told.
//!
//! Called by every crate above; calls nobody.

mod histogram;
mod registry;

pub use histogram::{Counts, Histogram};
pub use registry::{Kind, Metric, Registry, Source, Value};

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

/// A count that only grows. Cheap: one relaxed add on memory that one thread writes.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds one.
    pub fn inc(&self) {
        self.add(1);
    }

    /// Adds `n`.
    pub fn add(&self, n: u64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    /// The count so far.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A level that rises and falls: a queue's length, sessions, bytes held.
#[derive(Debug, Default)]
pub struct Gauge(AtomicI64);

impl Gauge {
    /// Changes the level by `n`.
    pub fn add(&self, n: i64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    /// Sets the level.
    pub fn set(&self, n: i64) {
        self.0.store(n, Ordering::Relaxed);
    }

    /// The level now.
    pub fn get(&self) -> i64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// The greatest of something lately. Of several instances the greatest is told, where levels are summed.
#[derive(Debug, Default)]
pub struct Maximum(AtomicI64);

impl Maximum {
    /// Sets it.
    pub fn set(&self, n: i64) {
        self.0.store(n, Ordering::Relaxed);
    }

    /// It.
    pub fn get(&self) -> i64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Declares a room's metrics: a struct of [`Counter`]s, [`Gauge`]s, [`Maximum`]s and [`Histogram`]s that knows how to register itself.
///
/// ```
/// chaski_telemetry::metrics! {
///     /// What the mailbox counts.
///     pub struct MailboxMetrics("chaski_mailbox") {
///         /// Messages put into mailboxes.
///         appended_total: Counter,
///         /// Messages that wait for an acknowledgement.
///         waiting: Gauge,
///     }
/// }
/// let metrics = std::sync::Arc::new(MailboxMetrics::default());
/// let mut registry = chaski_telemetry::Registry::default();
/// registry.register(metrics.clone());
/// metrics.appended_total.inc();
/// assert!(registry.render().contains("chaski_mailbox_appended_total 1\n"));
/// ```
#[macro_export]
macro_rules! metrics {
    ($(#[doc = $doc:literal])+ $vis:vis struct $name:ident($prefix:literal) {
        $($(#[doc = $field_doc:literal])+ $field:ident: $kind:ident,)+
    }) => {
        $(#[doc = $doc])+
        #[derive(Debug, Default)]
        $vis struct $name {
            $($(#[doc = $field_doc])+ pub $field: $crate::$kind,)+
        }

        impl $crate::Source for $name {
            fn metrics(&self) -> Vec<$crate::Metric> {
                vec![$($crate::Metric {
                    name: concat!($prefix, "_", stringify!($field)),
                    help: concat!($($field_doc),+),
                    kind: $crate::Kind::$kind,
                    value: $crate::Value::from(self.$field.get()),
                },)+]
            }
        }
    };
}
