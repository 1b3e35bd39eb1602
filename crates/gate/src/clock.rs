//! The real clock, read in one place.
//!
//! Called by: everything here that measures. Promises: nothing but what the system says.

use std::time::{Duration, Instant};

/// Now.
#[expect(clippy::disallowed_methods, reason = "the program measures, so it owns its clock")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// Milliseconds, with their fraction.
pub(crate) fn ms(span: Duration) -> f64 {
    span.as_secs_f64() * 1e3
}
