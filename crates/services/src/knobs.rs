//! Knobs: bounds that an operator can turn, each declared beside what it bounds.
//!
//! A room (or whatever else has a bound) declares its knobs with [`knobs!`] as one struct: each field is a number with a default, a
//! least, a greatest and a sentence for the operator. `owner/dispatch/rooms.rs` lists the struct, so that its knobs can be turned by
//! name, under `[knobs]` in the configuration, which is read at the start. Whoever needs a bound reads it by [`Knobs::of`]; one
//! that is not listed or not turned has its default. Pure.

use std::any::{Any, TypeId};
use std::sync::atomic::{AtomicU64, Ordering};

/// One bound.
#[derive(Debug)]
pub struct Knob {
    value: AtomicU64,
    default: u64,
    least: u64,
    most: u64,
}

impl Knob {
    /// A bound that can be turned between `least` and `most`, both included.
    pub const fn new(default: u64, least: u64, most: u64) -> Self {
        assert!(least <= default && default <= most, "the default is out of bounds");
        Self { value: AtomicU64::new(default), default, least, most }
    }

    /// The bound now.
    pub fn get(&self) -> u64 {
        self.value.load(Ordering::Relaxed)
    }

    /// The bound as a `usize`, for bounds on things in memory.
    pub fn size(&self) -> usize {
        usize::try_from(self.get()).unwrap_or(usize::MAX)
    }
}

/// A knob as it is listed.
#[derive(Debug)]
pub struct Named<'k> {
    /// Its name: that of its set, a dot, its own.
    pub name: &'static str,
    /// What it bounds, and what happens beyond, for the operator.
    pub what: &'static str,
    /// The knob itself.
    pub knob: &'k Knob,
}

/// Why a knob was not turned. For the operator.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KnobError {
    /// No knob has this name.
    #[error("there is no knob \"{name}\"; there are {known}")]
    Unknown {
        /// What was asked for.
        name: String,
        /// All names.
        known: String,
    },
    /// It can't be turned so far.
    #[error("\"{name}\" can be from {least} to {most}, not {value}")]
    OutOfRange {
        /// Which.
        name: String,
        /// What was asked for.
        value: u64,
        /// The least.
        least: u64,
        /// The greatest.
        most: u64,
    },
}

/// What [`knobs!`] makes.
pub trait KnobSet: Default + Send + Sync + 'static {
    /// Its knobs, in the order of their declaration.
    fn list(&self) -> Vec<Named<'_>>;
    /// The set with all defaults.
    fn untouched() -> &'static Self;
}

trait Listed: Send + Sync {
    fn list(&self) -> Vec<Named<'_>>;
    fn as_any(&self) -> &dyn Any;
}

impl<K: KnobSet> Listed for K {
    fn list(&self) -> Vec<Named<'_>> {
        KnobSet::list(self)
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// The knobs of one server.
#[derive(Default)]
pub struct Knobs(Vec<(TypeId, Box<dyn Listed>)>);

impl Knobs {
    /// Lists a set, so that it can be turned.
    pub fn declare<K: KnobSet>(&mut self) {
        self.0.push((TypeId::of::<K>(), Box::new(K::default())));
    }

    /// The knobs of this set.
    pub fn of<K: KnobSet>(&self) -> &K {
        let known = self.0.iter().find(|(id, _)| *id == TypeId::of::<K>());
        match known.and_then(|(_, set)| set.as_any().downcast_ref()) {
            Some(set) => set,
            None => K::untouched(),
        }
    }

    /// All that are listed.
    pub fn list(&self) -> Vec<Named<'_>> {
        self.0.iter().flat_map(|(_, set)| set.list()).collect()
    }

    /// Turns a knob. Code that has read the old value is not told.
    pub fn turn(&self, name: &str, value: u64) -> Result<(), KnobError> {
        let list = self.list();
        let Some(Named { knob, .. }) = list.iter().find(|knob| knob.name == name) else {
            let known: Vec<_> = list.iter().map(|knob| knob.name).collect();
            return Err(KnobError::Unknown { name: name.to_owned(), known: known.join(", ") });
        };
        let (least, most) = (knob.least, knob.most);
        if !(least..=most).contains(&value) {
            return Err(KnobError::OutOfRange { name: name.to_owned(), value, least, most });
        }
        knob.value.store(value, Ordering::Relaxed);
        Ok(())
    }
}

/// For logs: what was turned.
impl std::fmt::Debug for Knobs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let list = self.list();
        let turned = list.iter().filter(|named| named.knob.get() != named.knob.default);
        f.debug_map().entries(turned.map(|named| (named.name, named.knob.get()))).finish()
    }
}

/// Declares a set of knobs.
///
/// ```ignore
/// knobs! {
///     /// How large a roster can be.
///     pub struct RosterKnobs("roster") {
///         /// Items of one account's roster; beyond: `resource-constraint`.
///         items: 2_000 in 1..=100_000,
///     }
/// }
/// realm.knobs.of::<RosterKnobs>().items.size()
/// ```
macro_rules! knobs {
    ($(#[doc = $doc:literal])+ $vis:vis struct $name:ident($set:literal) {
        $($(#[doc = $what:literal])+ $field:ident: $default:literal in $least:literal..=$most:literal,)+
    }) => {
        $(#[doc = $doc])+
        #[derive(Debug)]
        $vis struct $name {
            $($(#[doc = $what])+ pub(crate) $field: $crate::knobs::Knob,)+
        }

        impl $name {
            const fn new() -> Self {
                Self { $($field: $crate::knobs::Knob::new($default, $least, $most),)+ }
            }
        }

        impl Default for $name {
            fn default() -> Self {
                Self::new()
            }
        }

        impl $crate::knobs::KnobSet for $name {
            fn list(&self) -> Vec<$crate::knobs::Named<'_>> {
                vec![$($crate::knobs::Named {
                    name: concat!($set, ".", stringify!($field)),
                    what: concat!($($what),+).trim_ascii(),
                    knob: &self.$field,
                },)+]
            }

            fn untouched() -> &'static Self {
                static UNTOUCHED: $name = $name::new();
                &UNTOUCHED
            }
        }
    };
}

pub(crate) use knobs;

#[cfg(test)]
mod tests {
    use super::*;

    knobs! {
        /// Knobs of a test.
        struct TestKnobs("test") {
            /// How many.
            things: 3 in 1..=5,
        }
    }

    #[test]
    fn what_is_listed_can_be_turned_as_far_as_it_goes() {
        let mut knobs = Knobs::default();
        knobs.declare::<TestKnobs>();
        assert_eq!(knobs.of::<TestKnobs>().things.get(), 3);
        knobs.turn("test.things", 5).unwrap();
        assert_eq!(
            (knobs.of::<TestKnobs>().things.size(), format!("{knobs:?}")),
            (5, "{\"test.things\": 5}".into())
        );
        let error = knobs.turn("test.things", 6).unwrap_err();
        assert_eq!(error.to_string(), "\"test.things\" can be from 1 to 5, not 6");
        let error = knobs.turn("test.thing", 1).unwrap_err();
        assert_eq!(error.to_string(), "there is no knob \"test.thing\"; there are test.things");
        assert_eq!(knobs.list()[0].what, "How many.");
        assert_eq!(Knobs::default().of::<TestKnobs>().things.get(), 3, "another server's");
    }
}
