//! The few requests of JetStream's API that a replicated journal takes.
//!
//! Called by: everything that talks to the logs. Promises: an answer is the server's, or an error with its number; nothing waits longer than
//! [`TIMEOUT`].

use async_nats::{Client, HeaderMap, Message, Request, StatusCode};
use bytes::Bytes;
use futures_util::StreamExt;
use serde::Deserialize;
use serde_json::{Value, json};
use std::time::Duration;

/// How long an answer is waited for.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(1);
/// JetStream's number for: there is no such stream.
pub(crate) const STREAM_NOT_FOUND: u64 = 10059;
/// Frames and bytes that one direct get asks for.
const BATCH: u64 = 256;
const BATCH_BYTES: u64 = 4 << 20;

/// Why a request got no answer.
#[derive(Debug)]
pub(crate) enum Refused {
    /// The API's own number, and its words.
    Error(u64, String),
    /// Nobody answered, or not in a way that makes sense.
    Silence(String),
}

impl std::fmt::Display for Refused {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Error(number, words) => write!(out, "JetStream says {words} ({number})"),
            Self::Silence(words) => write!(out, "no answer of JetStream: {words}"),
        }
    }
}

impl std::error::Error for Refused {}

/// What a publisher or a reader of the state gets.
#[derive(Debug, Deserialize)]
pub(crate) struct Answer {
    /// The sequence of what was published.
    #[serde(default)]
    pub(crate) seq: u64,
    error: Option<Error>,
}

#[derive(Debug, Deserialize)]
struct Error {
    #[serde(default)]
    err_code: u64,
    #[serde(default)]
    description: String,
}

impl Answer {
    /// Of a publication.
    pub(crate) fn read(message: &Message) -> Result<u64, Refused> {
        if let Some(status) = message.status.filter(|status| *status != StatusCode::OK) {
            return Err(Refused::Silence(format!("status {status}")));
        }
        let answer: Self =
            serde_json::from_slice(&message.payload).map_err(|error| Refused::Silence(error.to_string()))?;
        match answer.error {
            Some(error) => Err(Refused::Error(error.err_code, error.description)),
            None => Ok(answer.seq),
        }
    }
}

/// Asks, and takes the answer apart.
pub(crate) async fn request(client: &Client, subject: &str, body: &Value) -> Result<Value, Refused> {
    let payload = if body.is_null() { Bytes::new() } else { Bytes::from(body.to_string()) };
    let request = Request::new().payload(payload).timeout(Some(TIMEOUT));
    // The connection's own queue may be full while there is no server: that counts as silence as well.
    let sent = tokio::time::timeout(2 * TIMEOUT, client.send_request(subject.to_owned(), request));
    let message = match sent.await {
        Ok(Ok(message)) => message,
        Ok(Err(error)) => return Err(Refused::Silence(error.to_string())),
        Err(_) => return Err(Refused::Silence("nothing within the time".into())),
    };
    let answer: Value =
        serde_json::from_slice(&message.payload).map_err(|error| Refused::Silence(error.to_string()))?;
    match answer.get("error") {
        Some(error) => Err(Refused::Error(
            error["err_code"].as_u64().unwrap_or(0),
            error["description"].as_str().unwrap_or("an error").to_owned(),
        )),
        None => Ok(answer),
    }
}

/// A log's name as a stream, and its subject.
pub(crate) fn stream(log: usize) -> String {
    format!("LOG{log}")
}

/// Where its frames are published.
pub(crate) fn subject(log: usize) -> String {
    format!("log.{log}")
}

/// Where committed frames come out again, if the stream republishes.
pub(crate) fn committed(log: usize) -> String {
    format!("committed.{log}")
}

/// Makes a log. Its frames go when it is truncated, and by no time.
pub(crate) async fn create(
    client: &Client,
    log: usize,
    replicas: usize,
    republishes: bool,
) -> Result<(), Refused> {
    let mut config = json!({
        "name": stream(log), "subjects": [subject(log)], "retention": "limits", "storage": "file", "discard": "old",
        "num_replicas": replicas, "max_age": 0, "allow_direct": true, "max_msgs": -1,
        "max_bytes": -1, "max_consumers": -1, "duplicate_window": 0,
    });
    if republishes {
        config["republish"] = json!({ "src": subject(log), "dest": committed(log) });
    }
    request(client, &format!("$JS.API.STREAM.CREATE.{}", stream(log)), &config).await.map(|_| ())
}

/// What a log's leader says of it.
#[derive(Debug, Clone)]
pub(crate) struct State {
    /// The sequence of its last frame.
    pub(crate) last: u64,
    /// The server that leads it.
    pub(crate) leader: String,
    /// Whether all copies are up to date.
    pub(crate) is_current: bool,
}

/// Asks a log's leader.
pub(crate) async fn state(client: &Client, log: usize) -> Result<State, Refused> {
    let info = request(client, &format!("$JS.API.STREAM.INFO.{}", stream(log)), &Value::Null).await?;
    let cluster = &info["cluster"];
    let replicas = cluster["replicas"].as_array().map(Vec::as_slice).unwrap_or_default();
    Ok(State {
        last: info["state"]["last_seq"].as_u64().unwrap_or(0),
        leader: cluster["leader"].as_str().unwrap_or_default().to_owned(),
        is_current: replicas
            .iter()
            .all(|one| one["current"] == json!(true) && one["lag"].as_u64().unwrap_or(0) == 0),
    })
}

/// Asks a log's leader to hand over to a server.
pub(crate) async fn lead(client: &Client, log: usize, server: usize) -> Result<(), Refused> {
    let body = json!({ "placement": { "preferred": format!("n{server}") } });
    request(client, &format!("$JS.API.STREAM.LEADER.STEPDOWN.{}", stream(log)), &body).await.map(|_| ())
}

/// Truncates a log: forgets everything up to and with `number`.
pub(crate) async fn truncate(client: &Client, log: usize, number: u64) -> Result<(), Refused> {
    let body = json!({ "seq": number + 1 });
    request(client, &format!("$JS.API.STREAM.PURGE.{}", stream(log)), &body).await.map(|_| ())
}

/// A frame as it lies in a log.
#[derive(Debug)]
pub(crate) struct Lying {
    /// Where.
    pub(crate) number: u64,
    /// What.
    pub(crate) frame: Bytes,
}

/// A header that is a number.
pub(crate) fn number(headers: Option<&HeaderMap>, name: &'static str) -> Option<u64> {
    headers?.get(name)?.as_str().parse().ok()
}

/// Reads frames from `from` on, a batch; from the server that the client is connected to, if it has a copy that is fit. Empty at the end.
pub(crate) async fn read(client: &Client, log: usize, from: u64) -> Result<Vec<Lying>, Refused> {
    let silence = |words: String| Refused::Silence(words);
    let inbox = client.new_inbox();
    let mut answers = client.subscribe(inbox.clone()).await.map_err(|error| silence(error.to_string()))?;
    let body = json!({ "seq": from, "batch": BATCH, "max_bytes": BATCH_BYTES }).to_string();
    let asked = client.publish_with_reply(format!("$JS.API.DIRECT.GET.{}", stream(log)), inbox, body.into());
    tokio::time::timeout(TIMEOUT, asked)
        .await
        .map_err(|_| silence("the connection takes nothing".into()))?
        .map_err(|error| silence(error.to_string()))?;
    let mut found = Vec::new();
    loop {
        let message = match tokio::time::timeout(TIMEOUT, answers.next()).await {
            Ok(Some(message)) => message,
            _ if found.is_empty() => return Err(silence("nothing within the time".into())),
            _ => return Ok(found),
        };
        match message.status.map(|status| status.as_u16()) {
            // The end of the batch, or nothing there.
            Some(204 | 404) => return Ok(found),
            Some(status) if status != 200 => return Err(silence(format!("status {status}"))),
            _ => {}
        }
        let Some(number) = number(message.headers.as_ref(), "Nats-Sequence") else {
            return Err(silence("a frame without its sequence".into()));
        };
        found.push(Lying { number, frame: message.payload });
    }
}
