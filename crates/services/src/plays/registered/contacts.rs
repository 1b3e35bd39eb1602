//! Who is told of a number's new key: everybody who was a contact when it was asked, whatever their rosters say yet.

use super::*;

/// The stanzas that tell of a new key.
fn notices(stage: &mut Stage, client: Client) -> Vec<bool> {
    let got = stage.stanzas(client);
    let notices = got.iter().filter(|stanza| stanza.contains("<key-changed"));
    notices.map(|stanza| is_of_new_account(stanza, JULIET)).collect()
}

#[test]
fn who_is_online_is_told_at_once_and_again_until_they_have_it() {
    for (days, is_new) in [(1, false), (31, true)] {
        let mut play = Play::away(days);
        let (juliet, previd) = play.stage().arrive(JULIET, "balcony");
        play.register().unwrap();
        let mut stage = play.stage();
        assert_eq!(notices(&mut stage, juliet), [is_new]);
        stage.lose(juliet, Closed::Lost);
        // She has not acknowledged it.
        let (juliet, resumed) = stage.resume(JULIET, &previd, 0);
        assert!(resumed.is_ok());
        assert_eq!(notices(&mut stage, juliet), [is_new]);
        stage.acknowledge(juliet, 0);
        assert_eq!(stage.waiting(JULIET), 0);
    }
}

#[test]
fn who_is_not_available_is_told_when_they_are() {
    let mut play = Play::away(31);
    let juliet = play.stage().login(JULIET, "balcony");
    play.register().unwrap();
    let mut stage = play.stage();
    assert_eq!(notices(&mut stage, juliet), [false; 0]);
    stage.send(juliet, "<presence/>");
    assert_eq!(notices(&mut stage, juliet), [true]);
}

#[test]
fn the_phone_books_count_and_not_what_rosters_have_followed() {
    let mut told = 0;
    for days in [1, 31] {
        for nth in 0..6 {
            let mut play = Play::away(days);
            let mut stage = play.stage();
            stage.command(ROMEO, ShowAccount).unwrap();
            stage.engine.fail_query(nth);
            let change = BookChange::Replace(vec![account(ROMEO).to_bits()]);
            let done = stage.command(NURSE, change);
            drop(stage);
            if done.is_err() {
                continue;
            }
            // The look that the hint asks for is another query: if it failed, Romeo's roster is behind for a while.
            if play.register().is_err() {
                play.now += DAY_MS;
                play.register().unwrap();
            }
            assert_eq!(play.news_for(NURSE), [days == 31], "{days} {nth}");
            told += 1;
        }
    }
    assert!(told > 0);
}

#[test]
fn a_contact_for_whom_the_roster_has_no_room_is_told() {
    for items in [1, 2] {
        let mut play = Play::on(Stage::turned(2, &[("roster.items", items)]), 31);
        put_book(&mut play.stage(), NURSE, &[JULIET, RIVAL]);
        put_book(&mut play.stage(), NURSE, &[JULIET, RIVAL, ROMEO]);
        play.register().unwrap();
        assert_eq!((play.news_for(JULIET), play.news_for(NURSE)), (vec![true], vec![true]));
        assert_eq!(play.news_for(RIVAL), [false; 0], "blocked");
    }
}
