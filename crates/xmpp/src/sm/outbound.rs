//! What we have sent and the peer has not acknowledged yet.

use std::collections::VecDeque;

/// The outbound counter with what is outstanding, oldest first. 16 bytes while nothing is.
#[derive(Debug)]
pub struct Outbound<T> {
    acked: u32,
    /// `None` only if nothing is outstanding.
    waiting: Option<Room<T>>,
}

/// Memory for what is outstanding. Whoever has many counters hands it from one to the next: [`Outbound::take_room`].
#[derive(Debug)]
#[expect(clippy::box_collection, reason = "rare, and every idle session would carry the larger size")]
pub struct Room<T>(Box<VecDeque<T>>);

impl<T> Room<T> {
    /// For how many items there is room.
    pub fn capacity(&self) -> usize {
        self.0.capacity()
    }
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
        Self { acked: 0, waiting: None }
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
        if self.len() >= max {
            return Err(Full(item));
        }
        self.waiting.get_or_insert_with(|| Room(Box::default())).0.push_back(item);
        Ok(())
    }

    /// Whether the next [`sent`](Self::sent) has to allocate.
    pub fn needs_room(&self) -> bool {
        self.waiting.is_none()
    }

    /// Gives it memory, which it uses if it has none.
    pub fn give_room(&mut self, room: Room<T>) {
        if self.waiting.is_none() {
            self.waiting = Some(room);
        }
    }

    /// Takes its memory back if nothing is outstanding. Without that it keeps what it has.
    pub fn take_room(&mut self) -> Option<Room<T>> {
        self.waiting.take_if(|room| room.0.is_empty())
    }

    /// The peer has handled `h` stanzas: yields what is acknowledged by that, oldest first. It counts as acknowledged
    /// whether or not the iterator is used up.
    pub fn ack(&mut self, h: u32) -> Result<Acked<'_, T>, TooHigh> {
        let count = h.wrapping_sub(self.acked) as usize;
        if count > self.len() {
            return Err(TooHigh { h, sent: self.sent_count() });
        }
        self.acked = h;
        Ok(Acked { waiting: self.waiting.as_mut().map(|room| &mut *room.0), left: count })
    }

    /// What is outstanding, oldest first: after a resumption it is to be sent again, in this order.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &T> + ExactSizeIterator {
        self.waiting.as_ref().map(|room| room.0.iter()).unwrap_or_default()
    }

    /// The same, to be changed in place.
    pub fn iter_mut(&mut self) -> impl DoubleEndedIterator<Item = &mut T> + ExactSizeIterator {
        self.waiting.as_mut().map(|room| room.0.iter_mut()).unwrap_or_default()
    }

    /// Lets go of what is not to be sent again after a resumption. The peer has said by `h` what it has got, and counts on from there: of what
    /// is outstanding it has counted nothing.
    pub fn retain(&mut self, keep: impl FnMut(&T) -> bool) {
        if let Some(room) = &mut self.waiting {
            room.0.retain(keep);
        }
    }

    /// Takes everything outstanding: the session ends, unacknowledged.
    pub fn into_unacked(self) -> VecDeque<T> {
        self.waiting.map(|room| *room.0).unwrap_or_default()
    }

    /// How many are outstanding.
    pub fn len(&self) -> usize {
        self.waiting.as_ref().map_or(0, |room| room.0.len())
    }

    /// Whether nothing is outstanding.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The peer's last `h`.
    pub fn acked(&self) -> u32 {
        self.acked
    }

    /// How many were sent in all, modulo 2^32.
    pub fn sent_count(&self) -> u32 {
        self.acked.wrapping_add(self.len() as u32)
    }
}

/// The items that an acknowledgement covers.
#[derive(Debug)]
pub struct Acked<'a, T> {
    /// There if `left` is not 0.
    waiting: Option<&'a mut VecDeque<T>>,
    left: usize,
}

impl<T> Iterator for Acked<'_, T> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        self.left = self.left.checked_sub(1)?;
        self.waiting.as_mut()?.pop_front()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl<T> ExactSizeIterator for Acked<'_, T> {}

impl<T> Drop for Acked<'_, T> {
    fn drop(&mut self) {
        if let Some(waiting) = &mut self.waiting {
            waiting.drain(..self.left);
        }
    }
}
