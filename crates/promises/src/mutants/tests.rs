//! Each mutant is refused, wherever it finds a place.

use super::*;

/// So often must a mutant find a place, in at most so many histories.
const PLACES: usize = 12;
const SEEDS: u64 = 6_000;

fn is_refused(name: &str) {
    let all = all();
    let mutant = all.iter().find(|mutant| mutant.name == name).expect("there is such a mutant");
    let outcomes: Vec<_> = (0..SEEDS).filter_map(|seed| mutant.refused(seed)).take(PLACES).collect();
    assert_eq!(outcomes.len(), PLACES, "{name}: too few places");
    for outcome in outcomes {
        assert!(outcome.is_ok(), "{name}: {}", outcome.unwrap_err());
    }
}

macro_rules! tests {
    ($($test:ident: $name:literal;)*) => {
        const NAMED: &[&str] = &[$($name),*];
        $(#[test] fn $test() { is_refused($name); })*
    };
}

tests! {
    a_lost_message: "a lost message";
    a_message_lost_in_a_crash: "a message lost in a crash";
    an_a_too_early: "an <a/> too early";
    an_error_after_the_a: "an error after the <a/>";
    nowhere_before_it_was_acknowledged: "nowhere before it was acknowledged";
    a_message_to_another_account: "a message to another account";
    a_message_with_other_bytes: "a message with other bytes";
    a_copy_without_a_fault: "a copy without a fault";
    a_second_stanza_id: "a second stanza-id";
    no_stanza_id: "no stanza-id";
    a_swapped_pair: "a swapped pair";
    a_delivery_after_the_acknowledgement: "a delivery after the acknowledgement";
    a_byte_that_is_readable_a_minute_after: "a byte that is readable a minute after";
    a_delivery_after_an_error: "a delivery after an error";
    a_repetition_with_another_stanza_id: "a repetition with another stanza-id";
    one_identity_two_stanza_ids: "one identity, two stanza-ids";
    equal_ids_with_unequal_bytes_dropped: "equal ids with unequal bytes, dropped";
    a_silent_expiry: "a silent expiry";
    an_expiry_before_its_time: "an expiry before its time";
    a_gap_told_twice: "a gap told twice";
    accepted_for_a_number_that_is_nobodys: "accepted for a number that is nobody's";
    a_session_ended_without_a_cause: "a session ended without a cause";
    a_resumption_refused_without_a_cause: "a resumption refused without a cause";
    an_h_that_is_too_high: "an h that is too high";
    an_h_that_goes_back: "an h that goes back";
    a_stanza_that_is_never_counted: "a stanza that is never counted";
    an_old_key_logs_in_after_the_change: "an old key logs in after the change";
    an_old_key_resumes_after_the_change: "an old key resumes after the change";
    an_old_key_reads_after_the_change: "an old key reads after the change";
    an_old_key_sends_after_the_change: "an old key sends after the change";
    a_login_after_the_removal: "a login after the removal";
    a_delivery_after_the_removal: "a delivery after the removal";
    a_removed_account_sends: "a removed account sends";
    a_delivery_to_the_next_owner_of_the_number: "a delivery to the next owner of the number";
    a_removed_accounts_byte_a_minute_after: "a removed account's byte a minute after";
    a_delivery_to_who_registered_after_a_long_silence: "a delivery to who registered after a long silence";
    a_delivery_to_the_next_owner_after_a_change_of_number: "a delivery to the next owner after a change of number";
    a_registration_over_a_standing_lock: "a registration over a standing lock";
    a_blocked_senders_message: "a blocked sender's message";
    a_blocked_sender_told_so: "a blocked sender told so";
}

#[test]
fn every_mutant_has_a_test_and_every_rule_a_mutant() {
    let all = all();
    for mutant in &all {
        assert!(NAMED.contains(&mutant.name), "{} has no test", mutant.name);
    }
    for rule in Rule::ALL {
        assert!(all.iter().any(|mutant| mutant.rules.contains(rule)), "{rule} refuses no mutant");
    }
}
