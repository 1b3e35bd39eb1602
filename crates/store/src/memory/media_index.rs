//! The index of media in memory: maps, looked through from end to end where SQLite has an index.

use super::{State, lock};
use crate::media::{
    Answer, Blocked, COUNTED_MAX, Content, Digest, Due, Edit, Index, Lying, Name, ObjectId, Place, Query,
    Reference, Refused, Source, Standing, Usage, charge,
};
use crate::records::{self, Table, Versioned};
use crate::{AccountId, StoreError};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

/// The rows.
#[derive(Default)]
pub(super) struct Media {
    references: BTreeMap<Name, Reference>,
    objects: BTreeMap<ObjectId, Object>,
    doomed: BTreeMap<ObjectId, Place>,
    blocked: BTreeMap<Digest, Block>,
    /// Names that are not given again, and until when.
    removed: BTreeMap<Name, u64>,
}

struct Block {
    since_unix_ms: u64,
    reason: Box<str>,
    is_new: bool,
}

struct Object {
    content: Content,
    uses: usize,
    is_new: bool,
    place: Place,
}

impl Media {
    pub(super) fn owners(&self) -> impl Iterator<Item = AccountId> {
        self.references.values().map(|reference| reference.owner)
    }

    pub(super) fn clear(&mut self, owner: AccountId) {
        let own = self.references.values().filter(|reference| reference.owner == owner);
        let own: Vec<Name> = own.map(|reference| reference.name).collect();
        own.into_iter().for_each(|name| self.drop_reference(name));
    }

    fn live(&self, name: Name, now_unix_ms: u64) -> Option<&Reference> {
        let found = self.references.get(&name).filter(|reference| is_live(reference, now_unix_ms))?;
        (!self.is_blocked(&found.content.sha256)).then_some(found)
    }

    fn is_blocked(&self, sha256: &Digest) -> bool {
        self.blocked.contains_key(sha256)
    }

    fn found(&self, owner: AccountId, source: Source, now_unix_ms: u64) -> Option<(Content, ObjectId)> {
        let found = match source {
            Source::Named(name) => self.live(name, now_unix_ms)?,
            Source::Own(content) if self.is_blocked(&content.sha256) => return None,
            Source::Own(content) => self.references.values().find(|reference| {
                reference.owner == owner && reference.content == content && is_live(reference, now_unix_ms)
            })?,
        };
        Some((found.content, found.object))
    }

    fn place(&self, object: ObjectId) -> Place {
        self.objects.get(&object).map(|object| object.place.clone()).unwrap_or_default()
    }

    fn owned(&self, owner: AccountId) -> u64 {
        let own = self.references.values().filter(|reference| reference.owner == owner);
        own.map(|reference| charge(reference.content.size)).sum()
    }

    fn add_reference(&mut self, reference: Reference) -> Answer {
        if let Some(object) = self.objects.get_mut(&reference.object) {
            object.uses += 1;
        }
        self.references.insert(reference.name, reference);
        Answer::Done(1)
    }

    fn drop_reference(&mut self, name: Name) {
        let Some(reference) = self.references.remove(&name) else { return };
        let Some(object) = self.objects.get_mut(&reference.object) else { return };
        object.uses -= 1;
        if object.uses == 0 {
            self.doom(reference.object);
        }
    }

    fn doom(&mut self, object: ObjectId) {
        if let Some(lying) = self.objects.remove(&object) {
            self.doomed.insert(object, lying.place);
        }
    }

    fn merge(&mut self, limit: usize) -> usize {
        let new = self.objects.iter().filter(|(_, object)| object.is_new).take(limit);
        let new: Vec<ObjectId> = new.map(|(id, _)| *id).collect();
        for id in &new {
            let Some(new) = self.objects.get(id) else { continue };
            let is_equal = |object: &Object| object.content == new.content && object.place == new.place;
            let others = self.objects.iter().filter(|(other, object)| *other != id && is_equal(object));
            let equal =
                others.min_by_key(|(other, object)| (object.is_new, **other)).map(|(other, _)| *other);
            let Some(equal) = equal else {
                self.objects.entry(*id).and_modify(|object| object.is_new = false);
                continue;
            };
            let mut moved = 0;
            for reference in self.references.values_mut().filter(|reference| reference.object == *id) {
                reference.object = equal;
                moved += 1;
            }
            self.objects.entry(equal).and_modify(|object| object.uses += moved);
            self.doom(*id);
        }
        new.len()
    }

    fn expire(&mut self, now_unix_ms: u64, limit: usize) -> usize {
        let ended = self.references.values().filter(|reference| !is_live(reference, now_unix_ms));
        let ended: Vec<Name> = ended.take(limit).map(|reference| reference.name).collect();
        ended.iter().for_each(|name| self.drop_reference(*name));
        let free = self.removed.iter().filter(|(_, until)| **until <= now_unix_ms);
        let free: Vec<Name> = free.take(limit).map(|(name, _)| *name).collect();
        free.iter().for_each(|name| _ = self.removed.remove(name));
        ended.len().max(free.len())
    }

    fn remove(&mut self, name: Name, until_unix_ms: u64) -> usize {
        let is_there = self.references.contains_key(&name);
        if is_there {
            self.drop_reference(name);
            self.removed.insert(name, until_unix_ms);
        }
        usize::from(is_there)
    }

    fn block(&mut self, blocked: Blocked, most: usize) -> Answer {
        let Blocked { sha256, since_unix_ms, reason } = blocked;
        if self.blocked.keys().filter(|other| **other != sha256).count() >= most {
            return Answer::Refused(Refused::Full);
        }
        let block = self.blocked.entry(sha256).or_insert_with(|| Block {
            since_unix_ms,
            reason: "".into(),
            is_new: true,
        });
        if !reason.is_empty() {
            block.reason = reason;
        }
        let uses = self.objects.values().filter(|object| object.content.sha256 == sha256);
        Answer::Done(uses.map(|object| object.uses).sum())
    }

    fn drop_blocked(&mut self, limit: usize) -> usize {
        let Some((sha256, block)) = self.blocked.iter_mut().find(|(_, block)| block.is_new) else { return 0 };
        let those = self.references.values().filter(|reference| reference.content.sha256 == *sha256);
        let those: Vec<Name> = those.take(limit).map(|reference| reference.name).collect();
        block.is_new = those.len() == limit;
        those.iter().for_each(|name| self.drop_reference(*name));
        those.len()
    }

    fn blocked(&self, after: Option<Digest>, limit: usize) -> Vec<Blocked> {
        let beyond = self.blocked.iter().filter(|(sha256, _)| after.is_none_or(|after| **sha256 > after));
        let shown = |(sha256, block): (&Digest, &Block)| Blocked {
            sha256: *sha256,
            since_unix_ms: block.since_unix_ms,
            reason: block.reason.clone(),
        };
        beyond.take(limit).map(shown).collect()
    }

    fn standing(&self, now_unix_ms: u64) -> Standing {
        let ends = || self.references.values().filter_map(|reference| reference.expires_unix_ms);
        Standing {
            doomed: self.doomed.len().min(COUNTED_MAX) as u64,
            ended: ends().filter(|at| *at <= now_unix_ms).count().min(COUNTED_MAX) as u64,
            blocked: self.blocked.len() as u64,
            next_expiry_unix_ms: ends().filter(|at| *at > now_unix_ms).min(),
        }
    }

    fn retire(&mut self, owner: AccountId, keep: usize, expires_unix_ms: u64) -> usize {
        let lasting =
            |reference: &&mut Reference| reference.owner == owner && reference.expires_unix_ms.is_none();
        let mut lasting: Vec<_> = self.references.values_mut().filter(lasting).collect();
        lasting.sort_by_key(|reference| (u64::MAX - reference.created_unix_ms, reference.name));
        lasting
            .into_iter()
            .skip(keep)
            .map(|reference| reference.expires_unix_ms = Some(expires_unix_ms))
            .count()
    }
}

fn is_live(reference: &Reference, now_unix_ms: u64) -> bool {
    reference.expires_unix_ms.is_none_or(|at| at > now_unix_ms)
}

impl State {
    pub(super) fn ask_media(&self, query: &Query) -> Answer {
        let media = &self.media;
        match query {
            Query::Reference { name, now_unix_ms } => {
                let lying =
                    |found: &Reference| Reference { place: media.place(found.object), ..found.clone() };
                Answer::Reference(media.live(*name, *now_unix_ms).map(lying).map(Box::new))
            }
            Query::Usage { owner, source, announced, now_unix_ms } => {
                let own = media.references.values().filter(|reference| reference.owner == *owner);
                let ends = own.filter_map(|reference| reference.expires_unix_ms);
                Answer::Usage(Usage {
                    bytes: media.owned(*owner),
                    next_expiry_unix_ms: ends.filter(|at| at > now_unix_ms).min(),
                    source: source
                        .and_then(|source| media.found(*owner, source, *now_unix_ms))
                        .map(|(content, _)| content),
                    is_blocked: announced.is_some_and(|sha256| media.is_blocked(&sha256)),
                })
            }
            Query::Due { now_unix_ms, place, after, limit } => Answer::Due(Due {
                has_new: media.objects.values().any(|object| object.is_new),
                has_ended: media.references.values().any(|reference| !is_live(reference, *now_unix_ms))
                    || media.removed.values().any(|until| until <= now_unix_ms),
                has_blocked: media.blocked.values().any(|block| block.is_new),
                doomed: media
                    .doomed
                    .iter()
                    .filter(|(id, at)| *at == place && after.is_none_or(|after| **id > after))
                    .map(|(id, _)| *id)
                    .take(*limit)
                    .collect(),
            }),
            Query::Known { objects } => {
                let known = objects.iter().filter(|object| media.objects.contains_key(object));
                Answer::Objects(known.copied().collect())
            }
            Query::Listed { objects } => {
                let is_listed = |object: &&ObjectId| {
                    media.objects.contains_key(object) || media.doomed.contains_key(object)
                };
                Answer::Objects(objects.iter().filter(is_listed).copied().collect())
            }
            Query::Lying { after, limit } => {
                let lying = |(id, object): (&ObjectId, &Object)| Lying {
                    object: *id,
                    place: object.place.clone(),
                    size: object.content.size,
                    uses: object.uses as u64,
                };
                let beyond = media.objects.iter().filter(|(id, _)| after.is_none_or(|after| **id > after));
                Answer::Lying(beyond.take(*limit).map(lying).collect())
            }
            Query::Places => {
                let objects = media.objects.values().map(|object| object.place.clone());
                let places: BTreeSet<Place> = objects.chain(media.doomed.values().cloned()).collect();
                Answer::Places(places.into_iter().collect())
            }
            Query::Blocked { after, limit } => Answer::Blocked(media.blocked(*after, *limit)),
            Query::Standing { now_unix_ms } => Answer::Standing(media.standing(*now_unix_ms)),
        }
    }

    pub(super) fn edit_media(&mut self, edit: Edit) -> Answer {
        match edit {
            Edit::Store { reference, .. } if self.media.is_blocked(&reference.content.sha256) => {
                Answer::Refused(Refused::Blocked)
            }
            Edit::Store { reference, registered_unix_ms, quota_bytes } => {
                if let Some(refused) = self.refuses(&reference, (registered_unix_ms, quota_bytes)) {
                    return Answer::Refused(refused);
                }
                let object = Object {
                    content: reference.content,
                    uses: 0,
                    is_new: true,
                    place: reference.place.clone(),
                };
                self.media.objects.insert(reference.object, object);
                self.media.add_reference(reference)
            }
            Edit::Refer { reference, source, registered_unix_ms, quota_bytes } => {
                let found = self.media.found(reference.owner, source, reference.created_unix_ms);
                let Some((content, object)) =
                    found.filter(|(content, _)| content.size == reference.content.size)
                else {
                    return Answer::Refused(Refused::NoSource);
                };
                match self.refuses(&reference, (registered_unix_ms, quota_bytes)) {
                    Some(refused) => Answer::Refused(refused),
                    None => self.media.add_reference(Reference { content, object, ..reference }),
                }
            }
            Edit::Merge { limit } => Answer::Done(self.media.merge(limit)),
            Edit::Expire { now_unix_ms, limit } => Answer::Done(self.media.expire(now_unix_ms, limit)),
            Edit::Retire { owner, keep, expires_unix_ms } => {
                Answer::Done(self.media.retire(owner, keep, expires_unix_ms))
            }
            Edit::Deleted { objects } => {
                objects.iter().for_each(|object| _ = self.media.doomed.remove(object));
                Answer::Done(1)
            }
            Edit::Remove { name, until_unix_ms } => Answer::Done(self.media.remove(name, until_unix_ms)),
            Edit::Block { blocked, most } => self.media.block(blocked, most),
            Edit::Unblock { sha256 } => {
                Answer::Done(usize::from(self.media.blocked.remove(&sha256).is_some()))
            }
            Edit::DropBlocked { limit } => Answer::Done(self.media.drop_blocked(limit)),
        }
    }

    fn refuses(
        &self,
        reference: &Reference,
        (registered_unix_ms, quota_bytes): (u64, u64),
    ) -> Option<Refused> {
        let owner = reference.owner;
        let record = self.get(Table::ACCOUNTS, &owner.record_key());
        let has_key = |record: Versioned| records::registered_unix_ms(&record.value) == registered_unix_ms;
        let sum = self.media.owned(owner).saturating_add(charge(reference.content.size));
        let is_taken =
            |name| self.media.references.contains_key(name) || self.media.removed.contains_key(name);
        if is_taken(&reference.name) {
            Some(Refused::Taken)
        } else if !record.is_some_and(has_key) {
            Some(Refused::NoAccount)
        } else {
            (sum > quota_bytes).then_some(Refused::Quota)
        }
    }
}

/// Blocking access.
pub(super) struct MemoryIndex {
    pub(super) state: Arc<Mutex<State>>,
}

impl Index for MemoryIndex {
    fn ask(&self, query: Query) -> Result<Answer, StoreError> {
        Ok(lock(&self.state).ask_media(&query))
    }

    fn edit(&self, edit: Edit) -> Result<Answer, StoreError> {
        let mut state = lock(&self.state);
        match state.failures.pop_front() {
            Some(error) => Err(error),
            None => Ok(state.edit_media(edit)),
        }
    }
}
