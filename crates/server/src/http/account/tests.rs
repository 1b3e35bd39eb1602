//! What a client sees: proofs, bodies, statuses.

mod strangers;

use super::*;
use crate::http::registration::tests::{ask, served_with_api};
use axum::body::Body;
use axum::http::Request;
use chaski_services::account::settings::{Settings, What};
use chaski_services::effects::turn::command::{Action, BookChange, BookView, PrivacyChange, SetPrivacy};
use chaski_services::rooms::accounts::registration::Policy;
use serde_json::{Value, json};
use std::sync::Mutex;

const USER: &str = "+15550100001";
const KEY: &str = "a key";

/// What the owner was asked.
enum Asked {
    Book(BookChange),
    Privacy(Option<PrivacyChange>),
}

/// The routes with one account whose owner refuses, or does all that it is asked; and what that was.
fn served(refusal: Option<Refusal>) -> (Router, Arc<Mutex<Vec<Asked>>>) {
    let asked: Arc<Mutex<Vec<Asked>>> = Arc::default();
    let (api, records) = served_with_api(Policy::default());
    crate::http::registration::tests::put_account(&*records, USER, KEY);
    let note = asked.clone();
    let owners = Owners::new(move |command| {
        assert_eq!(command.whom.key, Some(1), "by the key that was proved");
        let refused = refusal.clone();
        match command.action {
            Action::Book(change, reply) => {
                note.lock().unwrap().push(Asked::Book(change));
                reply.answer(refused.map_or_else(|| Ok(view()), Err));
            }
            Action::Privacy(SetPrivacy(change), reply) => {
                note.lock().unwrap().push(Asked::Privacy(change));
                reply.answer(refused.map_or_else(|| Ok(Settings::default().view()), Err));
            }
            _ => panic!("nothing else is asked"),
        }
    });
    (routes(AccountApi::new(api, owners, "example.org")), asked)
}

fn view() -> Box<BookView> {
    Box::new(BookView { numbers: 2, matches: vec![15_550_100_002], version: "v1".into() })
}

async fn send(router: &Router, method: &str, path: &str, body: &str) -> (u16, Value) {
    let arrival = Arrival { tls: true, protected: true };
    let proof = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, format!("{USER}:{KEY}"));
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header("authorization", format!("Basic {proof}"))
        .header("content-type", "application/json")
        .extension(arrival);
    let answer = ask(router, request.body(Body::from(body.to_owned())).unwrap()).await;
    (answer.status, answer.body)
}

#[tokio::test]
async fn numbers_are_read_and_matches_are_spelled_as_they_were() {
    let (router, asked) = served(None);
    let body = r#"{"numbers":["(555) 010-0002","+4915123456789","Mama"]}"#;
    let (status, answer) = send(&router, "PUT", "/v1/contacts", body).await;
    assert_eq!(status, 200, "{answer}");
    let entry = json!({"number": "(555) 010-0002", "jid": "+15550100002@example.org"});
    assert_eq!(answer, json!({"ver": "v1", "count": 2, "matches": [entry], "invalid": ["Mama"]}));
    let Some(Asked::Book(BookChange::Replace(numbers))) = asked.lock().unwrap().pop() else { panic!() };
    assert_eq!(numbers, [15_550_100_002, 4_915_123_456_789]);
}

#[tokio::test]
async fn what_is_known_is_not_said_again() {
    let (router, _) = served(None);
    let (_, answer) = send(&router, "PATCH", "/v1/contacts", r#"{"ver":"v1"}"#).await;
    assert_eq!(answer, json!({"ver": "v1", "count": 2, "unchanged": true}));
    let (_, answer) = send(&router, "PATCH", "/v1/contacts", r#"{"ver":"v0"}"#).await;
    assert!(answer["matches"].is_array());
}

#[tokio::test]
async fn refusals_are_problems() {
    for (refusal, status, kind) in [
        (Refusal::Limited { retry_after_ms: 1 }, 429, "too-many-new-contacts"),
        (Refusal::TooLarge, 413, "too-many-contacts"),
        (Refusal::Overloaded, 503, "unavailable"),
        (Refusal::NoSuchAccount, 401, "not-authorized"),
    ] {
        let (router, _) = served(Some(refusal));
        let (got, answer) = send(&router, "PUT", "/v1/contacts", r#"{"numbers":[]}"#).await;
        assert_eq!((got, &answer["type"]), (status, &format!("urn:chaski:problem:{kind}").into()));
    }
}

#[tokio::test]
async fn nothing_is_asked_for_who_proves_nothing_or_in_clear() {
    let (router, asked) = served(None);
    let arrival = Arrival { tls: false, protected: false };
    let request = Request::builder().uri("/v1/contacts").extension(arrival).body(Body::empty()).unwrap();
    assert_eq!(ask(&router, request).await.status, 403);
    let arrival = Arrival { tls: true, protected: true };
    let request = Request::builder().uri("/v1/contacts").extension(arrival).body(Body::empty()).unwrap();
    assert_eq!(ask(&router, request).await.status, 401);
    let (status, _) = send(&router, "PUT", "/v1/contacts", "{").await;
    assert_eq!(status, 400);
    let (status, _) = send(&router, "PUT", "/v1/contacts", &"x".repeat(3 << 20)).await;
    assert_eq!(status, 413);
    assert!(asked.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_number_is_changed_by_who_proves_it() {
    let path = "/v1/account/number";
    let (router, asked) = served(Some(Refusal::Overloaded));
    for (protected, status) in [(false, 403), (true, 401)] {
        let arrival = Arrival { tls: protected, protected };
        let request =
            Request::builder().method("POST").uri(path).extension(arrival).body(Body::empty()).unwrap();
        assert_eq!(ask(&router, request).await.status, status);
    }
    assert_eq!(send(&router, "GET", path, "").await.0, 405);
    assert_eq!(send(&router, "POST", path, "{}").await.0, 400);
    assert_eq!(send(&router, "POST", path, &"x".repeat(1 << 20)).await.0, 413);
    let (status, answer) = send(&router, "POST", path, r#"{"registration":"x","code":"123456"}"#).await;
    assert_eq!((status, &answer["type"]), (404, &"urn:chaski:problem:no-such-registration".into()));
    assert!(asked.lock().unwrap().is_empty());
}

#[tokio::test]
async fn privacy_is_shown_and_changed() {
    let path = "/v1/account/privacy";
    let (router, asked) = served(None);
    let (status, answer) = send(&router, "GET", path, "").await;
    assert_eq!((status, &answer["read_marks"]["show"]), (200, &"everyone".into()));
    assert!(matches!(asked.lock().unwrap().pop(), Some(Asked::Privacy(None))));
    for (method, expected) in [("PATCH", false), ("PUT", true)] {
        let body = r#"{"online":{"show":"nobody","always":["+15550100002"]}}"#;
        assert_eq!(send(&router, method, path, body).await.0, 200);
        let change = asked.lock().unwrap().pop();
        let Some(Asked::Privacy(Some(PrivacyChange { patch, whole }))) = change else { panic!() };
        assert_eq!((whole, patch.len()), (expected, 1));
        assert_eq!(patch[&What::Online].always.as_deref(), Some(&["+15550100002".to_owned()][..]));
    }
    for bad in [
        "{",
        "[]",
        r#"{"shoes":{"show":"nobody"}}"#,
        r#"{"online":{"show":"friends"}}"#,
        r#"{"online":{"hide":1}}"#,
    ] {
        assert_eq!(send(&router, "PATCH", path, bad).await.0, 400, "{bad}");
    }
    assert_eq!(send(&router, "PATCH", path, &"x".repeat(1 << 20)).await.0, 413);
    assert!(asked.lock().unwrap().is_empty());
    let (router, _) = served(Some(Refusal::NotAcceptable("no".into())));
    assert_eq!(send(&router, "PUT", path, "{}").await.0, 422);
}
