//! The end of an account and its beginning anew, or another key for it: what of before must not live on (docs/promises.md, A1, A2).

use super::Peer;
use crate::accounts;
use chaski_client::message::Received;
use chaski_client::{Client, Event, UNMARKED};
use rand::RngExt;
use std::time::Duration;
use tokio::time::{sleep, timeout};

/// Most time for the server's answer.
const ANSWER: Duration = Duration::from_secs(30);
/// Attempts to learn, by logging in, whether a removal was carried out whose answer was lost.
const ATTEMPTS_MAX: u32 = 100;
const ID: &str = "remove";

impl Peer {
    /// Removal and a new account, or a new key for the old one.
    pub(super) async fn renew(&mut self, away: Duration) {
        if self.rng.random_bool(0.5) {
            self.replace_key(away).await;
        } else {
            self.remove_and_return(away).await;
        }
    }

    async fn replace_key(&mut self, away: Duration) {
        let key = self.new_key();
        if !self.give_key(&key).await {
            return;
        }
        self.client.disconnect();
        self.client.forget_session();
        self.client.settings_mut().key = key;
        self.witness().key_changed(self.index);
        self.stay_away(away).await;
    }

    async fn remove_and_return(&mut self, away: Duration) {
        self.witness().leaving(self.index);
        if !self.is_removed_in_band().await && !self.is_refused().await {
            let index = self.index;
            return self.witness().note(format!("peer {index}: its account was neither removed nor kept"));
        }
        self.witness().removed(self.index);
        let mut settings = self.client.settings_mut().clone();
        self.stay_away(away).await;
        settings.key = self.new_key();
        let key = settings.key.clone();
        if self.give_key(&key).await {
            self.client = Client::new(settings);
            self.witness().made(self.index);
        }
    }

    /// Asks for it (XEP-0077 §3.2), and whether the answer says that it is done.
    async fn is_removed_in_band(&mut self) -> bool {
        let remove =
            format!("<iq type='set' id='{ID}'><query xmlns='jabber:iq:register'><remove/></query></iq>");
        if self.client.send(UNMARKED, remove.into_bytes()).is_err() {
            return false;
        }
        let answer = async {
            while let Ok(event) = self.client.next().await {
                match event {
                    Event::Accepted(marks) => self.witness().accepted(self.index, &marks),
                    Event::Stanza(element) => {
                        let stanza = element.stanza();
                        if let Some(received) = Received::read(&stanza) {
                            self.witness().received(self.index, &received);
                        } else if stanza.id().as_deref() == Some(ID) {
                            return stanza.attr("type").as_deref() == Some("result");
                        }
                    }
                }
            }
            false
        };
        let is_done = timeout(ANSWER, answer).await.unwrap_or(false);
        self.client.disconnect();
        self.client.forget_session();
        is_done
    }

    /// The answer was lost: whether the account lets nobody in any more.
    async fn is_refused(&mut self) -> bool {
        for _ in 0..ATTEMPTS_MAX {
            match self.client.connect().await {
                Err(error) if error.is_final() => return true,
                Ok(_) if self.is_removed_in_band().await => return true,
                _ => sleep(Duration::from_millis(100)).await,
            }
        }
        false
    }

    async fn give_key(&mut self, key: &str) -> bool {
        let number = accounts::number(self.index);
        let given = self.rig.ctl(&["account", "add", &number, "--key", key, "--iterations", "1"]).await;
        if let Err(error) = given {
            self.witness().note(format!("peer {}: {error}", self.index));
            return false;
        }
        true
    }

    fn new_key(&mut self) -> String {
        accounts::key(self.rng.random(), self.index)
    }

    async fn stay_away(&self, away: Duration) {
        // What was sent to the old account must not meet the new one.
        sleep(away).await;
    }
}
