//! Passes the events that a room has posted to the rooms that listen, once that room has returned. What a listener posts takes
//! the event's place in the order.

use super::rooms;
use crate::account::Account;
use crate::effects::turn::{Post, Turn};
use std::collections::VecDeque;

/// Passes events to the listening rooms. Their posts take the place of the event, and may be events again.
pub(crate) fn tell_rooms(turn: &mut Turn<'_>, account: &mut Account) {
    if std::mem::take(&mut turn.outbox.events) == 0 {
        return;
    }
    let mut waiting = VecDeque::from(std::mem::take(&mut turn.outbox.posts));
    while let Some(post) = waiting.pop_front() {
        let Post::Event(event) = post else {
            turn.outbox.posts.push(post);
            continue;
        };
        let before = std::mem::take(&mut turn.outbox.posts);
        rooms::listeners().for_each(|hear| hear(turn, account, &event));
        for said in std::mem::replace(&mut turn.outbox.posts, before).into_iter().rev() {
            waiting.push_front(said);
        }
    }
    turn.outbox.events = 0;
}
