//! The protocol as a client sees it: statuses, documents, headers.

use super::*;
use crate::sms::log::LogGateway;
use crate::sms::{Gateway, GatewayError, Message, Sending};
use axum::body::{Body, to_bytes};
use axum::http::Request as HttpRequest;
use chaski_services::account::credentials::{Credentials, Derivation};
use chaski_services::account::name::AccountName;
use chaski_services::account::record::AccountRecord;
use chaski_services::effects::owners::Owners;
use chaski_services::effects::turn::command::{
    AccountView, Action, Arrive, Command, Contacts, Refusal, SetAccount,
};
use chaski_services::rooms::accounts::registration::Policy;
use chaski_store::memory::MemoryEngine;
use chaski_store::{Engine, Records, Table};
use serde_json::{Value, json};
use std::sync::Mutex;
use tower::ServiceExt;

/// Remembers what it was to send.
#[derive(Default)]
pub(crate) struct Phone {
    pub(crate) messages: Mutex<Vec<Message>>,
    pub(crate) refuse: Mutex<bool>,
}

impl Phone {
    pub(crate) fn last_code(&self) -> String {
        self.messages.lock().unwrap().last().expect("a message was sent").code.clone()
    }
}

impl Gateway for Phone {
    fn name(&self) -> &'static str {
        "test"
    }

    fn speaks(&self) -> bool {
        true
    }

    fn send<'a>(&'a self, message: &'a Message) -> Sending<'a> {
        if *self.refuse.lock().unwrap() {
            return Box::pin(std::future::ready(Err(GatewayError::Refused("no".to_owned()))));
        }
        self.messages.lock().unwrap().push(message.clone());
        Box::pin(std::future::ready(Ok(())))
    }
}

/// Stands for the shards: writes what it is told. Nobody has contacts.
fn shards(records: Arc<dyn Records>) -> Owners {
    Owners::new(move |command| {
        let key = command.whom.account.record_key();
        let found = records.get(Table::ACCOUNTS, &key).unwrap();
        let record = found.as_ref().map(|found| Box::new(AccountRecord::from_json(&found.value).unwrap()));
        let revision = found.map(|found| found.revision);
        let (saved, reply) = match (command.action, record) {
            (Action::ShowAccount(_, reply), Some(record)) => {
                let (sessions, waiting_messages, waiting_bytes) = (Vec::new(), 0, 0);
                return reply.answer(Ok(AccountView { record, sessions, waiting_messages, waiting_bytes }));
            }
            (Action::Contacts(_, reply), Some(_)) => return reply.answer(Ok(Contacts::default())),
            (Action::SetAccount(SetAccount { record, .. }, reply), _)
            | (Action::Arrive(Arrive { record, .. }, reply), None) => {
                (records.put_if(Table::ACCOUNTS, &key, &record.to_json(), revision).map(drop), reply)
            }
            (Action::RemoveSilent(_, reply), Some(_)) => {
                (records.delete_if(Table::ACCOUNTS, &key, revision.expect("it is there")), reply)
            }
            (action, None) => return Command { action, ..command }.refuse(Refusal::NoSuchAccount),
            _ => panic!("registration asks for nothing else"),
        };
        reply.answer(saved.map_err(|error| Refusal::Unavailable(error.to_string())));
    })
}

pub(crate) fn doors() -> Doors {
    Doors::start(&crate::EdgeLimits::default(), [1; 16]).unwrap()
}

/// The desk alone, over the records it comes with.
pub(crate) fn served_with_api(policy: Policy) -> (Arc<RegistrationApi>, Arc<dyn Records>) {
    served_with_doors(policy, doors())
}

/// The same, with these ways in.
pub(crate) fn served_with_doors(policy: Policy, doors: Doors) -> (Arc<RegistrationApi>, Arc<dyn Records>) {
    let engine = MemoryEngine::new();
    let owner = shards(engine.records());
    let registrar = Registrar::new(engine.records(), engine.secrets(), owner, policy);
    let sms =
        SmsDesk::new(Arc::new(Phone::default()), "example.org", Duration::from_secs(20), Arc::default());
    let api =
        RegistrationApi::with_clock(registrar, sms, doors, "example.org", Vec::new(), || 1_800_000_000_000);
    (api, engine.records())
}

/// An account with this key.
pub(crate) fn put_account(records: &dyn Records, user: &str, key: &str) {
    put_account_seen(records, user, key, 1_800_000_000_000);
}

/// The same, and when it was seen last.
fn put_account_seen(records: &dyn Records, user: &str, key: &str, seen_unix_ms: u64) {
    let name = AccountName::parse(user).unwrap();
    let derivation = Derivation { iterations: 1, quick_plain: true };
    let credentials = Credentials::derive(key, 1, derivation, [1; 16]);
    let record = AccountRecord::new(name, credentials, seen_unix_ms);
    let key = record.name.account().record_key();
    records.put_if(Table::ACCOUNTS, &key, &record.to_json(), None).unwrap();
}

pub(crate) fn served_with(policy: Policy) -> (Router, Arc<Phone>) {
    served_over(&MemoryEngine::new(), policy)
}

/// One account that has been silent for so many days.
pub(crate) fn served_with_silent(user: &str, key: &str, days: u64) -> (Router, Arc<Phone>) {
    let engine = MemoryEngine::new();
    put_account_seen(&*engine.records(), user, key, 1_800_000_000_000 - days * 24 * 3_600_000);
    served_over(&engine, Policy::default())
}

fn served_over(engine: &MemoryEngine, policy: Policy) -> (Router, Arc<Phone>) {
    let owner = shards(engine.records());
    let registrar = Registrar::new(engine.records(), engine.secrets(), owner, policy);
    let phone = Arc::new(Phone::default());
    let sms = SmsDesk::new(phone.clone(), "example.org", Duration::from_secs(20), Arc::default());
    let hosts = vec![Host { host: "example.org".to_owned(), port: 5223, tls: HostTls::Direct }];
    let api =
        RegistrationApi::with_clock(registrar, sms, doors(), "example.org", hosts, || 1_800_000_000_000);
    (routes(api, Origins::default()), phone)
}

fn served() -> (Router, Arc<Phone>) {
    served_with(Policy { voice: true, ..Policy::default() })
}

pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Value,
}

impl Answer {
    #[track_caller]
    fn assert_problem(&self, status: u16, kind: &str) {
        assert_eq!(self.body["type"], format!("urn:chaski:problem:{kind}"), "{}", self.body);
        assert_eq!(self.status, status);
        assert_eq!(self.body["status"], status);
        assert_eq!(self.headers["content-type"], "application/problem+json");
        assert!(self.body["detail"].as_str().is_some_and(|detail| detail.len() > 10), "{}", self.body);
    }
}

pub(crate) async fn ask(router: &Router, mut request: HttpRequest<Body>) -> Answer {
    let peer: SocketAddr = "192.0.2.1:4711".parse().unwrap();
    request.extensions_mut().insert(ConnectInfo(peer));
    let response = router.clone().oneshot(request).await.unwrap();
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    let bytes = to_bytes(response.into_body(), 1 << 20).await.unwrap();
    Answer { status, headers, body: serde_json::from_slice(&bytes).unwrap_or(Value::Null) }
}

async fn send(router: &Router, method: &str, path: &str, body: Value) -> Answer {
    let request = HttpRequest::builder().method(method).uri(path).header("content-type", "application/json");
    ask(router, request.body(Body::from(body.to_string())).unwrap()).await
}

const REAL: &str = "+4915123456789";

#[tokio::test]
async fn a_number_registers() {
    let (router, phone) = served();
    let begun =
        send(&router, "POST", "/v1/registrations", json!({"phone": "+49 151 23456789", "locale": "de"}))
            .await;
    assert_eq!(begun.status, 201, "{}", begun.body);
    let id = begun.body["id"].as_str().unwrap();
    assert_eq!(begun.headers["location"], format!("/v1/registrations/{id}").as_str());
    let expected = json!({"id": id, "code_length": 6, "expires_in": 600, "sent": true, "next_sms": 60, "next_voice": 60});
    assert_eq!(begun.body, expected);
    let message = phone.messages.lock().unwrap()[0].clone();
    assert_eq!(message.phone, REAL);
    assert!(message.text.contains("ist dein Code"), "{}", message.text);
    let path = format!("/v1/registrations/{id}");
    let done = send(&router, "PUT", &path, json!({"code": phone.last_code(), "device_name": "Phone"})).await;
    assert_eq!(done.status, 200, "{}", done.body);
    assert_eq!(done.headers["cache-control"], "no-store");
    assert_eq!(done.body["jid"], format!("{REAL}@example.org"));
    assert_eq!(done.body["domain"], "example.org");
    assert_eq!(done.body["key"].as_str().unwrap().len(), 43);
    assert_eq!(done.body["hosts"], json!([{"host": "example.org", "port": 5223, "tls": "direct"}]));
    send(&router, "PUT", &path, json!({"code": phone.last_code()})).await.assert_problem(410, "code-used");
}

#[tokio::test]
async fn wrong_codes() {
    let (router, phone) = served();
    let begun = send(&router, "POST", "/v1/registrations", json!({"phone": REAL})).await;
    let path = format!("/v1/registrations/{}", begun.body["id"].as_str().unwrap());
    let wrong = if phone.last_code() == "000000" { "000001" } else { "000000" };
    send(&router, "PUT", &path, json!({"code": "12"})).await.assert_problem(400, "not-a-code");
    for left in [4, 3, 2, 1] {
        let answer = send(&router, "PUT", &path, json!({"code": wrong})).await;
        answer.assert_problem(403, "wrong-code");
        assert_eq!(answer.body["guesses_left"], left);
    }
    send(&router, "PUT", &path, json!({"code": wrong})).await.assert_problem(410, "too-many-guesses");
    let right = json!({"code": phone.last_code()});
    send(&router, "PUT", &path, right.clone()).await.assert_problem(410, "too-many-guesses");
    send(&router, "PUT", "/v1/registrations/nobody", right).await.assert_problem(404, "no-such-registration");
}

#[tokio::test]
async fn another_code_is_not_due_yet() {
    let (router, phone) = served();
    let begun = send(&router, "POST", "/v1/registrations", json!({"phone": REAL})).await;
    let path = format!("/v1/registrations/{}/code", begun.body["id"].as_str().unwrap());
    for transport in ["sms", "voice"] {
        let answer = send(&router, "POST", &path, json!({"transport": transport})).await;
        answer.assert_problem(429, "too-soon");
        assert_eq!(answer.headers["retry-after"], "60");
    }
    send(&router, "POST", &path, json!({"transport": "pigeon"})).await.assert_problem(400, "bad-request");
    assert_eq!(phone.messages.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn bad_requests() {
    let (router, phone) = served();
    let begin = |body: &str, content_type: &str| {
        let request = HttpRequest::post("/v1/registrations").header("content-type", content_type);
        ask(&router, request.body(Body::from(body.to_owned())).unwrap())
    };
    let json_type = "application/json; charset=utf-8";
    begin("{}", "text/plain").await.assert_problem(415, "not-json");
    begin("{\"phone\":", json_type).await.assert_problem(400, "bad-request");
    begin("{}", json_type).await.assert_problem(400, "bad-request");
    begin("[1]", json_type).await.assert_problem(400, "bad-request");
    begin("{\"phone\":49151}", json_type).await.assert_problem(400, "bad-request");
    begin(&format!("{{\"phone\":\"{}\"}}", "1".repeat(5000)), json_type)
        .await
        .assert_problem(413, "too-large");
    begin(&"[".repeat(4000), json_type).await.assert_problem(400, "bad-request");
    begin("{\"phone\":\"\u{0}\"}", json_type).await.assert_problem(400, "bad-request");
    for number in ["", "015123456789", "+49", "+4915123456789x", "+1900555123456789"] {
        let body = json!({ "phone": number }).to_string();
        begin(&body, json_type).await.assert_problem(400, "bad-number");
    }
    begin("{\"phone\":\"+19002345678\"}", json_type).await.assert_problem(400, "number-not-textable");
    begin("{\"phone\":\"+4915123456789\",\"transport\":\"voice\"}", json_type)
        .await
        .assert_problem(400, "no-voice");
    let not_utf8 = HttpRequest::post("/v1/registrations").header("content-type", json_type);
    let answer = ask(&router, not_utf8.body(Body::from(b"{\"phone\":\"\xff\"}".to_vec())).unwrap()).await;
    answer.assert_problem(400, "bad-request");
    send(&router, "DELETE", "/v1/registrations", json!({})).await.assert_problem(405, "wrong-method");
    assert!(phone.messages.lock().unwrap().is_empty());
}

#[tokio::test]
async fn too_many_for_one_number() {
    let (router, _) = served();
    for _ in 0..5 {
        assert_eq!(send(&router, "POST", "/v1/registrations", json!({"phone": REAL})).await.status, 201);
    }
    let answer = send(&router, "POST", "/v1/registrations", json!({"phone": REAL})).await;
    assert_eq!(answer.status, 201, "the latest message's code is right");
    let told = json!([answer.body["sent"], answer.body["next_sms"], answer.body["next_voice"]]);
    assert_eq!(told, json!([false, 24 * 3600 / 5, null]));
    let path = format!("/v1/registrations/{}/code", answer.body["id"].as_str().unwrap());
    let answer = send(&router, "POST", &path, json!({"transport": "sms"})).await;
    answer.assert_problem(429, "too-many-registrations");
    assert_eq!(answer.headers["retry-after"], (24 * 3600 / 5).to_string().as_str());
}

#[tokio::test]
async fn a_gateway_that_fails_is_said_and_costs_nothing() {
    let (router, phone) = served();
    *phone.refuse.lock().unwrap() = true;
    for _ in 0..8 {
        let answer = send(&router, "POST", "/v1/registrations", json!({"phone": REAL})).await;
        answer.assert_problem(503, "sms-failed");
        assert_eq!(answer.headers["retry-after"], "60");
    }
    *phone.refuse.lock().unwrap() = false;
    assert_eq!(send(&router, "POST", "/v1/registrations", json!({"phone": REAL})).await.status, 201);
}

#[tokio::test]
async fn who_is_not_served() {
    let countries = chaski_services::account::phone::Countries::from_codes(["1"]).unwrap();
    let (router, _) = served_with(Policy { countries, ..Policy::default() });
    let answer = send(&router, "POST", "/v1/registrations", json!({"phone": REAL})).await;
    answer.assert_problem(403, "country-not-served");
    let (router, _) = served_with(Policy { enabled: false, ..Policy::default() });
    let answer = send(&router, "POST", "/v1/registrations", json!({"phone": REAL})).await;
    answer.assert_problem(403, "registration-disabled");
}

#[tokio::test]
async fn the_lock_is_set_with_the_key_and_asked_for() {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    let (router, phone) = served();
    let register = async |pin: Option<&str>| {
        let begun = send(&router, "POST", "/v1/registrations", json!({"phone": REAL})).await;
        let path = format!("/v1/registrations/{}", begun.body["id"].as_str().unwrap());
        send(&router, "PUT", &path, json!({"code": phone.last_code(), "lock_pin": pin})).await
    };
    let set = async |key: &str, body: Value| {
        let basic = format!("Basic {}", STANDARD.encode(format!("{REAL}:{key}")));
        let request = HttpRequest::put("/v1/registration-lock").header("content-type", "application/json");
        let request = request.header("authorization", basic);
        ask(&router, request.body(Body::from(body.to_string())).unwrap()).await
    };
    let first = register(None).await;
    let key = first.body["key"].as_str().unwrap();
    let refused = set("wrong", json!({"pin": "4711"})).await;
    refused.assert_problem(401, "not-authorized");
    assert!(refused.headers.contains_key("www-authenticate"));
    set(key, json!({"pin": "x"})).await.assert_problem(400, "bad-lock-pin");
    set(key, json!({})).await.assert_problem(400, "bad-request");
    assert_eq!(set(key, json!({"pin": "4711"})).await.status, 204);
    let unauthenticated = send(&router, "PUT", "/v1/registration-lock", json!({"pin": null})).await;
    unauthenticated.assert_problem(401, "not-authorized");
    let locked = register(None).await;
    locked.assert_problem(423, "locked");
    assert_eq!(locked.headers["retry-after"], (7 * 24 * 3600).to_string().as_str());
    register(Some("0000")).await.assert_problem(403, "wrong-lock-pin");
    assert_eq!(register(Some("4711")).await.status, 200);
}

#[tokio::test]
async fn the_same_number_again_says_what_was_kept() {
    for (days, proof, kept) in [
        (30, json!({}), "everything"),
        (31, json!({}), "nothing"),
        (31, json!({"previous_key": "old key"}), "everything"),
        (31, json!({"previous_key": null, "device_token": null, "lock_pin": "4711"}), "nothing"),
    ] {
        let (router, phone) = served_with_silent(REAL, "old key", days);
        let begun = send(&router, "POST", "/v1/registrations", json!({"phone": REAL})).await;
        let path = format!("/v1/registrations/{}", begun.body["id"].as_str().unwrap());
        let mut body = proof;
        body["code"] = phone.last_code().into();
        let done = send(&router, "PUT", &path, body).await;
        assert_eq!((done.status, &done.body["kept"]), (200, &kept.into()), "{days} days: {}", done.body);
    }
}

#[tokio::test]
async fn wrong_proofs_are_guesses() {
    for silent in [None, Some(REAL)] {
        // The same for a number without account.
        let (router, phone) = served_with_silent(silent.unwrap_or("+15550100001"), "old key", 31);
        let begun = send(&router, "POST", "/v1/registrations", json!({"phone": REAL})).await;
        let path = format!("/v1/registrations/{}", begun.body["id"].as_str().unwrap());
        for (left, name) in [(4, "previous_key"), (3, "device_token"), (2, "previous_key")] {
            let answer = send(&router, "PUT", &path, json!({"code": phone.last_code(), name: "wrong"})).await;
            answer.assert_problem(403, "wrong-proof");
            assert_eq!(answer.body["guesses_left"], left);
        }
        let done = send(&router, "PUT", &path, json!({"code": phone.last_code()})).await;
        assert_eq!((done.status, &done.body["kept"]), (200, &"nothing".into()));
    }
}

#[tokio::test]
async fn too_many_requests_at_once_are_told_to_come_back() {
    let engine = MemoryEngine::new();
    let owner = shards(engine.records());
    let registrar = Registrar::new(engine.records(), engine.secrets(), owner, Policy::default());
    let sms = SmsDesk::new(Arc::new(LogGateway), "example.org", Duration::from_secs(20), Arc::default());
    let api =
        RegistrationApi::with_clock(registrar, sms, doors(), "example.org", Vec::new(), || 1_800_000_000_000);
    let taken = api.working.acquire_many(WORKING_MAX as u32).await.unwrap();
    let router = routes(api.clone(), Origins::default());
    let answer = send(&router, "POST", "/v1/registrations", json!({"phone": REAL})).await;
    answer.assert_problem(503, "unavailable");
    assert!(answer.headers.contains_key("retry-after"));
    drop(taken);
    assert_eq!(send(&router, "POST", "/v1/registrations", json!({"phone": REAL})).await.status, 201);
}
