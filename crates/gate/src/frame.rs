//! What one commit of a node looks like in its log, and the chain by which a reader sees that nothing is missing, doubled or damaged.
//!
//! A frame has the messages of one interval, the number that the log gives it (it is published under an expected last sequence, so its writer knows
//! it), and the hash of the frame before. Pure. Called by: the publishers, the followers and the audit. Promises: [`Chain::take`] accepts the one
//! frame that follows, and says of every other what is wrong with it.

use bytes::{BufMut, Bytes, BytesMut};
use sha2::{Digest, Sha256};

/// What an append takes in a frame: a message's stored form with its recipient's head.
pub(crate) const APPEND_BYTES: usize = 300;
/// What its acknowledgement takes.
pub(crate) const ACKNOWLEDGE_BYTES: usize = 30;
/// Both.
pub(crate) const MESSAGE_BYTES: usize = APPEND_BYTES + ACKNOWLEDGE_BYTES;
const MAGIC: [u8; 4] = *b"CHG1";
const HEAD_BYTES: usize = 4 + 1 + 4 + 8 + 16;

/// SHA-256, its first half.
pub(crate) type Hash = [u8; 16];

/// Of a whole frame.
pub(crate) fn hash(frame: &[u8]) -> Hash {
    let mut half = Hash::default();
    half.copy_from_slice(&Sha256::digest(frame)[..16]);
    half
}

/// Makes a frame. Its body is taken from `noise`, which does not compress, as ciphertext does not.
pub(crate) fn encode(log: u8, number: u64, before: &Hash, messages: u32, noise: &[u8]) -> Bytes {
    let length = messages as usize * MESSAGE_BYTES;
    let mut frame = BytesMut::with_capacity(HEAD_BYTES + length);
    frame.put_slice(&MAGIC);
    frame.put_u8(log);
    frame.put_u32(messages);
    frame.put_u64(number);
    frame.put_slice(before);
    let start = (number as usize).wrapping_mul(7919) % noise.len();
    let mut left = length;
    for piece in [&noise[start..]].into_iter().chain(std::iter::repeat(noise)) {
        let taken = left.min(piece.len());
        frame.put_slice(&piece[..taken]);
        left -= taken;
        if left == 0 {
            break;
        }
    }
    frame.freeze()
}

/// What is wrong with a frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Broken {
    /// It is no frame of this log, or is not whole.
    NotAFrame,
    /// It has another number than the place where it lies.
    Misplaced { place: u64, number: u64 },
    /// It does not carry the hash of the one before.
    Unchained { number: u64 },
}

impl std::fmt::Display for Broken {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NotAFrame => write!(out, "no whole frame of this log"),
            Self::Misplaced { place, number } => write!(out, "frame {number} lies at {place}"),
            Self::Unchained { number } => {
                write!(out, "frame {number} does not have the hash of the one before")
            }
        }
    }
}

/// How far a reader of one log has come.
#[derive(Debug, Clone)]
pub(crate) struct Chain {
    log: u8,
    /// The next frame's number.
    next: u64,
    /// The last one's hash; `None` for a reader that begins in the middle and has to believe its first frame.
    tip: Option<Hash>,
}

impl Chain {
    /// From the log's first frame.
    pub(crate) fn new(log: u8) -> Self {
        Self { log, next: 1, tip: Some(Hash::default()) }
    }

    /// From a later one, whose forerunner was truncated.
    pub(crate) fn from(log: u8, next: u64) -> Self {
        Self { log, next, tip: (next == 1).then(Hash::default) }
    }

    /// The next frame's number.
    pub(crate) fn next(&self) -> u64 {
        self.next
    }

    /// Takes the frame that lies at `place`, which is the next. Returns its hash and how many messages it has.
    pub(crate) fn take(&mut self, place: u64, frame: &[u8]) -> Result<(Hash, u32), Broken> {
        let (number, before, messages) = self.head(frame).ok_or(Broken::NotAFrame)?;
        if number != place || place != self.next {
            return Err(Broken::Misplaced { place, number });
        }
        if self.tip.is_some_and(|tip| tip != before) {
            return Err(Broken::Unchained { number });
        }
        let own = hash(frame);
        self.next += 1;
        self.tip = Some(own);
        Ok((own, messages))
    }

    fn head(&self, frame: &[u8]) -> Option<(u64, Hash, u32)> {
        let (magic, rest) = frame.split_first_chunk::<4>()?;
        let (log, rest) = rest.split_first()?;
        let (messages, rest) = rest.split_first_chunk::<4>()?;
        let (number, rest) = rest.split_first_chunk::<8>()?;
        let (before, body) = rest.split_first_chunk::<16>()?;
        let messages = u32::from_be_bytes(*messages);
        let whole = body.len() == messages as usize * MESSAGE_BYTES;
        (*magic == MAGIC && *log == self.log && whole)
            .then(|| (u64::from_be_bytes(*number), *before, messages))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOISE: [u8; 1000] = [7; 1000];

    fn chained(count: u64) -> Vec<Bytes> {
        let mut before = Hash::default();
        let frames = (1..=count).map(|number| {
            let frame = encode(2, number, &before, number as u32, &NOISE);
            before = hash(&frame);
            frame
        });
        frames.collect()
    }

    #[test]
    fn a_whole_chain_is_taken() {
        let mut chain = Chain::new(2);
        for (index, frame) in chained(5).iter().enumerate() {
            let (_, messages) = chain.take(index as u64 + 1, frame).unwrap();
            assert_eq!(messages, index as u32 + 1);
            assert_eq!(frame.len(), HEAD_BYTES + MESSAGE_BYTES * (index + 1));
        }
        assert_eq!(chain.next(), 6);
    }

    #[test]
    fn a_reader_that_begins_in_the_middle_believes_its_first_frame_only() {
        let frames = chained(5);
        let mut chain = Chain::from(2, 3);
        chain.take(3, &frames[2]).unwrap();
        let other = encode(2, 4, &[1; 16], 1, &NOISE);
        assert_eq!(chain.take(4, &other), Err(Broken::Unchained { number: 4 }));
        chain.take(4, &frames[3]).unwrap();
    }

    #[test]
    fn what_is_missing_doubled_damaged_or_foreign_is_refused() {
        let frames = chained(4);
        let mut chain = Chain::new(2);
        chain.take(1, &frames[0]).unwrap();
        assert_eq!(chain.take(3, &frames[2]), Err(Broken::Misplaced { place: 3, number: 3 }));
        assert_eq!(chain.take(2, &frames[0]), Err(Broken::Misplaced { place: 2, number: 1 }));
        assert_eq!(chain.take(2, &frames[1][..40]), Err(Broken::NotAFrame));
        assert_eq!(Chain::new(1).take(1, &frames[0]), Err(Broken::NotAFrame));
        // A byte of the body of the second is seen by the third.
        let mut damaged = frames[1].to_vec();
        *damaged.last_mut().unwrap() ^= 1;
        chain.take(2, &damaged).unwrap();
        assert_eq!(chain.take(3, &frames[2]), Err(Broken::Unchained { number: 3 }));
    }
}
