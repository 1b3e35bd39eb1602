//! Files through the public URL: puts some, gets them, and says what a proxy in front makes of it.
//!
//! The slots come from the running server's admin socket, for an account that is made for this and removed with its files at the end. What
//! is expected is what clients rely on (docs/protocol.md "Uploads").

use super::Finding;
use crate::failure::Failure;
use chaski_client::Trust;
use chaski_client::files::{Content, HttpError, Reply, request};
use chaski_server::admin::client::AdminClient;
use chaski_server::admin::protocol::{NewKey, Reply as Told, Request};
use chaski_server::config::Config;
use chaski_services::account::credentials::Salting;
use chaski_services::account::credentials::{Credentials, Derivation, make_key};
use chaski_services::account::name::AccountName;
use std::fs::File;
use std::path::Path;

/// Bytes of the file that is fetched.
const FILE_BYTES: usize = 100_000;
/// What is called by this name and type is compressed by whoever compresses at all.
const FILE: (&str, &str) = ("text/plain", "doctor.txt");
/// A web page that is not the server's.
const ORIGIN: &str = "https://another-origin.example";
/// What is read of a refusal.
const SAID_BYTES: usize = 200;

pub(super) fn all(config: &Config, url: &str, ca: Option<&Path>) -> Result<Vec<Finding>, Failure> {
    if !config.media.enabled {
        return Err(Failure::new("the server takes no files: media.enabled is false in its configuration"));
    }
    let trust = match ca {
        Some(file) => Trust::file(file)?,
        None => Trust::system()?,
    };
    let url = url.trim_end_matches('/');
    let base = if url.ends_with("/media") { url.to_owned() } else { format!("{url}/media") };
    let mut desk = AdminClient::connect(&config.data)?;
    let name = made(&mut desk)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let findings = look(&mut desk, &name, config.media.max_file_bytes, |slots| {
        runtime.block_on(Way { base: &base, trust, slots }.walk())
    });
    let removed = desk.call(&Request::AccountRemove { name });
    let findings = findings?;
    removed?;
    Ok(findings)
}

/// The account that has the files.
fn made(desk: &mut AdminClient) -> Result<AccountName, Failure> {
    let name = format!("doctor-{:08x}", rand::random::<u32>());
    let Told::Salting { bytes } = desk.call(&Request::Salting)? else {
        return Err(Failure::new("the server gave an answer that this program does not understand"));
    };
    let salt = Salting(bytes).salt(&name);
    let credentials = Credentials::derive(&make_key(&mut rand::rng()), 0, Derivation::KEY, salt);
    let name = AccountName::parse(&name)?;
    desk.call(&Request::AccountPut(NewKey { name: name.clone(), credentials }))?;
    Ok(name)
}

fn look(
    desk: &mut AdminClient,
    name: &AccountName,
    largest: u64,
    walk: impl FnOnce(Slots) -> Vec<Finding>,
) -> Result<Vec<Finding>, Failure> {
    let mut slot = |size: u64, (media_type, file_name): (&str, &str)| {
        let (media_type, file_name) = (media_type.to_owned(), file_name.to_owned());
        match desk.call(&Request::MediaSlot { name: name.clone(), size, media_type, file_name })? {
            Told::Slot { path, ticket } => Ok(Slot { path, ticket }),
            _ => Err(Failure::new("the server gave an answer that this program does not understand")),
        }
    };
    let small = slot(FILE_BYTES as u64, FILE)?;
    let large = slot(largest, ("application/octet-stream", "doctor.bin"))?;
    Ok(walk(Slots { small, large, largest }))
}

struct Slot {
    path: String,
    ticket: String,
}

struct Slots {
    small: Slot,
    large: Slot,
    largest: u64,
}

/// From outside to a file.
struct Way<'a> {
    base: &'a str,
    trust: Trust,
    slots: Slots,
}

impl Way<'_> {
    async fn walk(&self) -> Vec<Finding> {
        let file: Vec<u8> =
            b"What people send each other. ".iter().copied().cycle().take(FILE_BYTES).collect();
        let mut findings = Vec::new();
        if !self.base.starts_with("https://") {
            let mend = "put a TLS certificate in front: phones refuse every http: link";
            findings.push(Finding::new("https", false, "the URL is not https:", mend));
        }
        let put = self.ask("PUT", &self.put_url(&self.slots.small), &[], Content::Bytes(file.clone())).await;
        match put {
            Err(error) => {
                findings.push(unreached(&error));
                return findings;
            }
            Ok(reply) => {
                let put = upload(reply).await;
                let is_there = put.ok;
                findings.push(put);
                if !is_there {
                    return findings;
                }
            }
        }
        findings.extend(self.whole(&file).await);
        findings.push(self.part(&file).await);
        findings.push(self.origins().await);
        findings.push(self.size_limit().await);
        findings
    }

    fn url(&self, slot: &Slot) -> String {
        format!("{}/{}", self.base, slot.path)
    }

    fn put_url(&self, slot: &Slot) -> String {
        format!("{}?slot={}", self.url(slot), slot.ticket)
    }

    async fn ask(
        &self,
        method: &str,
        url: &str,
        headers: &[(&str, &str)],
        content: Content,
    ) -> Result<Reply, HttpError> {
        request(method, url, &self.trust, headers, content).await
    }

    async fn get(&self, headers: &[(&str, &str)]) -> Result<(Reply, Vec<u8>), HttpError> {
        let mut reply = self.ask("GET", &self.url(&self.slots.small), headers, Content::None).await?;
        let body = reply.bytes(2 * FILE_BYTES).await?;
        Ok((reply, body))
    }

    /// The file as a browser asks for it that would take it compressed.
    async fn whole(&self, file: &[u8]) -> Vec<Finding> {
        let encodings = [("accept-encoding", "gzip, deflate, br, zstd")];
        let (reply, body) = match self.get(&encodings).await {
            Ok(got) => got,
            Err(error) => return vec![failed("download", &error)],
        };
        let (status, length) = (reply.status(), reply.header("content-length").unwrap_or("none"));
        let encoding = reply.header("content-encoding").unwrap_or("none");
        let is_plain = encoding == "none" || encoding == "identity";
        let is_whole = status == 200 && (!is_plain || (body == file && length == FILE_BYTES.to_string()));
        let download = Finding::new(
            "download",
            is_whole,
            format!("status {status}, {} bytes, Content-Length {length}", body.len()),
            "have the proxy pass GET on below /media/ and leave answers and their Content-Length as they are",
        );
        let compression = Finding::new(
            "compression",
            is_plain,
            if is_plain { "none".into() } else { format!("answers are compressed: {encoding}") },
            "switch it off below /media/ (nginx: gzip off; brotli off): lengths and ranges go wrong by it",
        );
        vec![download, compression, safety(&reply)]
    }

    async fn part(&self, file: &[u8]) -> Finding {
        let (reply, body) = match self.get(&[("range", "bytes=1000-1999")]).await {
            Ok(got) => got,
            Err(error) => return failed("ranges", &error),
        };
        let range = reply.header("content-range").unwrap_or("none");
        let is_part = reply.status() == 206
            && range == format!("bytes 1000-1999/{FILE_BYTES}")
            && body == file[1_000..2_000];
        Finding::new(
            "ranges",
            is_part,
            format!("status {}, Content-Range {range}, {} bytes", reply.status(), body.len()),
            "have the proxy pass Range on and Content-Range back (nginx: no slice, no proxy_force_ranges off): \
             else downloads begin anew when they break, and videos can't be wound",
        )
    }

    /// As the Fetch standard's "CORS protocol" has it.
    async fn origins(&self) -> Finding {
        let asking = [("origin", ORIGIN), ("access-control-request-method", "PUT")];
        let before = self.ask("OPTIONS", &self.put_url(&self.slots.small), &asking, Content::None).await;
        let before = match before {
            Ok(reply) => reply,
            Err(error) => return failed("other origins", &error),
        };
        let got = match self.get(&[("origin", ORIGIN)]).await {
            Ok((reply, _)) => reply,
            Err(error) => return failed("other origins", &error),
        };
        let methods = before.all("access-control-allow-methods").join(",").to_ascii_uppercase();
        let exposed = got.all("access-control-expose-headers").join(",").to_ascii_lowercase();
        let why = [
            ((200..300).contains(&before.status()), format!("OPTIONS is answered by {}", before.status())),
            (is_open(&before), format!("OPTIONS allows {:?}", before.all("access-control-allow-origin"))),
            (methods.contains("PUT") || methods.contains('*'), "OPTIONS allows no PUT".to_owned()),
            (is_open(&got), format!("GET allows {:?}", got.all("access-control-allow-origin"))),
            (exposed.contains("content-range"), "GET does not expose Content-Range".to_owned()),
        ];
        let broken: Vec<String> = why.into_iter().filter(|(ok, _)| !ok).map(|(_, why)| why).collect();
        Finding::new(
            "other origins",
            broken.is_empty(),
            if broken.is_empty() { "web pages may upload and download".into() } else { broken.join("; ") },
            "have the proxy pass OPTIONS on and leave Access-Control- headers as they are, once each: clients in browsers need them",
        )
    }

    /// By the largest file, since only that shows it.
    async fn size_limit(&self) -> Finding {
        let (what, largest) = ("size limit", self.slots.largest);
        let zeros = match File::open("/dev/zero") {
            Ok(zeros) => Content::File(zeros, largest, Default::default()),
            Err(error) => return Finding::new(what, false, error.to_string(), "mount /dev"),
        };
        let mend = format!(
            "let media.max_file_bytes through (nginx: client_max_body_size {}m; proxy_request_buffering off;)",
            largest.div_ceil(1 << 20)
        );
        match self.ask("PUT", &self.put_url(&self.slots.large), &[], zeros).await {
            Ok(reply) if reply.status() == 201 => {
                Finding::new(what, true, format!("{largest} bytes pass"), "")
            }
            Ok(reply) => {
                let found = format!("{largest} bytes do not pass: status {}", reply.status());
                Finding::new(
                    what,
                    false,
                    found,
                    if reply.status() == 507 { "the server's own disk is nearly full".into() } else { mend },
                )
            }
            Err(error) => Finding::new(what, false, format!("{largest} bytes do not pass: {error}"), mend),
        }
    }
}

async fn upload(mut reply: Reply) -> Finding {
    let status = reply.status();
    let said = reply.bytes(SAID_BYTES).await.unwrap_or_default();
    let said = String::from_utf8_lossy(&said).split_whitespace().collect::<Vec<_>>().join(" ");
    let mend = match (status, reply.header("location")) {
        (300..400, to) => {
            let to = to.unwrap_or("elsewhere");
            return Finding::new(
                "upload",
                false,
                format!("status {status}: it redirects to {to}"),
                "serve files under the public URL itself: clients follow no redirect when they upload",
            );
        }
        (413, _) => "raise the proxy's size limit (nginx: client_max_body_size)",
        (404, _) => "have the proxy pass /media/ on, or say where files are with media.public_url",
        (403 | 405 | 501, _) => "have the proxy pass PUT on with its query as it is",
        (502..=504, _) => "the proxy does not reach the server: look at where it passes /media/ on to",
        _ => "look at what stands between: the server says 201",
    };
    Finding::new("upload", status == 201, format!("status {status} {said}").trim().to_owned(), mend)
}

/// What keeps a file from being taken for a web page of this origin.
fn safety(reply: &Reply) -> Finding {
    let has = |name: &str, part: &str| reply.header(name).is_some_and(|value| value.contains(part));
    let wanted = [
        ("content-type", FILE.0),
        ("x-content-type-options", "nosniff"),
        ("content-security-policy", "sandbox"),
        ("content-disposition", "attachment"),
    ];
    let missing: Vec<String> = wanted
        .iter()
        .filter(|(name, part)| !has(name, part))
        .map(|(name, _)| format!("{name} is {}", reply.header(name).unwrap_or("missing")))
        .collect();
    Finding::new(
        "headers",
        missing.is_empty(),
        if missing.is_empty() { "as they were sent".into() } else { missing.join("; ") },
        "have the proxy leave the headers of files as they are: they keep what a stranger sends from running in your origin",
    )
}

/// Any page may read it. Two values are as none.
fn is_open(reply: &Reply) -> bool {
    matches!(reply.all("access-control-allow-origin")[..], ["*" | ORIGIN])
}

fn unreached(error: &HttpError) -> Finding {
    let (what, mend) = match error {
        HttpError::Tls { .. } => (
            "https",
            "give the proxy a certificate that phones trust, with its whole chain; an authority of your own can be named here by --ca FILE",
        ),
        HttpError::Unreachable { .. } => {
            ("reached", "look at the name's address, the firewall, and whether the proxy runs")
        }
        _ => ("upload", "look at what stands between: it ends uploads"),
    };
    Finding::new(what, false, error.to_string(), mend)
}

fn failed(what: &'static str, error: &HttpError) -> Finding {
    Finding::new(what, false, error.to_string(), "look at what stands between: it was answered before")
}
