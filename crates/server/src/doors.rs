//! What all ways to log in have in common: the count of wrong secrets, and the worker for slow checks.
//!
//! There is one for the process. Made by [`crate::Edge`] and shared with HTTP, so that a client which has used up its tries by
//! SASL has none left over HTTP, and the other way round.

use crate::edge::EdgeLimits;
use crate::password_checks::PasswordChecks;
use chaski_services::rooms::accounts::guesses::Guesses;
use chaski_telemetry::Registry;
use std::io;
use std::sync::Arc;

/// See the module.
#[derive(Clone)]
pub struct Doors {
    /// Counts wrong keys and passwords.
    pub guesses: Arc<Guesses>,
    pub(crate) checks: Arc<PasswordChecks>,
}

impl Doors {
    /// Starts the worker. `secret` is the realm's root.
    pub fn start(limits: &EdgeLimits, secret: [u8; 16]) -> io::Result<Self> {
        let guesses = Arc::new(Guesses::new(limits.guesses, secret));
        Ok(Self { guesses, checks: Arc::new(PasswordChecks::start(limits.queued_verifications)?) })
    }

    pub(crate) fn register(&self, registry: &mut Registry) {
        registry.register(self.guesses.metrics());
        registry.register(self.checks.metrics());
    }
}
