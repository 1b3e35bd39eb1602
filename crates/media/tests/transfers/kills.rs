//! A kill at each step of a file's way: before it, and after it with nobody left who hears that it is done.
//!
//! A step is what changes a backend or the index. From the kill on nothing of the service changes anything any more; what is there then is what
//! the next start finds, which must make rows and files agree.

use crate::everywhere::{Backends, Kind, is_done};
use crate::rig::{Rig, engine, place, settings};
use chaski_media::objects::{Incoming, Objects, Stored, Visit, Wait};
use chaski_store::media::{Answer, Edit, Index, Lying, Name, ObjectId, PAGE_MAX, Query};
use chaski_store::{Engine, StoreError};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

/// More steps than there are.
const NEVER: i64 = i64::MAX;

/// What lets the service change anything.
struct Power {
    /// Steps until the kill.
    left: AtomicI64,
    /// Whether the last one is still done.
    is_done: bool,
}

impl Power {
    fn is_off(&self) -> bool {
        self.left.load(Ordering::SeqCst) <= 0
    }

    /// Takes a step: whether it is done, and whether anybody hears of it.
    fn step(&self) -> (bool, bool) {
        match self.left.fetch_sub(1, Ordering::SeqCst) {
            1 => (self.is_done, false),
            left => (left > 1, left > 1),
        }
    }

    fn run<T>(&self, step: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        let (is_done, is_heard) = self.step();
        let done = if is_done { step() } else { Err(killed()) };
        if is_heard { done } else { done.and(Err(killed())) }
    }
}

fn killed() -> io::Error {
    io::Error::other("killed")
}

struct Mortal {
    objects: Arc<dyn Objects>,
    power: Arc<Power>,
}

struct MortalIncoming {
    /// `None`: finished.
    incoming: Option<Box<dyn Incoming>>,
    power: Arc<Power>,
}

impl Objects for Mortal {
    fn begin(&self, object: ObjectId) -> io::Result<Box<dyn Incoming>> {
        let power = self.power.clone();
        self.power.run(|| {
            let incoming = Some(self.objects.begin(object)?);
            Ok(Box::new(MortalIncoming { incoming, power }) as Box<dyn Incoming>)
        })
    }

    fn settle(&self, object: ObjectId) -> io::Result<()> {
        self.power.run(|| self.objects.settle(object))
    }

    fn bring(&self, object: ObjectId) -> Wait {
        let ((is_done, is_heard), bring) = (self.power.step(), self.objects.bring(object));
        Box::pin(async move {
            if is_done {
                bring.await?;
            }
            if is_heard { Ok(()) } else { Err(killed()) }
        })
    }

    fn open(&self, object: ObjectId, name: Name) -> io::Result<Box<dyn Stored>> {
        self.objects.open(object, name)
    }

    fn fetch(&self, object: ObjectId, name: Name) -> Wait {
        self.objects.fetch(object, name)
    }

    fn is_remote(&self) -> bool {
        self.objects.is_remote()
    }

    fn delete(&self, objects: &[ObjectId]) -> io::Result<()> {
        self.power.run(|| self.objects.delete(objects))
    }

    fn arrivals(&self) -> io::Result<Vec<ObjectId>> {
        self.objects.arrivals()
    }

    fn size(&self, object: ObjectId) -> io::Result<Option<u64>> {
        self.objects.size(object)
    }

    fn each(&self, first: u8, visit: &mut Visit<'_>) -> io::Result<()> {
        self.objects.each(first, visit)
    }

    fn room_bytes(&self) -> io::Result<u64> {
        self.objects.room_bytes()
    }
}

impl Incoming for MortalIncoming {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let incoming = &mut self.incoming;
        self.power.run(|| incoming.as_mut().map_or(Err(killed()), |incoming| incoming.write(bytes)))
    }

    fn finish(mut self: Box<Self>) -> io::Result<()> {
        let (power, incoming) = (self.power.clone(), self.incoming.take());
        let mut incoming = Self { incoming, power: power.clone() };
        power.run(|| incoming.incoming.take().map_or(Err(killed()), |incoming| incoming.finish()))
    }
}

impl Drop for MortalIncoming {
    fn drop(&mut self) {
        // Who is killed tidies nothing up.
        if self.power.is_off() {
            std::mem::forget(self.incoming.take());
        }
    }
}

struct MortalIndex {
    index: Arc<dyn Index>,
    power: Arc<Power>,
}

impl Index for MortalIndex {
    fn ask(&self, query: Query) -> Result<Answer, StoreError> {
        self.index.ask(query)
    }

    fn edit(&self, edit: Edit) -> Result<Answer, StoreError> {
        let done = self.power.run(|| self.index.edit(edit).map_err(io::Error::other));
        done.map_err(|_| StoreError::Full)
    }
}

/// What was promised before the kill.
#[derive(Default)]
struct Promised {
    /// Uploads that were answered, and what they are.
    there: Vec<(String, &'static [u8])>,
    /// Somebody has begun to end them.
    are_ending: bool,
}

/// Until the kill, or to the end.
fn lives(rig: &Rig, power: &Power, index: &dyn Index, second: &str) -> Promised {
    let mut promised = Promised::default();
    let files: [(u128, &[u8], &str); 3] =
        [(1, b"film", "video/mp4"), (2, b"film", "video/mp4"), (3, b"picture", "image/png")];
    for (number, bytes, media_type) in files {
        let (path, slot) = rig.slot(number, bytes.len(), media_type, "a");
        if rig.put(&path, bytes).status == 201 {
            promised.there.push((place(&slot), bytes));
        }
    }
    rig.until("equals are one", |rig| power.is_off() || is_done(rig, &["", second]));
    if !power.is_off() {
        promised.are_ending = true;
        let _ = index.edit(Edit::Expire { now_unix_ms: u64::MAX >> 1, limit: PAGE_MAX });
        rig.until("all have gone", |rig| power.is_off() || is_done(rig, &["", second]));
    }
    promised
}

fn rows(index: &dyn Index) -> Vec<Lying> {
    match index.ask(Query::Lying { after: None, limit: PAGE_MAX }).unwrap() {
        Answer::Lying(rows) => rows,
        other => panic!("{other:?}"),
    }
}

/// One life that ends after so many steps; whether that was before its end.
fn killed_after(steps: i64, is_done: bool, kind: Kind) -> bool {
    let backends = Backends::new(kind);
    let (dir, engine) = (tempfile::tempdir().unwrap(), engine());
    let power = Arc::new(Power { left: AtomicI64::new(steps), is_done });
    let mortal = |objects| Arc::new(Mortal { objects, power: power.clone() }) as Arc<dyn Objects>;
    let stores = backends.stores(dir.path(), &mortal);
    let index: Arc<dyn Index> = Arc::new(MortalIndex { index: engine.media(), power: power.clone() });
    let rig = Rig::over((dir, engine), settings(), stores, index.clone(), None);
    let promised = lives(&rig, &power, &*index, backends.second());
    let was_killed = power.is_off();
    power.left.store(0, Ordering::SeqCst);
    let (dir, engine) = rig.stopped();

    let when = format!("{kind:?}, killed at step {steps}, done: {is_done}");
    let stores = backends.stores(dir.path(), &|objects| objects);
    let index = engine.media();
    let rig = Rig::over((dir, engine), settings(), stores, index.clone(), None);
    if !promised.are_ending {
        for (at, bytes) in &promised.there {
            let got = rig.get(at, "");
            assert!(got.status == 200 && got.body == *bytes, "{when}: {at}: {}", got.head);
        }
    }
    let rows_now: Vec<u128> = rows(&*index).into_iter().map(|row| row.object.0).collect();
    rig.until(&format!("{when}: files and rows agree"), |rig| {
        let rows: Vec<u128> = rows(&*index).into_iter().map(|row| row.object.0).collect();
        assert!(rows.iter().all(|row| rows_now.contains(row)), "{when}: nothing new");
        backends.lying(rig.dir.path()) == rows
    });
    rig.index().edit(Edit::Expire { now_unix_ms: u64::MAX >> 1, limit: PAGE_MAX }).unwrap();
    rig.until(&format!("{when}: nothing is left"), |rig| backends.lying(rig.dir.path()).is_empty());
    rig.stopped();
    was_killed
}

fn at_each_step(kind: Kind) {
    let each = |is_done| {
        let kills = (1..NEVER).take_while(|steps| killed_after(*steps, is_done, kind)).count();
        assert!(kills >= 15, "{kills} steps are too few for three files");
    };
    std::thread::scope(|scope| {
        scope.spawn(|| each(false));
        each(true);
    });
}

#[test]
fn a_kill_at_each_step_leaves_rows_and_files_that_agree() {
    at_each_step(Kind::Slow);
}

#[test]
fn a_kill_at_each_step_leaves_a_bucket_and_rows_that_agree() {
    at_each_step(Kind::Bucket);
}
