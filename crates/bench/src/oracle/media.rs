//! Whether anybody can tell that a content is there: an account asks for slots with hashes of what another account has uploaded, and of what
//! nobody has, uploads it, asks again, fetches it.
//!
//! Called by [`super::run`]. Each question is judged twice: by answer and time, and by answer and work, which is the time that the server's
//! threads have run meanwhile (`schedstat`). The questions follow one another, so that nothing else is done in between but what the
//! server does by itself.

use super::line::Line;
use super::ways::{Answer, Ports};
use super::{Stage, accounts};
use crate::server::process::usage;
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use sha2::{Digest, Sha256};
use std::io;
use tokio::time::Instant;

/// What `--ways` calls it.
pub(super) const NAME: &str = "media";
/// What is asked, and how it is judged: by time, by work.
const QUESTIONS: [(&str, &str); 4] = [
    ("media-slot", "media-slot-work"),
    ("media-put", "media-put-work"),
    ("media-again", "media-again-work"),
    ("media-get", "media-get-work"),
];
/// Bytes of a content: a small picture.
const CONTENT_BYTES: usize = 16 << 10;

/// Answers by question.
pub(super) type Judged = Vec<(&'static str, Vec<Answer>)>;

/// Asks about so many contents, half of which somebody else has. `pid`: the server's.
pub(super) fn probe(stage: &Stage, pid: Option<u32>) -> io::Result<Judged> {
    let (seed, probes, ports) = (stage.options.seed, stage.options.probes, stage.ports);
    let content = |index: usize| {
        let mut bytes = vec![0; CONTENT_BYTES];
        StdRng::seed_from_u64(seed ^ (index as u64 + 1) << 20).fill(&mut bytes[..]);
        bytes
    };
    let mut owner = Uploader::new(stage, 0)?;
    for index in 0..probes / 2 {
        let content = content(index);
        let slot = owner.slot(&content)?;
        owner.put(ports, &url(&slot, "<put url='")?, &content)?;
    }
    let mut plan: Vec<usize> = (0..probes).collect();
    plan.shuffle(&mut StdRng::seed_from_u64(seed));
    let mut asker = Uploader::new(stage, stage.options.accounts)?;
    let mut answers = vec![Vec::new(); 2 * QUESTIONS.len()];
    for index in plan {
        let is_somebody = index < probes / 2;
        let content = content(index);
        let mut note = |question: usize, heard: &str, (us, work_us): (u64, u64)| {
            let form = nameless(heard);
            let (bytes, pieces) = (form.len(), form.matches('<').count());
            let answer = Answer { is_somebody, is_again: false, bytes, pieces, form, us };
            answers[2 * question + 1].push(Answer { us: work_us, ..answer.clone() });
            answers[2 * question].push(answer);
        };
        let (slot, cost) = measured(pid, || asker.slot(&content))?;
        note(0, &slot, cost);
        let (put, cost) = measured(pid, || asker.put(ports, &url(&slot, "<put url='")?, &content))?;
        note(1, &put, cost);
        let (again, cost) = measured(pid, || asker.slot(&content))?;
        note(2, &again, cost);
        let at = url(&slot, "<get url='")?;
        let (got, cost) = measured(pid, || {
            asker.http(ports, &format!("HEAD {at} HTTP/1.1\r\nHost: localhost\r\n\r\n"), b"")
        })?;
        note(3, &got, cost);
    }
    let names = QUESTIONS.into_iter().flat_map(|(time, work)| [time, work]);
    Ok(names.zip(answers).filter(|(name, _)| pid.is_some() || !name.ends_with("-work")).collect())
}

/// An account that uploads.
struct Uploader {
    line: Line,
    web: Option<Line>,
}

impl Uploader {
    fn new(stage: &Stage, account: usize) -> io::Result<Self> {
        let key = accounts::key(stage.options.seed, account);
        Ok(Self { line: Line::session(stage.ports.plain, &accounts::number(account), &key)?, web: None })
    }

    fn slot(&mut self, content: &[u8]) -> io::Result<String> {
        let hash = BASE64.encode(Sha256::digest(content));
        self.line.say(&format!(
            "<iq type='get' id='u' to='upload.localhost'><request xmlns='urn:xmpp:http:upload:0' filename='a.jpg' size='{}' \
             content-type='image/jpeg'><content xmlns='urn:chaski:media:0'><hash xmlns='urn:xmpp:hashes:2' algo='sha-256'>{hash}</hash>\
             </content></request></iq>",
            content.len()
        ))?;
        self.line.until("</iq>")
    }

    fn put(&mut self, ports: Ports, to: &str, content: &[u8]) -> io::Result<String> {
        let head =
            format!("PUT {to} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n", content.len());
        let heard = self.http(ports, &head, content)?;
        if heard.starts_with("HTTP/1.1 201 ") { Ok(heard) } else { Err(io::Error::other(heard)) }
    }

    fn http(&mut self, ports: Ports, head: &str, content: &[u8]) -> io::Result<String> {
        let mut web = match self.web.take() {
            Some(web) => web,
            None => Line::to(ports.http)?,
        };
        web.say_bytes(head.as_bytes(), content)?;
        let heard = if head.starts_with("HEAD") { web.until("\r\n\r\n") } else { web.response() }?;
        self.web = Some(web);
        Ok(heard)
    }
}

/// The path of a URL in a slot.
fn url(slot: &str, before: &str) -> io::Result<String> {
    let url = slot.split_once(before).and_then(|(_, url)| url.split_once('\'')).map(|(url, _)| url);
    let path = url.and_then(|url| url.strip_prefix("https://")?.split_once('/')).map(|(_, path)| path);
    path.map(|path| format!("/{path}")).ok_or_else(|| io::Error::other(format!("no slot: {slot}")))
}

/// What was heard, with names and dates that are made for each answer put away, but not their lengths; so with the seconds that a
/// file of one's own is still good for (`max-age`), which say when it was uploaded.
fn nameless(heard: &str) -> String {
    let mut form = String::with_capacity(heard.len());
    for line in heard.split_inclusive('\n') {
        let name = line.split(':').next().unwrap_or_default().to_ascii_lowercase();
        match name.as_str() {
            "date" | "etag" | "last-modified" => form.push_str(&format!("{name}: {} bytes\n", line.len())),
            "cache-control" => form.push_str(&line.replace(|c: char| c.is_ascii_digit(), "#")),
            _ => form.push_str(line),
        }
    }
    let mut parts = form.split("url='");
    let mut named = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (url, rest) = part.split_once('\'').unwrap_or((part, ""));
        named.push_str(&format!("url='{} bytes'{rest}", url.len()));
    }
    named
}

/// What was heard, and what it has taken: time, and work of the server, in microseconds.
fn measured<T>(pid: Option<u32>, ask: impl FnOnce() -> io::Result<T>) -> io::Result<(T, (u64, u64))> {
    let work_us = || pid.and_then(usage).map_or(0, |usage| usage.cpu.as_micros() as u64);
    let (before, begun) = (work_us(), Instant::now());
    let heard = ask()?;
    let us = begun.elapsed().as_micros() as u64;
    Ok((heard, (us, work_us().saturating_sub(before))))
}

#[cfg(test)]
mod tests {
    use super::nameless;

    #[test]
    fn what_is_made_for_each_answer_is_put_away_and_the_rest_is_not() {
        let heard = |age: &str, kind: &str| {
            nameless(&format!(
                "Date: Mon\r\nCache-Control: private, max-age={age}\r\nContent-Type: {kind}\r\n"
            ))
        };
        assert_eq!(heard("2591998", "image/jpeg"), heard("2591999", "image/jpeg"));
        assert_ne!(heard("2591998", "image/jpeg"), heard("259199", "image/jpeg"), "but its length");
        assert_ne!(heard("2591998", "image/jpeg"), heard("2591998", "image/png"));
    }
}
