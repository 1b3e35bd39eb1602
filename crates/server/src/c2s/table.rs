//! The connections of one shard, by [`ConnId`]: a slab in chunks, so that growing to a million never copies one.
//!
//! An id is a slot and the slot's generation; a stale id finds nothing. Ids double as epoll tokens.

use super::connection::Connection;
use chaski_services::wire::ConnId;
use mio::Token;

const CHUNK: usize = 1024;

struct Slot {
    /// The generation of the present or next connection in this slot. Never 0: tokens below 2^32 belong to the listeners and the
    /// waker.
    generation: u32,
    connection: Option<Connection>,
}

/// See the module.
#[derive(Default)]
pub(crate) struct Table {
    chunks: Vec<Box<[Slot]>>,
    free: Vec<u32>,
    len: usize,
}

impl Table {
    /// How many connections there are.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Puts a connection in.
    pub(crate) fn insert(&mut self, connection: Connection) -> ConnId {
        if self.free.is_empty() {
            self.grow();
        }
        let index = self.free.pop().expect("grow leaves free slots");
        let slot = self.slot_mut(index);
        slot.connection = Some(connection);
        let generation = slot.generation;
        self.len += 1;
        ConnId(u64::from(generation) << 32 | u64::from(index))
    }

    fn grow(&mut self) {
        let first = (self.chunks.len() * CHUNK) as u32;
        self.chunks.push((0..CHUNK).map(|_| Slot { generation: 1, connection: None }).collect());
        // The lowest slot is used first, so that connections stay together in few pages.
        self.free.extend((first..first + CHUNK as u32).rev());
    }

    fn slot_mut(&mut self, index: u32) -> &mut Slot {
        &mut self.chunks[index as usize / CHUNK][index as usize % CHUNK]
    }

    /// The connection, if it is still there.
    pub(crate) fn get(&self, conn: ConnId) -> Option<&Connection> {
        let (index, generation) = split(conn);
        let slot = self.chunks.get(index as usize / CHUNK)?.get(index as usize % CHUNK)?;
        (slot.generation == generation).then_some(slot.connection.as_ref()?)
    }

    /// The connection, if it is still there.
    pub(crate) fn get_mut(&mut self, conn: ConnId) -> Option<&mut Connection> {
        let (index, generation) = split(conn);
        let slot = self.chunks.get_mut(index as usize / CHUNK)?.get_mut(index as usize % CHUNK)?;
        if slot.generation != generation {
            return None;
        }
        slot.connection.as_mut()
    }

    /// Takes the connection out; its id is void from now on.
    pub(crate) fn remove(&mut self, conn: ConnId) -> Option<Connection> {
        let (index, generation) = split(conn);
        let slot = self.chunks.get_mut(index as usize / CHUNK)?.get_mut(index as usize % CHUNK)?;
        if slot.generation != generation {
            return None;
        }
        let connection = slot.connection.take()?;
        slot.generation = slot.generation.checked_add(1).unwrap_or(1);
        self.free.push(index);
        self.len -= 1;
        Some(connection)
    }

    /// The ids of all connections.
    pub(crate) fn ids(&self) -> Vec<ConnId> {
        let slots = self.chunks.iter().flatten().enumerate();
        slots
            .filter(|(_, slot)| slot.connection.is_some())
            .map(|(index, slot)| ConnId(u64::from(slot.generation) << 32 | index as u64))
            .collect()
    }
}

fn split(conn: ConnId) -> (u32, u32) {
    (conn.0 as u32, (conn.0 >> 32) as u32)
}

/// The epoll token of a connection.
pub(crate) fn token(conn: ConnId) -> Token {
    Token(conn.0 as usize)
}
