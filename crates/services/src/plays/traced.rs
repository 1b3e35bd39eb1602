//! What an operator sees of an account: each step of a message, what is in memory, and nothing that is nobody's business (P4).

use super::*;
use crate::effects::turn::command::{DumpAccount, DumpShard, Trace};
use crate::testing::Stage;
use crate::trace::TracePage;

fn trace(stage: &mut Stage, whom: &str, after: u64) -> TracePage {
    stage.command(whom, Trace { after }).unwrap()
}

fn texts(page: &TracePage) -> Vec<String> {
    page.events.iter().map(|event| event.what.clone()).collect()
}

/// One event after the other, by how they begin.
fn assert_steps(page: &TracePage, steps: &[&str]) {
    let told = texts(page);
    let mut rest = told.iter();
    for step in steps {
        assert!(rest.any(|what| what.starts_with(step)), "{step:?} is missing in {told:#?}");
    }
}

#[test]
fn every_step_of_a_message_is_told_and_nobody_else_is() {
    let mut stage = Stage::new(2);
    let (romeo, _) = stage.arrive(ROMEO, "orchard");
    stage.set_account(JULIET, 1).unwrap();
    let begun = trace(&mut stage, JULIET, 0).next;
    trace(&mut stage, ROMEO, 0);
    stage.send(romeo, &chat(JULIET, "a secret"));
    let (juliet, previd) = stage.arrive(JULIET, "balcony");
    stage.acknowledge(juliet, 0);
    stage.lose(juliet, crate::wire::Closed::Lost);
    let h = stage.counted(juliet);
    stage.resume(JULIET, &previd, h).1.unwrap();
    let page = trace(&mut stage, JULIET, begun);
    assert_steps(
        &page,
        &[
            "arrives: message",
            "stored: message",
            "session",
            "sent from the mailbox: message",
            "acknowledged and deleted: 1",
        ],
    );
    assert!(texts(&page).iter().any(|what| what.ends_with("has lost its connection")), "{page:?}");
    assert!(texts(&page).last().unwrap().ends_with("is resumed"), "{page:?}");
    let sender = trace(&mut stage, ROMEO, 0);
    assert_steps(&sender, &["session", "accepted or refused: a message"]);
    for said in texts(&page).iter().chain(&texts(&sender)) {
        let tells = ["secret", ROMEO, JULIET, "orchard", "balcony"];
        assert!(!tells.iter().any(|private| said.contains(private)), "{said}");
    }
    assert_eq!(trace(&mut stage, JULIET, page.next).events, [], "each once");
}

#[test]
fn nobody_is_traced_whom_nobody_asks_for() {
    let mut stage = Stage::new(1);
    let (romeo, _) = stage.arrive(ROMEO, "orchard");
    let begun = trace(&mut stage, ROMEO, 0).next;
    stage.pass(60_000);
    stage.send(romeo, "<presence/>");
    assert_eq!(trace(&mut stage, ROMEO, begun).events, [], "it was forgotten, and begins anew");
    stage.send(romeo, "<presence/>");
    assert!(!trace(&mut stage, ROMEO, begun).events.is_empty());
}

#[test]
fn a_dump_tells_how_far_everything_is() {
    let mut stage = Stage::new(1);
    let (romeo, _) = stage.arrive(ROMEO, "orchard");
    stage.hold_store(true);
    stage.begin_send(romeo, &blocking::command("block", &[jid(JULIET)]));
    stage.begin_send(romeo, &chat(NURSE, "waits"));
    let dump: serde_json::Value =
        serde_json::from_str(&stage.command(ROMEO, DumpAccount).unwrap().0).unwrap();
    assert_eq!(
        (&dump["sessions"][0]["gate_shut"], &dump["ledger"]["changes"]),
        (&true.into(), &1.into()),
        "{dump}"
    );
    assert!(!dump.to_string().contains(JULIET) && !dump.to_string().contains("orchard"), "{dump}");
    stage.hold_store(false);
    let dump: serde_json::Value =
        serde_json::from_str(&stage.command(ROMEO, DumpAccount).unwrap().0).unwrap();
    assert_eq!(
        (&dump["sessions"][0]["gate_shut"], &dump["ledger"]),
        (&false.into(), &serde_json::Value::Null),
        "{dump}"
    );
    // Of a number that is nobody's, too: it is the shard that is asked for.
    let dump: serde_json::Value =
        serde_json::from_str(&stage.command("+15559999999", DumpShard).unwrap().0).unwrap();
    assert_eq!((&dump["sessions"], &dump["messages_in_flight"]), (&1.into(), &0.into()), "{dump}");
}

#[test]
fn how_long_messages_take_is_counted() {
    let mut stage = Stage::new(1);
    let (romeo, _) = stage.arrive(ROMEO, "orchard");
    stage.arrive(JULIET, "balcony");
    stage.hold_store(true);
    stage.send(romeo, &chat(JULIET, "soon"));
    stage.pass(50);
    let counted = |stage: &mut Stage| {
        stage.call(0, |shard, _| {
            let (accepted, delivered) =
                (shard.owner.desk.metrics.acceptance_us.get(), shard.owner.desk.metrics.delivery_us.get());
            [(accepted.count(), accepted.sum), (delivered.count(), delivered.sum)]
        })
    };
    assert_eq!(counted(&mut stage), [(0, 0), (1, 0)], "delivery waits for no disk");
    stage.hold_store(false);
    assert_eq!(counted(&mut stage), [(1, 50_000), (1, 0)]);
}
