//! To which module a path leads: up through `super`, and past a layer's own file where that only shows what another module has.
//!
//! Whoever names `crate::account::Roster` uses `account::roster`, if `account.rs` says `pub use roster::Roster`. The file that
//! shows it does not use it by that. A glob would hide whose a name is, so that none may stand where names are shown ([`Uses::globs`]).

use super::graph::Edge;
use super::layers::Layers;
use super::reading::{Named, Reading};
use super::sources::Source;
use std::collections::{BTreeMap, BTreeSet};

/// So often is what is shown itself only shown, at most.
const SHOWN_MAX: usize = 8;

/// Who uses whom, and where.
#[derive(Default)]
pub(super) struct Uses {
    pub(super) edges: BTreeMap<Edge, Vec<String>>,
    /// Places of globs that hide whose a name is.
    pub(super) globs: Vec<String>,
}

/// The modules of a tree.
pub(super) struct Modules {
    layers: Layers,
    pub(super) names: BTreeSet<String>,
    /// Of all files, from the root.
    paths: BTreeSet<Vec<String>>,
    /// What the root and the layers' own files bring from elsewhere: the path here, and the path there.
    shown: BTreeMap<Vec<String>, Vec<String>>,
}

impl Modules {
    /// Of these files, of which this was read.
    pub(super) fn of(files: &[Source], reading: &Reading, layers: Layers) -> Self {
        let paths: BTreeSet<Vec<String>> = files.iter().map(|file| file.modules.clone()).collect();
        let mut modules = Self { layers, names: BTreeSet::new(), paths, shown: BTreeMap::new() };
        modules.names = modules.paths.iter().filter_map(|path| modules.name(path)).collect();
        let shown = reading.named.iter().filter_map(|named| modules.shows(named)).collect();
        Self { shown, ..modules }
    }

    /// What was read as edges between modules.
    pub(super) fn uses(&self, reading: &Reading) -> Uses {
        let mut uses = Uses::default();
        for named in &reading.named {
            let Some(path) = self.absolute(&named.from, &named.names) else { continue };
            let (from, to) = (self.name(&named.from), self.leads_to(path.clone()));
            if named.names.ends_with(&["*".to_owned()]) && from != to {
                let there = &path[..path.len() - 1];
                if self.is_layer(&named.from) || self.is_layer(there) {
                    uses.globs.push(named.place.clone());
                }
            }
            if let (Some(from), Some(to)) = (from, to)
                && from != to
                && !self.only_shows(named, &to)
            {
                uses.edges.entry((from, to)).or_default().push(named.place.clone());
            }
        }
        uses
    }

    /// The module in which a path from the root stands; none for the root's own items.
    fn name(&self, path: &[String]) -> Option<String> {
        match path {
            [directory, child, ..] if self.layers.parts(directory) && self.paths.contains(&path[..2]) => {
                Some(format!("{directory}::{child}"))
            }
            [outermost, ..] if self.paths.contains(&path[..1]) => Some(outermost.clone()),
            _ => None,
        }
    }

    /// Whether it is the root, or the own file of a layer with a directory.
    fn is_layer(&self, path: &[String]) -> bool {
        match path {
            [] => true,
            [outermost] => self.layers.parts(outermost),
            _ => false,
        }
    }

    fn leads_to(&self, mut path: Vec<String>) -> Option<String> {
        for _ in 0..SHOWN_MAX {
            let shown = (1..=path.len().min(2)).find_map(|length| {
                let there = self.shown.get(&path[..length])?;
                (!self.paths.contains(&path[..length])).then(|| [there, &path[length..]].concat())
            });
            match shown {
                Some(there) => path = there,
                None => break,
            }
        }
        self.name(&path)
    }

    /// From the root. None for what is of another crate, or can't be told from a name of the place's own.
    fn absolute(&self, from: &[String], names: &[String]) -> Option<Vec<String>> {
        let names = names.strip_suffix(&["self".to_owned()]).unwrap_or(names);
        let own = usize::from(names.first()? == "self");
        let ups = names[own..].iter().take_while(|name| *name == "super").count();
        if names[0] == "crate" {
            return Some(names[1..].to_vec());
        }
        if own + ups > 0 {
            let above = &from[..from.len().checked_sub(ups)?];
            return Some([above, &names[own + ups..]].concat());
        }
        let near = [from, names].concat();
        let first = &near[..=from.len()];
        (self.paths.contains(first) || self.shown.contains_key(first)).then_some(near)
    }

    fn shows(&self, named: &Named) -> Option<(Vec<String>, Vec<String>)> {
        let brought = named.brought.as_ref().filter(|_| self.is_layer(&named.from))?;
        let here = [&named.from[..], std::slice::from_ref(&brought.name)].concat();
        Some((here, self.absolute(&named.from, &named.names)?))
    }

    /// Whether a layer's own file says only that a module of its directory has it.
    fn only_shows(&self, named: &Named, to: &str) -> bool {
        let [layer] = &named.from[..] else { return false };
        let is_shown = named.brought.as_ref().is_some_and(|brought| brought.shown);
        is_shown && self.layers.parts(layer) && to.split_once("::").is_some_and(|(of, _)| of == layer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uses(files: &[(&str, &str)]) -> Uses {
        let files: Vec<Source> =
            files.iter().map(|(path, text)| Source::new(path, (*text).to_owned())).collect();
        let mut reading = Reading::default();
        files.iter().for_each(|file| reading.file(file).unwrap());
        Modules::of(&files, &reading, Layers::of(&files)).uses(&reading)
    }

    /// The edges of one file among others.
    fn edges(path: &str, text: &str) -> Vec<String> {
        let account = "mod gate; pub mod roster; pub use roster::{Contact, Roster as List}; use crate::rooms::pep::Node; pub struct Account;";
        let mut files = vec![
            ("lib.rs", "pub use wire::Wire;"),
            ("wire.rs", ""),
            ("account.rs", account),
            ("account/roster.rs", "pub mod document;"),
            ("account/roster/document.rs", ""),
            ("account/gate.rs", ""),
            ("rooms.rs", ""),
            ("rooms/pep.rs", ""),
            ("rooms/calls.rs", ""),
            ("shard.rs", ""),
            ("shard/turn.rs", ""),
        ];
        files.retain(|(known, _)| *known != path);
        files.push((path, text));
        let stands = |place: &String| place.starts_with(&format!("{path}:"));
        let found = uses(&files).edges.into_iter().filter(|(_, places)| places.iter().any(stands));
        found.map(|((from, to), _)| format!("{from} {to}")).collect()
    }

    #[test]
    fn a_child_of_a_layer_is_a_module_and_an_item_is_the_layer_s_own() {
        assert_eq!(
            edges("rooms/pep/owner.rs", "use crate::account::{Account, roster::{document::D, E}, gate};"),
            ["rooms::pep account", "rooms::pep account::gate", "rooms::pep account::roster"]
        );
        assert_eq!(
            edges("shard/turn.rs", "fn f() { crate::rooms::pep::g(matches!(x, crate::rooms::calls::A)) }"),
            ["shard rooms::calls", "shard rooms::pep"]
        );
    }

    #[test]
    fn super_crosses_walls_where_it_goes_far_enough() {
        assert_eq!(edges("rooms/pep.rs", "use super::calls::Call;"), ["rooms::pep rooms::calls"]);
        assert_eq!(
            edges("rooms/pep/owner.rs", "use super::super::super::wire; use super::super::calls;"),
            ["rooms::pep rooms::calls", "rooms::pep wire"]
        );
        assert_eq!(
            edges("rooms/pep.rs", "mod a { use super::super::calls::C; }"),
            ["rooms::pep rooms::calls"]
        );
        assert!(
            edges("rooms/pep/owner.rs", "use super::Node; use crate::rooms::pep::x; use self::y::Z;")
                .is_empty()
        );
    }

    #[test]
    fn what_is_only_shown_is_its_owner_s() {
        assert_eq!(edges("rooms/pep.rs", "use crate::account::Contact;"), ["rooms::pep account::roster"]);
        assert_eq!(
            edges("rooms/pep.rs", "fn f(of: &crate::account::List) {}"),
            ["rooms::pep account::roster"]
        );
        assert_eq!(edges("rooms/pep.rs", "use crate::Wire;"), ["rooms::pep wire"]);
        assert_eq!(
            edges("account/gate.rs", "use super::{Contact, Node};"),
            ["account::gate account::roster", "account::gate rooms::pep"],
            "a `use` for oneself is seen from below"
        );
    }

    #[test]
    fn a_layer_s_file_uses_what_it_names_and_not_what_it_shows() {
        assert!(
            edges("account.rs", "mod roster; pub use roster::Contact; pub(crate) use self::roster::f;")
                .is_empty()
        );
        let used = ["account account::roster"];
        for text in [
            "mod roster; use roster::Contact;",
            "mod roster; fn f() { roster::g() }",
            "pub use roster::Contact; struct A { of: Contact }",
            "pub use roster::g; fn f() { g() }",
        ] {
            assert_eq!(edges("account.rs", text), used, "{text}");
        }
        assert_eq!(edges("account.rs", "pub use crate::rooms::calls::Call;"), ["account rooms::calls"]);
        assert!(edges("account.rs", "fn f(roster: u8) -> u8 { roster }").is_empty(), "a variable");
    }

    #[test]
    fn a_glob_that_hides_whose_a_name_is_is_found() {
        let globs = |path: &'static str, text: &'static str| {
            let mut files =
                vec![("rooms.rs", ""), ("account.rs", ""), ("account/roster.rs", ""), ("wire.rs", "")];
            files.retain(|(known, _)| *known != path);
            files.push((path, text));
            uses(&files).globs
        };
        assert_eq!(globs("account.rs", "pub use roster::*;"), ["account.rs:1"]);
        assert_eq!(globs("account/roster.rs", "use super::*;"), ["account/roster.rs:1"]);
        assert_eq!(globs("rooms/pep.rs", "use crate::account::*;"), ["rooms/pep.rs:1"]);
        assert!(
            globs("rooms/pep.rs", "use crate::wire::*; use Kind::*; use crate::account::roster::*;")
                .is_empty()
        );
    }

    #[test]
    fn without_directories_the_outermost_modules_are_all() {
        let flat = uses(&[
            ("pep.rs", "use crate::account::roster::X;"),
            ("account.rs", ""),
            ("account/roster.rs", ""),
        ]);
        assert_eq!(flat.edges.into_keys().collect::<Vec<_>>(), [("pep".to_owned(), "account".to_owned())]);
    }
}
