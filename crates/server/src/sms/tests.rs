//! The gateways against local servers and programs, and the desk against gateways that hang.

use super::*;
use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use chaski_services::account::phone::Phone;
use chaski_services::rooms::accounts::verification::Code;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::net::TcpListener;

fn delivery(phone: &str) -> Delivery {
    Delivery {
        phone: Phone::parse(phone).unwrap(),
        code: Code::fixed("012345").unwrap(),
        transport: Transport::Sms,
        locale: Some("de".to_owned()),
    }
}

const REAL: &str = "+4915123456789";
const FICTITIOUS: &str = "+15551230001";

fn desk(gateway: Arc<dyn Gateway>, timeout: Duration) -> Arc<SmsDesk> {
    Arc::new(SmsDesk::new(gateway, "example.org", timeout, Arc::default()))
}

/// What a gateway's server has seen.
#[derive(Default)]
struct Seen {
    requests: Mutex<Vec<(HeaderMap, String)>>,
}

async fn gateway_server(status: StatusCode) -> (String, Arc<Seen>) {
    let seen = Arc::new(Seen::default());
    let take = move |State(seen): State<Arc<Seen>>, headers: HeaderMap, body: String| async move {
        seen.requests.lock().unwrap().push((headers, body));
        (status, "an answer that nobody reads")
    };
    let app = Router::new().route("/send", post(take)).with_state(seen.clone());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/send", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, app).await });
    (url, seen)
}

const PLENTY: Duration = Duration::from_secs(20);

#[tokio::test]
async fn the_webhook_posts_json_with_its_token() {
    let (url, seen) = gateway_server(StatusCode::NO_CONTENT).await;
    let desk = desk(Arc::new(webhook::Webhook::new(&url, "secret").unwrap()), PLENTY);
    desk.deliver(&delivery(REAL)).await.unwrap();
    let requests = seen.requests.lock().unwrap();
    let (headers, body) = &requests[0];
    assert_eq!(headers["authorization"], "Bearer secret");
    assert_eq!(headers["content-type"], "application/json");
    let body: serde_json::Value = serde_json::from_str(body).unwrap();
    let expected = serde_json::json!({
        "phone": REAL,
        "text": "012345 ist dein Code für example.org. Gib ihn niemandem.",
        "code": "012345",
        "transport": "sms",
        "locale": "de",
    });
    assert_eq!(body, expected);
}

#[tokio::test]
async fn twilio_gets_its_form() {
    let (url, seen) = gateway_server(StatusCode::CREATED).await;
    let gateway = twilio::Twilio::new(&url, "AC1", "token", "+15005550006").unwrap();
    desk(Arc::new(gateway), PLENTY).deliver(&delivery(REAL)).await.unwrap();
    let service = format!("MG{}", "0".repeat(32));
    let gateway = twilio::Twilio::new(&url, "AC1", "token", &service).unwrap();
    desk(Arc::new(gateway), PLENTY).deliver(&delivery(REAL)).await.unwrap();
    let requests = seen.requests.lock().unwrap();
    assert_eq!(requests[0].0["authorization"], "Basic QUMxOnRva2Vu");
    assert_eq!(requests[0].0["content-type"], "application/x-www-form-urlencoded");
    assert!(
        requests[0].1.starts_with(
            "To=%2B4915123456789&From=%2B15005550006&Body=012345%20ist%20dein%20Code%20f%C3%BCr"
        ),
        "{}",
        requests[0].1
    );
    assert!(requests[1].1.contains(&format!("&MessagingServiceSid={service}&")), "{}", requests[1].1);
}

#[tokio::test]
async fn a_gateway_that_refuses_is_asked_once() {
    let (url, seen) = gateway_server(StatusCode::INTERNAL_SERVER_ERROR).await;
    let desk = desk(Arc::new(webhook::Webhook::new(&url, "").unwrap()), PLENTY);
    let error = desk.deliver(&delivery(REAL)).await.unwrap_err();
    let expected = GatewayError::Refused("HTTP status 500 Internal Server Error".to_owned());
    assert_eq!(error, SendError::Gateway(expected));
    assert_eq!(seen.requests.lock().unwrap().len(), 1);
    assert_eq!(desk.metrics.failed_total.get(), 1);
}

#[tokio::test]
async fn a_gateway_that_is_down_is_unreachable() {
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", closed.local_addr().unwrap());
    drop(closed);
    let desk = desk(Arc::new(webhook::Webhook::new(&url, "").unwrap()), PLENTY);
    let error = desk.deliver(&delivery(REAL)).await.unwrap_err();
    assert!(matches!(error, SendError::Gateway(GatewayError::Unreachable(_))), "{error:?}");
}

/// Fails before anything is sent, once.
#[derive(Default)]
struct Flaky(AtomicUsize);

impl Gateway for Flaky {
    fn name(&self) -> &'static str {
        "flaky"
    }

    fn send<'a>(&'a self, _: &'a Message) -> Sending<'a> {
        let first = self.0.fetch_add(1, Ordering::Relaxed) == 0;
        let outcome = if first { Err(GatewayError::Unreachable("no".to_owned())) } else { Ok(()) };
        Box::pin(std::future::ready(outcome))
    }
}

#[tokio::test]
async fn a_connection_that_fails_is_tried_once_more() {
    let gateway = Arc::new(Flaky::default());
    desk(gateway.clone(), PLENTY).deliver(&delivery(REAL)).await.unwrap();
    assert_eq!(gateway.0.load(Ordering::Relaxed), 2);
}

#[test]
fn mistakes_in_the_configuration_are_named() {
    for url in ["", "no url", "ftp://example.org/", "/path", "https://"] {
        assert!(webhook::Webhook::new(url, "").err().unwrap().starts_with("sms.url"), "{url}");
    }
    assert!(command::CommandGateway::new(&[]).is_err());
}

#[tokio::test]
async fn a_real_gateway_never_sees_fiction() {
    let (url, seen) = gateway_server(StatusCode::OK).await;
    let desk = desk(Arc::new(webhook::Webhook::new(&url, "").unwrap()), PLENTY);
    desk.deliver(&delivery(FICTITIOUS)).await.unwrap();
    assert!(seen.requests.lock().unwrap().is_empty());
}

/// Takes a message and never answers.
#[derive(Default)]
struct Stuck {
    sending: AtomicUsize,
    sending_most: AtomicUsize,
}

struct Leaves<'a>(&'a AtomicUsize);

impl Drop for Leaves<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Gateway for Stuck {
    fn name(&self) -> &'static str {
        "stuck"
    }

    fn send<'a>(&'a self, _: &'a Message) -> Sending<'a> {
        Box::pin(async {
            let now = self.sending.fetch_add(1, Ordering::Relaxed) + 1;
            self.sending_most.fetch_max(now, Ordering::Relaxed);
            let _leaves = Leaves(&self.sending);
            std::future::pending().await
        })
    }
}

#[tokio::test]
async fn a_stuck_gateway_is_bounded_and_harms_nobody_else() {
    let gateway = Arc::new(Stuck::default());
    let desk = desk(gateway.clone(), Duration::from_secs(600));
    let asked: Vec<_> = (0..SENDING_MAX + WAITING_MAX)
        .map(|_| {
            let desk = desk.clone();
            tokio::spawn(async move { desk.deliver(&delivery(REAL)).await })
        })
        .collect();
    while desk.metrics.queued.get() < (SENDING_MAX + WAITING_MAX) as i64 {
        tokio::task::yield_now().await;
    }
    assert_eq!(desk.deliver(&delivery(REAL)).await, Err(SendError::Busy), "at once");
    desk.deliver(&delivery(FICTITIOUS)).await.expect("who needs no gateway does not wait for it");
    for request in asked {
        request.abort();
        assert!(request.await.unwrap_err().is_cancelled());
    }
    assert_eq!(gateway.sending_most.load(Ordering::Relaxed), SENDING_MAX);
    assert_eq!(gateway.sending.load(Ordering::Relaxed), 0, "everything was given up");
    assert_eq!(desk.metrics.queued.get(), 0);
    assert_eq!(desk.metrics.refused_total.get(), 1);
}

#[tokio::test]
async fn nobody_waits_longer_than_the_timeout() {
    let gateway = Arc::new(Stuck::default());
    let desk = desk(gateway.clone(), Duration::from_millis(20));
    assert_eq!(desk.deliver(&delivery(REAL)).await, Err(SendError::TimedOut));
    assert_eq!(gateway.sending.load(Ordering::Relaxed), 0);
    assert_eq!((desk.metrics.timed_out_total.get(), desk.metrics.queued.get()), (1, 0));
}

fn shell(script: &str) -> Arc<command::CommandGateway> {
    let command = ["/bin/sh", "-c", script, "sh"].map(str::to_owned);
    Arc::new(command::CommandGateway::new(&command).unwrap())
}

#[tokio::test]
async fn a_command_gets_number_and_text() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out");
    let script = format!("printf '%s|%s|%s' \"$#\" \"$1\" \"$2\" > '{}'", out.display());
    desk(shell(&script), PLENTY).deliver(&delivery(REAL)).await.unwrap();
    let written = std::fs::read_to_string(&out).unwrap();
    assert_eq!(written, format!("2|{REAL}|012345 ist dein Code für example.org. Gib ihn niemandem."));
}

#[tokio::test]
async fn a_command_that_fails_or_is_missing() {
    let failed = desk(shell("exit 3"), PLENTY).deliver(&delivery(REAL)).await.unwrap_err();
    assert!(matches!(failed, SendError::Gateway(GatewayError::Refused(_))), "{failed:?}");
    let missing = command::CommandGateway::new(&["/no/such/program".to_owned()]).unwrap();
    let failed = desk(Arc::new(missing), PLENTY).deliver(&delivery(REAL)).await.unwrap_err();
    assert!(matches!(failed, SendError::Gateway(GatewayError::Failed(_))), "{failed:?}");
}

#[tokio::test]
async fn a_command_that_hangs_is_killed_with_its_children() {
    let dir = tempfile::tempdir().unwrap();
    let pids = dir.path().join("pids");
    let script = format!("sleep 600 & echo $$ $! > '{}'; wait", pids.display());
    let desk = desk(shell(&script), Duration::from_secs(600));
    let asked = tokio::spawn(async move { desk.deliver(&delivery(REAL)).await });
    while !std::fs::read_to_string(&pids).is_ok_and(|text| text.ends_with('\n')) {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    asked.abort();
    assert!(asked.await.unwrap_err().is_cancelled());
    let pids = std::fs::read_to_string(&pids).unwrap();
    for pid in pids.split_whitespace() {
        let mut tries = 0;
        while is_running(pid) {
            tries += 1;
            assert!(tries < 1_000, "process {pid} is still there");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

/// A process that is dead but not yet collected by its parent counts as gone.
fn is_running(pid: &str) -> bool {
    let Ok(stat) = std::fs::read_to_string(format!("/proc/{pid}/stat")) else { return false };
    !stat.rsplit(')').next().unwrap_or_default().trim_start().starts_with('Z')
}
