//! What we have sent and the peer has not acknowledged yet.

use std::collections::VecDeque;

/// The outbound counter with what is outstanding, oldest first.
#[derive(Debug)]
pub struct Outbound<T> {
    acked: u32,
    waiting: VecDeque<T>,
}

/// The peer acknowledged more than was sent (XEP-0198 §4): end the stream with [`super::too_high_error`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("h={h} acknowledges more than the {sent} stanzas that were sent")]
pub struct TooHigh {
    /// What the peer says.
    pub h: u32,
    /// What we have sent.
    pub sent: u32,
}

/// There are as many outstanding as allowed. The item comes back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Full<T>(pub T);

impl<T> Default for Outbound<T> {
    fn default() -> Self {
        Self { acked: 0, waiting: VecDeque::new() }
    }
}

impl<T> Outbound<T> {
    /// At zero.
    pub fn new() -> Self {
        Self::default()
    }

    /// At a count, to test what happens around 2^32.
    #[cfg(test)]
    pub(super) fn at(acked: u32) -> Self {
        Self { acked, ..Self::default() }
    }

    /// Counts a stanza that is being sent, unless `max` are outstanding already.
    pub fn sent(&mut self, item: T, max: usize) -> Result<(), Full<T>> {
        if self.waiting.len() >= max {
            return Err(Full(item));
        }
        self.waiting.push_back(item);
        Ok(())
    }

    /// The peer has handled `h` stanzas: yields what is acknowledged by that, oldest first. It counts as acknowledged
    /// whether or not the iterator is used up.
    pub fn ack(&mut self, h: u32) -> Result<Acked<'_, T>, TooHigh> {
        let count = h.wrapping_sub(self.acked) as usize;
        if count > self.waiting.len() {
            return Err(TooHigh { h, sent: self.sent_count() });
        }
        self.acked = h;
        Ok(Acked { waiting: &mut self.waiting, left: count })
    }

    /// What is outstanding, oldest first: after a resumption it is to be sent again, in this order.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &T> + ExactSizeIterator {
        self.waiting.iter()
    }

    /// The same, to be changed in place.
    pub fn iter_mut(&mut self) -> impl DoubleEndedIterator<Item = &mut T> + ExactSizeIterator {
        self.waiting.iter_mut()
    }

    /// Takes everything outstanding: the session ends, unacknowledged.
    pub fn into_unacked(self) -> VecDeque<T> {
        self.waiting
    }

    /// How many are outstanding.
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Whether nothing is outstanding.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// The peer's last `h`.
    pub fn acked(&self) -> u32 {
        self.acked
    }

    /// How many were sent in all, modulo 2^32.
    pub fn sent_count(&self) -> u32 {
        self.acked.wrapping_add(self.waiting.len() as u32)
    }
}

/// The items that an acknowledgement covers.
#[derive(Debug)]
pub struct Acked<'a, T> {
    waiting: &'a mut VecDeque<T>,
    left: usize,
}

impl<T> Iterator for Acked<'_, T> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        self.left = self.left.checked_sub(1)?;
        self.waiting.pop_front()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl<T> ExactSizeIterator for Acked<'_, T> {}

impl<T> Drop for Acked<'_, T> {
    fn drop(&mut self) {
        self.waiting.drain(..self.left);
        if self.waiting.is_empty() {
            // An idle session keeps no buffer.
            *self.waiting = VecDeque::new();
        }
    }
}
