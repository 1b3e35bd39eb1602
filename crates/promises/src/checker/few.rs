//! A list that mostly has one element, and is small then.

/// See the module.
#[derive(Debug, Clone, Default)]
pub(super) enum Few<T> {
    #[default]
    None,
    One(T),
    #[expect(clippy::box_collection, reason = "rare, and every message would carry the larger size")]
    Many(Box<Vec<T>>),
}

impl<T: Copy> Few<T> {
    pub(super) fn as_slice(&self) -> &[T] {
        match self {
            Self::None => &[],
            Self::One(one) => std::slice::from_ref(one),
            Self::Many(all) => all,
        }
    }

    pub(super) fn as_mut_slice(&mut self) -> &mut [T] {
        match self {
            Self::None => &mut [],
            Self::One(one) => std::slice::from_mut(one),
            Self::Many(all) => all,
        }
    }

    pub(super) fn push(&mut self, new: T) {
        *self = match std::mem::take(self) {
            Self::None => Self::One(new),
            Self::One(one) => Self::Many(Box::new(vec![one, new])),
            Self::Many(mut all) => {
                all.push(new);
                Self::Many(all)
            }
        };
    }

    /// Keeps what is wanted. True: nothing is left.
    pub(super) fn retain(&mut self, wanted: impl Fn(&T) -> bool) -> bool {
        let left: Vec<T> = self.as_slice().iter().filter(|one| wanted(one)).copied().collect();
        *self = match left.as_slice() {
            [] => Self::None,
            [one] => Self::One(*one),
            _ => Self::Many(Box::new(left)),
        };
        matches!(self, Self::None)
    }
}
