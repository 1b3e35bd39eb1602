//! Edits that break what is promised of accounts and of people who block (A1 to A3, P2).

use super::messages::{is_blocked, mutants};
use super::trace::{Span, Trace};
use super::{Mutant, Spoiled};
use crate::event::{Account, Event, Lock, Showing, StanzaId, Timed};
use crate::verdict::Rule;

mutants! {
    "an old key logs in after the change": old_key_logs_in => OldKeyEnters;
    "an old key resumes after the change": old_key_resumes => OldKeyEnters;
    "an old key reads after the change": old_key_reads => OldKeyReads;
    "an old key sends after the change": old_key_sends => OldKeySends;
    "a login after the removal": login_after_removal => RemovedLives;
    "a delivery after the removal": delivery_after_removal => RemovedLives;
    "a removed account sends": removed_sends => RemovedSends;
    "a delivery to the next owner of the number": to_the_next_owner => RemovedInherited;
    "a removed account's byte a minute after": removed_readable => RemovedReadable;
    "a delivery to who registered after a long silence": to_the_heir => WrongHeir;
    "a delivery to the next owner after a change of number": to_who_has_the_old_number => WrongHeir | RemovedInherited;
    "a registration over a standing lock": lock_ignored => LockIgnored;
    "a blocked sender's message": blocked_shown => BlockedShown;
    "a blocked sender told so": blocked_told => BlockedTold;
}

/// Where the key changes, and a session that was connected with the old one.
fn old_session(spoiled: &mut Spoiled) -> Option<(usize, Span)> {
    let spans = &spoiled.trace.spans;
    let history = &spoiled.history;
    let found: Vec<(usize, Span)> = spans
        .iter()
        .filter(|span| match history.get(span.until).map(|timed| timed.event) {
            Some(Event::KeyChanged { account, .. }) => account == span.account,
            _ => false,
        })
        .map(|span| (span.until, *span))
        .collect();
    spoiled.random.pick(&found)
}

fn old_key_logs_in(spoiled: &mut Spoiled) -> bool {
    let Some((place, span)) = old_session(spoiled) else { return false };
    let Span { account, device, key, .. } = span;
    spoiled.insert(place + 1, Event::Began { session: crate::Session(u64::MAX), account, device, key });
    true
}

fn old_key_resumes(spoiled: &mut Spoiled) -> bool {
    let Some((place, span)) = old_session(spoiled) else { return false };
    let (session, key) = (span.session, span.key);
    let (_, h) = Trace::counts(&spoiled.history, session, place);
    spoiled.insert(place + 1, Event::Resumed { session, key, h, arrived: 0 });
    true
}

fn old_key_reads(spoiled: &mut Spoiled) -> bool {
    let Some((place, span)) = old_session(spoiled) else { return false };
    spoiled.insert(place + 1, Event::Shown { session: span.session, showing: None });
    true
}

/// A void session sends something, and it is accepted.
fn send_after(spoiled: &mut Spoiled, place: usize, span: Span) -> bool {
    let model = spoiled.trace.messages.iter().find(|message| message.letter.to != span.account);
    let Some(mut letter) = model.map(|message| message.letter) else { return false };
    letter.content.identity = Some(u64::MAX);
    let session = span.session;
    let (sent, _) = Trace::counts(&spoiled.history, session, place);
    spoiled.insert(place + 1, Event::Covered { session, h: sent + 1 });
    spoiled.insert(place + 1, Event::Sent { session, letter: Some(letter) });
    true
}

fn old_key_sends(spoiled: &mut Spoiled) -> bool {
    let Some((place, span)) = old_session(spoiled) else { return false };
    send_after(spoiled, place, span)
}

/// Where a removal is answered, and a session that was connected when it was asked for.
fn removed_session(spoiled: &mut Spoiled) -> Option<(usize, Span)> {
    let history = &spoiled.history;
    let found: Vec<(usize, Span)> = spoiled
        .trace
        .spans
        .iter()
        .filter(|span| match history.get(span.until).map(|timed| timed.event) {
            Some(Event::Removing { account }) => account == span.account,
            _ => false,
        })
        .map(|span| (span.until + 1, *span))
        .collect();
    spoiled.random.pick(&found)
}

fn login_after_removal(spoiled: &mut Spoiled) -> bool {
    let Some((place, span)) = removed_session(spoiled) else { return false };
    let Span { account, device, key, .. } = span;
    spoiled.insert(place + 1, Event::Began { session: crate::Session(u64::MAX), account, device, key });
    true
}

fn delivery_after_removal(spoiled: &mut Spoiled) -> bool {
    let Some((place, span)) = removed_session(spoiled) else { return false };
    spoiled.insert(place + 1, Event::Shown { session: span.session, showing: None });
    true
}

fn removed_sends(spoiled: &mut Spoiled) -> bool {
    let Some((place, span)) = removed_session(spoiled) else { return false };
    send_after(spoiled, place, span)
}

/// Shows an old message of an account's to whoever logs in there next after an event.
fn to_next(spoiled: &mut Spoiled, wanted: impl Fn(&Event) -> Option<Account>) -> bool {
    let history = &spoiled.history;
    let mut found = Vec::new();
    for message in &spoiled.trace.messages {
        let to = message.letter.to;
        let sent = message.sent[0];
        let ended = (sent..history.len()).find(|&at| wanted(&history[at].event) == Some(to));
        let Some(ended) = ended.filter(|_| message.sent.len() == 1) else { continue };
        // Not removed before it ended so, nor begun anew.
        let is_whole = history[sent..ended].iter().all(|timed| match timed.event {
            Event::Removing { account } | Event::Registered { account, .. } => {
                account != to || wanted(&history[ended].event).is_some() && is_step_of(history, ended, timed)
            }
            Event::Moved { from, to: target } => from != to && target != to,
            _ => true,
        });
        let next = spoiled.trace.spans.iter().find(|span| span.account == to && span.from > ended);
        // Nor did its owner come back to the number.
        let is_away = |span: &&Span| {
            history[ended + 1..span.from].iter().all(|timed| !matches!(timed.event, Event::Moved { .. }))
        };
        let next = next.filter(is_away);
        let is_near = |span: &Span| history[span.from].at_ms < history[sent].at_ms + 3_000_000;
        // What is acknowledged is forgotten after a while.
        let is_known = message.acknowledged.is_none() || next.is_some_and(is_near);
        if let (true, true, Some(next)) = (is_whole, is_known && message.refused.is_none(), next) {
            let showing = Showing {
                from: message.from,
                content: message.letter.content,
                stanza_id: Some(StanzaId(7)),
                delayed: true,
            };
            found.push((next.from + 2, Event::Shown { session: next.session, showing: Some(showing) }));
        }
    }
    let Some((place, event)) = spoiled.random.pick(&found) else { return false };
    spoiled.insert(place, event);
    true
}

/// Whether an event is the first half of the one at the place.
fn is_step_of(history: &[Timed], place: usize, timed: &Timed) -> bool {
    place > 0 && std::ptr::eq(&history[place - 1], timed)
}

fn to_the_next_owner(spoiled: &mut Spoiled) -> bool {
    to_next(spoiled, |event| match event {
        Event::Removed { account } => Some(*account),
        _ => None,
    })
}

fn to_the_heir(spoiled: &mut Spoiled) -> bool {
    to_next(spoiled, |event| match event {
        Event::Registered { account, proof: false, silent_ms, .. } if *silent_ms > 30 * 86_400_000 => {
            Some(*account)
        }
        _ => None,
    })
}

fn to_who_has_the_old_number(spoiled: &mut Spoiled) -> bool {
    to_next(spoiled, |event| match event {
        Event::Moved { from, .. } => Some(*from),
        _ => None,
    })
}

fn removed_readable(spoiled: &mut Spoiled) -> bool {
    let found = spoiled.message(|message, _, history| {
        let sent = message.sent[0];
        let to = message.letter.to;
        let removed = history[sent..].iter().find(|timed| timed.event == Event::Removed { account: to });
        let is_first = history[sent..]
            .iter()
            .take_while(|timed| timed.event != Event::Removed { account: to })
            .all(|timed| {
                !matches!(timed.event, Event::Registered { account, .. } if account == to)
                    && !matches!(timed.event, Event::Moved { .. })
            });
        let is_recent = history.last().is_some_and(|last| last.at_ms < history[sent].at_ms + 3_000_000);
        message.sent.len() == 1 && message.refused.is_none() && removed.is_some() && is_first && is_recent
    });
    let Some(index) = found else { return false };
    let message = &spoiled.trace.messages[index];
    let (account, from, content) = (message.letter.to, message.from, message.letter.content);
    let at_ms = spoiled.history.last().map_or(0, |last| last.at_ms) + 61_000;
    let event = Event::Looked { account, from, content, found: true };
    spoiled.history.push(Timed { at_ms, event });
    true
}

fn lock_ignored(spoiled: &mut Spoiled) -> bool {
    let again = |event: &Event| matches!(event, Event::Registered { proof: true, .. });
    let Some(place) = spoiled.place(again) else { return false };
    if let Event::Registered { proof, lock, .. } = &mut spoiled.history[place].event {
        (*proof, *lock) = (false, Lock::Standing);
    }
    true
}

fn blocked_message(spoiled: &mut Spoiled) -> Option<usize> {
    spoiled.message(|message, trace, history| {
        // A change of number or a removal takes the block list along.
        let is_plain = history[8..message.sent[0]].iter().all(|timed| match timed.event {
            Event::Removing { account } | Event::Registered { account, .. } => account != message.letter.to,
            Event::Moved { from, to } => from != message.letter.to && to != message.letter.to,
            _ => true,
        });
        message.sent.len() == 1
            && is_plain
            && message.refused.is_none()
            && is_blocked(message, history)
            && trace
                .connected(message.letter.to, message.sent[0])
                .is_some_and(|span| span.until > message.sent[0] + 1)
    })
}

fn blocked_shown(spoiled: &mut Spoiled) -> bool {
    let Some(index) = blocked_message(spoiled) else { return false };
    let message = &spoiled.trace.messages[index];
    let (from, content, sent) = (message.from, message.letter.content, message.sent[0]);
    let Some(span) = spoiled.trace.connected(message.letter.to, sent) else { return false };
    let showing = Some(Showing { from, content, stanza_id: Some(StanzaId(7)), delayed: false });
    spoiled.insert(sent + 1, Event::Shown { session: span.session, showing });
    true
}

fn blocked_told(spoiled: &mut Spoiled) -> bool {
    let Some(index) = blocked_message(spoiled) else { return false };
    let message = &spoiled.trace.messages[index];
    let (session, letter, sent) = (message.session, message.letter, message.sent[0]);
    spoiled.insert(
        sent + 1,
        Event::Refused { session, to: letter.to, content: Some(letter.content), is_bound: false },
    );
    true
}
