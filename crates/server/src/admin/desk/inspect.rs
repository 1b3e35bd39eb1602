//! What an operator may see of what the owners do and have in memory: the trace of an account, dumps.

use super::{Desk, DeskError};
use crate::admin::protocol::{Reply, Request, TraceEventView, TraceView};
use chaski_services::account::name::AccountName;
use chaski_services::effects::turn::command::{DumpAccount, DumpShard, Dumped, Trace};
use chaski_services::trace::TracePage;
use chaski_store::AccountId;
use serde_json::Value;
use std::collections::BTreeSet;

/// After so many accounts without a further shard, all shards have been found.
const TRIES: u64 = 256;
/// The first number that may be an account.
const FIRST_NUMBER: u64 = 10_000;

impl Desk {
    pub(super) fn inspect(&self, request: Request) -> Result<Reply, DeskError> {
        match request {
            Request::Trace { name, after } => self.trace(&name, after),
            Request::DumpAccount { name } => {
                self.stored(&name)?;
                dumped(self.owners()?.ask(name.account(), DumpAccount)?)
            }
            Request::DumpShard { shard } => self.dump_shard(shard),
            _ => Err(DeskError::NotUnderstood("nothing to look at".into())),
        }
    }

    fn trace(&self, name: &AccountName, after: u64) -> Result<Reply, DeskError> {
        self.stored(name)?;
        let TracePage { events, next, missed } = self.owners()?.ask(name.account(), Trace { after })?;
        let now = self.time.now();
        let view = |unix_ms, what| TraceEventView { unix_ms: now.shown(unix_ms), what };
        let events = events.into_iter().map(|event| view(event.unix_ms, event.what)).collect();
        Ok(Reply::Trace(TraceView { events, next, missed }))
    }

    /// Dumps a shard by a number that it would own, whether there is such an account or not.
    fn dump_shard(&self, shard: u64) -> Result<Reply, DeskError> {
        let owners = self.owners()?;
        let (mut seen, mut number, mut last) = (BTreeSet::new(), FIRST_NUMBER, FIRST_NUMBER);
        while number < last + TRIES {
            let Some(account) = AccountId::phone(number) else { break };
            let Reply::Dump(dump) = dumped(owners.ask(account, DumpShard)?)? else { break };
            let found = dump["shard"].as_u64();
            if found == Some(shard) {
                return Ok(Reply::Dump(dump));
            }
            if seen.insert(found) {
                last = number;
            }
            number += 1;
        }
        Err(DeskError::NotUnderstood(format!("there is no shard {shard}: there are {}, from 0", seen.len())))
    }
}

fn dumped(dumped: Dumped) -> Result<Reply, DeskError> {
    let dump: Value =
        serde_json::from_str(&dumped.0).map_err(|error| DeskError::NotUnderstood(error.to_string()))?;
    Ok(Reply::Dump(dump))
}
