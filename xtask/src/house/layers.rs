//! What is below what in `crates/services`, lowest first.

/// A layer: its name, and its modules.
pub(super) type Layer = (&'static str, &'static [&'static str]);

/// The layers. A module may use those below its own layer and, but for rooms, those of its own. What is not listed is a room.
pub(super) const LAYERS: [Layer; 7] = [
    (
        "words",
        &[
            "budget", "command", "context", "data", "login", "owners", "places", "rate", "ticket", "timers",
            "trace", "wire",
        ],
    ),
    ("documents", &["desk", "directory", "session"]),
    ("effects", &["errand", "iq", "outbox"]),
    (ROOMS, &[]),
    ("dispatch", &["dispatch"]),
    ("routing", &["router"]),
    ("door", &["shard"]),
];

/// The layer whose modules may not use each other.
pub(super) const ROOMS: &str = "rooms";
