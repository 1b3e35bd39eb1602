//! `chaski demo`: two people converse on a server of their own, which is gone at the end.
//!
//! Starts this binary as a server on free ports with a throw-away directory ([`stage`]), registers two numbers reserved for
//! fiction as any phone does, and has the two talk ([`person`]) in two columns ([`panes`]): accepted, delivered, read; one
//! leaves, a message waits for them, they come back. Then the keyboard is the user's. Without a terminal it ends there.

mod panes;
mod person;
mod stage;

use crate::cli::Demo;
use crate::failure::Failure;
use chaski_chat::Input;
use panes::{Panes, Side};
use person::{Person, Seen};
use stage::Stage;
use std::io::IsTerminal;
use std::process::ExitCode;
use std::time::Duration;
use tokio::time::{Instant, sleep_until, timeout};

/// Between one line and the next, so that it can be read.
const READING: Duration = Duration::from_millis(1_200);
/// Longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(30);

/// How often it is looked at what is no event.
const GLANCE: Duration = Duration::from_millis(20);

const TOO_SLOW: &str = "the demo's server did not answer in time; is the machine very busy?";

const NAMES: [(&str, &str); 2] = [("Ann", "+15550100001"), ("Ben", "+15550100002")];

pub(super) fn run(args: &Demo) -> Result<ExitCode, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(play(args))?;
    Ok(ExitCode::SUCCESS)
}

async fn play(args: &Demo) -> Result<(), Failure> {
    let mut panes = Panes::on_stdout();
    panes.aside("Starting a server in a directory that is thrown away at the end …")?;
    let mut stage = Stage::start().await?;
    panes.aside(&format!("It serves {}, and knows nobody yet.", stage.server.register_url()))?;
    let mut people = Vec::new();
    for (name, number) in NAMES {
        let registered = timeout(PATIENCE, Person::register(&mut stage, name, number)).await;
        people.push(registered.map_err(|_| Failure::new(TOO_SLOW))??);
    }
    let [ann, ben]: [Person; 2] =
        people.try_into().map_err(|_| Failure::new("there are two people in a demo"))?;
    let pause = if args.quick { Duration::ZERO } else { READING };
    let mut scene = Scene { people: [ann, ben], panes, pause };
    scene.open().await?;
    scene.converse().await?;
    if std::io::stdin().is_terminal() || args.keyboard {
        scene.hand_over().await?;
    }
    scene.close().await
}

struct Scene {
    people: [Person; 2],
    panes: Panes,
    pause: Duration,
}

impl Scene {
    async fn open(&mut self) -> Result<(), Failure> {
        let heads = [0, 1].map(|side| format!("{}  {}", self.people[side].name, self.people[side].number));
        self.panes.head(&heads[0], &heads[1])?;
        let told = [0, 1].map(|side| format!("  registered with the code {}", self.people[side].code));
        self.panes.both(&told[0], &told[1])
    }

    async fn converse(&mut self) -> Result<(), Failure> {
        self.say(Side::Left, "Hello Ben! A check mark means that the server keeps it until you have it.")
            .await?;
        self.say(Side::Right, "It has arrived, Ann. Two check marks now, and then I have read it.").await?;
        self.leave(Side::Right).await?;
        self.say(Side::Left, "Are you still there?").await?;
        self.panes.aside("One check mark only: it waits on the server's disk, and nowhere else.")?;
        self.rest().await?;
        self.come_back(Side::Right).await?;
        self.say(Side::Right, "Back again. It had waited for me; the server has forgotten it now.").await
    }

    /// Says something, and waits for as many marks as there will be.
    async fn say(&mut self, side: Side, text: &str) -> Result<(), Failure> {
        let to = side.other().index();
        let address = self.people[to].address();
        self.people[side.index()].send(&address, text)?;
        self.panes.said(side, text)?;
        let is_there = self.people[to].is_here;
        self.until(|people| {
            let (from, to) = (&people[side.index()], &people[to]);
            if is_there { from.is_all_read() && to.has_answered() } else { from.is_all_accepted() }
        })
        .await?;
        self.rest().await
    }

    async fn leave(&mut self, side: Side) -> Result<(), Failure> {
        self.people[side.index()].leave().await;
        self.panes.quiet(side, "(has no network)")?;
        self.rest().await
    }

    async fn come_back(&mut self, side: Side) -> Result<(), Failure> {
        self.people[side.index()].come_back().await?;
        self.panes.quiet(side, "(is back)")?;
        self.until(|people| people.iter().all(|one| one.is_all_read() && one.has_answered())).await?;
        self.rest().await
    }

    async fn rest(&mut self) -> Result<(), Failure> {
        let end = Instant::now() + self.pause;
        while Instant::now() < end {
            self.step(end).await?;
        }
        Ok(())
    }

    /// Shows what happens until something is so.
    async fn until(&mut self, so: impl Fn(&[Person; 2]) -> bool) -> Result<(), Failure> {
        let end = Instant::now() + PATIENCE;
        while !so(&self.people) {
            if Instant::now() >= end {
                return Err(Failure::new(
                    "the demo's server did not answer in time; is the machine very busy?",
                ));
            }
            // What is accepted without a mark (receipts) is no event, so it has to be looked at.
            self.step(end.min(Instant::now() + GLANCE)).await?;
        }
        Ok(())
    }

    /// Until something has happened to one of the two, or `end`.
    async fn step(&mut self, end: Instant) -> Result<(), Failure> {
        let [ann, ben] = &mut self.people;
        let (side, seen) = tokio::select! {
            seen = ann.next(), if ann.is_here => (Side::Left, seen?),
            seen = ben.next(), if ben.is_here => (Side::Right, seen?),
            () = sleep_until(end) => return Ok(()),
        };
        self.show(side, seen)
    }

    fn show(&mut self, side: Side, seen: Seen) -> Result<(), Failure> {
        match seen {
            Seen::Nothing => Ok(()),
            Seen::Marks(marks) => marks.iter().try_for_each(|mark| self.panes.quiet(side, mark)),
            Seen::Text { text, has_waited } => {
                let waited = if has_waited { " (it has waited)" } else { "" };
                self.panes.heard(side, self.people[side.other().index()].name, &format!("{text}{waited}"))
            }
        }
    }

    /// The user is Ann, or Ben.
    async fn hand_over(&mut self) -> Result<(), Failure> {
        self.panes.aside(
            "Now you. You are Ann: type a text. /ben and /ann: be the other one; /away and /back: the other has no network; /quit.",
        )?;
        let (mut input, mut side) = (Input::stdin(), Side::Left);
        loop {
            let far = Instant::now() + PATIENCE;
            let [ann, ben] = &mut self.people;
            let line = tokio::select! {
                seen = ann.next(), if ann.is_here => { let seen = seen?; self.show(Side::Left, seen)?; continue }
                seen = ben.next(), if ben.is_here => { let seen = seen?; self.show(Side::Right, seen)?; continue }
                line = input.line() => line,
                () = sleep_until(far) => continue,
            };
            let Some(line) = line else { return Ok(()) };
            match line.trim() {
                "" => {}
                "/quit" | "/q" => return Ok(()),
                "/ann" => side = Side::Left,
                "/ben" => side = Side::Right,
                "/away" if self.people[side.other().index()].is_here => self.leave(side.other()).await?,
                "/back" if !self.people[side.other().index()].is_here => self.come_back(side.other()).await?,
                "/away" | "/back" => self.panes.aside("They are already.")?,
                command if command.starts_with('/') => {
                    self.panes.aside("There are /ann, /ben, /away, /back and /quit.")?;
                }
                text if self.people[side.index()].is_here => self.say(side, text).await?,
                _ => self.panes.aside("You have no network here; be the other one and type /back.")?,
            }
        }
    }

    async fn close(mut self) -> Result<(), Failure> {
        for person in &mut self.people {
            // The server is going anyway.
            let _ = timeout(PATIENCE, person.leave()).await;
        }
        self.panes
            .aside("The server and its directory are gone. Yours: chaski serve, and chaski chat +15550100001")
    }
}
