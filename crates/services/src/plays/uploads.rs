//! Uploads: slots and what they say, bounds, and a content that is there already.

use super::*;
use crate::account::credentials::{Credentials, Derivation};
use crate::account::name::AccountName;
use crate::account::record::AccountRecord;
use crate::effects::turn::command::{Expected, RemoveAccount, SetAccount};
use crate::realm::Limits;
use crate::realm::uploads::Uploads;
use crate::rooms::upload::{PROFILES_KEPT, SLOT_MS};
use chaski_store::Engine;
use chaski_store::media::slot::{Slot, SlotError, SlotKeys};
use chaski_store::media::{
    Answer, Blocked, Content, Digest, Edit, Name, ObjectId, Purpose, Query, Reference, Refused, Usage,
};
use chaski_xmpp::sasl::base64;
use chaski_xmpp::{Stanza, datetime};

const HOST: &str = "upload.chaski.example";
const BASE: &str = "https://chaski.example/media/";

/// What a client is told: its URLs and whether there is nothing left to do.
struct Told {
    put: String,
    get: String,
    is_finished: bool,
}

impl Told {
    fn name(&self) -> Name {
        let path = self.get.strip_prefix(BASE).unwrap_or_else(|| panic!("{}", self.get));
        Name::parse(path.split('/').next().unwrap()).unwrap()
    }

    fn slot(&self, stage: &Stage) -> Result<Slot, SlotError> {
        let (url, ticket) = self.put.split_once("?slot=").unwrap();
        assert_eq!(url, self.get);
        SlotKeys::new(stage.engine.secrets()).open(ticket, 1_700_000_000_000 + stage.now_ms)
    }
}

fn asks(stage: &mut Stage, client: Client, child: &str) -> String {
    stage.send(client, &format!("<iq type='get' id='u' to='{HOST}'>{child}</iq>"));
    let mut answers = stage.stanzas(client);
    assert_eq!(answers.len(), 1, "{answers:?}");
    answers.remove(0)
}

fn request(attributes: &str, children: &str) -> String {
    format!("<request xmlns='urn:xmpp:http:upload:0' {attributes}>{children}</request>")
}

fn picture(children: &str) -> String {
    request("filename='my photo.jpg' size='23456' content-type='image/jpeg'", children)
}

fn told(answer: &str) -> Told {
    let stanza = Stanza::parse(answer.as_bytes()).unwrap();
    let slot = stanza.child("slot", "urn:xmpp:http:upload:0").unwrap_or_else(|| panic!("{answer}"));
    let url = |name: &str| {
        let element = slot.children().find(|child| child.name() == name).unwrap();
        assert_eq!(element.children().count(), 0, "no headers: {answer}");
        element.attr("url").unwrap().into_owned()
    };
    let is_finished = slot.child("finished", "urn:chaski:media:0").is_some();
    Told { put: url("put"), get: url("get"), is_finished }
}

fn hash(sha256: Digest) -> String {
    let text = base64::encode(&sha256);
    format!(
        "<content xmlns='urn:chaski:media:0'><hash xmlns='urn:xmpp:hashes:2' algo='sha-256'>{text}</hash></content>"
    )
}

fn url(of: &str) -> String {
    format!("<content xmlns='urn:chaski:media:0' url='{of}'/>")
}

/// What the HTTP side does when an upload is complete.
fn upload(stage: &Stage, told: &Told, sha256: Digest, object: u128) {
    assert_eq!(completed(stage, told, sha256, object), Answer::Done(1));
}

fn completed(stage: &Stage, told: &Told, sha256: Digest, object: u128) -> Answer {
    let slot = told.slot(stage).unwrap();
    let created_unix_ms = 1_700_000_000_000 + stage.now_ms;
    let reference = Reference {
        name: slot.name,
        owner: slot.owner,
        content: Content { sha256, size: slot.size },
        object: ObjectId(object),
        place: "".into(),
        media_type: slot.media_type,
        file_name: slot.file_name,
        purpose: slot.purpose,
        created_unix_ms,
        expires_unix_ms: Some(created_unix_ms + 30 * 86_400_000),
    };
    let edit = Edit::Store { reference, registered_unix_ms: slot.registered_unix_ms, quota_bytes: u64::MAX };
    stage.engine.media().edit(edit).unwrap()
}

fn referred(stage: &Stage, name: Name) -> Option<Reference> {
    let query = Query::Reference { name, now_unix_ms: 1_700_000_000_000 + stage.now_ms };
    match stage.engine.media().ask(query).unwrap() {
        Answer::Reference(found) => found.map(|found| *found),
        other => panic!("{other:?}"),
    }
}

fn error_of(answer: &str) -> String {
    condition(answer).to_owned()
}

/// When to come again, if that is said.
fn retry(answer: &str) -> Option<u64> {
    let stamp = answer.split_once("<retry xmlns='urn:xmpp:http:upload:0' stamp='")?.1.split_once('\'')?.0;
    datetime::parse(stamp)
}

#[test]
fn the_service_is_found_and_says_what_it_takes() {
    let mut stage = Stage::new(1);
    let romeo = stage.login(ROMEO, "orchard");
    stage.send(
        romeo,
        "<iq type='get' id='i' to='chaski.example'><query xmlns='http://jabber.org/protocol/disco#items'/></iq>",
    );
    assert!(stage.stanzas(romeo)[0].contains(&format!("<item jid='{HOST}' name='HTTP File Upload'/>")));
    let info = asks(&mut stage, romeo, "<query xmlns='http://jabber.org/protocol/disco#info'/>");
    assert!(info.contains(&format!("from='{HOST}'")), "{info}");
    assert!(info.contains("<identity category='store' type='file' name='HTTP File Upload'/>"));
    for feature in ["", ":purpose:0#message", ":purpose:0#profile"] {
        let var = format!(
            "<feature var='urn:xmpp:http:upload{}'/>",
            if feature.is_empty() { ":0" } else { feature }
        );
        assert!(info.contains(&var), "{var}: {info}");
    }
    assert!(info.contains(
        "<field type='hidden' var='FORM_TYPE'><value>urn:xmpp:http:upload:0</value></field>\
         <field var='max-file-size'><value>104857600</value></field>"
    ));
    assert!(!info.contains("extdisco") && !info.contains("msgoffline"), "nothing that is the domain's");
    let other = asks(&mut stage, romeo, "<query xmlns='jabber:iq:version'/>");
    assert_eq!(condition(&other), "service-unavailable");
    let node = asks(&mut stage, romeo, "<query xmlns='http://jabber.org/protocol/disco#info' node='x'/>");
    assert_eq!(condition(&node), "item-not-found");
    stage.send(romeo, &format!("<message to='{HOST}' id='m' type='chat'><body>hello</body></message>"));
    assert_eq!(condition(&stage.stanzas(romeo)[0]), "service-unavailable");
}

#[test]
fn a_slot_says_all_that_the_other_side_needs_and_is_good_for_a_while() {
    let mut stage = Stage::new(2);
    let romeo = stage.login(ROMEO, "orchard");
    let first = told(&asks(&mut stage, romeo, &picture("")));
    assert!(first.get.starts_with(BASE) && first.get.ends_with("/my%20photo.jpg"), "{}", first.get);
    let slot = first.slot(&stage).unwrap();
    assert_eq!(slot.name, first.name());
    assert_eq!((slot.owner.phone_number(), slot.size), (Some(15_551_230_001), 23_456));
    assert_eq!((&*slot.media_type, &*slot.file_name), ("image/jpeg", "my photo.jpg"));
    assert_eq!((slot.purpose, slot.sha256), (Purpose::Message, None));
    assert!(!first.is_finished);
    let second = told(&asks(&mut stage, romeo, &picture("")));
    assert_ne!(second.name(), first.name());
    stage.pass(SLOT_MS);
    assert!(first.slot(&stage).is_ok());
    stage.pass(1_000);
    assert_eq!(first.slot(&stage), Err(SlotError::Late));
}

#[test]
fn requests_that_cannot_be_met_say_why() {
    let mut stage = Stage::new(1);
    let romeo = stage.login(ROMEO, "orchard");
    let mut ask = |child: &str| asks(&mut stage, romeo, child);
    let large = ask(&request("filename='a.iso' size='104857601'", ""));
    assert_eq!(condition(&large), "not-acceptable");
    assert!(large.contains("<error type='modify'>"), "{large}");
    assert!(large.contains(
        "<file-too-large xmlns='urn:xmpp:http:upload:0'><max-file-size>104857600</max-file-size></file-too-large>"
    ));
    told(&ask(&request("filename='a.iso' size='104857600'", "")));
    for bad in [
        "filename='a'",
        "size='1'",
        "filename='' size='1'",
        "filename='a' size='-1'",
        "filename='a' size='0'",
    ] {
        assert_eq!(error_of(&ask(&request(bad, ""))), "bad-request", "{bad}");
    }
    let purpose = |name: &str| format!("<{name} xmlns='urn:xmpp:http:upload:purpose:0'/>");
    assert_eq!(error_of(&ask(&picture(&purpose("permanent")))), "feature-not-implemented");
    told(&ask(&picture(&purpose("message"))));
    let odd = "<content xmlns='urn:chaski:media:0'><hash xmlns='urn:xmpp:hashes:2' algo='sha-256'>AAAA</hash></content>";
    assert_eq!(error_of(&ask(&picture(odd))), "bad-request");
    let trick = told(&ask(&request(
        "filename='../../a&#xA;b&apos;?x.html' size='1' content-type='Text/HTML; charset=x'",
        "",
    )));
    assert!(trick.get.ends_with("/ab%27x.html"), "{}", trick.get);
    assert_eq!(&*trick.slot(&stage).unwrap().media_type, "text/html");
}

#[test]
fn who_asks_for_too_many_is_told_when_to_come_again() {
    let uploads = |uploads: &mut Uploads| {
        (uploads.slots_burst, uploads.slots_per_hour) = (3, 60);
        (uploads.burst_bytes, uploads.bytes_per_hour, uploads.max_file_bytes) = (50_000, 360_000, 40_000);
    };
    let mut stage = Stage::with_uploads(1, Limits::default(), uploads);
    let romeo = stage.login(ROMEO, "orchard");
    told(&asks(&mut stage, romeo, &picture("")));
    told(&asks(&mut stage, romeo, &picture("")));
    let bytes = asks(&mut stage, romeo, &picture(""));
    assert_eq!(condition(&bytes), "resource-constraint");
    assert!(bytes.contains("<error type='wait'>"), "{bytes}");
    let wait_s =
        |stage: &Stage, answer: &str| (retry(answer).unwrap() - 1_700_000_000_000 - stage.now_ms) / 1_000;
    assert_eq!(wait_s(&stage, &bytes), 204, "20,368 bytes at 100 a second");
    let many = asks(&mut stage, romeo, &picture(""));
    assert_eq!((error_of(&many), wait_s(&stage, &many)), ("resource-constraint".into(), 60));
    // Another session of the same account, and another account.
    let phone = stage.login(ROMEO, "phone");
    assert_eq!(error_of(&asks(&mut stage, phone, &picture(""))), "resource-constraint");
    let juliet = stage.login(JULIET, "balcony");
    told(&asks(&mut stage, juliet, &picture("")));
    stage.pass(204_000);
    told(&asks(&mut stage, romeo, &picture("")));
}

#[test]
fn who_has_as_much_as_may_be_is_told_when_something_ends() {
    let mut stage = Stage::with_uploads(1, Limits::default(), |uploads| uploads.quota_bytes = 60_000);
    let romeo = stage.login(ROMEO, "orchard");
    let first = told(&asks(&mut stage, romeo, &picture("")));
    upload(&stage, &first, [1; 32], 1);
    let ends = referred(&stage, first.name()).unwrap().expires_unix_ms.unwrap();
    let second = told(&asks(&mut stage, romeo, &picture("")));
    upload(&stage, &second, [2; 32], 2);
    let full = asks(&mut stage, romeo, &picture(""));
    assert_eq!((error_of(&full), retry(&full)), ("resource-constraint".into(), Some(ends)));
    // What is there counts once more for whoever refers to it.
    assert_eq!(error_of(&asks(&mut stage, romeo, &picture(&hash([1; 32])))), "resource-constraint");
    let juliet = stage.login(JULIET, "balcony");
    told(&asks(&mut stage, juliet, &picture("")));
}

#[test]
fn what_an_account_has_uploaded_itself_is_not_uploaded_again() {
    let mut stage = Stage::new(2);
    let romeo = stage.login(ROMEO, "orchard");
    let first = told(&asks(&mut stage, romeo, &picture(&hash([1; 32]))));
    assert!(!first.is_finished);
    assert_eq!(first.slot(&stage).unwrap().sha256, Some([1; 32]), "the other side will look");
    upload(&stage, &first, [1; 32], 7);
    let again = told(&asks(
        &mut stage,
        romeo,
        &request("filename='b.png' size='23456' content-type='image/png'", &hash([1; 32])),
    ));
    assert!(again.is_finished && again.name() != first.name());
    let reference = referred(&stage, again.name()).unwrap();
    assert_eq!(
        (reference.object, &*reference.media_type, &*reference.file_name),
        (ObjectId(7), "image/png", "b.png")
    );
    assert!(again.slot(&stage).is_ok(), "the URL is one, and used");
    // Another size, another hash, no hash.
    for other in
        [request("filename='b.png' size='23457'", &hash([1; 32])), picture(&hash([2; 32])), picture("")]
    {
        assert!(!told(&asks(&mut stage, romeo, &other)).is_finished, "{other}");
    }
    // When both have ended there is nothing to refer to.
    stage.now_ms += 31 * 86_400_000;
    assert!(!told(&asks(&mut stage, romeo, &picture(&hash([1; 32])))).is_finished);
}

#[test]
fn who_shows_a_url_that_works_forwards_it_without_uploading() {
    let mut stage = Stage::new(2);
    let romeo = stage.login(ROMEO, "orchard");
    let first = told(&asks(&mut stage, romeo, &picture("")));
    upload(&stage, &first, [1; 32], 7);
    let juliet = stage.login(JULIET, "balcony");
    let secret = format!("{}#0123", first.get.replace("https://", "aesgcm://"));
    for of in [&first.get, &secret] {
        let forwarded = told(&asks(&mut stage, juliet, &picture(&url(of))));
        assert!(forwarded.is_finished, "{of}");
        let reference = referred(&stage, forwarded.name()).unwrap();
        assert_eq!((reference.object, reference.owner.phone_number()), (ObjectId(7), Some(15_551_230_002)));
    }
    // It has a name of its own, which is good when the first one has ended.
    let forwarded = told(&asks(&mut stage, juliet, &picture(&url(&first.get))));
    stage
        .engine
        .media()
        .edit(Edit::Retire {
            owner: chaski_store::AccountId::phone(15_551_230_001).unwrap(),
            keep: 0,
            expires_unix_ms: 0,
        })
        .unwrap();
    assert!(referred(&stage, forwarded.name()).is_some());
    for of in
        ["https://chaski.example/media/00000000000000000000000000000001/x", "https://elsewhere.example/x", ""]
    {
        assert!(!told(&asks(&mut stage, juliet, &picture(&url(of)))).is_finished, "{of}");
    }
    let other_size = request("filename='a' size='9'", &url(&first.get));
    assert!(!told(&asks(&mut stage, juliet, &other_size)).is_finished);
}

/// The number was removed and is somebody else's now, or its owner has another key.
#[test]
fn a_slot_is_good_under_the_key_only_under_which_it_was_given() {
    let mut stage = Stage::new(2);
    let romeo = stage.login(ROMEO, "orchard");
    let slots: Vec<Told> = (0..4).map(|_| told(&asks(&mut stage, romeo, &picture("")))).collect();
    upload(&stage, &slots[0], [1; 32], 1);
    let register = |stage: &mut Stage, at: u64| {
        let derivation = Derivation { iterations: 1, quick_plain: true };
        let credentials = Credentials::derive("key", 1, derivation, [1; 16]);
        let record = AccountRecord::new(AccountName::parse(ROMEO).unwrap(), credentials, at);
        let request = SetAccount { record: Box::new(record), expected: Expected::Any };
        assert!(stage.command(ROMEO, request).is_ok());
    };
    let refused = Answer::Refused(Refused::NoAccount);
    register(&mut stage, 1_700_000_000_001);
    assert_eq!(completed(&stage, &slots[1], [2; 32], 2), refused, "another key");
    assert!(stage.command(ROMEO, RemoveAccount).is_ok());
    assert_eq!(completed(&stage, &slots[2], [3; 32], 3), refused, "nobody's");
    register(&mut stage, 1_700_000_000_002);
    assert_eq!(completed(&stage, &slots[3], [4; 32], 4), refused, "somebody else's");
    let generation = stage.credentials(0, ROMEO).unwrap().unwrap().generation;
    let romeo = stage.connect(ROMEO);
    stage.bind(romeo, ROMEO, generation, Some("orchard")).unwrap();
    let own = told(&asks(&mut stage, romeo, &picture("")));
    upload(&stage, &own, [5; 32], 5);
}

/// Whatever the third one asks, it is answered as if nobody had ever uploaded anything.
#[test]
fn nobody_learns_what_others_have_uploaded() {
    let answers = |is_there: bool| {
        let mut stage = Stage::new(2);
        let romeo = stage.login(ROMEO, "orchard");
        let first = told(&asks(&mut stage, romeo, &picture("")));
        if is_there {
            upload(&stage, &first, [1; 32], 7);
        }
        let juliet = stage.login(JULIET, "balcony");
        let mut answers = Vec::new();
        for round in 0..40 {
            let told = told(&asks(&mut stage, juliet, &picture(&hash([1; 32]))));
            let slot = told.slot(&stage).unwrap();
            answers.push((told.is_finished, told.get.len(), told.put.len(), slot.size, slot.sha256, round));
        }
        let usage = stage.engine.media().ask(Query::Usage {
            owner: chaski_store::AccountId::phone(15_551_230_002).unwrap(),
            source: None,
            announced: None,
            now_unix_ms: 0,
        });
        assert_eq!(usage.unwrap(), Answer::Usage(Usage::default()));
        answers
    };
    assert_eq!(answers(true), answers(false));
}

/// By everybody and for whatever nobody has: what the answer is made of is the operator's list, and nothing of what accounts have.
#[test]
fn what_the_operator_has_blocked_is_refused_by_its_hash() {
    let mut stage = Stage::new(1);
    let (romeo, juliet) = (stage.login(ROMEO, "orchard"), stage.login(JULIET, "balcony"));
    let first = told(&asks(&mut stage, romeo, &picture(&hash([1; 32]))));
    upload(&stage, &first, [1; 32], 7);
    let edit = |stage: &Stage, edit| stage.engine.media().edit(edit).unwrap();
    for sha256 in [[1; 32], [2; 32]] {
        let blocked = Blocked { sha256, since_unix_ms: 0, reason: "".into() };
        edit(&stage, Edit::Block { blocked, most: 9 });
    }
    let mut refusals = Vec::new();
    for sha256 in [[1; 32], [2; 32]] {
        for client in [romeo, juliet] {
            let refused = asks(&mut stage, client, &picture(&hash(sha256)));
            assert_eq!(condition(&refused), "policy-violation");
            let (_, error) = refused.split_once("<error ").unwrap_or_else(|| panic!("{refused}"));
            refusals.push(error.to_owned());
        }
    }
    assert!(refusals.iter().all(|refusal| *refusal == refusals[0]), "{refusals:?}");
    // Another content, what does not say its hash, and what a URL led to: as if there were none.
    for child in [hash([3; 32]), String::new(), url(&first.get)] {
        assert!(!told(&asks(&mut stage, romeo, &picture(&child))).is_finished, "{child}");
    }
    edit(&stage, Edit::Unblock { sha256: [1; 32] });
    assert!(told(&asks(&mut stage, romeo, &picture(&hash([1; 32])))).is_finished);
    let again = Blocked { sha256: [1; 32], since_unix_ms: 0, reason: "".into() };
    edit(&stage, Edit::Block { blocked: again, most: 9 });
    edit(&stage, Edit::DropBlocked { limit: 9 });
    edit(&stage, Edit::Unblock { sha256: [1; 32] });
    assert!(!told(&asks(&mut stage, romeo, &picture(&hash([1; 32])))).is_finished, "it is gone");
}

#[test]
fn the_newest_pictures_of_a_profile_stay() {
    let mut stage = Stage::new(1);
    let romeo = stage.login(ROMEO, "orchard");
    let profile = "<profile xmlns='urn:xmpp:http:upload:purpose:0'/>";
    let first = told(&asks(&mut stage, romeo, &picture(profile)));
    assert_eq!(first.slot(&stage).unwrap().purpose, Purpose::Profile);
    upload(&stage, &first, [1; 32], 7);
    let mut names = Vec::new();
    for _ in 0..PROFILES_KEPT + 2 {
        stage.pass(1_000);
        let again = told(&asks(&mut stage, romeo, &picture(&format!("{profile}{}", hash([1; 32])))));
        assert!(again.is_finished);
        names.push(again.name());
    }
    let lasting: Vec<bool> =
        names.iter().map(|name| referred(&stage, *name).unwrap().expires_unix_ms.is_none()).collect();
    let mut expected = vec![false; 2];
    expected.resize(PROFILES_KEPT + 2, true);
    assert_eq!(lasting, expected);
}

#[test]
fn without_room_for_files_there_is_no_service() {
    let mut stage = Stage::without_uploads(1);
    let romeo = stage.login(ROMEO, "orchard");
    let answer = asks(&mut stage, romeo, &picture(""));
    assert_eq!(condition(&answer), "remote-server-not-found");
    stage.send(
        romeo,
        "<iq type='get' id='i' to='chaski.example'><query xmlns='http://jabber.org/protocol/disco#items'/></iq>",
    );
    assert!(!stage.stanzas(romeo)[0].contains("upload"));
}

#[test]
fn an_index_that_cannot_be_written_is_an_error_and_no_slot() {
    let mut stage = Stage::new(1);
    let romeo = stage.login(ROMEO, "orchard");
    let first = told(&asks(&mut stage, romeo, &picture("")));
    upload(&stage, &first, [1; 32], 7);
    stage.engine.fail_next(chaski_store::StoreError::Full);
    let answer = asks(&mut stage, romeo, &picture(&hash([1; 32])));
    assert_eq!(condition(&answer), "resource-constraint");
    assert!(told(&asks(&mut stage, romeo, &picture(&hash([1; 32])))).is_finished);
}
