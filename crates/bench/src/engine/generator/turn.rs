//! A turn of the event loop, and what is due by the clock.

use super::{ALARM, Generator, WAKE};
use crate::engine::session::State;
use mio::Events;
use std::io;
use std::time::Duration;

/// Counts and latencies are handed over this often while there are any.
const PUBLISH_US: u64 = 50_000;
/// Waiting shorter than this is left to the alarm, which is finer than the event loop's milliseconds.
const FINE_US: u64 = 20_000;
/// The alarm is set no finer than this.
const ALARM_US: u64 = 200;
/// What comes within this time is one turn of a busy open loop. Its latencies hold as much of the generator's own where it sends, and
/// once more where it reads.
const GATHER_US: u64 = 400;
/// Deadlines of logins are looked at this often.
const LOGIN_LOOK_US: u64 = 500_000;
/// Open-loop messages in one turn, so that the sockets are read in between.
const MESSAGES_PER_TURN: usize = 2_048;

impl Generator {
    pub(super) fn turn(&mut self, events: &mut Events) -> io::Result<()> {
        self.gather();
        let timeout = self.set_alarm();
        match self.poll.poll(events, timeout) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(()),
            Err(error) => return Err(error),
        }
        let now_us = self.shared.clock.now_us();
        self.is_busy = now_us < self.now_us + 2 * GATHER_US;
        self.now_us = now_us;
        for event in events.iter() {
            match event.token() {
                ALARM => {}
                WAKE => self.inbox.heard(),
                token => self.ready(token.0 as u32, event.is_readable() || event.is_read_closed()),
            }
        }
        for command in self.inbox.take() {
            self.obey(command);
        }
        self.log_in_due();
        self.write_due();
        self.pay_due(self.now_us);
        self.publish_due();
        Ok(())
    }

    /// Lets a busy thread's next turn wait for more of the same. Not in a closed loop: what is sent there waits for what is read.
    fn gather(&self) {
        if !self.is_busy || (self.open.is_none() && self.telling.is_none()) {
            return;
        }
        let wait_us = (self.now_us + GATHER_US).saturating_sub(self.shared.clock.now_us());
        if wait_us > 0 {
            std::thread::sleep(Duration::from_micros(wait_us));
        }
    }

    /// How long to wait at most; short times are set on the alarm.
    fn set_alarm(&mut self) -> Option<Duration> {
        let next_us = self.next_us()?;
        let wait_us = next_us.saturating_sub(self.shared.clock.now_us());
        if wait_us == 0 {
            return Some(Duration::ZERO);
        }
        if wait_us < FINE_US {
            self.alarm.set(wait_us.max(ALARM_US));
        }
        Some(Duration::from_micros(wait_us))
    }

    fn next_us(&self) -> Option<u64> {
        let arrivals = &self.arrivals;
        let may_begin = !arrivals.waiting.is_empty() && arrivals.under_way < arrivals.at_once_max;
        let begin =
            may_begin.then(|| arrivals.pace.as_ref().map_or(Some(0), |pace| pace.next_us())).flatten();
        let later = arrivals.later.front().map(|&(at_us, _)| at_us);
        let look = arrivals.begun.front().map(|_| self.now_us + LOGIN_LOOK_US);
        let open = self.open.as_ref().and_then(|open| open.pace.next_us());
        let telling = self.telling.as_ref().and_then(|telling| telling.pace.next_us());
        let cycle = self.cycle.as_ref().and_then(|cycle| cycle.next_us());
        let publish = self.is_unpublished.then_some(self.published_us + PUBLISH_US);
        let pay = self.pay_us();
        [begin, later, look, open, telling, cycle, publish, pay].into_iter().flatten().min()
    }

    fn log_in_due(&mut self) {
        while self.cycle.as_mut().is_some_and(|cycle| cycle.take(self.now_us).is_some()) {
            self.cycle_oldest();
        }
        while let Some(&(at_us, index)) = self.arrivals.later.front()
            && at_us <= self.now_us
        {
            self.arrivals.later.pop_front();
            self.arrivals.waiting.push_back(index);
        }
        self.give_up_overdue();
        while self.arrivals.under_way < self.arrivals.at_once_max && !self.arrivals.waiting.is_empty() {
            let may = self.arrivals.pace.as_mut().is_none_or(|pace| pace.take(self.now_us).is_some());
            let Some(index) = may.then(|| self.arrivals.waiting.pop_front()).flatten() else { break };
            self.connect(index);
        }
    }

    fn give_up_overdue(&mut self) {
        let timeout_us = self.shared.setup.login_timeout.as_micros() as u64;
        while let Some(&(begun_us, index)) = self.arrivals.begun.front() {
            let session = &self.sessions[index as usize];
            let is_under_way = session.arrival.as_ref().is_some_and(|arrival| arrival.started_us == begun_us)
                && session.state != State::Live;
            if is_under_way && self.now_us < begun_us + timeout_us {
                return;
            }
            self.arrivals.begun.pop_front();
            if is_under_way {
                self.lose(index, "the login takes too long");
            }
        }
    }

    fn write_due(&mut self) {
        for _ in 0..MESSAGES_PER_TURN {
            let due = self.open.as_mut().and_then(|open| open.pace.take(self.now_us));
            let Some(intended_us) = due else { break };
            self.write_open(intended_us);
        }
        for _ in 0..MESSAGES_PER_TURN {
            let due = self.telling.as_mut().and_then(|telling| telling.pace.take(self.now_us));
            let Some(intended_us) = due else { break };
            self.tell(intended_us);
        }
        let mut due = std::mem::take(&mut self.due);
        for index in due.drain(..) {
            self.write_closed(index);
        }
        // Writing does not make others due; keep the memory.
        debug_assert!(self.due.is_empty());
        self.due = due;
    }

    fn publish_due(&mut self) {
        let is_asked = self.inbox.is_waiting_for(self.answered);
        if is_asked || (self.is_unpublished && self.now_us >= self.published_us + PUBLISH_US) {
            self.inbox.publish(&self.counters, &mut self.batch, self.answered);
            self.published_us = self.now_us;
            self.is_unpublished = false;
        }
    }
}
