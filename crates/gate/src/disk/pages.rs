//! One file's bytes, and what of them a power cut would leave.
//!
//! Pure. Called by: the disk. Promises: what was synced comes back exactly; of what was written, shortened or lengthened since, a cut keeps the pages it
//! is told to keep and loses the others, as a disk does whose cache was not flushed.

use std::collections::BTreeMap;

/// The kernel writes back whole pages.
pub(crate) const PAGE_BYTES: usize = 4096;

/// See the module.
#[derive(Debug, Default, Clone)]
pub(crate) struct Pages {
    bytes: Vec<u8>,
    /// The length that a cut leaves if it loses everything.
    synced_len: usize,
    /// Pages that changed since the last sync, with what they held then: nothing, if they were beyond its end.
    before: BTreeMap<usize, Vec<u8>>,
}

impl Pages {
    /// How long the file is.
    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// What is read.
    pub(crate) fn read(&self, offset: usize, size: usize) -> &[u8] {
        let start = offset.min(self.bytes.len());
        &self.bytes[start..start.saturating_add(size).min(self.bytes.len())]
    }

    /// A write, which may lengthen the file.
    pub(crate) fn write(&mut self, offset: usize, data: &[u8]) {
        let end = offset + data.len();
        self.remember(offset.min(self.bytes.len()), end);
        if end > self.bytes.len() {
            self.bytes.resize(end, 0);
        }
        self.bytes[offset..end].copy_from_slice(data);
    }

    /// Shortens or lengthens it.
    pub(crate) fn resize(&mut self, len: usize) {
        self.remember(len.min(self.bytes.len()), len.max(self.bytes.len()));
        self.bytes.resize(len, 0);
    }

    /// Keeps, once, what the pages from `start` to `end` held at the last sync.
    fn remember(&mut self, start: usize, end: usize) {
        for page in start / PAGE_BYTES..end.div_ceil(PAGE_BYTES) {
            if !self.before.contains_key(&page) {
                let from = (page * PAGE_BYTES).min(self.synced_len).min(self.bytes.len());
                let to = ((page + 1) * PAGE_BYTES).min(self.synced_len).min(self.bytes.len());
                self.before.insert(page, self.bytes[from..to].to_vec());
            }
        }
    }

    /// `fsync`.
    pub(crate) fn sync(&mut self) {
        self.before.clear();
        self.synced_len = self.bytes.len();
    }

    /// Whether a cut could lose something.
    pub(crate) fn is_dirty(&self) -> bool {
        !self.before.is_empty() || self.synced_len != self.bytes.len()
    }

    /// How many pages are not safe.
    pub(crate) fn dirty(&self) -> usize {
        self.before.len()
    }

    /// The power goes: of the pages that were not synced those stay of which `keeps` says so. What is left is on the disk.
    pub(crate) fn cut(&mut self, mut keeps: impl FnMut(usize) -> bool) {
        let (mut has_lost, mut kept_end) = (false, 0);
        let written_len = self.bytes.len();
        self.bytes.resize(written_len.max(self.synced_len), 0);
        for (page, before) in std::mem::take(&mut self.before) {
            let (from, to) = (page * PAGE_BYTES, ((page + 1) * PAGE_BYTES).min(self.bytes.len()));
            if keeps(page) {
                kept_end = kept_end.max(to.min(written_len));
            } else if from < to {
                has_lost = true;
                self.bytes[from..to].fill(0);
                self.bytes[from..from + before.len()].copy_from_slice(&before);
            }
        }
        self.bytes.truncate(if has_lost { self.synced_len.max(kept_end) } else { written_len });
        self.sync();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn synced(content: &[u8]) -> Pages {
        let mut pages = Pages::default();
        pages.write(0, content);
        pages.sync();
        pages
    }

    fn after(mut pages: Pages, keeps: impl FnMut(usize) -> bool) -> Vec<u8> {
        pages.cut(keeps);
        assert!(!pages.is_dirty());
        pages.read(0, usize::MAX).to_vec()
    }

    #[test]
    fn what_was_never_synced_is_gone() {
        let mut pages = Pages::default();
        pages.write(0, b"hello");
        assert!(pages.is_dirty());
        assert_eq!(after(pages.clone(), |_| false), b"");
        assert_eq!(after(pages, |_| true), b"hello");
    }

    #[test]
    fn a_synced_file_comes_back_whatever_was_done_to_it() {
        let content: Vec<u8> = (0..3 * PAGE_BYTES + 100).map(|at| (at % 251) as u8).collect();
        let mut pages = synced(&content);
        pages.write(PAGE_BYTES - 2, b"over the border");
        pages.write(content.len(), &[9; 2 * PAGE_BYTES]);
        pages.resize(10);
        pages.write(5, b"short and then long again");
        pages.resize(5 * PAGE_BYTES);
        assert_eq!(after(pages, |_| false), content);
    }

    #[test]
    fn an_append_behind_a_synced_end_is_lost_and_its_forerunner_is_not() {
        let mut pages = synced(b"abc");
        pages.write(3, b"def");
        assert_eq!(pages.read(0, 10), b"abcdef");
        assert_eq!(after(pages.clone(), |_| false), b"abc");
        pages.sync();
        assert_eq!(after(pages, |_| false), b"abcdef");
    }

    #[test]
    fn a_later_page_may_stay_where_an_earlier_one_is_lost() {
        let mut pages = synced(&[1; 10]);
        pages.write(10, &[2; 2 * PAGE_BYTES]);
        let left = after(pages, |page| page == 1);
        assert_eq!(left.len(), 2 * PAGE_BYTES);
        assert_eq!((left[9], left[10], left[PAGE_BYTES]), (1, 0, 2));
    }

    #[test]
    fn what_was_cut_off_comes_back_unless_that_was_synced() {
        let mut pages = synced(&[1; 2 * PAGE_BYTES]);
        pages.resize(0);
        assert_eq!(after(pages.clone(), |_| false), [1; 2 * PAGE_BYTES]);
        pages.sync();
        assert_eq!(after(pages, |_| false), b"");
    }
}
