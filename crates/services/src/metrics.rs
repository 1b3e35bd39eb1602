//! Metrics that rooms declare: each room has a struct of its own ([`chaski_telemetry::metrics!`]), which `owner/dispatch/rooms.rs`
//! lists. Every shard has one of each.
//!
//! A room finds its own by type ([`RoomMetrics::of`]) through the turn that it is lent; nobody else knows them.

use chaski_telemetry::{Registry, Source};
use std::any::{Any, TypeId};
use std::sync::Arc;

/// The metrics of one shard's rooms.
#[derive(Default)]
pub(crate) struct RoomMetrics(Vec<(TypeId, Arc<dyn Any + Send + Sync>)>);

/// Adds what a room declares, and registers it.
pub(crate) type Declare = fn(&mut RoomMetrics, &mut Registry);

impl RoomMetrics {
    /// Adds a room's metrics: a [`Declare`].
    pub(crate) fn declare<M: Source + Default + Send + Sync + 'static>(&mut self, registry: &mut Registry) {
        let metrics = Arc::new(M::default());
        registry.register(metrics.clone());
        self.0.push((TypeId::of::<M>(), metrics));
    }

    /// A room's metrics. They have to be listed.
    pub(crate) fn of<M: Source + 'static>(&self) -> &M {
        let listed = self.0.iter().find(|(id, _)| *id == TypeId::of::<M>());
        let metrics = listed.and_then(|(_, metrics)| metrics.downcast_ref());
        metrics.expect("a room's metrics are listed in owner/dispatch/rooms.rs")
    }
}
