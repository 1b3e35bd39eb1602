//! The layers of a tree whose directories do not tell them: lists of outermost modules. For `cargo xtask house REV` of a revision from before
//! `crates/services/src/rooms.rs`, to compare with.

/// The layers, lowest first, and their modules. What is not listed is a room.
const LAYERS: [(&str, &[&str]); 7] = [
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

const ROOMS: &str = "rooms";

/// How high a module stands.
pub(super) fn height(module: &str) -> usize {
    let listed = LAYERS.iter().position(|(_, modules)| modules.contains(&module));
    let rooms = || LAYERS.iter().position(|(name, _)| *name == ROOMS);
    listed.or_else(rooms).unwrap_or_default()
}

/// Whether a module is a room.
pub(super) fn is_room(module: &str) -> bool {
    LAYERS[height(module)].0 == ROOMS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_module_in_no_layer_is_a_room() {
        assert!(is_room("attic") && is_room("pep") && !is_room("wire") && !is_room("shard"));
        assert!(height("wire") < height("attic") && height("attic") < height("shard"));
    }
}
