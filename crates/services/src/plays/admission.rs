//! The ways in that take one exchange: who gets what he wished, and which tokens are good (XEP-0386, XEP-0388, XEP-0484).

use super::*;
use crate::effects::login::{Admitted, Denied, TokenProved};
use crate::effects::turn::command::{Expected, RemoveAccount, SetAccount, ShowAccount};
use crate::wire::Closed;
use chaski_xmpp::sasl::token::{self, TokenMechanism};
use chaski_xmpp::stream::{
    Access, Admission, ClientId, InlineBind, InlineEnable, InlineResume, IssuedToken, TokenProof, TokenUse,
    Wishes,
};

const PHONE: ClientId = ClientId([1; 16]);
const TABLET: ClientId = ClientId([2; 16]);
const UNBOUND: TokenMechanism = TokenMechanism::Unbound;

fn wishes(client: ClientId) -> Wishes {
    let enable = Some(InlineEnable { resume: true, max_s: None });
    let bind = InlineBind { tag: Some("Phone".into()), enable, carbons: true, inactive: false };
    Wishes { client: Some(client), bind: Some(bind), token: Some(UNBOUND), ..Wishes::default() }
}

fn proof(client: ClientId, token: &str) -> TokenProof {
    let (binding, token_use) = ([].into(), TokenUse::default());
    TokenProof { client, mechanism: UNBOUND, binding, proof: token::initiator(token, b""), token_use }
}

/// Logs in with everything, without presence.
fn arrive(stage: &mut Stage, local: &str, client: ClientId) -> (Client, Admission) {
    if stage.credentials(0, local).unwrap().is_none() {
        stage.set_account(local, 1).unwrap();
    }
    let (line, admitted) = stage.admit(local, 1, &wishes(client));
    (line, admitted.unwrap().admission)
}

fn resume_id(admission: &Admission) -> String {
    match &admission.access {
        Access::Bound { enabled: Some(enabled), .. } => enabled.id.clone().unwrap(),
        access => panic!("{access:?}"),
    }
}

fn token_of(admission: &Admission) -> String {
    let IssuedToken { token, .. } = admission.token.as_ref().unwrap();
    token.clone()
}

#[test]
fn one_exchange_gives_a_session_with_everything_on() {
    let mut stage = Stage::new(2);
    let (romeo, admission) = arrive(&mut stage, ROMEO, PHONE);
    let resource = admission.jid.strip_prefix(&format!("{}/Phone/", jid(ROMEO))).unwrap();
    assert_eq!(resource.len(), 12);
    assert!(matches!(&admission.access, Access::Bound { carbons: true, .. }));
    assert_eq!(stage.received(romeo), [""; 0], "the edge tells of all this");

    let (juliet, _) = stage.arrive(JULIET, "balcony");
    let romeo_too = stage.login(ROMEO, "orchard");
    stage.send(romeo_too, "<presence/>");
    stage.received(romeo);
    stage.send(romeo_too, &chat(JULIET, "a copy goes to the other"));
    assert!(stage.received(romeo).concat().contains("<sent xmlns='urn:xmpp:carbons:2'>"));
    stage.send(juliet, &chat(ROMEO, "stream management is on"));
    stage.send(romeo, "<presence/>");
    assert!(stage.received(romeo).concat().contains("<r xmlns='urn:xmpp:sm:3'/>"));
}

#[test]
fn a_session_is_resumed_or_bound_and_never_both() {
    let mut stage = Stage::new(2);
    let (juliet, _) = stage.arrive(JULIET, "balcony");
    let (romeo, admission) = arrive(&mut stage, ROMEO, PHONE);
    stage.send(romeo, "<presence/>");
    let h = stage.counted(romeo);
    stage.lose(romeo, Closed::Lost);
    stage.send(juliet, &chat(ROMEO, "while away"));
    let resume = Some(InlineResume { previd: resume_id(&admission), h });
    let again = Wishes { resume, ..wishes(PHONE) };
    let (romeo, admitted) = stage.admit(ROMEO, 1, &again);
    let resumed = admitted.unwrap().admission;
    assert_eq!((&resumed.jid, resumed.lost), (&admission.jid, None));
    assert!(matches!(&resumed.access, Access::Resumed { h: 1, .. }), "{resumed:?}");
    assert_eq!(heard(&mut stage, romeo), ["while away"]);

    let resume = Some(InlineResume { previd: "unknown".into(), h: 0 });
    let (romeo_again, admitted) = stage.admit(ROMEO, 1, &Wishes { resume, ..wishes(PHONE) });
    let bound = admitted.unwrap().admission;
    assert_eq!((&bound.jid, bound.lost), (&admission.jid, Some(None)));
    assert!(matches!(bound.access, Access::Bound { .. }));
    let end = stage.closed_with(romeo).unwrap().unwrap();
    assert_eq!(end.condition, "conflict", "the same device");
    stage.send(romeo_again, "<presence/>");
    assert_eq!(heard(&mut stage, romeo_again), ["while away"], "it was never acknowledged");
}

#[test]
fn a_device_replaces_itself_and_no_other() {
    let mut stage = Stage::new(2);
    let (phone, first) = arrive(&mut stage, ROMEO, PHONE);
    let (tablet, other) = arrive(&mut stage, ROMEO, TABLET);
    assert_ne!(first.jid, other.jid);
    let mut renamed = wishes(PHONE);
    renamed.bind.as_mut().unwrap().tag = Some("New name".into());
    let (_, admitted) = stage.admit(ROMEO, 1, &renamed);
    let renamed = admitted.unwrap().admission;
    let stable = first.jid.rsplit('/').next();
    assert_eq!((renamed.jid.rsplit('/').next(), renamed.jid.contains("/New name/")), (stable, true));
    assert!(stage.closed_with(phone).is_some());
    assert!(stage.closed_with(tablet).is_none());
    assert!(!first.jid.contains("01010101"), "the client's id is told to nobody");
}

#[test]
fn a_tag_that_can_not_be_is_left_out() {
    let mut stage = Stage::new(1);
    stage.set_account(ROMEO, 1).unwrap();
    for tag in ["\u{7}", &"x".repeat(65)] {
        let mut wishes = wishes(PHONE);
        wishes.bind.as_mut().unwrap().tag = Some(tag.into());
        let admission = stage.admit(ROMEO, 1, &wishes).1.unwrap().admission;
        assert_eq!(admission.jid.matches('/').count(), 1, "{}", admission.jid);
    }
    let nobody = Wishes { client: None, ..wishes(PHONE) };
    let admission = stage.admit(ROMEO, 1, &nobody).1.unwrap().admission;
    assert_eq!((admission.jid.len(), admission.token), (jid(ROMEO).len() + "/Phone/".len() + 24, None));
}

#[test]
fn who_has_too_many_sessions_is_in_without_one() {
    let mut stage = Stage::new(1);
    for n in 0..crate::realm::Limits::default().sessions_per_account {
        stage.login(ROMEO, &n.to_string());
    }
    let (_, admitted) = stage.admit(ROMEO, 1, &wishes(PHONE));
    let Admitted { session, admission } = admitted.unwrap();
    assert_eq!((session, admission.jid, admission.access), (None, jid(ROMEO), Access::Authenticated));
}

#[test]
fn a_token_is_proved_from_every_shard() {
    let mut stage = Stage::new(2);
    let (_, admission) = arrive(&mut stage, ROMEO, PHONE);
    let token = token_of(&admission);
    for asker in 0..2 {
        let responder = token::responder(&token, b"");
        let proved = stage.prove_token(asker, ROMEO, &proof(PHONE, &token));
        assert_eq!(proved, Ok(Some(TokenProved { key_generation: 1, responder })));
        assert_eq!(stage.prove_token(asker, ROMEO, &proof(TABLET, &token)), Ok(None));
        assert_eq!(stage.prove_token(asker, JULIET, &proof(PHONE, &token)), Ok(None), "nobody");
    }
    let owner = stage.owner(ROMEO);
    stage.deafen(owner, true);
    assert!(stage.prove_token(1 - owner, ROMEO, &proof(PHONE, &token)).is_err());
}

#[test]
fn tokens_survive_a_crash_and_not_another_key() {
    let mut stage = Stage::new(2);
    let (_, admission) = arrive(&mut stage, ROMEO, PHONE);
    let claim = proof(PHONE, &token_of(&admission));
    stage.crash();
    assert!(stage.prove_token(0, ROMEO, &claim).unwrap().is_some());
    stage.set_account(ROMEO, 1).unwrap();
    assert!(stage.prove_token(0, ROMEO, &claim).unwrap().is_some(), "the record is new, the key is not");
    stage.crash();
    assert!(stage.prove_token(0, ROMEO, &claim).unwrap().is_some());
    stage.set_account(ROMEO, 2).unwrap();
    assert_eq!(stage.prove_token(0, ROMEO, &claim), Ok(None));
    stage.crash();
    assert_eq!(stage.prove_token(0, ROMEO, &claim), Ok(None));
    assert_eq!(stage.admit(ROMEO, 1, &wishes(PHONE)).1.unwrap_err(), Denied::NotAuthorized);
}

#[test]
fn a_token_outlives_the_secret_it_was_made_with_unless_that_is_forgotten() {
    let mut stage = Stage::new(2);
    let (_, admission) = arrive(&mut stage, ROMEO, PHONE);
    let (resource, claim) = (admission.jid.clone(), proof(PHONE, &token_of(&admission)));
    let is_good = |stage: &mut Stage, claim| stage.prove_token(0, ROMEO, claim).unwrap().is_some();
    let day_ms = 24 * 60 * 60 * 1000;
    stage.engine.replace_secret(Some(1_700_000_000_000 + stage.now_ms + day_ms));
    stage.crash();
    assert!(is_good(&mut stage, &claim));
    let (_, admission) = arrive(&mut stage, ROMEO, TABLET);
    let tablet = proof(TABLET, &token_of(&admission));
    let (_, admission) = arrive(&mut stage, ROMEO, PHONE);
    assert_eq!(admission.jid, resource, "contacts know the device by it");
    stage.now_ms += day_ms;
    assert_eq!((is_good(&mut stage, &claim), is_good(&mut stage, &tablet)), (false, true));
    stage.engine.replace_secret(None);
    stage.crash();
    assert!(!is_good(&mut stage, &tablet), "somebody else may have made it");
}

#[test]
fn what_changes_while_a_record_is_written_follows_it() {
    let mut stage = Stage::new(1);
    stage.set_account(ROMEO, 1).unwrap();
    stage.hold_store(true);
    let changed = stage.begin_set_account(ROMEO, 1);
    let phone = token_of(&stage.admit(ROMEO, 1, &wishes(PHONE)).1.unwrap().admission);
    let tablet = token_of(&stage.admit(ROMEO, 1, &wishes(TABLET)).1.unwrap().admission);
    stage.hold_store(false);
    assert!(changed.lock().unwrap().take().unwrap().is_ok());
    stage.crash();
    assert!(stage.prove_token(0, ROMEO, &proof(PHONE, &phone)).unwrap().is_some());
    assert!(stage.prove_token(0, ROMEO, &proof(TABLET, &tablet)).unwrap().is_some());
}

#[test]
fn a_token_is_renewed_when_it_is_nearly_over() {
    let mut stage = Stage::new(1);
    let (_, admission) = arrive(&mut stage, ROMEO, PHONE);
    let old = token_of(&admission);
    let come = |stage: &mut Stage| {
        let came_by = Some(UNBOUND);
        let again = Wishes { client: Some(PHONE), came_by, ..Wishes::default() };
        stage.admit(ROMEO, 1, &again).1.unwrap().admission.token
    };
    assert!(stage.prove_token(0, ROMEO, &proof(PHONE, &old)).unwrap().is_some());
    assert_eq!(come(&mut stage), None);
    stage.now_ms += 8 * 24 * 60 * 60 * 1000;
    let new = come(&mut stage).unwrap().token;
    for (token, good) in [(&old, true), (&new, true), (&old, false), (&new, true)] {
        assert_eq!(stage.prove_token(0, ROMEO, &proof(PHONE, token)).unwrap().is_some(), good);
    }
    stage.now_ms += 22 * 24 * 60 * 60 * 1000;
    assert_eq!(stage.prove_token(0, ROMEO, &proof(PHONE, &new)), Ok(None), "over");
}

#[test]
fn who_is_switched_off_has_no_token() {
    let mut stage = Stage::new(1);
    let (_, admission) = arrive(&mut stage, ROMEO, PHONE);
    let claim = proof(PHONE, &token_of(&admission));
    let mut record = stage.command(ROMEO, ShowAccount).unwrap().record;
    record.disabled = true;
    stage.command(ROMEO, SetAccount { record: record.clone(), expected: Expected::Any }).unwrap();
    assert_eq!(stage.prove_token(0, ROMEO, &claim), Ok(None));
    assert_eq!(stage.admit(ROMEO, 1, &wishes(PHONE)).1.unwrap_err(), Denied::NotAuthorized);
    stage.command(ROMEO, RemoveAccount).unwrap();
    assert_eq!(stage.prove_token(0, ROMEO, &claim), Ok(None));
    assert_eq!(stage.admit(ROMEO, 1, &wishes(PHONE)).1.unwrap_err(), Denied::NotAuthorized);
}

/// A claim by which a client gives its tokens back.
fn giving_back(client: ClientId, token: &str) -> TokenProof {
    TokenProof { token_use: TokenUse { count: None, invalidate: true }, ..proof(client, token) }
}

#[test]
fn tokens_given_back_are_void_for_good_once_that_is_answered() {
    // Also while another write of the same record is under way.
    for is_writing in [false, true] {
        let mut stage = Stage::new(2);
        let (_, admission) = arrive(&mut stage, ROMEO, PHONE);
        let token = token_of(&admission);
        let (_, admission) = arrive(&mut stage, ROMEO, TABLET);
        let other = token_of(&admission);
        stage.hold_store(true);
        if is_writing {
            stage.admit(ROMEO, 1, &wishes(ClientId([3; 16]))).1.unwrap();
        }
        let client = stage.begin_prove_token(1, ROMEO, &giving_back(PHONE, &token));
        assert!(stage.proved(client).is_none(), "not before it is durable");
        let again = stage.begin_prove_token(0, ROMEO, &proof(PHONE, &token));
        assert_eq!(stage.proved(again), Some(Ok(None)), "and not twice");
        if is_writing {
            stage.step_store();
            assert!(stage.proved(client).is_none(), "what was written is from before");
        }
        stage.hold_store(false);
        assert!(matches!(stage.proved(client), Some(Ok(Some(_)))));
        stage.crash();
        assert_eq!(stage.prove_token(0, ROMEO, &proof(PHONE, &token)), Ok(None));
        assert!(stage.prove_token(0, ROMEO, &proof(TABLET, &other)).unwrap().is_some());
    }
}

#[test]
fn tokens_that_could_not_be_given_back_can_be_given_back_again() {
    let mut stage = Stage::new(2);
    let (_, admission) = arrive(&mut stage, ROMEO, PHONE);
    let token = token_of(&admission);
    stage.engine.fail_next(chaski_store::StoreError::Full);
    let refused = stage.prove_token(0, ROMEO, &giving_back(PHONE, &token));
    assert_eq!(refused, Err(Denied::Unavailable));
    assert!(stage.prove_token(0, ROMEO, &giving_back(PHONE, &token)).unwrap().is_some());
    assert_eq!(stage.prove_token(0, ROMEO, &proof(PHONE, &token)), Ok(None));
}

#[test]
fn with_a_new_key_the_record_keeps_no_token() {
    let mut stage = Stage::new(1);
    let (_, admission) = arrive(&mut stage, ROMEO, PHONE);
    let claim = proof(PHONE, &token_of(&admission));
    let kept = |stage: &Stage| {
        let found = chaski_store::Engine::records(&stage.engine).get(chaski_store::Table::ACCOUNTS, ROMEO);
        !crate::account::record::AccountRecord::from_json(&found.unwrap().unwrap().value)
            .unwrap()
            .tokens
            .is_empty()
    };
    assert!(kept(&stage));
    stage.set_account(ROMEO, 2).unwrap();
    assert!(!kept(&stage));
    // A second defence: a token is made from the generation too.
    assert_eq!(stage.prove_token(0, ROMEO, &claim), Ok(None));
}
