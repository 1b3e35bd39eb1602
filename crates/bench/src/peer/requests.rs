//! Asking for much at once: requests whose answers together are more than a session may have unacknowledged.
//!
//! A client may do that (a roster, avatars and key bundles at a login), and no session may end for it (docs/promises.md, M8).

use super::Peer;
use chaski_client::{ClientError, UNMARKED};
use rand::RngExt;
use rand::rngs::StdRng;
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout_at};

/// More than the stanzas that the server lets a session have unacknowledged.
const PINGS: usize = 1_100;
/// Requests for a large item; their answers are more than the bytes that it lets it have.
const PICTURES: usize = 6;
const PICTURE_BYTES: usize = 120_000;
/// How long the client does not read what comes.
const DEAF: Duration = Duration::from_millis(300);
/// How long it takes to write the requests.
const WRITING: Duration = Duration::from_millis(30);

/// From one burst to the next.
pub(super) fn pause(rng: &mut StdRng) -> Duration {
    Duration::from_millis(rng.random_range(1_500..6_000))
}

impl Peer {
    /// One burst, and then the client is busy with something else for a moment.
    pub(super) async fn ask(&mut self) -> Result<(), ClientError> {
        if self.rng.random_bool(0.5) {
            for index in 0..PINGS {
                let ping = format!("<iq type='get' id='ping{index}'><ping xmlns='urn:xmpp:ping'/></iq>");
                self.request(ping)?;
            }
        } else {
            self.request(publish())?;
            for index in 0..PICTURES {
                self.request(format!(
                    "<iq type='get' id='picture{index}'><pubsub xmlns='http://jabber.org/protocol/pubsub'>\
                     <items node='urn:example:picture'/></pubsub></iq>"
                ))?;
            }
        }
        let until = Instant::now() + WRITING;
        while let Ok(heard) = timeout_at(until, self.hear()).await {
            heard?;
        }
        sleep(DEAF).await;
        Ok(())
    }

    fn request(&mut self, stanza: String) -> Result<(), ClientError> {
        self.client.send(UNMARKED, stanza.into_bytes())
    }
}

fn publish() -> String {
    format!(
        "<iq type='set' id='publish'><pubsub xmlns='http://jabber.org/protocol/pubsub'><publish node='urn:example:picture'>\
         <item id='current'><picture xmlns='urn:example:picture'>{}</picture></item></publish></pubsub></iq>",
        "A".repeat(PICTURE_BYTES)
    )
}
