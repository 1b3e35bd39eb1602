//! Plays of ad-hoc commands: an operator makes, changes and removes accounts; others can't.

use crate::account::record::RegistrationLock;
use crate::effects::turn::command::{ANSWER_MS, Expected, ListSessions, SetAccount, ShowAccount};
use crate::testing::{Client, DOMAIN, Stage};
use chaski_xmpp::{Stanza, ns};

const ROMEO: &str = "+15551230001";
const ADD: &str = "http://jabber.org/protocol/admin#add-user";
const DELETE: &str = "http://jabber.org/protocol/admin#delete-user";
const CHANGE: &str = "http://jabber.org/protocol/admin#change-user-password";
const END: &str = "http://jabber.org/protocol/admin#end-user-session";

/// Whoever can read a number's SMS gets its key, and must not get the server with it; a lock they would set themselves.
#[test]
fn a_number_is_no_admin() {
    let mut stage = Stage::with_admins(2, &[ROMEO]);
    let romeo = stage.login(ROMEO, "phone");
    assert_eq!(outcome(&execute(&mut stage, romeo, ADD)), "forbidden");
    let mut record = stage.command(ROMEO, ShowAccount).unwrap().record;
    record.lock = Some(RegistrationLock { salt: "s".into(), hash: "h".into(), iterations: 1 });
    let expected = Expected::Generation(record.generation());
    stage.command(ROMEO, SetAccount { record, expected }).unwrap();
    let romeo = stage.login(ROMEO, "desk");
    assert_eq!(outcome(&execute(&mut stage, romeo, ADD)), "forbidden");
}

/// The stage, and the operator's client.
fn office() -> (Stage, Client) {
    let mut stage = Stage::new(2);
    let admin = stage.login("admin", "desk");
    (stage, admin)
}

fn send(stage: &mut Stage, client: Client, command: &str) -> String {
    stage.received(client);
    stage.send(client, &format!("<iq type='set' id='c1' to='{DOMAIN}'>{command}</iq>"));
    let mut got = stage.stanzas(client);
    assert_eq!(got.len(), 1, "one answer to {command}: {got:?}");
    got.remove(0)
}

/// The status of a command, or the condition of the error and XEP-0050's own.
fn outcome(answer: &str) -> String {
    let stanza = Stanza::parse(answer.as_bytes()).unwrap();
    assert_eq!(stanza.id().as_deref(), Some("c1"));
    match stanza.child("error", ns::CLIENT) {
        Some(error) => {
            let names: Vec<_> =
                error.children().filter(|child| child.name() != "text").map(|child| child.name()).collect();
            names.join(" ")
        }
        None => stanza.child("command", ns::COMMANDS).unwrap().attr("status").unwrap().into_owned(),
    }
}

fn session_id(answer: &str) -> String {
    let stanza = Stanza::parse(answer.as_bytes()).unwrap();
    stanza.child("command", ns::COMMANDS).unwrap().attr("sessionid").unwrap().into_owned()
}

fn execute(stage: &mut Stage, client: Client, node: &str) -> String {
    send(stage, client, &format!("<command xmlns='{}' node='{node}' action='execute'/>", ns::COMMANDS))
}

/// Opens the form and submits these values.
fn submit(stage: &mut Stage, client: Client, node: &str, values: &[(&str, &str)]) -> String {
    let opened = execute(stage, client, node);
    assert_eq!(outcome(&opened), "executing", "{opened}");
    let id = session_id(&opened);
    submit_to(stage, client, node, &id, values)
}

fn submit_to(stage: &mut Stage, client: Client, node: &str, id: &str, values: &[(&str, &str)]) -> String {
    send(stage, client, &filled(node, id, values))
}

fn filled(node: &str, id: &str, values: &[(&str, &str)]) -> String {
    let fields: String = values
        .iter()
        .map(|(var, value)| format!("<field var='{var}'><value>{value}</value></field>"))
        .collect();
    let form = format!("<x xmlns='jabber:x:data' type='submit'>{fields}</x>");
    format!("<command xmlns='{}' node='{node}' sessionid='{id}'>{form}</command>", ns::COMMANDS)
}

fn bot() -> String {
    format!("bot@{DOMAIN}")
}

fn add_bot(stage: &mut Stage, admin: Client) -> String {
    let values = [("accountjid", &*bot()), ("password", "long enough"), ("password-verify", "long enough")];
    submit(stage, admin, ADD, &values)
}

#[test]
fn an_operator_adds_a_service_account() {
    let (mut stage, admin) = office();
    let form = execute(&mut stage, admin, ADD);
    for var in ["FORM_TYPE", "accountjid", "password", "password-verify"] {
        assert!(form.contains(&format!("var='{var}'")), "{form}");
    }
    assert_eq!(outcome(&add_bot(&mut stage, admin)), "completed");
    let credentials = stage.credentials(0, "bot").unwrap().expect("the account is there");
    assert!(credentials.check_plain_slowly("long enough"));
    assert_eq!(outcome(&add_bot(&mut stage, admin)), "conflict");
}

#[test]
fn a_changed_password_ends_the_sessions_of_the_old_one() {
    let (mut stage, admin) = office();
    add_bot(&mut stage, admin);
    let bot_client = stage.login("bot", "machine");
    let values = [("accountjid", &*bot()), ("password", "quite another")];
    assert_eq!(outcome(&submit(&mut stage, admin, CHANGE, &values)), "completed");
    assert!(stage.closed_with(bot_client).is_some());
    let credentials = stage.credentials(0, "bot").unwrap().unwrap();
    assert!(credentials.check_plain_slowly("quite another") && credentials.generation == 2);
    let nobody = [("accountjid", "nobody@chaski.example"), ("password", "quite another")];
    assert_eq!(outcome(&submit(&mut stage, admin, CHANGE, &nobody)), "item-not-found");
}

#[test]
fn several_accounts_are_deleted_in_one_go() {
    let (mut stage, admin) = office();
    add_bot(&mut stage, admin);
    let romeo = stage.login(ROMEO, "orchard");
    let romeo_jid = format!("{ROMEO}@{DOMAIN}");
    let values = [("accountjids", &*bot()), ("accountjids", &*romeo_jid)];
    assert_eq!(outcome(&submit(&mut stage, admin, DELETE, &values)), "completed");
    assert!(stage.closed_with(romeo).is_some());
    for local in ["bot", ROMEO] {
        assert!(stage.credentials(0, local).unwrap().is_none(), "{local}");
    }
    let again = submit(&mut stage, admin, DELETE, &values);
    assert_eq!(outcome(&again), "item-not-found");
    assert!(again.contains(&bot()), "it says where it stopped: {again}");
}

#[test]
fn operators_do_not_saw_off_their_branch() {
    let (mut stage, admin) = office();
    let own = format!("admin@{DOMAIN}");
    assert_eq!(outcome(&submit(&mut stage, admin, DELETE, &[("accountjids", &own)])), "not-allowed");
    assert!(stage.credentials(0, "admin").unwrap().is_some());
}

#[test]
fn sessions_are_ended_one_by_one_or_all() {
    let (mut stage, admin) = office();
    let (phone, laptop) = (stage.login(ROMEO, "phone"), stage.login(ROMEO, "laptop"));
    let full = format!("{ROMEO}@{DOMAIN}/phone");
    let answer = submit(&mut stage, admin, END, &[("accountjids", &full)]);
    assert!(answer.contains("Sessions ended: 1."), "{answer}");
    assert!(stage.closed_with(phone).is_some() && stage.closed_with(laptop).is_none());
    let bare = format!("{ROMEO}@{DOMAIN}");
    assert!(submit(&mut stage, admin, END, &[("accountjids", &bare)]).contains("Sessions ended: 1."));
    assert!(stage.closed_with(laptop).is_some());
    let left = stage.command(ROMEO, ListSessions).unwrap();
    assert_eq!(left, []);
}

#[test]
fn an_answer_that_does_not_come_is_waited_for_so_long_and_is_nobodys_then() {
    let (mut stage, admin) = office();
    let elsewhere = |local: &String| stage.owner(local) != stage.owner("admin");
    let away = (0..9).map(|n| format!("+1555123000{n}")).find(elsewhere).unwrap();
    let phone = stage.login(&away, "phone");
    let id = session_id(&execute(&mut stage, admin, END));
    let form = filled(END, &id, &[("accountjids", &format!("{away}@{DOMAIN}"))]);
    stage.received(admin);
    stage.hold_envelopes(true);
    stage.send(admin, &format!("<iq type='set' id='c1' to='{DOMAIN}'>{form}</iq>"));
    stage.pass(ANSWER_MS - 1_000);
    assert_eq!(stage.stanzas(admin), [""; 0]);
    stage.pass(1_000);
    let told = stage.stanzas(admin);
    assert_eq!(told.iter().map(|answer| outcome(answer)).collect::<Vec<_>>(), ["internal-server-error"]);
    assert!(told[0].contains("did not answer"), "{told:?}");
    stage.hold_envelopes(false);
    stage.settle();
    assert!(stage.closed_with(phone).is_some(), "it was done");
    assert_eq!(stage.stanzas(admin), [""; 0], "a late answer is nobody's");
    let again = submit(&mut stage, admin, END, &[("accountjids", &format!("{away}@{DOMAIN}"))]);
    assert!(again.contains("Sessions ended: 0."), "{again}");
}

#[test]
fn others_can_ping_and_set_their_privacy_and_nothing_else() {
    let (mut stage, admin) = office();
    let romeo = stage.login(ROMEO, "orchard");
    for node in [ADD, DELETE, CHANGE, END] {
        assert_eq!(outcome(&execute(&mut stage, romeo, node)), "forbidden", "{node}");
    }
    let pong = execute(&mut stage, romeo, "ping");
    assert_eq!(outcome(&pong), "completed");
    assert!(pong.contains("<note type='info'>Pong."), "{pong}");
    assert_eq!(outcome(&execute(&mut stage, romeo, "no-such")), "item-not-found");

    let list = format!("<query xmlns='{}' node='{}'/>", ns::DISCO_ITEMS, ns::COMMANDS);
    let mut listed = |client| {
        stage.received(client);
        stage.send(client, &format!("<iq type='get' id='c1' to='{DOMAIN}'>{list}</iq>"));
        let list = stage.stanzas(client).remove(0);
        list.split("name='")
            .skip(1)
            .map(|rest| rest.split('\'').next().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    // People find them by their place.
    assert_eq!(listed(romeo), ["Ping", "Privacy"]);
    assert_eq!((listed(admin).len(), &listed(admin)[..2]), (6, &listed(romeo)[..]));
    let info = format!("<query xmlns='{}' node='{ADD}'/>", ns::DISCO_INFO);
    for (client, expected) in [(romeo, "type='error'"), (admin, "automation")] {
        stage.send(client, &format!("<iq type='get' id='c1' to='{DOMAIN}'>{info}</iq>"));
        assert!(stage.stanzas(client)[0].contains(expected));
    }
}

#[test]
fn forms_are_checked() {
    let (mut stage, admin) = office();
    let bot = bot();
    type Case<'a> = (&'a str, &'a [(&'a str, &'a str)], &'a str);
    let cases: [Case<'_>; 10] = [
        (ADD, &[], "bad-request bad-payload"),
        (ADD, &[("accountjid", &bot), ("password", "long enough")], "bad-request bad-payload"),
        (ADD, &[("accountjid", &bot), ("password", "short"), ("password-verify", "short")], "not-acceptable"),
        (
            ADD,
            &[("accountjid", &bot), ("password", "long enough"), ("password-verify", "other")],
            "not-acceptable",
        ),
        (
            CHANGE,
            &[("accountjid", "+15551230001@chaski.example"), ("password", "long enough")],
            "not-allowed",
        ),
        (CHANGE, &[("accountjid", "1bot@chaski.example"), ("password", "long enough")], "not-acceptable"),
        (CHANGE, &[("accountjid", "bot@elsewhere.example"), ("password", "long enough")], "not-acceptable"),
        (CHANGE, &[("accountjid", "@"), ("password", "long enough")], "jid-malformed"),
        (END, &[("FORM_TYPE", "other"), ("accountjids", &bot)], "bad-request bad-payload"),
        (END, &[("accountjids", "bot@elsewhere.example")], "item-not-found"),
    ];
    for (node, values, expected) in cases {
        assert_eq!(outcome(&submit(&mut stage, admin, node, values)), expected, "{node} {values:?}");
    }
    let many: Vec<_> = (0..51).map(|_| ("accountjids", &*bot)).collect();
    assert_eq!(outcome(&submit(&mut stage, admin, DELETE, &many)), "not-acceptable");
}

#[test]
fn session_ids_are_for_one_user_one_command_and_one_hour() {
    let (mut stage, admin) = office();
    let values = [("accountjids", &*bot())];
    let id = session_id(&execute(&mut stage, admin, END));
    let bad = "bad-request bad-sessionid";
    assert_eq!(outcome(&submit_to(&mut stage, admin, DELETE, &id, &values)), bad, "another command");
    let other_desk = stage.login("admin", "other-desk");
    assert_eq!(outcome(&submit_to(&mut stage, other_desk, END, &id, &values)), bad, "another session");
    for forged in ["x", "1-2", "-", "ffffffffffffffffff-0"] {
        assert_eq!(outcome(&submit_to(&mut stage, admin, END, forged, &values)), bad, "{forged}");
    }
    stage.pass(60 * 60 * 1000 + 1);
    assert_eq!(outcome(&submit_to(&mut stage, admin, END, &id, &values)), "not-allowed session-expired");
}

#[test]
fn actions_are_checked() {
    let (mut stage, admin) = office();
    let id = session_id(&execute(&mut stage, admin, END));
    let command = |action: &str, id: &str| {
        let id = if id.is_empty() { String::new() } else { format!("sessionid='{id}'") };
        format!("<command xmlns='{}' node='{END}' action='{action}' {id}/>", ns::COMMANDS)
    };
    for (action, id, expected) in [
        ("dance", "", "bad-request malformed-action"),
        ("prev", &*id, "bad-request bad-action"),
        ("cancel", "", "bad-request bad-sessionid"),
        ("complete", &*id, "bad-request bad-payload"),
        ("cancel", &*id, "canceled"),
    ] {
        assert_eq!(outcome(&send(&mut stage, admin, &command(action, id))), expected, "{action}");
    }
}

/// Clients look for commands at the own account, too (XEP-0050 §2): the same stand there, for its owner alone.
#[test]
fn the_commands_stand_at_the_own_account_too() {
    let (mut stage, admin) = office();
    let romeo = stage.login(ROMEO, "orchard");
    let own = |local: &str| format!("{local}@{DOMAIN}");
    let ask = |stage: &mut Stage, client, kind: &str, to: &str, child: &str| {
        stage.received(client);
        stage.send(client, &format!("<iq type='{kind}' id='c1' to='{to}'>{child}</iq>"));
        stage.stanzas(client).pop().unwrap()
    };
    let info = format!("<query xmlns='{}'/>", ns::DISCO_INFO);
    let list = format!("<query xmlns='{}' node='{}'/>", ns::DISCO_ITEMS, ns::COMMANDS);
    for (client, local, count) in [(romeo, ROMEO, 2), (admin, "admin", 6)] {
        let to = own(local);
        let feature = format!("<feature var='{}'/>", ns::COMMANDS);
        assert!(ask(&mut stage, client, "get", &to, &info).contains(&feature));
        let listed = ask(&mut stage, client, "get", &to, &list);
        assert_eq!(listed.matches(&format!("<item jid='{to}' node=")).count(), count, "{listed}");
        let pong = format!("<command xmlns='{}' node='ping'/>", ns::COMMANDS);
        let pong = ask(&mut stage, client, "set", &to, &pong);
        assert!(pong.starts_with(&format!("<iq from='{to}' ")) && pong.contains("Pong"), "{pong}");
    }
    // What has to be asked of another account answers from there, too.
    let open = format!("<command xmlns='{}' node='{END}'/>", ns::COMMANDS);
    let id = session_id(&ask(&mut stage, admin, "set", &own("admin"), &open));
    let form = format!(
        "<command xmlns='{}' node='{END}' sessionid='{id}'><x xmlns='jabber:x:data' type='submit'>\
         <field var='accountjids'><value>{}</value></field></x></command>",
        ns::COMMANDS,
        own(ROMEO)
    );
    let ended = ask(&mut stage, admin, "set", &own("admin"), &form);
    assert!(
        ended.starts_with(&format!("<iq from='{}' ", own("admin"))) && ended.contains("Sessions ended: 1.")
    );
    // Nobody else finds them there.
    let refused = ask(&mut stage, admin, "set", &own(ROMEO), &open);
    assert_eq!(outcome(&refused), "service-unavailable");
}
