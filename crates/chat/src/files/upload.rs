//! `/file PATH`: hashes a file, asks for a slot, puts it there if the server wants it, and has the message that shares it sent.
//!
//! The hash is said with the request (docs/protocol.md "Uploads"): what this account has sent before moves no byte.

use super::bar::Moved;
use super::{News, ask};
use chaski_client::files::{Content, request};
use chaski_client::sharing::{self, Service, Shared, Slot};
use chaski_client::{Trust, message};
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::{Read, Seek};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::mpsc::Sender;

/// How often it is said how far it has got.
const GLANCE: Duration = Duration::from_millis(100);
/// What is read of a refusal.
const REFUSAL_BYTES_MAX: usize = 512;

/// See the module.
pub struct Upload {
    /// Which file.
    pub path: PathBuf,
    /// For whom.
    pub to: String,
    /// The address that slots are asked of.
    pub host: String,
    /// Whom to believe.
    pub trust: Trust,
}

impl Upload {
    /// Until the message is ready, or why it is not.
    pub(super) async fn run(self, out: &Sender<News>) -> Result<(), String> {
        let service = self.service(out).await?;
        let path = self.path.clone();
        let read =
            tokio::task::spawn_blocking(move || read(&path)).await.map_err(|error| error.to_string())?;
        let (file, shared) = read.map_err(|why| format!("{}: {why}", self.path.display()))?;
        if let Some(most) = service.max_file_bytes.filter(|most| shared.size > *most) {
            let (size, most) = (super::bar::amount(shared.size), super::bar::amount(most));
            return Err(format!(
                "{} has {size}, and the server takes files of at most {most}; send a smaller one",
                shared.name
            ));
        }
        let id = message::new_id();
        let answer = ask(out, &id, sharing::ask_slot(&self.host, &id, &shared, &service)).await?;
        let slot = sharing::read_slot(&answer.stanza())
            .map_err(|why| format!("{} was not sent: the server gives no room for it: {why}", shared.name))?;
        if slot.is_finished {
            let said = format!(
                "  {}: the server has it from you already; nothing needs to be uploaded",
                shared.name
            );
            let _ = out.send(News::Say(said)).await;
        } else {
            self.put(&slot, file, &shared, out).await?;
        }
        let id = message::new_id();
        let stanza = sharing::message(&self.to, &id, &slot.get, &shared, &service);
        let _ = out.send(News::Send { to: self.to, id, stanza, url: slot.get }).await;
        Ok(())
    }

    async fn service(&self, out: &Sender<News>) -> Result<Service, String> {
        let id = message::new_id();
        let answer = ask(out, &id, sharing::ask_service(&self.host, &id)).await?;
        sharing::read_service(&answer.stanza()).ok_or_else(|| {
            format!("this server takes no files at {}; send a link instead, by /link URL", self.host)
        })
    }

    async fn put(&self, slot: &Slot, file: File, shared: &Shared, out: &Sender<News>) -> Result<(), String> {
        let moved = Arc::new(AtomicU64::new(0));
        let content = Content::File(file, shared.size, moved.clone());
        let mut headers: Vec<(&str, &str)> =
            slot.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        headers.push(("content-type", shared.media_type));
        let mut put = std::pin::pin!(request("PUT", &slot.put, &self.trust, &headers, content));
        let (mut before, total) = (0, shared.size);
        let reply = loop {
            let reply = tokio::select! {
                reply = &mut put => Some(reply),
                () = tokio::time::sleep(GLANCE) => None,
            };
            let done = moved.load(Ordering::Relaxed);
            if done > before {
                let _ = out.send(News::Moved(Moved { name: shared.name.clone(), done, total, before })).await;
                before = done;
            }
            if let Some(reply) = reply {
                break reply;
            }
        };
        let again = "type /file again to try once more";
        let mut reply =
            reply.map_err(|error| format!("{} was not uploaded: {error}; {again}", shared.name))?;
        if matches!(reply.status(), 200 | 201) {
            return Ok(());
        }
        let said = reply.bytes(REFUSAL_BYTES_MAX).await.unwrap_or_default();
        let (status, said) = (reply.status(), String::from_utf8_lossy(&said).trim().to_owned());
        Err(format!("{} was not uploaded: the server refused it ({status}) {said} {again}", shared.name))
    }
}

/// The file, at its beginning, and what there is to say of it.
fn read(path: &Path) -> Result<(File, Shared), String> {
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned());
    let name = name.ok_or("that is no file; type /file and its path")?;
    let cannot =
        |error: std::io::Error| format!("it can't be read ({error}); look at its path and its permissions");
    let about = std::fs::metadata(path).map_err(cannot)?;
    if !about.is_file() {
        return Err("that is no file; pack a folder first".into());
    }
    if about.len() == 0 {
        return Err("it is empty, and empty files can't be sent".into());
    }
    let mut file = File::open(path).map_err(cannot)?;
    let (mut hasher, mut size) = (Sha256::new(), 0);
    let mut piece = vec![0; 64 * 1024];
    loop {
        match file.read(&mut piece).map_err(cannot)? {
            0 => break,
            bytes => {
                hasher.update(&piece[..bytes]);
                size += bytes as u64;
            }
        }
    }
    file.rewind().map_err(cannot)?;
    let media_type = sharing::media_type(&name);
    Ok((file, Shared { name, size, media_type, sha256: hasher.finalize().into() }))
}
