//! The binary form of what travels between places: how each type in a letter is written and read.
//!
//! Numbers are written with their lowest byte first and in full length; a `bool` and an `Option` begin with 0 or 1; an enum with
//! the number of its variant; texts and lists with a count of 32 bits. A type declares its form beside its definition by
//! [`data!`], which does not compile if a field or a variant is left out. [`crate::effects::letter::Envelope`] puts a version in
//! front. Promises: what was written is read as the same value; bytes that can't have been written (an account that no number can
//! be, a JID that is not in normal form) are [`Malformed`]; reading never allocates memory for a length that is only claimed.

mod protocol;

#[cfg(test)]
use rand::{Rng, RngExt, rngs::StdRng};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Why bytes are no letter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// A form that this program does not know.
    #[error("version {0} is not known")]
    Version(u8),
    /// It ends too early.
    #[error("it is cut off")]
    Cut,
    /// Something follows it.
    #[error("something follows its end")]
    Trailing,
    /// There is no such value.
    #[error("not a {0}")]
    No(&'static str),
}

/// Something that travels.
pub(crate) trait Data: Sized {
    /// Appends its binary form.
    fn put(&self, out: &mut Vec<u8>);

    /// Reads it.
    fn take(from: &mut Unread<'_>) -> Result<Self, Malformed>;

    /// Any value, for tests.
    #[cfg(test)]
    fn any(random: &mut StdRng) -> Self;

    /// Appends several.
    fn put_all(all: &[Self], out: &mut Vec<u8>) {
        all.iter().for_each(|one| one.put(out));
    }

    /// Reads so many.
    fn take_all(count: usize, from: &mut Unread<'_>) -> Result<Vec<Self>, Malformed> {
        // The vector grows with the values that are really there, not with the claimed count.
        let mut all = Vec::new();
        for _ in 0..count {
            all.push(Self::take(from)?);
        }
        Ok(all)
    }
}

/// Bytes that are still to be read.
pub(crate) struct Unread<'a>(&'a [u8]);

impl<'a> Unread<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// The next so many.
    fn bytes(&mut self, count: usize) -> Result<&'a [u8], Malformed> {
        let (bytes, rest) = self.0.split_at_checked(count).ok_or(Malformed::Cut)?;
        self.0 = rest;
        Ok(bytes)
    }

    /// The next few.
    fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let (bytes, rest) = self.0.split_first_chunk().ok_or(Malformed::Cut)?;
        self.0 = rest;
        Ok(*bytes)
    }

    /// How many follow, each of at least a byte.
    fn count(&mut self) -> Result<usize, Malformed> {
        let count = u32::take(self)? as usize;
        if count > self.0.len() { Err(Malformed::Cut) } else { Ok(count) }
    }

    /// All is read.
    pub(crate) fn end(self) -> Result<(), Malformed> {
        if self.0.is_empty() { Ok(()) } else { Err(Malformed::Trailing) }
    }
}

pub(crate) fn put_count(count: usize, out: &mut Vec<u8>) {
    debug_assert!(u32::try_from(count).is_ok(), "nothing in memory is so large");
    (count as u32).put(out);
}

/// Declares the binary form of a type that consists of others: `data!(struct Name { its, fields })`, `data!(struct Name(its, parts))`,
/// `data!(enum Name { 0 = One, 1 = Other(part), 2 = Third { field } })`. A variant's number is for good: one that goes leaves its number unused.
macro_rules! data {
    (struct $name:ident $(<$size:literal>)? { $($field:ident),* $(,)? }) => {
        impl $crate::data::Data for $name $(<$size>)? {
            fn put(&self, out: &mut Vec<u8>) {
                let Self { $($field),* } = self;
                $($crate::data::Data::put($field, out);)*
            }

            fn take(from: &mut $crate::data::Unread<'_>) -> Result<Self, $crate::data::Malformed> {
                Ok(Self { $($field: $crate::data::Data::take(from)?),* })
            }

            #[cfg(test)]
            fn any(random: &mut rand::rngs::StdRng) -> Self {
                Self { $($field: $crate::data::Data::any(random)),* }
            }
        }
    };
    (struct $name:ident ($($part:ident),*)) => {
        impl $crate::data::Data for $name {
            fn put(&self, out: &mut Vec<u8>) {
                let Self($($part),*) = self;
                $($crate::data::Data::put($part, out);)*
            }

            fn take(from: &mut $crate::data::Unread<'_>) -> Result<Self, $crate::data::Malformed> {
                $(let $part = $crate::data::Data::take(from)?;)*
                Ok(Self($($part),*))
            }

            #[cfg(test)]
            fn any(random: &mut rand::rngs::StdRng) -> Self {
                $(let $part = $crate::data::Data::any(random);)*
                Self($($part),*)
            }
        }
    };
    (struct $name:ident) => {
        impl $crate::data::Data for $name {
            fn put(&self, _: &mut Vec<u8>) {
                let Self = self;
            }

            fn take(_: &mut $crate::data::Unread<'_>) -> Result<Self, $crate::data::Malformed> {
                Ok(Self)
            }

            #[cfg(test)]
            fn any(_: &mut rand::rngs::StdRng) -> Self {
                Self
            }
        }
    };
    (enum $name:ident {
        $($number:literal = $variant:ident $(($($part:ident),*))? $({ $($field:ident),* })?),* $(,)?
    }) => {
        impl $crate::data::Data for $name {
            fn put(&self, out: &mut Vec<u8>) {
                match self {
                    $(Self::$variant $(($($part),*))? $({ $($field),* })? => {
                        out.push($number);
                        $($($crate::data::Data::put($part, out);)*)?
                        $($($crate::data::Data::put($field, out);)*)?
                    })*
                }
            }

            fn take(from: &mut $crate::data::Unread<'_>) -> Result<Self, $crate::data::Malformed> {
                Ok(match <u8 as $crate::data::Data>::take(from)? {
                    $($number => {
                        $($(let $part = $crate::data::Data::take(from)?;)*)?
                        $($(let $field = $crate::data::Data::take(from)?;)*)?
                        Self::$variant $(($($part),*))? $({ $($field),* })?
                    })*
                    _ => return Err($crate::data::Malformed::No(stringify!($name))),
                })
            }

            #[cfg(test)]
            fn any(random: &mut rand::rngs::StdRng) -> Self {
                let numbers: &[u8] = &[$($number),*];
                match numbers[rand::RngExt::random_range(random, 0..numbers.len())] {
                    $($number => {
                        $($(let $part = $crate::data::Data::any(random);)*)?
                        $($(let $field = $crate::data::Data::any(random);)*)?
                        Self::$variant $(($($part),*))? $({ $($field),* })?
                    })*
                    _ => unreachable!("it is none of its numbers"),
                }
            }
        }
    };
}
pub(crate) use data;

macro_rules! numbers {
    ($($number:ty)*) => { $(
        impl Data for $number {
            fn put(&self, out: &mut Vec<u8>) {
                out.extend_from_slice(&self.to_le_bytes());
            }

            fn take(from: &mut Unread<'_>) -> Result<Self, Malformed> {
                Ok(Self::from_le_bytes(from.array()?))
            }

            #[cfg(test)]
            fn any(random: &mut StdRng) -> Self {
                let bits = random_bits(random) as Self;
                one_of(random, &[0, 1, Self::MAX, bits])
            }
        }
    )* };
}

numbers!(i8 u16 u32 u64 u128);

#[cfg(test)]
fn random_bits(random: &mut StdRng) -> u128 {
    random.random()
}

/// One of these.
#[cfg(test)]
pub(crate) fn one_of<T: Copy>(random: &mut StdRng, all: &[T]) -> T {
    all[random.random_range(0..all.len())]
}

impl Data for u8 {
    fn put(&self, out: &mut Vec<u8>) {
        out.push(*self);
    }

    fn take(from: &mut Unread<'_>) -> Result<Self, Malformed> {
        Ok(from.array::<1>()?[0])
    }

    #[cfg(test)]
    fn any(random: &mut StdRng) -> Self {
        random.random()
    }

    fn put_all(all: &[Self], out: &mut Vec<u8>) {
        out.extend_from_slice(all);
    }

    fn take_all(count: usize, from: &mut Unread<'_>) -> Result<Vec<Self>, Malformed> {
        from.bytes(count).map(<[u8]>::to_vec)
    }
}

impl Data for usize {
    fn put(&self, out: &mut Vec<u8>) {
        (*self as u64).put(out);
    }

    fn take(from: &mut Unread<'_>) -> Result<Self, Malformed> {
        Self::try_from(u64::take(from)?).map_err(|_| Malformed::No("count"))
    }

    #[cfg(test)]
    fn any(random: &mut StdRng) -> Self {
        u64::any(random) as Self
    }
}

impl Data for bool {
    fn put(&self, out: &mut Vec<u8>) {
        out.push(u8::from(*self));
    }

    fn take(from: &mut Unread<'_>) -> Result<Self, Malformed> {
        match u8::take(from)? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(Malformed::No("bool")),
        }
    }

    #[cfg(test)]
    fn any(random: &mut StdRng) -> Self {
        random.random()
    }
}

impl Data for () {
    fn put(&self, _: &mut Vec<u8>) {}

    fn take(_: &mut Unread<'_>) -> Result<Self, Malformed> {
        Ok(())
    }

    #[cfg(test)]
    fn any(_: &mut StdRng) -> Self {}
}

impl<const N: usize> Data for [u8; N] {
    fn put(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self);
    }

    fn take(from: &mut Unread<'_>) -> Result<Self, Malformed> {
        from.array()
    }

    #[cfg(test)]
    fn any(random: &mut StdRng) -> Self {
        let mut bytes = [0; N];
        random.fill_bytes(&mut bytes);
        bytes
    }
}

/// Pairs with one value for each lane of a link.
macro_rules! pairs {
    ($($one:ty)*) => { $(
        impl Data for [$one; 2] {
            fn put(&self, out: &mut Vec<u8>) {
                <$one>::put_all(self, out);
            }

            fn take(from: &mut Unread<'_>) -> Result<Self, Malformed> {
                Ok([<$one>::take(from)?, <$one>::take(from)?])
            }

            #[cfg(test)]
            fn any(random: &mut StdRng) -> Self {
                [<$one>::any(random), <$one>::any(random)]
            }
        }
    )* };
}

pairs!(u64 bool);

impl<T: Data> Data for Vec<T> {
    fn put(&self, out: &mut Vec<u8>) {
        put_count(self.len(), out);
        T::put_all(self, out);
    }

    fn take(from: &mut Unread<'_>) -> Result<Self, Malformed> {
        let count = from.count()?;
        T::take_all(count, from)
    }

    #[cfg(test)]
    fn any(random: &mut StdRng) -> Self {
        let count = one_of(random, &[0, 1, 2, 40]);
        (0..count).map(|_| T::any(random)).collect()
    }
}

impl Data for Box<[u8]> {
    fn put(&self, out: &mut Vec<u8>) {
        put_count(self.len(), out);
        out.extend_from_slice(self);
    }

    fn take(from: &mut Unread<'_>) -> Result<Self, Malformed> {
        Vec::take(from).map(Vec::into_boxed_slice)
    }

    #[cfg(test)]
    fn any(random: &mut StdRng) -> Self {
        Vec::any(random).into()
    }
}

impl Data for String {
    fn put(&self, out: &mut Vec<u8>) {
        put_text(self, out);
    }

    fn take(from: &mut Unread<'_>) -> Result<Self, Malformed> {
        take_text(from).map(Self::from)
    }

    #[cfg(test)]
    fn any(random: &mut StdRng) -> Self {
        let end = random.random_range(0..40);
        one_of(random, &["", "a", "+15551230001", "Ünïcode 🎭 <&'>", &"x".repeat(end)]).to_owned()
    }
}

macro_rules! texts {
    ($($text:ty)*) => { $(
        impl Data for $text {
            fn put(&self, out: &mut Vec<u8>) {
                put_text(self, out);
            }

            fn take(from: &mut Unread<'_>) -> Result<Self, Malformed> {
                take_text(from).map(Self::from)
            }

            #[cfg(test)]
            fn any(random: &mut StdRng) -> Self {
                String::any(random).into()
            }
        }
    )* };
}

texts!(Box<str> Arc<str>);

fn put_text(text: &str, out: &mut Vec<u8>) {
    put_count(text.len(), out);
    out.extend_from_slice(text.as_bytes());
}

fn take_text<'a>(from: &mut Unread<'a>) -> Result<&'a str, Malformed> {
    let count = from.count()?;
    std::str::from_utf8(from.bytes(count)?).map_err(|_| Malformed::No("text"))
}

macro_rules! pointers {
    ($($pointer:ident)*) => { $(
        impl<T: Data> Data for $pointer<T> {
            fn put(&self, out: &mut Vec<u8>) {
                T::put(self, out);
            }

            fn take(from: &mut Unread<'_>) -> Result<Self, Malformed> {
                T::take(from).map(Self::new)
            }

            #[cfg(test)]
            fn any(random: &mut StdRng) -> Self {
                Self::new(T::any(random))
            }
        }
    )* };
}

pointers!(Box Arc);

impl<T: Data> Data for Option<T> {
    fn put(&self, out: &mut Vec<u8>) {
        self.is_some().put(out);
        if let Some(value) = self {
            value.put(out);
        }
    }

    fn take(from: &mut Unread<'_>) -> Result<Self, Malformed> {
        if bool::take(from)? { T::take(from).map(Some) } else { Ok(None) }
    }

    #[cfg(test)]
    fn any(random: &mut StdRng) -> Self {
        random.random::<bool>().then(|| T::any(random))
    }
}

impl<T: Data, E: Data> Data for Result<T, E> {
    fn put(&self, out: &mut Vec<u8>) {
        self.is_ok().put(out);
        match self {
            Ok(value) => value.put(out),
            Err(error) => error.put(out),
        }
    }

    fn take(from: &mut Unread<'_>) -> Result<Self, Malformed> {
        if bool::take(from)? { T::take(from).map(Ok) } else { E::take(from).map(Err) }
    }

    #[cfg(test)]
    fn any(random: &mut StdRng) -> Self {
        if random.random() { Ok(T::any(random)) } else { Err(E::any(random)) }
    }
}

impl<A: Data, B: Data> Data for (A, B) {
    fn put(&self, out: &mut Vec<u8>) {
        self.0.put(out);
        self.1.put(out);
    }

    fn take(from: &mut Unread<'_>) -> Result<Self, Malformed> {
        Ok((A::take(from)?, B::take(from)?))
    }

    #[cfg(test)]
    fn any(random: &mut StdRng) -> Self {
        (A::any(random), B::any(random))
    }
}

impl<K: Data + Ord, V: Data> Data for BTreeMap<K, V> {
    fn put(&self, out: &mut Vec<u8>) {
        put_count(self.len(), out);
        for (key, value) in self {
            key.put(out);
            value.put(out);
        }
    }

    fn take(from: &mut Unread<'_>) -> Result<Self, Malformed> {
        let count = from.count()?;
        <(K, V)>::take_all(count, from).map(|all| all.into_iter().collect())
    }

    #[cfg(test)]
    fn any(random: &mut StdRng) -> Self {
        Vec::any(random).into_iter().collect()
    }
}
