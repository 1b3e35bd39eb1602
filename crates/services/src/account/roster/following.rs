//! The roster follows the phone book: each number in the phone book that has an account is an item, and two accounts that have
//! each other in their phone books see each other's presence.
//!
//! The phone book is the truth. The flags in the roster are a view of it, made when the account is loaded and changed when the
//! phone book changes; they are not in the roster's document. Called by [`crate::rooms::contact_sync`].

use super::RosterKnobs;
use super::{Contact, Full, PresenceDue, Roster, Subscription};
use chaski_store::books::Match;

/// What a change of the phone book means for sessions with the roster and for the contact.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Followed {
    /// Interested sessions get the item.
    pub(crate) push: bool,
    /// The account sees the contact's presence from now on.
    pub(crate) sees: bool,
    /// The presence that the contact has to be sent.
    pub(crate) presence: PresenceDue,
    /// The document holds a name that should not be there any more: save it when there is another reason to.
    pub(crate) stale_document: bool,
}

impl Roster {
    /// Sets what the phone book says of one contact: `None`: not in it, or without an account; `Some(false)`: in it;
    /// `Some(true)`: each is in the other's.
    pub(crate) fn follow(
        &mut self,
        contact: &Contact,
        mutual: Option<bool>,
        knobs: &RosterKnobs,
    ) -> Result<Followed, Full> {
        let before = self.state(contact);
        let next = before.booked(mutual);
        let named = self.get(contact).is_some_and(|item| item.details.is_some());
        let gone = next.is_stranger() && !before.is_stranger();
        self.put_state(contact, next, knobs)?;
        let presence = match (before.from(), next.from()) {
            (false, true) => PresenceDue::Current,
            (true, false) => PresenceDue::Unavailable,
            _ => PresenceDue::Nothing,
        };
        let (push, sees) = (next.looks_different(before), next.to() && !before.to());
        Ok(Followed { push, sees, presence, stale_document: gone && named })
    }

    /// Sets the whole view when the account is loaded; `matches` are in ascending order. Returns how many contacts had no room.
    pub(crate) fn follow_all(&mut self, matches: &[Match], knobs: &RosterKnobs) -> usize {
        for item in &mut self.items {
            item.state = item.state.booked(None);
        }
        let mut full = 0;
        let mut new = Vec::new();
        let room = knobs.items.size().saturating_sub(self.items.len());
        for found in matches {
            let contact = Contact::Phone(found.number);
            match self.find(&contact) {
                Ok(at) => self.items[at].state = self.items[at].state.booked(Some(found.mutual)),
                Err(_) if new.len() < room => new.push(super::Item {
                    state: Subscription::STRANGER.booked(Some(found.mutual)),
                    contact,
                    details: None,
                }),
                Err(_) => full += 1,
            }
        }
        self.items.retain(|item| !item.state.is_stranger());
        if !new.is_empty() {
            self.items.append(&mut new);
            self.items.sort_by(|a, b| a.contact.cmp(&b.contact));
        }
        self.items.shrink_to_fit();
        full
    }

    /// The differences between the view and these matches (ascending): each contact with what the phone book says of it now.
    pub(crate) fn differences(&self, matches: &[Match]) -> Vec<(Contact, Option<bool>)> {
        let said = |number: u64| {
            let at = matches.binary_search_by_key(&number, |found| found.number).ok()?;
            Some(matches[at].mutual)
        };
        let mut differences = Vec::new();
        for item in self.items.iter().filter(|item| item.state.is_booked()) {
            let now = match item.contact {
                Contact::Phone(number) => said(number),
                Contact::Other(_) => None,
            };
            if now != Some(item.state.is_mutual()) {
                differences.push((item.contact.clone(), now));
            }
        }
        for found in matches {
            let contact = Contact::Phone(found.number);
            if !self.state(&contact).is_booked() {
                differences.push((contact, Some(found.mutual)));
            }
        }
        differences
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::account::roster::Kind;
    use crate::knobs::Knob;
    use PresenceDue::{Current, Nothing, Unavailable};

    fn contact(number: u64) -> Contact {
        Contact::Phone(15_551_230_000 + number)
    }

    fn found(number: u64, mutual: bool) -> Match {
        Match { number: 15_551_230_000 + number, mutual }
    }

    fn followed(push: bool, presence: PresenceDue) -> Followed {
        Followed { push, sees: presence == Current, presence, stale_document: false }
    }

    #[test]
    fn an_item_comes_and_goes_with_the_book() {
        let (mut roster, knobs) = (Roster::default(), RosterKnobs::default());
        assert_eq!(roster.follow(&contact(1), Some(false), &knobs), Ok(followed(true, Nothing)));
        assert_eq!(roster.state(&contact(1)).as_str(), "none");
        assert_eq!(roster.follow(&contact(1), Some(true), &knobs), Ok(followed(true, Current)));
        assert_eq!(roster.state(&contact(1)).as_str(), "both");
        assert_eq!(roster.follow(&contact(1), Some(true), &knobs), Ok(followed(false, Nothing)));
        assert_eq!(roster.follow(&contact(1), None, &knobs), Ok(followed(true, Unavailable)));
        assert!(roster.items().is_empty());
    }

    #[test]
    fn what_people_agreed_on_themselves_stays() {
        let (mut roster, knobs) = (Roster::default(), RosterKnobs::default());
        roster.outbound(&contact(1), Kind::Subscribe, &knobs).unwrap();
        roster.follow(&contact(1), Some(true), &knobs).unwrap();
        assert!(!roster.state(&contact(1)).asks(), "it has what it asks for");
        roster.inbound(&contact(1), Kind::Subscribed, "", &knobs).unwrap();
        let ended = roster.follow(&contact(1), None, &knobs).unwrap();
        assert_eq!(ended, followed(true, Unavailable));
        assert_eq!(roster.state(&contact(1)).as_str(), "to");
        // The other way round: ending the subscription does not end what the books say.
        roster.follow(&contact(1), Some(true), &knobs).unwrap();
        let step = roster.inbound(&contact(1), Kind::Unsubscribed, "", &knobs).unwrap();
        assert!(step.changed && !step.push);
        assert_eq!(roster.state(&contact(1)).as_str(), "both");
    }

    #[test]
    fn a_name_does_not_outlive_the_number_in_the_book() {
        let (mut roster, knobs) = (Roster::default(), RosterKnobs::default());
        roster.follow(&contact(1), Some(false), &knobs).unwrap();
        roster.set(&contact(1), "Juliet", Vec::new(), &knobs).unwrap();
        let saved = roster.to_document();
        let mut read = Roster::from_document(&saved).unwrap();
        assert_eq!(read.follow_all(&[found(1, true)], &knobs), 0);
        assert_eq!((read.items()[0].name(), read.state(&contact(1)).as_str()), ("Juliet", "both"));
        assert!(read.follow(&contact(1), None, &knobs).unwrap().stale_document);
        let mut read = Roster::from_document(&saved).unwrap();
        read.follow_all(&[], &knobs);
        assert!(read.items().is_empty());
    }

    #[test]
    fn the_document_says_nothing_of_the_book() {
        let (mut roster, knobs) = (Roster::default(), RosterKnobs::default());
        let empty = roster.to_document();
        roster.follow(&contact(1), Some(true), &knobs).unwrap();
        assert_eq!(roster.to_document(), empty);
        roster.outbound(&contact(1), Kind::Unsubscribe, &knobs).unwrap();
        assert_eq!(roster.to_document(), empty);
    }

    #[test]
    fn a_full_roster_takes_no_more_matches() {
        let knobs = RosterKnobs { items: Knob::new(2, 1, 9), ..RosterKnobs::default() };
        let mut roster = Roster::default();
        assert_eq!(roster.follow_all(&[found(1, false), found(2, false), found(3, false)], &knobs), 1);
        assert_eq!(roster.items().len(), 2);
        assert_eq!(roster.follow(&contact(4), Some(true), &knobs), Err(Full));
    }

    #[test]
    fn differences_bring_any_view_to_any_book() {
        let knobs = RosterKnobs::default();
        for before in 0..27u32 {
            for after in 0..27u32 {
                let book = |state: u32| -> Vec<Match> {
                    let digits = (0..3).map(|place| (place, state / 3u32.pow(place) % 3));
                    digits.filter(|d| d.1 > 0).map(|(at, kind)| found(u64::from(at), kind == 2)).collect()
                };
                let mut roster = Roster::default();
                roster.follow_all(&book(before), &knobs);
                let mut whole = roster.clone();
                for (contact, mutual) in roster.differences(&book(after)) {
                    roster.follow(&contact, mutual, &knobs).unwrap();
                }
                whole.follow_all(&book(after), &knobs);
                assert_eq!(roster, whole);
                assert!(roster.differences(&book(after)).is_empty());
            }
        }
    }
}
