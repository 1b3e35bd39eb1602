//! The implementation of [`Wire`] for a shard: its connections and the other shards' inboxes.

use super::connection::Stage;
use super::{Answer, Clients};
use crate::websocket;
use chaski_services::effects::letter::Envelope;
use chaski_services::effects::login::Verdict;
use chaski_services::owner::wire::Wire;
use chaski_services::wire::{ConnId, StreamEnd};
use chaski_xmpp::StreamCondition;

impl Wire for Clients {
    fn write(&mut self, conn: ConnId, element: &[&[u8]]) {
        let Some(connection) = self.table.get_mut(conn) else { return };
        let is_websocket = connection.flags.websocket;
        match &mut connection.stage {
            Stage::Ending => return,
            // The client has to be told of its session first, in this same turn.
            Stage::Login(login) if is_websocket => {
                return websocket::write_element(&mut login.early, element);
            }
            Stage::Login(login) => return login.early.extend_from_slice(&element.concat()),
            Stage::Handshake | Stage::Live(_) => {}
        }
        if is_websocket {
            self.append(conn, |buffer| websocket::write_element(buffer, element));
        } else {
            self.append(conn, |buffer| element.iter().for_each(|piece| buffer.extend_from_slice(piece)));
        }
    }

    fn unsent_bytes(&self, conn: ConnId) -> usize {
        self.table.get(conn).map_or(0, |connection| connection.unsent_bytes())
    }

    fn pause(&mut self, conn: ConnId) {
        if let Some(connection) = self.table.get_mut(conn) {
            connection.flags.paused = true;
        }
    }

    fn go_on(&mut self, conn: ConnId) {
        let Some(connection) = self.table.get_mut(conn) else { return };
        if std::mem::take(&mut connection.flags.paused) {
            // Input that was kept is handled when the present call is over.
            self.answers.push_back((conn, Answer::GoOn));
        }
    }

    fn confirm(&mut self, conn: ConnId) {
        let Some(connection) = self.table.get_mut(conn) else { return };
        if !connection.flags.confirming {
            connection.flags.confirming = true;
            self.confirming.push_back(conn);
        }
    }

    fn close(&mut self, conn: ConnId, error: Option<StreamEnd>) {
        match error {
            Some(StreamEnd { too_high: Some(too_high), .. }) => self.end_too_high(conn, too_high),
            Some(end) => {
                let condition =
                    StreamCondition::from_name(end.condition).unwrap_or(StreamCondition::UndefinedCondition);
                self.end_stream(conn, Some((condition, end.text.as_deref())));
            }
            None => self.end_stream(conn, None),
        }
    }

    fn verdict(&mut self, conn: ConnId, number: u32, verdict: Verdict) {
        self.answers.push_back((conn, Answer::Verdict(number, verdict)));
    }

    fn forward(&mut self, envelope: Envelope) -> Result<(), Envelope> {
        // All places that the map knows are shards of this process. An envelope that names another run is dropped where it
        // arrives.
        let target = usize::from(envelope.to().shard.0);
        let waiting = self.outgoing[target].len() + 1;
        if !self.peers.inboxes[target].has_room_for(waiting) {
            self.metrics.forward_refused_total.inc();
            return Err(envelope);
        }
        self.outgoing[target].push(envelope);
        Ok(())
    }
}
