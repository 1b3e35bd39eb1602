//! State that hardly any account has while it is in memory: of one type for each room that wants some.
//!
//! A room keeps here only what it may forget: the state goes when the account leaves memory. An account without any such state
//! pays one pointer for all rooms together. Each type is known to its room alone. Pure.

use std::any::Any;

/// See the module.
#[derive(Default)]
pub(crate) struct Rare(Option<Box<States>>);

/// Apart, so that who has none pays one pointer and not three.
#[derive(Default)]
struct States(Vec<Box<dyn Any + Send>>);

impl Rare {
    /// The state of this type, if there is one.
    pub(crate) fn get<T: Any + Send>(&self) -> Option<&T> {
        self.0.as_deref()?.0.iter().find_map(|state| state.downcast_ref())
    }

    /// The state of this type, to be changed, if there is one.
    pub(crate) fn get_mut<T: Any + Send>(&mut self) -> Option<&mut T> {
        self.0.as_deref_mut()?.0.iter_mut().find_map(|state| state.downcast_mut())
    }

    /// The state of this type, to be changed; made if there is none.
    pub(crate) fn get_or_make<T: Any + Send + Default>(&mut self) -> &mut T {
        let states = &mut self.0.get_or_insert_default().0;
        let known = states.iter().position(|state| state.is::<T>());
        let at = known.unwrap_or_else(|| {
            states.push(Box::new(T::default()));
            states.len() - 1
        });
        states[at].downcast_mut().expect("it is of this type")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_type_has_its_own() {
        let mut rare = Rare::default();
        assert_eq!(rare.get::<u8>(), None);
        *rare.get_or_make::<u8>() = 7;
        rare.get_or_make::<String>().push('x');
        rare.get_or_make::<String>().push('y');
        assert_eq!((rare.get::<u8>(), rare.get::<String>().map(String::as_str)), (Some(&7), Some("xy")));
        *rare.get_mut::<u8>().unwrap() += 1;
        assert_eq!((rare.get::<u8>(), rare.get::<u16>()), (Some(&8), None));
        assert_eq!(size_of::<Rare>(), size_of::<usize>());
    }
}
