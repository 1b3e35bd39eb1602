//! The binary form of an envelope and all that is in it ([`crate::data`]).
//!
//! The version, the destination, the letter, the link's stamp. A reader refuses the whole of a version that it does not know.
//! Within one process envelopes are handed over as they are; the tests in `plays` write and read every one.

use super::{Envelope, Handling, Letter, Origin, RoutedStanza, Stamp};
use crate::data::{Data, Malformed, Unread, data};

/// The version that is written, and the only one that is read. It has to grow when bytes that were written before would be read
/// with another meaning.
const VERSION: u8 = 1;

impl Envelope {
    /// Appends its binary form.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let Self { to, stamp, letter } = self;
        VERSION.put(out);
        to.put(out);
        letter.put(out);
        stamp.put(out);
    }

    /// Reads the binary form of one envelope, which is all of `bytes`.
    pub fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut unread = Unread::new(bytes);
        match u8::take(&mut unread)? {
            VERSION => {}
            other => return Err(Malformed::Version(other)),
        }
        let (to, letter, stamp) =
            (Data::take(&mut unread)?, Data::take(&mut unread)?, Data::take(&mut unread)?);
        unread.end()?;
        Ok(Self { to, stamp, letter })
    }
}

data!(enum Letter {
    0 = RoutedStanza(routed), 1 = PresenceBroadcast(tell), 2 = Settled(origins), 3 = Login(question), 4 = Verdict { conn, number, verdict },
    5 = PepNotification(pep_notification), 6 = Asked(asked), 7 = Answer { number, outcome }, 8 = Look(hints), 9 = LookAtAll,
    10 = Probes(probes), 11 = Seen, 12 = Tally(sent), 13 = Gone,
});
data!(struct RoutedStanza { to, by, resource, stanza, handling, copied, has_waited, is_refused, settles, sent_unix_ms });
data!(enum Handling { 0 = Mail { id, is_heavy, origin }, 1 = Relay, 2 = Quiet });
data!(struct Stamp { from, number, seen, wants });
data!(struct Origin { place, session, index });

#[cfg(test)]
mod tests;
