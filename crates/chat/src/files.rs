//! Files of the chat: which ones were sent and received, under which numbers, and what is being carried.
//!
//! Owned by the session, which shows what [`Files::news`] says. A transfer is a task of its own ([`upload`], [`download`]), so that
//! chatting goes on meanwhile; what it wants to ask the server goes through the session. Promises: [`TRANSFERS_MAX`] at once; a number is
//! given once; the end of the input waits for what is being carried.

pub mod bar;
pub mod download;
pub mod upload;

use chaski_client::{Element, Trust};
use chaski_xmpp::{Kind, Stanza};
use std::collections::VecDeque;
use std::path::PathBuf;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};

/// Transfers at once; whoever wants more is asked to wait.
pub const TRANSFERS_MAX: usize = 4;
/// Links that can be fetched by their number. Older ones are forgotten.
const LINKS_MAX: usize = 1_000;
/// What tasks may say ahead of its being shown; then they wait.
const NEWS_MAX: usize = 64;
/// How long the server may take for an answer.
const ANSWER_TIME: Duration = Duration::from_secs(60);

/// What a transfer says.
#[derive(Debug)]
pub enum News {
    /// This is to be asked of the server, with this id; the answer goes there.
    Ask(String, Vec<u8>, oneshot::Sender<Element>),
    /// So far it has got.
    Moved(bar::Moved),
    /// A message for this partner, under this id, is ready to go.
    Send {
        /// To whom.
        to: String,
        /// The stanza's id.
        id: String,
        /// The stanza.
        stanza: Vec<u8>,
        /// What it shares.
        url: String,
    },
    /// A line for the user.
    Say(String),
    /// It is over.
    Over,
}

/// See the module.
#[derive(Debug)]
pub struct Files {
    /// Where downloads go.
    pub folder: PathBuf,
    /// Whom to believe.
    trust: Option<Trust>,
    links: VecDeque<String>,
    /// Links that came before those.
    forgotten: usize,
    waiting: Vec<(String, oneshot::Sender<Element>)>,
    carried: usize,
    sender: mpsc::Sender<News>,
    receiver: mpsc::Receiver<News>,
}

impl Files {
    /// None so far.
    pub fn new(folder: PathBuf, trust: Option<Trust>) -> Self {
        let (sender, receiver) = mpsc::channel(NEWS_MAX);
        Self {
            folder,
            trust,
            links: VecDeque::new(),
            forgotten: 0,
            waiting: Vec::new(),
            carried: 0,
            sender,
            receiver,
        }
    }

    /// Notes a link; its number.
    pub fn note(&mut self, link: &str) -> usize {
        if self.links.len() == LINKS_MAX {
            self.links.pop_front();
            self.forgotten += 1;
        }
        self.links.push_back(link.to_owned());
        self.forgotten + self.links.len()
    }

    /// The link with this number, or why there is none.
    fn link(&self, number: usize) -> Result<&str, String> {
        let last = self.forgotten + self.links.len();
        let at = number.checked_sub(self.forgotten + 1).and_then(|at| self.links.get(at));
        at.map(String::as_str).ok_or_else(|| match last {
            0 => "there is no file in this chat so far; a number stands behind each that comes".into(),
            _ if number > 0 && number <= self.forgotten => {
                format!("file {number} was too long ago to be known")
            }
            _ => format!("there is no file {number}; the last one is {last}"),
        })
    }

    /// Whether something is being carried.
    pub fn is_busy(&self) -> bool {
        self.carried > 0
    }

    /// What a transfer says next. Can be dropped half way.
    pub async fn news(&mut self) -> News {
        let news = self.receiver.recv().await.unwrap_or(News::Over);
        self.carried -= usize::from(matches!(news, News::Over));
        news
    }

    /// Uploads a file and shares it with this partner.
    pub fn upload(&mut self, path: PathBuf, to: &str, host: String) -> Result<(), String> {
        let trust = self.begin()?;
        let upload = upload::Upload { path, to: to.to_owned(), host, trust };
        let out = self.sender.clone();
        tokio::spawn(async move {
            if let Err(why) = upload.run(&out).await {
                let _ = out.send(News::Say(format!("✗  {why}"))).await;
            }
            let _ = out.send(News::Over).await;
        });
        Ok(())
    }

    /// Downloads the file with this number.
    pub fn download(&mut self, number: usize) -> Result<(), String> {
        let url = self.link(number)?.to_owned();
        let trust = self.begin()?;
        let download = download::Download { url, folder: self.folder.clone(), trust };
        let out = self.sender.clone();
        tokio::spawn(async move {
            let said = match download.run(&out).await {
                Ok(path) => format!("  file {number} is {}", path.display()),
                Err(why) => format!("✗  file {number} was not fetched: {why}"),
            };
            let _ = out.send(News::Say(said)).await;
            let _ = out.send(News::Over).await;
        });
        Ok(())
    }

    /// A place for one more.
    fn begin(&mut self) -> Result<Trust, String> {
        if self.carried == TRANSFERS_MAX {
            return Err(format!("{TRANSFERS_MAX} files are being carried; wait until one of them is done"));
        }
        let trust = match &self.trust {
            Some(trust) => trust.clone(),
            None => Trust::system().map_err(|error| error.to_string())?,
        };
        self.carried += 1;
        Ok(trust)
    }

    /// Something was asked with this id.
    pub fn await_answer(&mut self, id: String, reply: oneshot::Sender<Element>) {
        // Whoever waits no longer has dropped the other end.
        self.waiting.retain(|(_, reply)| !reply.is_closed());
        self.waiting.push((id, reply));
    }

    /// Whether this is an answer that a transfer waits for: then it has it.
    pub fn take(&mut self, stanza: &Stanza<'_>, element: &Element) -> bool {
        let is_answer =
            stanza.kind() == Kind::Iq && matches!(stanza.type_attr().as_deref(), Some("result" | "error"));
        let id = stanza.id();
        let at =
            self.waiting.iter().position(|(waiting, _)| is_answer && Some(waiting.as_str()) == id.as_deref());
        let Some(at) = at else { return false };
        let _ = self.waiting.swap_remove(at).1.send(element.clone());
        true
    }
}

/// Asks the server through the session.
async fn ask(out: &mpsc::Sender<News>, id: &str, stanza: Vec<u8>) -> Result<Element, String> {
    let (reply, answer) = oneshot::channel();
    let _ = out.send(News::Ask(id.to_owned(), stanza, reply)).await;
    let late = || "the server did not answer within a minute; try again".to_owned();
    tokio::time::timeout(ANSWER_TIME, answer).await.map_err(|_| late())?.map_err(|_| late())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_given_once() {
        let mut files = Files::new(PathBuf::new(), None);
        assert!(files.link(1).unwrap_err().contains("no file in this chat"));
        for n in 1..=LINKS_MAX + 2 {
            assert_eq!(files.note(&format!("https://x/{n}")), n);
        }
        assert!(files.link(2).unwrap_err().contains("too long ago"));
        assert_eq!(files.link(3), Ok("https://x/3"));
        assert_eq!(files.link(LINKS_MAX + 2).unwrap(), format!("https://x/{}", LINKS_MAX + 2));
        assert!(files.link(0).is_err() && files.link(LINKS_MAX + 3).unwrap_err().contains("the last one is"));
    }
}
