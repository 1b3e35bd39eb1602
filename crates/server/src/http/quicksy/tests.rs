//! The statuses that Quicksy's app knows.

use super::*;
use crate::http::registration::tests::{Answer, Phone, ask, served_with, served_with_silent};
use axum::body::Body;
use chaski_services::rooms::accounts::registration::Policy;

const NUMBER: &str = "+4915123456789";

async fn authenticate(router: &Router, number: &str) -> Answer {
    let request = HttpRequest::get(format!("/authentication/{number}"))
        .header("user-agent", "Quicksy/2.17")
        .header("installation-id", "cd3ee2c0")
        .header("accept-language", "de-DE");
    ask(router, request.body(Body::empty()).unwrap()).await
}

async fn give(router: &Router, number: &str, code: &str, password: &str) -> Answer {
    let authorization = STANDARD.encode(format!("\0{number}\0{code}"));
    let request = HttpRequest::post("/password").header("authorization", authorization);
    ask(router, request.body(Body::from(password.to_owned())).unwrap()).await
}

fn other_than(code: &str) -> &'static str {
    if code == "000000" { "000001" } else { "000000" }
}

fn served() -> (Router, Arc<Phone>) {
    served_with(Policy::default())
}

#[tokio::test]
async fn the_app_registers() {
    let (router, phone) = served();
    assert_eq!(authenticate(&router, NUMBER).await.status, 200);
    assert!(phone.messages.lock().unwrap()[0].text.contains("ist dein Code"));
    let soon = authenticate(&router, "%2B4915123456789").await;
    assert_eq!((soon.status, soon.headers["retry-after"].to_str().unwrap()), (429, "60"));
    let code = phone.last_code();
    assert_eq!(give(&router, NUMBER, other_than(&code), "a password of the app").await.status, 401);
    assert_eq!(give(&router, NUMBER, "12", "a password of the app").await.status, 401);
    assert_eq!(give(&router, NUMBER, &code, "short").await.status, 400);
    assert_eq!(give(&router, NUMBER, &code, "a password of the app").await.status, 201);
    assert_eq!(give(&router, NUMBER, &code, "a password of the app").await.status, 404, "used");
    assert_eq!(authenticate(&router, NUMBER).await.status, 200);
    assert_eq!(give(&router, NUMBER, &phone.last_code(), "another password of it").await.status, 200);
}

/// `<img src="https://chat.example.org/authentication/+4915123456789">` on any page.
#[tokio::test]
async fn a_page_on_the_web_can_not_have_a_code_sent() {
    let (router, phone) = served();
    let browser = |name: &str, value: &str| {
        let request =
            HttpRequest::get(format!("/authentication/{NUMBER}")).header("accept", "image/avif,*/*");
        request.header("referer", "https://example.com/").header(name, value).body(Body::empty()).unwrap()
    };
    for request in [
        browser("user-agent", "Mozilla/5.0"),
        browser("installation-id", "cd3ee2c0"),
        browser("sec-fetch-dest", "image"),
    ] {
        let answer = ask(&router, request).await;
        assert_eq!(answer.status, 400);
    }
    // Nor can a script that may send the header.
    for origin in ["https://example.com", "null"] {
        let request =
            HttpRequest::get(format!("/authentication/{NUMBER}")).header("user-agent", "Quicksy/2.17");
        let request = request.header("installation-id", "cd3ee2c0").header("origin", origin);
        assert_eq!(ask(&router, request.body(Body::empty()).unwrap()).await.status, 403);
    }
    assert!(phone.messages.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_number_that_was_silent_for_long_is_a_new_account() {
    for (days, status) in [(30, 200), (31, 201)] {
        let (router, phone) = served_with_silent(NUMBER, "key of before", days);
        assert_eq!(authenticate(&router, NUMBER).await.status, 200);
        assert_eq!(give(&router, NUMBER, &phone.last_code(), "a password of the app").await.status, status);
    }
}

#[tokio::test]
async fn guessing_ends() {
    let (router, phone) = served();
    assert_eq!(authenticate(&router, NUMBER).await.status, 200);
    let code = phone.last_code();
    for status in [401, 401, 401, 401, 404] {
        assert_eq!(give(&router, NUMBER, other_than(&code), "a password of the app").await.status, status);
    }
    assert_eq!(give(&router, NUMBER, &code, "a password of the app").await.status, 404);
}

#[tokio::test]
async fn refusals() {
    let countries = chaski_services::account::phone::Countries::from_codes(["1"]).unwrap();
    let (router, phone) = served_with(Policy { countries, ..Policy::default() });
    assert_eq!(authenticate(&router, NUMBER).await.status, 451);
    assert_eq!(authenticate(&router, "+1").await.status, 400);
    assert_eq!(authenticate(&router, "nobody").await.status, 400);
    let unasked = give(&router, "+12124567890", "123456", "a password of the app").await;
    assert_eq!(unasked.status, 401, "a wrong code, whether one was asked for or not");
    for authorization in ["", "Basic AA==", "!!!", "AA==", "AGEA", "/////w=="] {
        let request = HttpRequest::post("/password").header("authorization", authorization);
        let answer = ask(&router, request.body(Body::from("x".repeat(20))).unwrap()).await;
        assert_eq!(answer.status, 400, "{authorization}");
    }
    let none = ask(&router, HttpRequest::post("/password").body(Body::empty()).unwrap()).await;
    assert_eq!(none.status, 400);
    assert_eq!(give(&router, "+12124567890", "123456", &"x".repeat(5000)).await.status, 413);
    assert!(phone.messages.lock().unwrap().is_empty());
}
