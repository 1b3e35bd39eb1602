//! Edits that break what is promised of messages and streams (M1 to M8).

use super::trace::{Trace, Traced};
use super::{Mutant, Spoiled};
use crate::event::{Account, Content, Event, GapCause, Showing, StanzaId, Timed};
use crate::verdict::Rule;

const DAY_MS: u64 = 86_400_000;

macro_rules! mutants {
    ($($name:literal: $edit:path => $($rule:ident)|+;)*) => {
        pub(super) const MUTANTS: &[Mutant] =
            &[$(Mutant { name: $name, rules: &[$(Rule::$rule),+], edit: $edit }),*];
    };
}
pub(super) use mutants;

mutants! {
    "a lost message": lost => NeverShown;
    "a message lost in a crash": lost_in_crash => LostInCrash;
    "an <a/> too early": accepted_too_early => LostInCrash;
    "an error after the <a/>": refused_after_accepted => RefusedAfterAccepted;
    "nowhere before it was acknowledged": gone_too_early => GoneTooEarly;
    "a message to another account": to_another_account => WrongAccount;
    "a message with other bytes": with_other_bytes => NeverSent;
    "a copy without a fault": copy_without_fault => CopyWithoutFault;
    "a second stanza-id": second_stanza_id => AnotherStanzaId | IdentityNotKept;
    "no stanza-id": no_stanza_id => AnotherStanzaId;
    "a swapped pair": swapped_pair => OutOfOrder;
    "a delivery after the acknowledgement": after_acknowledged => AfterAcknowledged;
    "a byte that is readable a minute after": still_readable => StillReadable;
    "a delivery after an error": after_error => ShownAfterError;
    "a repetition with another stanza-id": repeated_with_another_id => IdentityNotKept;
    "one identity, two stanza-ids": beside_with_another_id => IdentityNotKept;
    "equal ids with unequal bytes, dropped": dropped_unequal => DroppedUnequal;
    "a silent expiry": silent_expiry => SilentExpiry;
    "an expiry before its time": expired_too_early => ExpiredTooEarly;
    "a gap told twice": gap_twice => GapTwice;
    "accepted for a number that is nobody's": accepted_for_nobody => AcceptedForNobody;
    "a session ended without a cause": ended_without_cause => EndedWithoutCause;
    "a resumption refused without a cause": resumption_refused => EndedWithoutCause;
    "an h that is too high": h_too_high => WrongCount;
    "an h that goes back": h_goes_back => WrongCount;
    "a stanza that is never counted": not_counted => NotCounted;
}

/// Nothing has happened to an account from there on.
fn is_undisturbed(account: Account, from: usize, history: &[Timed]) -> bool {
    history[from..].iter().all(|timed| match timed.event {
        Event::Registered { account: of, .. } | Event::Removing { account: of } => of != account,
        Event::Moved { from, to } => from != account && to != account,
        _ => true,
    })
}

fn no_crash(from: usize, history: &[Timed]) -> bool {
    history[from..].iter().all(|timed| !matches!(timed.event, Event::Crashed { .. }))
}

fn is_young(from: usize, history: &[Timed]) -> bool {
    history.last().is_some_and(|last| last.at_ms < history[from].at_ms + 29 * DAY_MS)
}

/// Accepted once, shown, and its absence would be noticed in the end.
fn is_missable(message: &Traced, history: &[Timed]) -> bool {
    let Some(covered) = message.covered else { return false };
    message.sent.len() == 1
        && message.refused.is_none()
        && !message.shown.is_empty()
        && is_undisturbed(message.letter.to, message.sent[0], history)
        && is_young(covered, history)
}

/// It has an identity that no other message has.
fn is_alone(message: &Traced, trace: &Trace) -> bool {
    let identity = message.letter.content.identity;
    let alike = |other: &&Traced| other.from == message.from && other.letter.content.identity == identity;
    identity.is_none() || trace.messages.iter().filter(alike).count() == 1
}

fn lose(spoiled: &mut Spoiled, index: usize) {
    for (place, _) in spoiled.trace.messages[index].shown.clone() {
        spoiled.blank(place);
    }
}

fn lost(spoiled: &mut Spoiled) -> bool {
    let found = spoiled.message(|message, trace, history| {
        is_missable(message, history) && is_alone(message, trace) && no_crash(message.sent[0], history)
    });
    found.inspect(|&index| lose(spoiled, index)).is_some()
}

fn lost_in_crash(spoiled: &mut Spoiled) -> bool {
    let found = spoiled.message(|message, trace, history| {
        let covered = message.covered.unwrap_or_default();
        is_missable(message, history) && is_alone(message, trace) && !no_crash(covered, history)
    });
    found.inspect(|&index| lose(spoiled, index)).is_some()
}

/// What was under way in a crash and has not survived it was accepted just before.
fn accepted_too_early(spoiled: &mut Spoiled) -> bool {
    let crash_after = |place: usize, history: &[Timed]| {
        (place..history.len()).find(|&at| matches!(history[at].event, Event::Crashed { .. }))
    };
    let found = spoiled.message(|message, trace, history| {
        let sent = message.sent[0];
        let Some(crash) = crash_after(sent, history) else { return false };
        message.sent.len() == 1
            && message.covered.is_none()
            && message.refused.is_none()
            && message.shown.is_empty()
            && is_alone(message, trace)
            && is_undisturbed(message.letter.to, sent, history)
            && is_young(sent, history)
            && !is_blocked(message, history)
            && trace
                .spans
                .iter()
                .any(|span| span.session == message.session && span.from < sent && span.until == crash)
    });
    let Some(index) = found else { return false };
    let message = &spoiled.trace.messages[index];
    let (session, sent) = (message.session, message.sent[0]);
    let Some(crash) = crash_after(sent, &spoiled.history) else { return false };
    let (h, _) = Trace::counts(&spoiled.history, session, crash);
    spoiled.insert(crash, Event::Covered { session, h });
    true
}

/// Whether its recipient had blocked its sender when it was sent.
pub(super) fn is_blocked(message: &Traced, history: &[Timed]) -> bool {
    let mut blocked = false;
    for timed in &history[..message.sent[0]] {
        match timed.event {
            Event::Blocked { by, whom } if (by, whom) == (message.letter.to, message.from) => blocked = true,
            Event::Unblocked { by, whom: Some(whom) } if (by, whom) == (message.letter.to, message.from) => {
                blocked = false;
            }
            _ => {}
        }
    }
    blocked
}

/// It was covered by an `<a/>`: behind the `h` of a resumption errors may still come.
fn is_surely_covered(message: &Traced, history: &[Timed]) -> bool {
    message.covered.is_some_and(|covered| matches!(history[covered].event, Event::Covered { .. }))
}

fn refused_after_accepted(spoiled: &mut Spoiled) -> bool {
    let found = spoiled
        .message(|message, _, history| is_missable(message, history) && is_surely_covered(message, history));
    let Some(index) = found else { return false };
    let message = &spoiled.trace.messages[index];
    let (session, letter, covered) = (message.session, message.letter, message.covered.unwrap_or_default());
    let event = Event::Refused { session, to: letter.to, content: Some(letter.content), is_bound: false };
    spoiled.insert(covered + 1, event);
    true
}

fn gone_too_early(spoiled: &mut Spoiled) -> bool {
    let found = spoiled.message(|message, _, history| {
        let acknowledged = message.acknowledged.map_or(usize::MAX, |(place, _)| place);
        is_missable(message, history) && message.covered.is_some_and(|covered| covered < acknowledged)
    });
    let Some(index) = found else { return false };
    let message = &spoiled.trace.messages[index];
    let (account, from, content) = (message.letter.to, message.from, message.letter.content);
    let place = message.covered.unwrap_or_default() + 1;
    spoiled.insert(place, Event::Looked { account, from, content, found: false });
    true
}

fn showing(spoiled: &Spoiled, place: usize) -> Option<Showing> {
    match spoiled.history[place].event {
        Event::Shown { showing, .. } => showing,
        _ => None,
    }
}

fn to_another_account(spoiled: &mut Spoiled) -> bool {
    let Some(place) = spoiled.place(|event| matches!(event, Event::Shown { showing: Some(_), .. })) else {
        return false;
    };
    let Event::Shown { session, showing } = spoiled.history[place].event else { return false };
    let account = |span: &&super::trace::Span| span.session == session;
    let Some(own) = spoiled.trace.spans.iter().find(account).map(|span| span.account) else { return false };
    let is_never_own = |other: Account| {
        spoiled.history.iter().all(|timed| match timed.event {
            Event::Moved { from, to } => ![from, to].contains(&other),
            _ => true,
        })
    };
    let others: Vec<_> = spoiled.trace.spans.iter().filter(|span| span.account != own).collect();
    let other =
        others.iter().find(|span| span.from < place && place < span.until && is_never_own(span.account));
    let Some(session) = other.map(|span| span.session) else { return false };
    spoiled.insert(place + 1, Event::Shown { session, showing });
    true
}

fn with_other_bytes(spoiled: &mut Spoiled) -> bool {
    let Some(place) = spoiled.place(|event| matches!(event, Event::Shown { showing: Some(_), .. })) else {
        return false;
    };
    if let Event::Shown { showing: Some(showing), .. } = &mut spoiled.history[place].event {
        showing.content.bytes ^= 1;
    }
    true
}

fn copy_without_fault(spoiled: &mut Spoiled) -> bool {
    let found = spoiled.message(|message, _, _| message.sent.len() == 1 && message.shown.len() == 1);
    let Some(index) = found else { return false };
    let (place, _) = spoiled.trace.messages[index].shown[0];
    let event = spoiled.history[place].event;
    spoiled.insert(place + 1, event);
    true
}

fn with_id(spoiled: &mut Spoiled, place: usize, change: impl Fn(StanzaId) -> Option<StanzaId>) {
    if let Event::Shown { showing: Some(showing), .. } = &mut spoiled.history[place].event {
        showing.stanza_id = showing.stanza_id.and_then(change);
    }
}

fn another(StanzaId(id): StanzaId) -> Option<StanzaId> {
    Some(StanzaId(id ^ 1))
}

fn second_stanza_id(spoiled: &mut Spoiled) -> bool {
    let found = spoiled.message(|message, trace, _| {
        message.sent.len() == 1 && message.shown.len() > 1 && is_alone(message, trace)
    });
    let Some(index) = found else { return false };
    let (place, _) = spoiled.trace.messages[index].shown[1];
    with_id(spoiled, place, another);
    true
}

fn no_stanza_id(spoiled: &mut Spoiled) -> bool {
    let Some(place) = spoiled.place(|event| matches!(event, Event::Shown { showing: Some(_), .. })) else {
        return false;
    };
    with_id(spoiled, place, |_| None);
    true
}

/// Two that come one after the other, for the first time on their device, from one session of one sender.
fn swapped_pair(spoiled: &mut Spoiled) -> bool {
    let (messages, history) = (&spoiled.trace.messages, &spoiled.history);
    let device =
        |session| spoiled.trace.spans.iter().find(|span| span.session == session).map(|span| span.device);
    let mut pairs = Vec::new();
    for one in messages.iter().filter(|message| message.sent.len() == 1) {
        for other in messages.iter().filter(|message| message.sent.len() == 1) {
            let (Some(&(first, at)), Some(&(second, other_at))) = (one.shown.first(), other.shown.first())
            else {
                continue;
            };
            let between = &history[first.min(second)..second.max(first)];
            let is_plain =
                between.iter().all(|timed| matches!(timed.event, Event::Shown { .. } | Event::Sent { .. }));
            if one.session == other.session
                && one.letter.to == other.letter.to
                && one.sent[0] < other.sent[0]
                && first < second
                && is_plain
                && at == other_at
                && device(at).is_some()
            {
                pairs.push((first, second));
            }
        }
    }
    let Some((first, second)) = spoiled.random.pick(&pairs) else { return false };
    // The later one must have been sent before the first was shown.
    if !spoiled.history[first..second].iter().all(|timed| matches!(timed.event, Event::Shown { .. })) {
        return false;
    }
    spoiled.history.swap(first, second);
    true
}

fn after_acknowledged(spoiled: &mut Spoiled) -> bool {
    let found = spoiled.message(|message, trace, _| {
        message.sent.len() == 1
            && message.acknowledged.is_some_and(|(place, _)| {
                trace.connected(message.letter.to, place).is_some_and(|span| span.until > place)
            })
    });
    let Some(index) = found else { return false };
    let message = &spoiled.trace.messages[index];
    let Some((place, _)) = message.acknowledged else { return false };
    let (to, shown) = (message.letter.to, message.shown[0].0);
    let Some(span) = spoiled.trace.connected(to, place) else { return false };
    let event = Event::Shown { session: span.session, showing: showing(spoiled, shown) };
    spoiled.insert(place + 1, event);
    true
}

/// Somebody looks in the end, so many milliseconds later.
fn look_later(spoiled: &mut Spoiled, index: usize, after_ms: u64) {
    let message = &spoiled.trace.messages[index];
    let (account, from, content) = (message.letter.to, message.from, message.letter.content);
    let at_ms = spoiled.history.last().map_or(0, |last| last.at_ms) + after_ms;
    let event = Event::Looked { account, from, content, found: true };
    spoiled.history.push(Timed { at_ms, event });
}

fn still_readable(spoiled: &mut Spoiled) -> bool {
    let found = spoiled.message(|message, _, history| {
        let is_late = |place: usize| {
            no_crash(place, history)
                && history.last().is_some_and(|last| last.at_ms < history[place].at_ms + 3_000_000)
        };
        message.sent.len() == 1
            && is_undisturbed(message.letter.to, message.sent[0], history)
            && message.acknowledged.is_some_and(|(place, _)| is_late(place))
    });
    found.inspect(|&index| look_later(spoiled, index, 61_000)).is_some()
}

fn after_error(spoiled: &mut Spoiled) -> bool {
    let found = spoiled.message(|message, _, _| {
        message.sent.len() == 1
            && message.shown.first().is_some_and(|(place, _)| *place == message.sent[0] + 1)
    });
    let Some(index) = found else { return false };
    let message = &spoiled.trace.messages[index];
    let (session, letter, sent) = (message.session, message.letter, message.sent[0]);
    spoiled.insert(
        sent + 1,
        Event::Refused { session, to: letter.to, content: Some(letter.content), is_bound: false },
    );
    true
}

fn repeated_with_another_id(spoiled: &mut Spoiled) -> bool {
    let found = spoiled.message(|message, trace, history| {
        let again =
            message.shown.iter().find(|(place, _)| message.sent.get(1).is_some_and(|sent| place > sent));
        message.shown.first().is_some_and(|(place, _)| message.sent.get(1).is_some_and(|sent| place < sent))
            && again
                .is_some_and(|(place, _)| history[*place].at_ms < history[message.sent[0]].at_ms + 3_000_000)
            && message.letter.content.identity.is_some()
            && is_alone(message, trace)
            && is_undisturbed(message.letter.to, message.sent[0], history)
    });
    let Some(index) = found else { return false };
    let message = &spoiled.trace.messages[index];
    let second = message.sent[1];
    let Some((place, _)) = message.shown.iter().find(|(place, _)| *place > second).copied() else {
        return false;
    };
    with_id(spoiled, place, another);
    true
}

/// Another message under the same identity, sent before and shown, and not long ago.
fn is_beside(message: &Traced, trace: &Trace, history: &[Timed]) -> bool {
    let Content { identity, bytes } = message.letter.content;
    identity.is_some()
        && message.sent.len() == 1
        && is_undisturbed(message.letter.to, 0, &history[8..])
        && trace.messages.iter().any(|other| {
            let content = other.letter.content;
            other.from == message.from
                && other.letter.to == message.letter.to
                && content.identity == identity
                && content.bytes != bytes
                && other.sent[0] < message.sent[0]
                && other.shown.first().is_some_and(|(place, _)| *place < message.sent[0])
                && history.last().is_some_and(|last| last.at_ms < history[other.sent[0]].at_ms + 3_000_000)
        })
}

fn beside_with_another_id(spoiled: &mut Spoiled) -> bool {
    let found = spoiled
        .message(|message, trace, history| is_beside(message, trace, history) && !message.shown.is_empty());
    let Some(index) = found else { return false };
    for (place, _) in spoiled.trace.messages[index].shown.clone() {
        with_id(spoiled, place, another);
    }
    true
}

fn dropped_unequal(spoiled: &mut Spoiled) -> bool {
    let found = spoiled.message(|message, trace, history| {
        is_beside(message, trace, history) && is_missable(message, history)
    });
    found.inspect(|&index| lose(spoiled, index)).is_some()
}

fn silent_expiry(spoiled: &mut Spoiled) -> bool {
    let found =
        spoiled.message(|message, trace, history| is_missable(message, history) && is_alone(message, trace));
    let Some(index) = found else { return false };
    lose(spoiled, index);
    let drained = |timed: &mut Timed| matches!(timed.event, Event::Drained { .. });
    spoiled.history.iter_mut().filter_map(|timed| drained(timed).then_some(timed)).for_each(|timed| {
        timed.at_ms += 31 * DAY_MS;
    });
    true
}

/// The place before a drain of the account, and the session that drains it.
fn before_drained(spoiled: &Spoiled, account: Account) -> Option<(usize, crate::Session)> {
    let drained = |timed: &Timed| timed.event == Event::Drained { account };
    let place = spoiled.history.iter().position(drained)?;
    let began = spoiled.history[..place].iter().rev().find_map(|timed| match timed.event {
        Event::Began { session, account: of, .. } if of == account => Some(session),
        _ => None,
    });
    // Before the session ends.
    Some((place - 1, began?))
}

fn expired_too_early(spoiled: &mut Spoiled) -> bool {
    let found =
        spoiled.message(|message, trace, history| is_missable(message, history) && is_alone(message, trace));
    let Some(index) = found else { return false };
    let to = spoiled.trace.messages[index].letter.to;
    lose(spoiled, index);
    let Some((place, session)) = before_drained(spoiled, to) else { return false };
    spoiled.insert(place, Event::Gap { session, cause: GapCause::Age, notice: StanzaId(1) });
    true
}

fn gap_twice(spoiled: &mut Spoiled) -> bool {
    let Some(place) = spoiled.place(|event| matches!(event, Event::Drained { .. })) else { return false };
    let Event::Drained { account } = spoiled.history[place].event else { return false };
    let Some((place, session)) = before_drained(spoiled, account) else { return false };
    spoiled.insert(place, Event::Gap { session, cause: GapCause::Bound, notice: StanzaId(1) });
    spoiled.insert(place, Event::Gap { session, cause: GapCause::Bound, notice: StanzaId(1) });
    true
}

fn accepted_for_nobody(spoiled: &mut Spoiled) -> bool {
    let found = spoiled.message(|message, _, history| {
        let to = message.letter.to;
        // Of a number that was never spoken of nothing is known.
        let is_known = history[..message.sent[0]].iter().any(|timed| match timed.event {
            Event::Registered { account, .. } => account == to,
            Event::Moved { from, .. } => from == to,
            _ => false,
        });
        let covered = message.covered.unwrap_or_default();
        is_known
            && is_surely_covered(message, history)
            && message.sent.len() == 1
            && message.refused.is_some_and(|refused| refused < covered)
    });
    let Some(place) = found.and_then(|index| spoiled.trace.messages[index].refused) else { return false };
    spoiled.history.remove(place);
    true
}

fn ended_without_cause(spoiled: &mut Spoiled) -> bool {
    let spans: Vec<_> =
        spoiled.trace.spans.iter().filter(|span| span.until > span.from + 3).copied().collect();
    let Some(span) = spoiled.random.pick(&spans) else { return false };
    spoiled.insert(span.from + 2, Event::Ended { session: span.session, cause: None });
    true
}

fn resumption_refused(spoiled: &mut Spoiled) -> bool {
    let Some(place) = spoiled.place(|event| matches!(event, Event::Resumed { .. })) else { return false };
    let Event::Resumed { session, .. } = spoiled.history[place].event else { return false };
    spoiled.history[place].event = Event::ResumeRefused { session };
    true
}

fn h_too_high(spoiled: &mut Spoiled) -> bool {
    let Some(place) = spoiled.place(|event| matches!(event, Event::Covered { .. })) else { return false };
    if let Event::Covered { h, .. } = &mut spoiled.history[place].event {
        *h += 100;
    }
    true
}

fn h_goes_back(spoiled: &mut Spoiled) -> bool {
    let Some(place) = spoiled.place(|event| matches!(event, Event::Covered { h, .. } if *h > 0)) else {
        return false;
    };
    let Event::Covered { session, h } = spoiled.history[place].event else { return false };
    spoiled.insert(place + 1, Event::Covered { session, h: h - 1 });
    true
}

fn not_counted(spoiled: &mut Spoiled) -> bool {
    let quiet: Vec<usize> = (0..spoiled.history.len())
        .filter(|&place| {
            let Event::Quiet { session } = spoiled.history[place].event else { return false };
            let (sent, _) = Trace::counts(&spoiled.history, session, place);
            let (_, covered) = Trace::counts(&spoiled.history, session, place - 1);
            sent > covered
        })
        .collect();
    let Some(place) = spoiled.random.pick(&quiet) else { return false };
    spoiled.history.remove(place - 1);
    true
}
