//! Cursors: how far each reader of a mailbox has come.
//!
//! A mailbox may have several readers: the devices of an account, the members of a group. Each entry is kept once, and each reader has a cursor: it has
//! everything up to there. What all have is needed by nobody. Called by the engines, which keep cursors with the rest ([`crate::Mailboxes::advance`]); pure.

use crate::Seq;

/// Who reads a mailbox besides others. The number is its owner's to give; the same one must not be given to another while the first is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Reader(pub u64);

/// The readers of one mailbox, each once, in order of their numbers.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Cursors(Vec<(Reader, u64)>);

impl Cursors {
    /// Whether the mailbox has no readers of its own: whoever acknowledges does so for all.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Each reader, and how far it has come.
    pub fn iter(&self) -> impl Iterator<Item = (Reader, Seq)> {
        self.0.iter().map(|&(reader, upto)| (reader, Seq(upto)))
    }

    /// How far a reader has come; `None`: it is not one.
    pub fn of(&self, reader: Reader) -> Option<Seq> {
        self.place(reader).ok().map(|at| Seq(self.0[at].1))
    }

    /// What is up to here, all have. `None`: there are no readers.
    pub fn all_have(&self) -> Option<Seq> {
        self.0.iter().map(|&(_, upto)| Seq(upto)).min()
    }

    /// A reader that has everything up to `from`, unless it is known. Whether something changed.
    pub fn add(&mut self, reader: Reader, from: Seq) -> bool {
        match self.place(reader) {
            Ok(_) => false,
            Err(at) => {
                self.0.insert(at, (reader, from.0));
                true
            }
        }
    }

    /// A reader has everything up to here. Whether something changed: cursors don't go back, and who is not a reader has none.
    pub fn advance(&mut self, reader: Reader, upto: Seq) -> bool {
        let Ok(at) = self.place(reader) else { return false };
        let is_further = upto.0 > self.0[at].1;
        self.0[at].1 = self.0[at].1.max(upto.0);
        is_further
    }

    /// It is no reader any more. Whether it was.
    pub fn remove(&mut self, reader: Reader) -> bool {
        self.place(reader).map(|at| self.0.remove(at)).is_ok()
    }

    /// As a record keeps them: JSON, an array of pairs of numbers.
    pub(crate) fn to_json(&self) -> Vec<u8> {
        let pairs: Vec<String> =
            self.0.iter().map(|(reader, upto)| format!("[{},{upto}]", reader.0)).collect();
        format!("[{}]", pairs.join(",")).into_bytes()
    }

    /// From a record. One that can't be read is none: then whoever acknowledges does so for all, and no mailbox grows for nobody.
    pub(crate) fn from_json(json: &[u8]) -> Self {
        let mut pairs: Vec<(u64, u64)> = serde_json::from_slice(json).unwrap_or_else(|error| {
            tracing::error!(%error, "the cursors of a mailbox can't be read: its devices get what is left together");
            Vec::new()
        });
        pairs.sort_unstable();
        pairs.dedup_by_key(|(reader, _)| *reader);
        Self(pairs.into_iter().map(|(reader, upto)| (Reader(reader), upto)).collect())
    }

    fn place(&self, reader: Reader) -> Result<usize, usize> {
        self.0.binary_search_by_key(&reader, |&(known, _)| known)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: Reader = Reader(7);
    const B: Reader = Reader(3);

    fn both() -> Cursors {
        let mut cursors = Cursors::default();
        assert!(cursors.add(A, Seq(10)) && cursors.add(B, Seq(4)));
        cursors
    }

    #[test]
    fn what_the_slowest_has_all_have() {
        let mut cursors = both();
        assert_eq!(cursors.all_have(), Some(Seq(4)));
        assert!(cursors.advance(B, Seq(12)));
        assert_eq!(cursors.all_have(), Some(Seq(10)));
        assert!(cursors.remove(A) && !cursors.remove(A));
        assert_eq!(cursors.all_have(), Some(Seq(12)));
        assert!(cursors.remove(B));
        assert_eq!((cursors.all_have(), cursors.is_empty()), (None, true));
    }

    #[test]
    fn a_cursor_does_not_go_back_and_who_is_known_keeps_its_place() {
        let mut cursors = both();
        assert!(!cursors.advance(A, Seq(9)) && !cursors.advance(A, Seq(10)));
        assert!(!cursors.add(A, Seq(99)) && !cursors.advance(Reader(8), Seq(99)));
        assert_eq!(cursors.iter().collect::<Vec<_>>(), [(B, Seq(4)), (A, Seq(10))]);
        assert_eq!((cursors.of(A), cursors.of(Reader(8))), (Some(Seq(10)), None));
    }

    #[test]
    fn a_record_is_read_as_it_was_written_and_a_damaged_one_is_none() {
        assert_eq!(both().to_json(), b"[[3,4],[7,10]]");
        assert_eq!(Cursors::from_json(&both().to_json()), both());
        assert_eq!(Cursors::from_json(b"[[7,10],[3,4],[7,11]]"), both());
        assert_eq!(Cursors::from_json(b"{"), Cursors::default());
    }
}
