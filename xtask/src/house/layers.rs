//! What is below what in `crates/services`: the layers, lowest first, and in which of them a module stands.
//!
//! The tree of the sources says it: `account/roster/document.rs` is of the module `account::roster`, which is of the layer `account`;
//! `account.rs` is of the module `account` in the same layer. A tree that has no `rooms.rs` is an older one: see [`flat`].

use super::flat;
use super::sources::Source;

/// A layer.
pub(super) struct Layer {
    pub(super) name: &'static str,
    pub(super) stands: Stands,
}

/// Where the modules of a layer stand.
pub(super) enum Stands {
    /// At the root, without being those of another layer. What a reader should know of them.
    AtRoot(&'static str),
    /// In a directory of the layer's name, each for itself, and in the file beside it.
    InDirectory,
    /// It is one module, with all that is below.
    As(&'static str),
}

/// The layers. A module may use those of lower layers and, but for rooms, those of its own that do not use it.
pub(super) const LAYERS: [Layer; 7] = [
    Layer {
        name: "vocabulary",
        stands: Stands::AtRoot("What all speak of: words, bounds and forms that know no account."),
    },
    Layer { name: "account", stands: Stands::InDirectory },
    Layer { name: "effects", stands: Stands::InDirectory },
    Layer { name: "changes", stands: Stands::InDirectory },
    Layer { name: ROOMS, stands: Stands::InDirectory },
    Layer { name: "owner", stands: Stands::InDirectory },
    Layer { name: "door", stands: Stands::As("shard") },
];

/// The layer whose modules may not use each other.
pub(super) const ROOMS: &str = "rooms";

/// The layers of one tree.
#[derive(Clone, Copy)]
pub(super) struct Layers {
    /// They are not told by directories.
    pub(super) flat: bool,
}

impl Layers {
    /// Of a tree.
    pub(super) fn of(files: &[Source]) -> Self {
        Self { flat: !files.iter().any(|file| file.path == "rooms.rs") }
    }

    /// Whether what is in the directory of this name are modules each for itself.
    pub(super) fn parts(self, directory: &str) -> bool {
        let is_it = |layer: &Layer| layer.name == directory && matches!(layer.stands, Stands::InDirectory);
        !self.flat && LAYERS.iter().any(is_it)
    }

    /// How high a module stands.
    pub(super) fn height(self, module: &str) -> usize {
        if self.flat {
            return flat::height(module);
        }
        let outermost = module.split("::").next().unwrap_or_default();
        let has_it = |layer: &Layer| match layer.stands {
            Stands::AtRoot(_) => false,
            Stands::InDirectory => layer.name == outermost,
            Stands::As(name) => name == outermost,
        };
        let at_root = || LAYERS.iter().position(|layer| matches!(layer.stands, Stands::AtRoot(_)));
        LAYERS.iter().position(has_it).or_else(at_root).unwrap_or_default()
    }

    /// Whether a module is a room. The file beside their directory, which only declares them, is none.
    pub(super) fn is_room(self, module: &str) -> bool {
        if self.flat {
            return flat::is_room(module);
        }
        module.split_once("::").is_some_and(|(directory, _)| directory == ROOMS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directories_tell_the_layers_and_the_rest_is_vocabulary() {
        let layers = Layers { flat: false };
        let names = |module: &str| LAYERS[layers.height(module)].name;
        assert_eq!(
            ["wire", "account", "account::roster", "rooms::pep", "shard"].map(names),
            ["vocabulary", "account", "account", "rooms", "door"]
        );
        assert!(layers.is_room("rooms::pep") && !layers.is_room("rooms") && !layers.is_room("owner::turn"));
        assert!(layers.parts("owner") && !layers.parts("shard") && !layers.parts("vocabulary"));
    }
}
