//! Who proves nothing, and who is slow.

use super::*;
use crate::http::registration::tests::{doors, put_account, served_with_doors};
use crate::{Doors, EdgeLimits};
use axum::body::{Bytes, HttpBody};
use axum::extract::ConnectInfo;
use chaski_services::allowance::Allowance;
use chaski_services::effects::turn::command::Command;
use chaski_services::rooms::accounts::guesses::Allowances;
use chaski_store::Records;
use hyper::body::Frame;
use std::convert::Infallible;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;
use tower::ServiceExt;

const NEIGHBOUR: &str = "+15550100002";

fn served_by(doors: Doors) -> (Router, Arc<dyn Records>) {
    let (api, records) = served_with_doors(Policy::default(), doors);
    put_account(&*records, USER, KEY);
    put_account(&*records, NEIGHBOUR, KEY);
    let owners = Owners::new(|command| match command.action {
        Action::Book(_, reply) => reply.answer(Ok(view())),
        action => Command { action, ..command }.refuse(Refusal::Overloaded),
    });
    (routes(AccountApi::new(api, owners, "example.org")), records)
}

fn request(user: &str, key: &str, address: &str) -> axum::http::request::Builder {
    let proof = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, format!("{user}:{key}"));
    let peer: SocketAddr = format!("{address}:4711").parse().unwrap();
    Request::builder()
        .uri("/v1/contacts")
        .header("authorization", format!("Basic {proof}"))
        .header("content-type", "application/json")
        .extension(Arrival { tls: true, protected: true })
        .extension(ConnectInfo(peer))
}

async fn ask_as(router: &Router, user: &str, key: &str, address: &str) -> (u16, bool) {
    let request = request(user, key, address).body(Body::empty()).unwrap();
    let response = router.clone().oneshot(request).await.unwrap();
    (response.status().as_u16(), response.headers().contains_key("retry-after"))
}

#[tokio::test(start_paused = true)]
async fn a_network_has_so_many_wrong_keys_whoevers_they_are() {
    let allowances = Allowances { account: Allowance::per_hour(3, 1), network: Allowance::per_hour(8, 1) };
    let limits = EdgeLimits { guesses: allowances, ..EdgeLimits::default() };
    let doors = Doors::start(&limits, [1; 16]).unwrap();
    let (router, records) = served_by(doors.clone());
    // Who is there and who is not: the same answers, the same count, the same work.
    for (count, user) in (1..).zip([USER, "+15550109999"]) {
        for n in 0..5 {
            let expected = if n < 3 { (401, false) } else { (429, true) };
            assert_eq!(ask_as(&router, user, "wrong", "192.0.2.1").await, expected, "{user} {n}");
        }
        assert_eq!(doors.checks.metrics().done_total.get(), 3 * count);
    }
    let invented = (0..10).map(|n| format!("+1555020{n:04}"));
    let mut answers = Vec::new();
    for number in invented {
        answers.push(ask_as(&router, &number, "wrong", "192.0.2.1").await.0);
    }
    assert_eq!(answers, [401, 401, 429, 429, 429, 429, 429, 429, 429, 429]);
    assert_eq!(doors.checks.metrics().done_total.get(), 8);
    assert_eq!(
        records.scan(chaski_services::allowance::LIMITS, "", 10).unwrap().len(),
        0,
        "nothing of it is written"
    );
    // A key that can't be guessed, from there and from elsewhere.
    for address in ["192.0.2.1", "198.51.100.1"] {
        assert_eq!(ask_as(&router, USER, KEY, address).await, (200, false));
    }
    assert_eq!(ask_as(&router, NEIGHBOUR, "wrong", "198.51.100.1").await, (401, false), "elsewhere");
}

/// All that somebody hears who asks with a wrong key: status, headers, body; and the work behind it.
async fn told(
    router: &Router,
    doors: &Doors,
    (method, path): (&str, &str),
    user: &str,
) -> (String, u64, u64) {
    let counted = || (doors.checks.metrics().done_total.get(), doors.guesses.metrics().wrong_total.get());
    let (checks, guesses) = counted();
    let request = request(user, "wrong", "192.0.2.1").method(method).uri(path);
    let response =
        router.clone().oneshot(request.body(Body::from("{\"pin\":\"123456\"}")).unwrap()).await.unwrap();
    let head = format!("{} {:?}", response.status(), response.headers());
    let body = axum::body::to_bytes(response.into_body(), 1 << 20).await.unwrap();
    let (checks_after, guesses_after) = counted();
    (format!("{head} {}", String::from_utf8_lossy(&body)), checks_after - checks, guesses_after - guesses)
}

#[tokio::test(start_paused = true)]
async fn no_way_over_http_tells_who_is_registered() {
    let allowances = Allowances { account: Allowance::per_hour(99, 1), network: Allowance::per_hour(999, 1) };
    let limits = EdgeLimits { guesses: allowances, ..EdgeLimits::default() };
    let doors = Doors::start(&limits, [1; 16]).unwrap();
    let (api, records) = served_with_doors(Policy::default(), doors.clone());
    put_account(&*records, USER, KEY);
    let owners = Owners::new(|_| panic!("nobody is proved"));
    let router = routes(AccountApi::new(api.clone(), owners, "example.org"));
    let router =
        router.merge(crate::http::registration::routes(api, crate::http::registration::Origins::default()));
    for way in [
        ("GET", "/v1/contacts"),
        ("PUT", "/v1/contacts"),
        ("PATCH", "/v1/contacts"),
        ("DELETE", "/v1/contacts"),
        ("DELETE", "/v1/account"),
        ("GET", "/v1/account/privacy"),
        ("PATCH", "/v1/account/privacy"),
        ("PUT", "/v1/registration-lock"),
        ("POST", "/v1/account/number"),
    ] {
        let begun = tokio::time::Instant::now();
        let nobody = told(&router, &doors, way, "+15550109999").await;
        if nobody.1 == 1 {
            assert!(begun.elapsed() >= Duration::from_millis(100), "{way:?}: by a time of its own");
        }
        assert_eq!(told(&router, &doors, way, USER).await, nobody, "{way:?}");
        // In a body that is no proper one nothing is looked for, by whomever.
        let is_read_first = way.1 == "/v1/account/number";
        assert_eq!(nobody.1, u64::from(!is_read_first), "{way:?}: {nobody:?}");
    }
}

/// A body that begins and never goes on.
struct Slow(bool);

impl HttpBody for Slow {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if std::mem::replace(&mut self.0, true) {
            return Poll::Pending;
        }
        Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(b"{\"numbers\":[")))))
    }
}

#[tokio::test]
async fn slow_bodies_keep_nobody_waiting() {
    let (router, _) = served_by(doors());
    let slow: Vec<_> = (0..16)
        .map(|_| {
            let request = request(USER, KEY, "192.0.2.1").method("PUT").body(Body::new(Slow(false))).unwrap();
            tokio::spawn(router.clone().oneshot(request))
        })
        .collect();
    // All but two are refused at once. Only a failing test waits for them.
    let refused = async {
        while slow.iter().filter(|request| request.is_finished()).count() < 14 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), refused).await.unwrap();
    for (method, path) in
        [("PUT", "/v1/contacts"), ("PATCH", "/v1/contacts"), ("PATCH", "/v1/account/privacy")]
    {
        let request = request(NEIGHBOUR, KEY, "192.0.2.1").method(method).uri(path);
        let body = if path.ends_with("contacts") { r#"{"numbers":[]}"# } else { "{}" };
        let response = router.clone().oneshot(request.body(Body::from(body)).unwrap()).await.unwrap();
        // The rig's shard knows contacts only.
        let expected = if path.ends_with("contacts") { 200 } else { 503 };
        assert_eq!(response.status().as_u16(), expected, "{method} {path}");
    }
    assert_eq!(ask_as(&router, USER, KEY, "192.0.2.1").await, (200, false), "without a body");
    let mut statuses = Vec::new();
    for request in slow {
        if request.is_finished() {
            statuses.push(request.await.unwrap().unwrap().status().as_u16());
        } else {
            request.abort();
        }
    }
    assert_eq!(statuses, [429; 14]);
}
