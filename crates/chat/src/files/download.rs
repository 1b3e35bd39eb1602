//! `/get N`: fetches what a link leads to into a folder.
//!
//! Promises: nothing that was there is written over; whatever a stranger calls his file, it lands in the folder, as a name that is seen;
//! what has come stays in a file of its own, `.NAME.….part`, and the next try goes on behind it (RFC 9110 §14).

use super::News;
use super::bar::Moved;
use chaski_client::Trust;
use chaski_client::files::{Content, Reply, request};
use sha2::{Digest, Sha256};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::sync::mpsc::Sender;
use tokio::time::Instant;

/// Largest file: a stranger's server can send for ever.
const FILE_BYTES_MAX: u64 = 8 << 30;
/// Longest name with its ending.
const NAME_BYTES_MAX: usize = 120;
/// How many of one name there may be.
const SAME_MAX: u32 = 1_000;
/// How often it is said how far it has got.
const GLANCE: Duration = Duration::from_millis(100);

/// See the module.
pub struct Download {
    /// What.
    pub url: String,
    /// Where to.
    pub folder: PathBuf,
    /// Whom to believe.
    pub trust: Trust,
}

impl Download {
    /// Until it is there: where. Or why not.
    pub(super) async fn run(self, out: &Sender<News>) -> Result<PathBuf, String> {
        if self.url.starts_with("aesgcm:") {
            return Err("it is encrypted for an app with OMEMO, and can be read there only".into());
        }
        let name = name_of(&self.url);
        let part = self.folder.join(part_of(&self.url, &name));
        let cannot = |error: io::Error| format!("{} can't be written ({error})", self.folder.display());
        fs::create_dir_all(&self.folder).map_err(cannot)?;
        let mut file = OpenOptions::new().append(true).create(true).open(&part).map_err(cannot)?;
        let there = file.metadata().map_err(cannot)?.len();
        let mut reply = self.ask(there).await?;
        let (begin, total) = match reply.status() {
            206 => {
                part_is(&reply, there).ok_or("the server sent another part than was asked for; try again")?
            }
            // It can't go on, and begins anew.
            200 => (0, reply.header("content-length").and_then(|length| length.parse().ok())),
            // All of it has come before, or what has come is longer than it is.
            416 => {
                let whole = reply.header("content-range").and_then(|range| range.strip_prefix("bytes */"));
                if whole.and_then(|whole| whole.parse().ok()) != Some(there) {
                    file.set_len(0).map_err(cannot)?;
                    return Err("what had come of it before was not of this file; try again".into());
                }
                return settle(&part, &self.folder, &name).map_err(cannot);
            }
            status => return Err(refusal(status, reply.header("location"))),
        };
        if total.unwrap_or(0) > FILE_BYTES_MAX {
            return Err(format!("it is larger than {}", super::bar::amount(FILE_BYTES_MAX)));
        }
        if begin < there {
            file.set_len(begin).map_err(cannot)?;
        }
        receive(&mut reply, &mut file, (begin, total), &name, out).await?;
        file.sync_all().map_err(cannot)?;
        settle(&part, &self.folder, &name).map_err(cannot)
    }

    async fn ask(&self, there: u64) -> Result<Reply, String> {
        let range = format!("bytes={there}-");
        let headers = [("range", range.as_str())];
        let headers = if there > 0 { &headers[..] } else { &[] };
        let reply = request("GET", &self.url, &self.trust, headers, Content::None).await;
        reply.map_err(|error| format!("{error}; /get again goes on where it ended"))
    }
}

/// Begin and whole length of the part, if it begins where it should.
fn part_is(reply: &Reply, there: u64) -> Option<(u64, Option<u64>)> {
    let (part, whole) = reply.header("content-range")?.strip_prefix("bytes ")?.split_once('/')?;
    let begin: u64 = part.split_once('-')?.0.parse().ok()?;
    (begin == there).then(|| (begin, whole.parse().ok()))
}

fn refusal(status: u16, location: Option<&str>) -> String {
    match (status, location) {
        (404 | 410, _) => {
            "it is not there, or no longer: files end after some weeks; ask for it again".into()
        }
        (300..400, Some(location)) => {
            format!("its server leads elsewhere ({location}); open that in a browser")
        }
        (429 | 503, _) => format!("its server is busy ({status}); try again later"),
        (status, _) => format!("its server refuses it ({status})"),
    }
}

async fn receive(
    reply: &mut Reply,
    file: &mut File,
    (begin, total): (u64, Option<u64>),
    name: &str,
    out: &Sender<News>,
) -> Result<(), String> {
    let (mut done, mut before, mut said) = (begin, begin, Instant::now());
    let goes_on = "/get again goes on where it ended";
    while let Some(piece) = reply.piece().await.map_err(|error| format!("{error}; {goes_on}"))? {
        file.write_all(&piece).map_err(|error| format!("it can't be written ({error}); {goes_on}"))?;
        done += piece.len() as u64;
        if done > total.unwrap_or(FILE_BYTES_MAX) {
            return Err("more came than was announced".into());
        }
        let is_whole = Some(done) == total;
        if is_whole || said.elapsed() > GLANCE {
            let moved = Moved { name: name.to_owned(), done, total: total.unwrap_or(done), before };
            let _ = out.send(News::Moved(moved)).await;
            (before, said) = (done, Instant::now());
        }
    }
    match total {
        Some(total) if done < total => Err(format!("the connection ended before its end; {goes_on}")),
        _ => Ok(()),
    }
}

/// Gives it its name, or one like it that is free.
fn settle(part: &Path, folder: &Path, name: &str) -> io::Result<PathBuf> {
    for n in 1..=SAME_MAX {
        let path = folder.join(numbered(name, n));
        // Whoever makes it has it: nobody else's file is replaced afterwards.
        match OpenOptions::new().write(true).create_new(true).open(&path) {
            Ok(_) => return fs::rename(part, &path).map(|()| path),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
    Err(io::Error::new(io::ErrorKind::AlreadyExists, format!("there are {SAME_MAX} files of that name")))
}

fn numbered(name: &str, n: u32) -> String {
    match (n, name.rsplit_once('.')) {
        (1, _) => name.to_owned(),
        (n, Some((stem, extension))) if !stem.is_empty() => format!("{stem} ({n}).{extension}"),
        (n, _) => format!("{name} ({n})"),
    }
}

/// Of this link and no other.
fn part_of(url: &str, name: &str) -> String {
    let [a, b, c, d, ..]: [u8; 32] = Sha256::digest(url.as_bytes()).into();
    format!(".{name}.{a:02x}{b:02x}{c:02x}{d:02x}.part")
}

/// What the file is called here: the last part of the link's path, without what leads elsewhere or is not seen.
fn name_of(url: &str) -> String {
    let path = url.split(['?', '#']).next().unwrap_or_default();
    let last = path.split_once("://").map_or(path, |(_, rest)| rest);
    let last = last.split_once('/').map_or("", |(_, path)| path).rsplit('/').next().unwrap_or_default();
    let decoded = decoded(last);
    let is_seen = |c: char| {
        !c.is_control()
            && !matches!(c, '\u{200B}'..='\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}' | '\u{FEFF}')
    };
    // Of a name that is a path again, the last part.
    let own = decoded.rsplit(['/', '\\']).next().unwrap_or_default();
    let own: String = own.chars().filter(|c| is_seen(*c)).collect();
    let own = own.trim().trim_start_matches('.').trim_end_matches(['.', ' ']);
    if own.is_empty() {
        return "file".into();
    }
    let (stem, extension) = match own.rsplit_once('.') {
        Some((stem, extension)) if extension.len() <= 16 => (stem, format!(".{extension}")),
        _ => (own, String::new()),
    };
    let mut end = stem.len().min(NAME_BYTES_MAX - extension.len());
    while !stem.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}{extension}", &stem[..end])
}

/// Percent-encoding undone (RFC 3986 §2.1).
fn decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let hex = tail.get(..2).filter(|_| *first == b'%').and_then(|hex| std::str::from_utf8(hex).ok());
        let byte = hex.filter(|hex| hex.bytes().all(|b| b.is_ascii_hexdigit()));
        match byte.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = &tail[2..];
            }
            None => {
                bytes.push(*first);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_leads_out_of_the_folder() {
        for (url, name) in [
            ("https://x/media/1/a%20picture.jpg?slot=1#k", "a picture.jpg"),
            ("https://x/..%2F..%2Fetc%2Fpasswd", "passwd"),
            ("https://x/a/..", "file"),
            ("https://x/%2e%2e", "file"),
            ("https://x/.bashrc", "bashrc"),
            ("https://x/..%5C..%5Cevil.exe", "evil.exe"),
            ("https://x/a%00%0a%1bb.png", "ab.png"),
            ("https://x/%E2%80%AEgpj.exe", "gpj.exe"),
            ("https://x/%zz%4", "%zz%4"),
            ("https://x", "file"),
            ("https://x/", "file"),
        ] {
            assert_eq!(name_of(url), name, "{url}");
            assert!(!part_of(url, &name_of(url)).contains('/'));
        }
        let long = name_of(&format!("https://x/{}.jpg", "%C3%A4".repeat(200)));
        assert!(long.len() <= NAME_BYTES_MAX && long.ends_with("ä.jpg"), "{long}");
        assert_ne!(part_of("https://x/1/a", "a"), part_of("https://x/2/a", "a"));
    }

    #[test]
    fn nothing_is_written_over() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("a.jpg"), "mine").unwrap();
        for (n, name) in [(1, "a (2).jpg"), (2, "a (3).jpg")] {
            let part = dir.path().join("part");
            fs::write(&part, format!("{n}")).unwrap();
            assert_eq!(settle(&part, dir.path(), "a.jpg").unwrap(), dir.path().join(name));
        }
        assert_eq!(fs::read_to_string(dir.path().join("a.jpg")).unwrap(), "mine");
        assert_eq!(fs::read_to_string(dir.path().join("a (2).jpg")).unwrap(), "1");
        assert_eq!((numbered("a", 2), numbered(".a", 2)), ("a (2)".into(), ".a (2)".into()));
    }

    /// A server that gives each connection one of these answers; what it was asked.
    fn serve(answers: &'static [&'static str]) -> (String, std::thread::JoinHandle<Vec<String>>) {
        use std::io::{BufRead, BufReader};
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/media/1/a.txt", listener.local_addr().unwrap());
        let asked = std::thread::spawn(move || {
            let answer = |answer: &&str| {
                let (mut stream, _) = listener.accept().unwrap();
                let lines = BufReader::new(stream.try_clone().unwrap()).lines().map_while(Result::ok);
                let asked: Vec<String> = lines.take_while(|line| !line.is_empty()).collect();
                stream.write_all(answer.as_bytes()).unwrap();
                asked.join("\n").to_lowercase()
            };
            answers.iter().map(answer).collect()
        });
        (url, asked)
    }

    #[tokio::test]
    async fn a_download_goes_on_where_it_ended() {
        let (url, asked) = serve(&[
            "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n01234",
            "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 5-9/10\r\nContent-Length: 5\r\n\r\n56789",
            "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 1-9/10\r\nContent-Length: 9\r\n\r\nXXXXXXXXX",
            "HTTP/1.1 416 Range Not Satisfiable\r\nContent-Range: bytes */10\r\nContent-Length: 0\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc",
        ]);
        let dir = tempfile::tempdir().unwrap();
        let (out, _news) = tokio::sync::mpsc::channel(100);
        let get = || {
            let trust = Trust::anybody_on_loopback();
            Download { url: url.clone(), folder: dir.path().into(), trust }.run(&out)
        };
        let part = dir.path().join(part_of(&url, "a.txt"));
        assert!(get().await.unwrap_err().contains("goes on where it ended"));
        assert_eq!(fs::read_to_string(&part).unwrap(), "01234");
        let whole = get().await.unwrap();
        assert_eq!(fs::read_to_string(&whole).unwrap(), "0123456789");
        assert!(!part.exists());
        fs::write(&part, "0123456789").unwrap();
        assert!(get().await.unwrap_err().contains("another part"));
        // All had come, and the end was not seen.
        assert_eq!(get().await.unwrap(), dir.path().join("a (2).txt"));
        // A server without ranges.
        fs::write(&part, "01234").unwrap();
        let anew = get().await.unwrap();
        assert_eq!(fs::read_to_string(anew).unwrap(), "abc");
        assert_eq!(fs::read_to_string(whole).unwrap(), "0123456789", "nothing is written over");
        let asked = asked.join().unwrap();
        assert!(!asked[0].contains("range:") && asked[1].contains("range: bytes=5-"), "{asked:?}");
    }
}
