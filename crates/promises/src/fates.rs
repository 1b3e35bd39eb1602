//! The promises for runs of hundreds of millions of messages, of which only a few bits can be kept each: what a sheet of fates
//! shows when everything is over.
//!
//! Called by the load runs, whose threads share such a sheet without locks. Weaker than the [`checker`](crate::checker): it
//! sees neither stanza-ids nor bytes, and of order only what each recipient notices for itself.

use crate::verdict::Rule;

/// What happened to the messages of a run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Fates {
    /// Accepted, not refused, never delivered.
    pub lost: u64,
    /// An error came after the `<a/>`.
    pub refused_after_accepted: u64,
    /// Delivered after the error.
    pub delivered_after_error: u64,
    /// Delivered again on a session that had lost no connection.
    pub copies_without_fault: u64,
    /// First delivered after a later one of the same sender.
    pub out_of_order: u64,
    /// Delivered to another account.
    pub astray: u64,
    /// Delivered, and nobody of the run has sent it.
    pub unsent: u64,
}

impl Fates {
    /// Which rules are broken, and how often.
    pub fn broken(&self) -> Vec<(Rule, u64)> {
        let all = [
            (Rule::NeverShown, self.lost),
            (Rule::RefusedAfterAccepted, self.refused_after_accepted),
            (Rule::ShownAfterError, self.delivered_after_error),
            (Rule::CopyWithoutFault, self.copies_without_fault),
            (Rule::OutOfOrder, self.out_of_order),
            (Rule::WrongAccount, self.astray),
            (Rule::NeverSent, self.unsent),
        ];
        all.into_iter().filter(|(_, count)| *count > 0).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_fate_has_its_rule() {
        assert_eq!(Fates::default().broken(), []);
        let all = Fates {
            lost: 1,
            refused_after_accepted: 2,
            delivered_after_error: 3,
            copies_without_fault: 4,
            out_of_order: 5,
            astray: 6,
            unsent: 7,
        };
        assert_eq!(all.broken().iter().map(|(_, count)| count).sum::<u64>(), 28);
    }
}
