//! Cases on the index of media.

use super::Fixture;
use super::rig::{Rig, phone};
use crate::media::{
    Answer, Blocked, Content, Due, Edit, Index, Name, ObjectId, PAGE_MAX, Purpose, Query, REFERENCE_BYTES,
    Reference, Refused, Source, Standing, Usage,
};
use crate::records::Put;
use crate::{AccountId, Completion, Engine, Table};
use std::sync::Arc;

const NOW: u64 = 1_900_000_000_000;
const QUOTA: u64 = 1 << 30;

fn register(engine: &dyn Engine, accounts: &[AccountId]) {
    let put = |account: &AccountId| Put {
        table: Table::ACCOUNTS,
        key: account.record_key(),
        value: Some(b"{}".to_vec()),
    };
    engine.records().put_all(accounts.iter().map(put).collect()).expect("written");
}

fn content(byte: u8) -> Content {
    Content { sha256: [byte; 32], size: 1_000 * u64::from(byte) }
}

/// The reference with this number, of a content that is a byte.
fn reference(owner: AccountId, number: u128, byte: u8) -> Reference {
    Reference {
        name: Name(number << 64 | number),
        owner,
        content: content(byte),
        object: ObjectId(number),
        place: "".into(),
        media_type: "image/jpeg".into(),
        file_name: "Grüße.jpg".into(),
        purpose: Purpose::Message,
        created_unix_ms: NOW,
        expires_unix_ms: Some(NOW + 1_000 + number as u64),
    }
}

/// An open index with some accounts.
fn begin(fixture: &dyn Fixture) -> (Box<dyn Engine>, Arc<dyn Index>) {
    let engine = fixture.open();
    register(&*engine, &[phone(1), phone(2), AccountId::service("bot")]);
    let index = engine.media();
    (engine, index)
}

fn store(index: &dyn Index, reference: &Reference) -> Answer {
    let reference = reference.clone();
    index.edit(Edit::Store { reference, registered_unix_ms: 0, quota_bytes: QUOTA }).expect("written")
}

fn refer(index: &dyn Index, reference: &Reference, source: Source) -> Answer {
    let reference = reference.clone();
    index.edit(Edit::Refer { reference, source, registered_unix_ms: 0, quota_bytes: QUOTA }).expect("written")
}

fn read(index: &dyn Index, name: Name, now_unix_ms: u64) -> Option<Reference> {
    match index.ask(Query::Reference { name, now_unix_ms }).expect("read") {
        Answer::Reference(found) => found.map(|found| *found),
        other => panic!("another answer: {other:?}"),
    }
}

fn usage(index: &dyn Index, owner: AccountId, source: Option<Source>) -> Usage {
    match index.ask(Query::Usage { owner, source, announced: None, now_unix_ms: NOW }).expect("read") {
        Answer::Usage(usage) => usage,
        other => panic!("another answer: {other:?}"),
    }
}

fn objects(index: &dyn Index, query: Query) -> Vec<u128> {
    match index.ask(query).expect("read") {
        Answer::Objects(objects) => objects.into_iter().map(|object| object.0).collect(),
        other => panic!("another answer: {other:?}"),
    }
}

fn due(index: &dyn Index, limit: usize) -> Due {
    due_in(index, "", limit)
}

fn due_in(index: &dyn Index, place: &str, limit: usize) -> Due {
    match index
        .ask(Query::Due { now_unix_ms: NOW + 1_001, place: place.into(), after: None, limit })
        .expect("read")
    {
        Answer::Due(due) => due,
        other => panic!("another answer: {other:?}"),
    }
}

fn doomed(index: &dyn Index) -> Vec<u128> {
    due(index, PAGE_MAX).doomed.into_iter().map(|object| object.0).collect()
}

fn known(index: &dyn Index, ids: impl IntoIterator<Item = u128>) -> Vec<u128> {
    objects(index, Query::Known { objects: ids.into_iter().map(ObjectId).collect() })
}

fn expire(index: &dyn Index, now_unix_ms: u64, limit: usize) -> usize {
    match index.edit(Edit::Expire { now_unix_ms, limit }).expect("written") {
        Answer::Done(count) => count,
        other => panic!("another answer: {other:?}"),
    }
}

fn merge(index: &dyn Index) {
    index.edit(Edit::Merge { limit: PAGE_MAX }).expect("written");
}

pub(super) fn store_and_read(fixture: &dyn Fixture) {
    let (_engine, index) = begin(fixture);
    let (romeo, bot) = (phone(1), AccountId::service("bot"));
    let first = reference(romeo, 1, 1);
    assert_eq!(store(&*index, &first), Answer::Done(1));
    assert_eq!(read(&*index, first.name, NOW), Some(first.clone()));
    assert_eq!(read(&*index, first.name, NOW + 1_001), None, "it has ended, whoever has looked or not");
    assert_eq!(read(&*index, Name(99), NOW), None);
    // A name is given once, whoever comes with what.
    for other in [reference(romeo, 1, 2), reference(bot, 1, 1)] {
        let other = Reference { object: ObjectId(77), ..other };
        assert_eq!(store(&*index, &other), Answer::Refused(Refused::Taken));
    }
    assert_eq!(read(&*index, first.name, NOW), Some(first));
    assert_eq!(
        (known(&*index, [1, 77]), doomed(&*index)),
        (vec![1], vec![]),
        "what was refused was never there"
    );
    let lasting = Reference { purpose: Purpose::Profile, expires_unix_ms: None, ..reference(bot, 2, 3) };
    store(&*index, &lasting);
    assert_eq!(read(&*index, lasting.name, u64::MAX >> 1), Some(lasting));
}

pub(super) fn quota(fixture: &dyn Fixture) {
    let (_engine, index) = begin(fixture);
    let of = |number, byte| reference(phone(1), number, byte);
    let within = |reference, quota_bytes| {
        index.edit(Edit::Store { reference, registered_unix_ms: 0, quota_bytes }).expect("written")
    };
    let two = 3_000 + 2 * REFERENCE_BYTES;
    assert_eq!(within(of(1, 1), two), Answer::Done(1));
    assert_eq!(within(of(2, 2), two - 1), Answer::Refused(Refused::Quota));
    assert_eq!(within(of(2, 2), two), Answer::Done(1));
    assert_eq!(within(of(3, 0), two), Answer::Refused(Refused::Quota), "an empty file is none for nothing");
    let (reference, source) = (of(3, 1), Source::Own(content(1)));
    let edit = Edit::Refer { reference, source, registered_unix_ms: 0, quota_bytes: two };
    assert_eq!(
        index.edit(edit).expect("written"),
        Answer::Refused(Refused::Quota),
        "what is there counts again"
    );
    let own = usage(&*index, phone(1), None);
    assert_eq!((own.bytes, own.next_expiry_unix_ms), (two, Some(NOW + 1_001)));
    assert_eq!(usage(&*index, phone(2), None), Usage::default());
    assert_eq!(expire(&*index, NOW + 1_001, PAGE_MAX), 1);
    assert_eq!(usage(&*index, phone(1), None).bytes, 2_000 + REFERENCE_BYTES);
    expire(&*index, NOW + 5_000, PAGE_MAX);
    assert_eq!(usage(&*index, phone(1), None), Usage::default());
}

pub(super) fn sources(fixture: &dyn Fixture) {
    let (_engine, index) = begin(fixture);
    let (romeo, juliet) = (phone(1), phone(2));
    let own = Source::Own(content(1));
    assert_eq!(refer(&*index, &reference(romeo, 1, 1), own), Answer::Refused(Refused::NoSource));
    store(&*index, &reference(romeo, 2, 1));
    assert_eq!(usage(&*index, romeo, Some(own)).source, Some(content(1)));
    assert_eq!(refer(&*index, &reference(romeo, 3, 1), own), Answer::Done(1));
    let again = read(&*index, reference(romeo, 3, 1).name, NOW).expect("there");
    assert_eq!((again.object, again.content), (ObjectId(2), content(1)), "it lies where the first one does");
    // Another account finds nothing by the hash, and all by the name.
    assert_eq!(usage(&*index, juliet, Some(own)).source, None);
    assert_eq!(refer(&*index, &reference(juliet, 4, 1), own), Answer::Refused(Refused::NoSource));
    let named = Source::Named(reference(romeo, 2, 1).name);
    assert_eq!(usage(&*index, juliet, Some(named)).source, Some(content(1)));
    assert_eq!(
        refer(&*index, &reference(juliet, 4, 2), named),
        Answer::Refused(Refused::NoSource),
        "another size"
    );
    assert_eq!(refer(&*index, &reference(juliet, 4, 1), named), Answer::Done(1));
    assert_eq!(usage(&*index, juliet, Some(own)).source, Some(content(1)), "now it is its own");
    // Ended is not there, also before it is dropped.
    let late = Reference { created_unix_ms: NOW + 50_000, ..reference(juliet, 5, 1) };
    assert_eq!(refer(&*index, &late, named), Answer::Refused(Refused::NoSource));
    assert_eq!(refer(&*index, &late, own), Answer::Refused(Refused::NoSource));
    // The object goes with the last of them.
    assert_eq!((expire(&*index, NOW + 1_003, PAGE_MAX), doomed(&*index)), (2, vec![]));
    assert_eq!((expire(&*index, NOW + 1_004, PAGE_MAX), doomed(&*index)), (1, vec![2]));
}

pub(super) fn merged(fixture: &dyn Fixture) {
    let (_engine, index) = begin(fixture);
    let (romeo, juliet) = (phone(1), phone(2));
    assert_eq!(due(&*index, 9), Due::default());
    store(&*index, &reference(romeo, 1, 1));
    let due_now = due(&*index, 9);
    assert_eq!((due_now.has_new, due_now.has_ended), (true, true));
    merge(&*index);
    assert!(!due(&*index, 9).has_new);
    store(&*index, &reference(juliet, 2, 1));
    store(&*index, &reference(juliet, 3, 2));
    assert_eq!(read(&*index, reference(juliet, 2, 1).name, NOW).expect("there").object, ObjectId(2));
    merge(&*index);
    let moved = read(&*index, reference(juliet, 2, 1).name, NOW).expect("there");
    assert_eq!(
        moved,
        Reference { object: ObjectId(1), ..reference(juliet, 2, 1) },
        "nothing else has changed"
    );
    assert_eq!((doomed(&*index), known(&*index, 1..=3)), (vec![2], vec![1, 3]));
    merge(&*index);
    assert_eq!(doomed(&*index), [2], "once");
    index.edit(Edit::Deleted { objects: vec![ObjectId(2)] }).expect("written");
    // The uploader of the first goes; the second's stays.
    assert_eq!(expire(&*index, NOW + 1_001, PAGE_MAX), 1);
    assert_eq!((doomed(&*index), known(&*index, 1..=3)), (vec![], vec![1, 3]));
    assert_eq!(expire(&*index, NOW + 1_003, PAGE_MAX), 2);
    assert_eq!((doomed(&*index), known(&*index, 1..=3)), (vec![1, 3], vec![]));
    // The same content again, while its file is on its way out, is another object.
    store(&*index, &reference(romeo, 9, 1));
    merge(&*index);
    index.edit(Edit::Deleted { objects: vec![ObjectId(1), ObjectId(3)] }).expect("written");
    assert_eq!((doomed(&*index), known(&*index, [9])), (vec![], vec![9]));
}

pub(super) fn pages(fixture: &dyn Fixture) {
    let (_engine, index) = begin(fixture);
    for number in 1..=25 {
        store(&*index, &reference(phone(1), number, 1));
        store(&*index, &Reference { expires_unix_ms: None, ..reference(phone(1), 100 + number, 1) });
    }
    let counts: Vec<usize> = (0..4).map(|_| expire(&*index, NOW + 1_025, 10)).collect();
    assert_eq!(counts, [10, 10, 5, 0]);
    assert_eq!(doomed(&*index), (1..=25).collect::<Vec<_>>());
    assert_eq!(due(&*index, 3).doomed, [1, 2, 3].map(ObjectId));
    let objects = (1..=25).map(ObjectId).collect();
    index.edit(Edit::Deleted { objects }).expect("written");
    assert_eq!(doomed(&*index), [0; 0]);
    // Those of a profile end when there are newer ones.
    let retire = Edit::Retire { owner: phone(1), keep: 2, expires_unix_ms: NOW + 5_000 };
    assert_eq!(index.edit(retire.clone()).expect("written"), Answer::Done(23));
    assert_eq!(index.edit(retire).expect("written"), Answer::Done(0));
    assert_eq!(expire(&*index, NOW + 5_000, PAGE_MAX), 23);
}

pub(super) fn places(fixture: &dyn Fixture) {
    let at =
        |place: &str, number, byte| Reference { place: place.into(), ..reference(phone(1), number, byte) };
    let of = |index: &dyn Index| match index.ask(Query::Places).expect("read") {
        Answer::Places(places) => places.join(","),
        other => panic!("another answer: {other:?}"),
    };
    {
        let (engine, index) = begin(fixture);
        assert_eq!(of(&*index), "");
        store(&*index, &at("slow", 1, 1));
        store(&*index, &at("", 2, 2));
        store(&*index, &at("far", 3, 1));
        merge(&*index);
        store(&*index, &at("far", 5, 1));
        merge(&*index);
        // Equals become one in their place, and nowhere else: how soon a file comes would show that there is another.
        let lies = |number| read(&*index, at("", number, 1).name, NOW).map(|it| (it.object.0, it.place));
        assert_eq!((lies(1), lies(3)), (Some((1, "slow".into())), Some((3, "far".into()))));
        assert_eq!(lies(5), Some((3, "far".into())));
        assert_eq!((of(&*index), due_in(&*index, "far", 9).doomed), (",far,slow".into(), vec![ObjectId(5)]));
        refer(&*index, &at("nowhere", 4, 2), Source::Own(content(2)));
        assert_eq!(&*read(&*index, at("", 4, 2).name, NOW).expect("there").place, "", "the object's");
        drop(index);
        engine.close();
    }
    let engine = fixture.open();
    let index = engine.media();
    index.edit(Edit::Deleted { objects: vec![ObjectId(5)] }).expect("written");
    assert_eq!(of(&*index), ",far,slow");
    expire(&*index, NOW + 1_001, PAGE_MAX);
    assert_eq!(due_in(&*index, "slow", 9).doomed, [ObjectId(1)], "its place is known until its file is gone");
    assert_eq!(of(&*index), ",far,slow");
    // However many are to be deleted elsewhere, nobody else's wait behind them.
    assert_eq!((due(&*index, 9).doomed, due_in(&*index, "far", 9).doomed), (vec![], vec![]));
    index.edit(Edit::Deleted { objects: vec![ObjectId(1)] }).expect("written");
    assert_eq!(of(&*index), ",far");
}

pub(super) fn listed(fixture: &dyn Fixture) {
    // Above what a signed number holds, where an order can go wrong; it ends later than 3.
    const HIGH: u128 = 1 << 127 | 9;
    let (_engine, index) = begin(fixture);
    for number in [3, HIGH, 7] {
        store(&*index, &reference(phone(1), number, number as u8));
    }
    refer(&*index, &reference(phone(1), 8, 7), Source::Own(content(7)));
    expire(&*index, NOW + 1_003, PAGE_MAX);
    let ids = |list: [u128; 4]| list.into_iter().map(ObjectId).collect();
    assert_eq!(objects(&*index, Query::Listed { objects: ids([3, 4, 7, HIGH]) }), [3, 7, HIGH]);
    assert_eq!(known(&*index, [3, 4, 7, HIGH]), [7, HIGH]);
    let page = |after: Option<u128>, limit| match index
        .ask(Query::Lying { after: after.map(ObjectId), limit })
        .expect("read")
    {
        Answer::Lying(page) => page.into_iter().map(|it| (it.object.0, it.size, it.uses)).collect::<Vec<_>>(),
        other => panic!("another answer: {other:?}"),
    };
    assert_eq!(page(None, 1), [(7, 7_000, 2)]);
    assert_eq!(page(Some(7), 9), [(HIGH, 9_000, 1)]);
    assert_eq!(page(Some(HIGH), 9), []);
}

pub(super) fn removal(fixture: &dyn Fixture) {
    let (engine, index) = begin(fixture);
    let (romeo, juliet) = (phone(1), phone(2));
    let mut rig = Rig::new(&*engine);
    // More than one slice, and one that is shared.
    for number in 1..=PAGE_MAX as u128 + 5 {
        store(&*index, &reference(romeo, number, 1));
    }
    let named = Source::Named(reference(romeo, 3, 1).name);
    refer(&*index, &reference(juliet, 10_000, 1), named);
    // It is marked: from here on nothing is stored for it.
    let put = Put { table: Table::ACCOUNTS, key: romeo.record_key(), value: None };
    engine.records().put_all(vec![put]).expect("written");
    let late = reference(romeo, 20_000, 1);
    assert_eq!(store(&*index, &late), Answer::Refused(Refused::NoAccount));
    assert_eq!(refer(&*index, &late, named), Answer::Refused(Refused::NoAccount));
    assert_eq!(rig.leftovers(), [romeo]);
    rig.purge(romeo);
    assert_eq!(rig.leftovers(), []);
    assert_eq!(
        (usage(&*index, romeo, None), read(&*index, reference(romeo, 1, 1).name, NOW)),
        (Usage::default(), None)
    );
    assert_eq!(known(&*index, 1..=5), [3], "juliet's");
    assert_eq!(read(&*index, reference(juliet, 10_000, 1).name, NOW).expect("there").object, ObjectId(3));
    let mut gone = 0;
    while let ids @ [_, ..] = &doomed(&*index)[..] {
        gone += ids.len();
        index.edit(Edit::Deleted { objects: ids.iter().copied().map(ObjectId).collect() }).expect("written");
    }
    assert_eq!(gone, PAGE_MAX + 4);
}

pub(super) fn another_key(fixture: &dyn Fixture) {
    let (engine, index) = begin(fixture);
    let register = |at: u64| {
        let value = Some(format!(r#"{{"version":1,"registered_unix_ms":{at}}}"#).into_bytes());
        let put = Put { table: Table::ACCOUNTS, key: phone(1).record_key(), value };
        engine.records().put_all(vec![put]).expect("written");
    };
    let store = |number, registered_unix_ms| {
        let reference = reference(phone(1), number, 1);
        index.edit(Edit::Store { reference, registered_unix_ms, quota_bytes: QUOTA }).expect("written")
    };
    let refer = |number, registered_unix_ms| {
        let (reference, source) = (reference(phone(1), number, 1), Source::Own(content(1)));
        index
            .edit(Edit::Refer { reference, source, registered_unix_ms, quota_bytes: QUOTA })
            .expect("written")
    };
    register(NOW);
    assert_eq!((store(1, NOW), refer(2, NOW)), (Answer::Done(1), Answer::Done(1)));
    // Somebody else has the number now, or its owner another key.
    register(NOW + 1);
    for before in [NOW, 0, NOW + 2] {
        let refused = Answer::Refused(Refused::NoAccount);
        assert_eq!((store(3, before), refer(4, before)), (refused.clone(), refused));
    }
    assert_eq!(
        (known(&*index, [1, 3]), usage(&*index, phone(1), None).bytes),
        (vec![1], 2_000 + 2 * REFERENCE_BYTES)
    );
    assert_eq!(store(3, NOW + 1), Answer::Done(1));
}

pub(super) fn restart(fixture: &dyn Fixture) {
    let first = reference(phone(1), 1, 1);
    {
        let (engine, index) = begin(fixture);
        store(&*index, &first);
        store(&*index, &reference(phone(1), 2, 2));
        store(&*index, &Reference { expires_unix_ms: Some(NOW), ..reference(phone(1), 3, 3) });
        expire(&*index, NOW, PAGE_MAX);
        drop(index);
        engine.close();
    }
    let engine = fixture.open();
    let index = engine.media();
    assert_eq!(read(&*index, first.name, NOW), Some(first));
    assert_eq!((doomed(&*index), known(&*index, 1..=3)), (vec![3], vec![1, 2]));
    assert_eq!(usage(&*index, phone(1), None).bytes, 3_000 + 2 * REFERENCE_BYTES);
    engine.records().clear(&[phone(1)]).expect("nobody else has the directory");
    assert_eq!((doomed(&*index), known(&*index, 1..=3)), (vec![1, 2, 3], vec![]));
}

pub(super) fn of_a_shard(fixture: &dyn Fixture) {
    let (engine, index) = begin(fixture);
    let mut rig = Rig::new(&*engine);
    let answer = |rig: &mut Rig, of| {
        rig.wait("an answer of the index", |completion| match completion {
            Completion::Media { ticket, result } if *ticket == of => Some(result.clone().expect("answered")),
            _ => None,
        })
    };
    let ticket = rig.ticket();
    rig.store.edit_media(
        Edit::Store { reference: reference(phone(1), 1, 1), registered_unix_ms: 0, quota_bytes: QUOTA },
        ticket,
    );
    assert_eq!(answer(&mut rig, ticket), Answer::Done(1));
    assert!(read(&*index, reference(phone(1), 1, 1).name, NOW).is_some(), "it is durable when that is said");
    let ticket = rig.ticket();
    let source = Some(Source::Own(content(1)));
    rig.store.ask_media(Query::Usage { owner: phone(1), source, announced: None, now_unix_ms: NOW }, ticket);
    let Answer::Usage(usage) = answer(&mut rig, ticket) else { panic!("another answer") };
    assert_eq!((usage.bytes, usage.source), (1_000 + REFERENCE_BYTES, Some(content(1))));
}

fn edit(index: &dyn Index, edit: Edit) -> Answer {
    index.edit(edit).expect("written")
}

fn standing(index: &dyn Index) -> Standing {
    match index.ask(Query::Standing { now_unix_ms: NOW + 1_001 }).expect("read") {
        Answer::Standing(standing) => standing,
        other => panic!("another answer: {other:?}"),
    }
}

pub(super) fn removed(fixture: &dyn Fixture) {
    let (_engine, index) = begin(fixture);
    let [one, two, three] = [1, 2, 3].map(|number| reference(phone(1), number, 1));
    store(&*index, &one);
    refer(&*index, &two, Source::Own(content(1)));
    let remove = |name| edit(&*index, Edit::Remove { name, until_unix_ms: NOW + 500 });
    assert_eq!(remove(three.name), Answer::Done(0));
    assert_eq!(remove(one.name), Answer::Done(1));
    assert_eq!((read(&*index, one.name, NOW), remove(one.name)), (None, Answer::Done(0)), "at once");
    assert_eq!(usage(&*index, phone(1), None).bytes, 1_000 + REFERENCE_BYTES, "it does not count any more");
    assert_eq!(read(&*index, two.name, NOW).expect("there").object, ObjectId(1), "the other one's stays");
    assert_eq!((doomed(&*index), known(&*index, [1])), (vec![], vec![1]));
    // Its slot may be open still.
    let anew = Reference { object: ObjectId(9), ..one.clone() };
    assert_eq!(store(&*index, &anew), Answer::Refused(Refused::Taken));
    assert_eq!(refer(&*index, &one, Source::Own(content(1))), Answer::Refused(Refused::Taken));
    assert_eq!(store(&*index, &three), Answer::Done(1), "one that was not there is not kept from coming");
    assert_eq!(remove(two.name), Answer::Done(1));
    assert_eq!((doomed(&*index), known(&*index, 1..=3)), (vec![1], vec![3]), "it went with its last");
    assert_eq!(expire(&*index, NOW + 499, 9), 0);
    assert_eq!(expire(&*index, NOW + 500, 1), 1);
    assert_eq!(expire(&*index, NOW + 500, 9), 1);
    assert_eq!(store(&*index, &anew), Answer::Done(1));
}

pub(super) fn blocked(fixture: &dyn Fixture) {
    let (romeo, juliet) = (phone(1), phone(2));
    let block = |index: &dyn Index, byte, reason: &str, most| {
        let blocked =
            Blocked { sha256: [byte; 32], since_unix_ms: NOW + u64::from(byte), reason: reason.into() };
        edit(index, Edit::Block { blocked, most })
    };
    let list = |index: &dyn Index, after: Option<u8>, limit| {
        let after = after.map(|byte| [byte; 32]);
        match index.ask(Query::Blocked { after, limit }).expect("read") {
            Answer::Blocked(page) => {
                page.into_iter().map(|it| (it.sha256[0], it.reason.into_string())).collect::<Vec<_>>()
            }
            other => panic!("another answer: {other:?}"),
        }
    };
    let is_blocked = |index: &dyn Index, owner, byte: u8| {
        let announced = Some([byte; 32]);
        match index.ask(Query::Usage { owner, source: None, announced, now_unix_ms: NOW }).expect("read") {
            Answer::Usage(usage) => usage.is_blocked,
            other => panic!("another answer: {other:?}"),
        }
    };
    {
        let (engine, index) = begin(fixture);
        let index = &*index;
        store(index, &reference(romeo, 1, 1));
        refer(index, &reference(juliet, 2, 1), Source::Named(reference(romeo, 1, 1).name));
        store(index, &Reference { place: "slow".into(), ..reference(juliet, 3, 1) });
        store(index, &reference(romeo, 4, 2));
        assert_eq!(block(index, 1, "reported", 3), Answer::Done(3), "so many led to it");
        assert!(due(index, 9).has_blocked);
        // Nobody finds it from here on, and nobody brings it, though its references are there yet.
        for number in 1..=3 {
            assert_eq!(read(index, reference(romeo, number, 1).name, NOW), None);
        }
        assert!(read(index, reference(romeo, 4, 2).name, NOW).is_some(), "another content");
        for source in [Source::Own(content(1)), Source::Named(reference(romeo, 1, 1).name)] {
            assert_eq!(usage(index, romeo, Some(source)).source, None);
            assert_eq!(refer(index, &reference(romeo, 5, 1), source), Answer::Refused(Refused::NoSource));
        }
        assert_eq!(store(index, &reference(romeo, 5, 1)), Answer::Refused(Refused::Blocked));
        assert_eq!(known(index, [5]), [0; 0], "what was refused was never there");
        // What an answer is made of is the list alone: the same for who has it, for who has not, and for what nobody ever had.
        assert_eq!(block(index, 9, "", 3), Answer::Done(0));
        for owner in [romeo, juliet, AccountId::service("bot")] {
            assert_eq!([1, 2, 9].map(|byte| is_blocked(index, owner, byte)), [true, false, true]);
        }
        // Page by page they go, and the objects in all places.
        let drop = |limit| edit(index, Edit::DropBlocked { limit });
        assert_eq!((drop(2), drop(2)), (Answer::Done(2), Answer::Done(1)));
        assert!(due(index, 9).has_blocked, "the other one was not looked at yet");
        assert_eq!((drop(2), drop(2)), (Answer::Done(0), Answer::Done(0)));
        assert!(!due(index, 9).has_blocked);
        assert_eq!((doomed(index), known(index, 1..=4)), (vec![1], vec![4]));
        assert_eq!(due_in(index, "slow", 9).doomed, [ObjectId(3)]);
        assert_eq!(usage(index, juliet, None), Usage::default(), "and they do not count any more");
        // A list with a bound, in pages; one that is on it may get another reason.
        assert_eq!(block(index, 5, "x", 2), Answer::Refused(Refused::Full));
        assert_eq!(block(index, 9, "again", 2), Answer::Done(0));
        assert_eq!(block(index, 1, "", 2), Answer::Done(0));
        assert_eq!(list(index, None, 9), [(1, "reported".into()), (9, "again".into())]);
        assert_eq!(list(index, Some(1), 1), [(9, "again".into())]);
        let expected = Standing { doomed: 2, ended: 0, blocked: 2, next_expiry_unix_ms: Some(NOW + 1_004) };
        assert_eq!(standing(index), expected);
        engine.close();
    }
    let engine = fixture.open();
    let index = engine.media();
    let index = &*index;
    assert_eq!(list(index, None, 1), [(1, "reported".into())]);
    assert_eq!(store(index, &reference(romeo, 6, 1)), Answer::Refused(Refused::Blocked));
    let unblock = |byte: u8| edit(index, Edit::Unblock { sha256: [byte; 32] });
    assert_eq!((unblock(1), unblock(1)), (Answer::Done(1), Answer::Done(0)));
    assert_eq!(store(index, &reference(romeo, 6, 1)), Answer::Done(1));
    assert!(read(index, reference(romeo, 6, 1).name, NOW).is_some() && !is_blocked(index, romeo, 1));
}
