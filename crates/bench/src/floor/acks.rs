//! One connection's part of stream management (XEP-0198), as little of it as a relay can't do without: numbers, no queue.
//!
//! Owned by `relay`'s connections. Promises: twelve bytes a connection; nothing leaves by itself, all of it rides on a turn's write.

use chaski_xmpp::sm;

/// A connection that gets messages is asked this often what it has got, as the server does it.
pub(super) const ASK_INTERVAL_MS: u32 = 2_000;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Acks {
    /// Stanzas that have come from it since it enabled stream management.
    handled: u32,
    /// When it was last asked what it has got.
    asked_ms: u32,
    is_enabled: bool,
    /// It has asked what has come.
    owes_ack: bool,
    /// This turn has messages for it.
    has_messages: bool,
}

impl Acks {
    /// Stanzas count from here on. The first message will be asked about.
    pub(super) fn enable(&mut self, now_ms: u32, out: &mut Vec<u8>) {
        let asked_ms = now_ms.wrapping_sub(ASK_INTERVAL_MS);
        *self = Self { asked_ms, is_enabled: true, ..Self::default() };
        sm::write_enabled(out, None);
    }

    /// So many stanzas have come.
    pub(super) fn count(&mut self, stanzas: u32) {
        self.handled = self.handled.wrapping_add(stanzas);
    }

    /// It asks. True: the turn has an answer for it.
    pub(super) fn owe(&mut self) -> bool {
        self.owes_ack = self.is_enabled;
        self.owes_ack
    }

    /// The turn has a message for it.
    pub(super) fn relayed(&mut self) {
        self.has_messages = true;
    }

    /// Appends what is due to what the turn has for it.
    pub(super) fn write(&mut self, now_ms: u32, out: &mut Vec<u8>) {
        if std::mem::take(&mut self.owes_ack) {
            sm::write_ack(out, self.handled);
        }
        let asks = std::mem::take(&mut self.has_messages) && self.is_enabled;
        if asks && now_ms.wrapping_sub(self.asked_ms) >= ASK_INTERVAL_MS {
            self.asked_ms = now_ms;
            sm::write_request(out);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANSWER: &str = "<a xmlns='urn:xmpp:sm:3' h='3'/>";
    const QUESTION: &str = "<r xmlns='urn:xmpp:sm:3'/>";

    fn written(acks: &mut Acks, now_ms: u32) -> String {
        let mut out = Vec::new();
        acks.write(now_ms, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn it_is_answered_once_a_turn_and_asked_every_two_seconds() {
        let mut acks = Acks::default();
        acks.enable(0, &mut Vec::new());
        acks.count(3);
        assert_eq!(written(&mut acks, 0), "", "nothing by itself");
        assert!(acks.owe() && acks.owe());
        acks.relayed();
        assert_eq!(written(&mut acks, 7), format!("{ANSWER}{QUESTION}"));
        acks.relayed();
        assert_eq!(written(&mut acks, 7 + ASK_INTERVAL_MS - 1), "");
        assert_eq!(written(&mut acks, 7 + ASK_INTERVAL_MS), "", "never alone");
        acks.relayed();
        assert_eq!(written(&mut acks, 7 + ASK_INTERVAL_MS), QUESTION);
    }

    #[test]
    fn who_has_not_enabled_it_gets_none_of_it() {
        let mut acks = Acks::default();
        acks.count(3);
        assert!(!acks.owe());
        acks.relayed();
        assert_eq!(written(&mut acks, ASK_INTERVAL_MS), "");
        assert!(size_of::<Acks>() <= 12);
    }
}
