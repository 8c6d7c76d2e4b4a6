//! Does a neighbour instance still live? Evidence says *when* to act; who may act is [`crate::permission`]'s.
//!
//! ```text
//!              25 R without a sign of life           5 probes unanswered: 30 R
//!  InService ────────────────────────▶ FailureProne ────────────────────────▶ OutOfService
//!      ▲  ▲    or a hint (ICMP, RST)        │                                     │  │
//!      │  └───────── a sign of life ────────┘             same incarnation, lease │  │ new incarnation
//!      │                                 ┌──────────────────────────────────────◀─┘  ▼
//!      └── it announced the newest epoch ┴─ StandbyReady ◀── W has it in sync ── Recovering
//! ```
//!
//! The time line of one unanswered request (spec 2.4), in multiples of R: sent at 0, sent again at 5, 10, 15, 20 and 25, the
//! last time together with the first of five probes, one each R; nothing by 30: out of service. A supervisor's death notice
//! (S2-H5) goes there at once; ICMP and RST are hints that anybody can forge: they start the five probes at once.
//!
//! Self-stall: who is called more than 2 R later than it asked for has stood still itself. That is no evidence against the
//! neighbour, so all deadlines of suspicion move by the lateness. A lease's end never does.

use std::collections::{BTreeMap, VecDeque};

use clock::{Duration, Instant};

use crate::permission::Incarnation;
use crate::rtt::{Bounds, RoundTrip};
use crate::waiting::{Key, RESENDS_MAX, Waiting};

/// Probes of a suspicion, one each R.
const PROBES_MAX: u32 = 5;
/// Lateness of our own that is a stall, in R.
const STALL_ROUND_TRIPS: u32 = 2;
/// A neighbour that owes no answer is probed so often, by its standby and by whoever waits for a later answer (S2-B2).
const WATCH_ROUND_TRIPS: u32 = 5;
/// A neighbour that is out of service is asked so rarely whether it is back.
const RETURN_PROBE: Duration = Duration::from_millis(200);
/// The watch's own probe among what waits.
const PROBE_KEY: Key = Key::MAX;
/// Probes that are remembered; what is not answered for so long is lost.
const PROBES_UNDER_WAY_MAX: usize = 64;

/// In which state the neighbour is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Serves, as far as we know.
    InService,
    /// Silent for 25 R: five probes decide.
    FailureProne,
    /// Silent for 30 R, or known to be dead.
    OutOfService,
    /// Answers again, as a new incarnation: it must become a standby first.
    Recovering,
    /// The witness has it in sync.
    StandbyReady,
}

/// What to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// Send this request again, the same bytes.
    Resend(Key),
    /// Send a probe with this nonce.
    Probe(u64),
    /// Tell its standby, the other neighbours and the controller that it is suspected (S2-H2).
    Suspect,
    /// It lives after all (S2-H3).
    FalseSuspicion,
    /// It does not (S2-H4, H5): recovery begins.
    OutOfService,
    /// The incarnation that answers is a new one (S2-H6): tell it to be a standby.
    Recovering,
    /// It is back as it was (S2-H6b).
    BackInService,
}

/// What the answer to a probe says of its sender.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Of which probe.
    pub nonce: u64,
    /// Which run of the instance answers.
    pub incarnation: Incarnation,
    /// Does it hold a lease of the newest epoch?
    pub is_holder: bool,
}

/// How much the neighbour is watched while nobody waits for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Watch {
    /// Every 5 R: a standby its active, or who waits for a later answer of it.
    Closely,
    /// Every so often (`idle_probe`).
    Every(Duration),
}

#[derive(Clone, Copy, Debug)]
struct Suspicion {
    /// Since when nothing was heard although something was asked.
    silent_since: Instant,
    /// When the first probe left.
    probed: Instant,
    /// How many did.
    probes: u32,
}

/// The detector of one neighbour instance.
#[derive(Debug)]
pub struct Detector {
    state: State,
    round_trip: RoundTrip,
    watch: Watch,
    incarnation: Option<Incarnation>,
    waiting: Waiting,
    /// Probes under way, by nonce: a sample of the round trip each. Bounded: the oldest gives way.
    probes: BTreeMap<u64, Instant>,
    nonce_next: u64,
    suspicion: Option<Suspicion>,
    /// When the last probe that nobody but the watch asked for left, or is to be counted from.
    watched: Instant,
    acts: VecDeque<Act>,
}

impl Detector {
    /// Of a neighbour that is expected to serve from `now` on. Nonces count from `nonce_first`: a restarted prober must not
    /// take an answer to its predecessor for its own.
    pub fn new(now: Instant, bounds: Bounds, watch: Watch, nonce_first: u64) -> Detector {
        Detector {
            state: State::InService,
            round_trip: RoundTrip::new(bounds),
            watch,
            incarnation: None,
            waiting: Waiting::default(),
            probes: BTreeMap::new(),
            nonce_next: nonce_first,
            suspicion: None,
            watched: now,
            acts: VecDeque::new(),
        }
    }

    /// In which state the neighbour is.
    pub fn state(&self) -> State {
        self.state
    }

    /// R.
    pub fn round_trip(&self) -> Duration {
        self.round_trip.effective()
    }

    /// How much it is watched from now on.
    pub fn set_watch(&mut self, watch: Watch) {
        self.watch = watch;
    }

    /// The request `key` was sent to the neighbour. (To one that is not in service nothing is sent: that is for the caller.)
    pub fn handle_sent(&mut self, now: Instant, key: Key) {
        self.waiting.insert(now, key, self.round_trip.effective());
    }

    /// The neighbour answered the request `key`, or acknowledged it hop by hop: proof of life since it was sent.
    pub fn handle_answered(&mut self, now: Instant, key: Key) {
        if let Some(since) = self.waiting.remove(key) {
            self.on_alive_since(now, since);
        }
    }

    /// Nobody waits for the answer to `key` any more.
    pub fn handle_forgotten(&mut self, key: Key) {
        self.waiting.remove(key);
    }

    /// Something else came from the neighbour: a request, a record, a complaint. It may have been on its way for up to R.
    pub fn handle_sign_of_life(&mut self, now: Instant) {
        let sent = Instant::from_micros(
            now.as_micros().saturating_sub(u64::try_from(self.round_trip().as_micros()).unwrap_or(u64::MAX)),
        );
        self.on_alive_since(now, sent);
    }

    /// The neighbour answered a probe.
    pub fn handle_answer(&mut self, now: Instant, answer: Answer) {
        let Some(sent) = self.probes.remove(&answer.nonce) else { return };
        self.round_trip.on_sample(now.saturating_since(sent));
        // A former incarnation, thawed or delayed, says nothing about this one.
        if self.incarnation.is_some_and(|known| known > answer.incarnation) {
            return;
        }
        let is_new = self.incarnation.is_some_and(|known| known < answer.incarnation);
        self.incarnation = Some(answer.incarnation);
        match self.state {
            State::OutOfService if !is_new && answer.is_holder => {
                self.back_in_service(now);
                self.acts.push_back(Act::BackInService);
            }
            State::OutOfService => self.recover(),
            // It died and came back between two probes: what it had promised it has forgotten.
            State::InService | State::FailureProne if is_new => {
                self.give_up();
                self.recover();
            }
            State::InService | State::FailureProne => self.on_alive_since(now, sent),
            State::Recovering | State::StandbyReady => {}
        }
    }

    /// A hint that anybody can forge (ICMP, RST): the five probes start at once.
    pub fn handle_hint(&mut self, now: Instant) {
        if self.state == State::InService {
            self.suspect(now);
        }
    }

    /// Another neighbour suspects it: we look too (S2-H2).
    pub fn handle_suspicion_of_another(&mut self, now: Instant) {
        self.handle_hint(now);
    }

    /// Its supervisor says that the incarnation is dead (S2-H5). A notice about a former one is old news.
    pub fn handle_death_notice(&mut self, incarnation: Incarnation) {
        let is_current = self.incarnation.is_none_or(|known| known == incarnation);
        if is_current && matches!(self.state, State::InService | State::FailureProne) {
            self.give_up();
        }
    }

    /// The witness has the recovering instance in sync (S2-H7).
    pub fn handle_in_sync(&mut self) {
        if self.state == State::Recovering {
            self.state = State::StandbyReady;
        }
    }

    /// The instance announced the newest epoch as its holder (S2-H8).
    pub fn handle_announced(&mut self, now: Instant, incarnation: Incarnation) {
        self.incarnation = Some(incarnation);
        if self.state != State::InService {
            self.back_in_service(now);
            self.acts.push_back(Act::BackInService);
        }
    }

    /// When to call [`Detector::handle_timeout`].
    pub fn poll_timeout(&self) -> Option<Instant> {
        let round_trip = self.round_trip();
        let suspicion = self.suspicion.map(|suspicion| suspicion.probed + round_trip * suspicion.probes);
        let watch = Some(self.watched + self.watch_interval());
        match self.state {
            State::InService => [self.waiting.next_resend(), watch].into_iter().flatten().min(),
            State::FailureProne => suspicion,
            State::OutOfService | State::Recovering | State::StandbyReady => watch,
        }
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        let Some(deadline) = self.poll_timeout().filter(|deadline| *deadline <= now) else { return };
        let late = now.saturating_since(deadline);
        if late > self.round_trip() * STALL_ROUND_TRIPS {
            self.move_deadlines(late);
        }
        match self.state {
            State::InService => self.on_waiting(now),
            State::FailureProne => self.on_suspicion(now),
            State::OutOfService | State::Recovering | State::StandbyReady => {}
        }
        if self.state != State::FailureProne && now >= self.watched + self.watch_interval() {
            self.probe(now);
            self.watched = now;
            // A probe is owed an answer like any request.
            if self.state == State::InService {
                self.handle_sent(now, PROBE_KEY);
            }
        }
    }

    /// The next thing to do.
    pub fn poll_act(&mut self) -> Option<Act> {
        self.acts.pop_front()
    }

    fn on_waiting(&mut self, now: Instant) {
        let mut is_suspected = false;
        while let Some((key, resends)) = self.waiting.pop_resend(now, self.round_trip.effective()) {
            // The watch's probe is not sent again: the next one is under way (stage table, row 10).
            if key != PROBE_KEY {
                self.acts.push_back(Act::Resend(key));
            }
            is_suspected |= resends == RESENDS_MAX;
        }
        if is_suspected {
            self.suspect(now);
        }
    }

    fn on_suspicion(&mut self, now: Instant) {
        let round_trip = self.round_trip();
        while let Some(suspicion) = self.suspicion.filter(|it| it.probed + round_trip * it.probes <= now) {
            if suspicion.probes == PROBES_MAX {
                return self.give_up();
            }
            self.probe(now);
            self.suspicion = Some(Suspicion { probes: suspicion.probes + 1, ..suspicion });
        }
    }

    fn suspect(&mut self, now: Instant) {
        self.state = State::FailureProne;
        self.acts.push_back(Act::Suspect);
        let silent_since = self.waiting.since().unwrap_or(now);
        self.suspicion = Some(Suspicion { silent_since, probed: now, probes: 1 });
        self.probe(now);
    }

    /// It showed that it lived at `sent`, which is no proof for what it was asked later.
    fn on_alive_since(&mut self, now: Instant, sent: Instant) {
        match self.state {
            State::InService => self.waiting.remove_asked_before(sent),
            State::FailureProne if self.suspicion.is_some_and(|suspicion| suspicion.silent_since <= sent) => {
                self.acts.push_back(Act::FalseSuspicion);
                // S2-H3: what waits is sent once more, and waited for anew.
                let waiting = self.waiting.keys();
                self.back_in_service(now);
                for key in waiting.into_iter().filter(|key| *key != PROBE_KEY) {
                    self.acts.push_back(Act::Resend(key));
                    self.handle_sent(now, key);
                }
            }
            State::FailureProne | State::OutOfService | State::Recovering | State::StandbyReady => {}
        }
    }

    fn back_in_service(&mut self, now: Instant) {
        self.state = State::InService;
        self.suspicion = None;
        self.waiting.clear();
        self.watched = now;
    }

    fn give_up(&mut self) {
        self.state = State::OutOfService;
        self.suspicion = None;
        // What waited for it is replayed elsewhere: that is for the caller, who knows the requests.
        self.waiting.clear();
        self.acts.push_back(Act::OutOfService);
    }

    fn recover(&mut self) {
        self.state = State::Recovering;
        self.acts.push_back(Act::Recovering);
    }

    fn probe(&mut self, now: Instant) {
        let nonce = self.nonce_next;
        self.nonce_next = self.nonce_next.wrapping_add(1);
        self.probes.insert(nonce, now);
        while self.probes.len() > PROBES_UNDER_WAY_MAX {
            self.probes.pop_first();
        }
        self.acts.push_back(Act::Probe(nonce));
    }

    fn move_deadlines(&mut self, late: Duration) {
        self.waiting.shift(late);
        if let Some(suspicion) = &mut self.suspicion {
            suspicion.probed += late;
        }
    }

    fn watch_interval(&self) -> Duration {
        let closely = self.round_trip() * WATCH_ROUND_TRIPS;
        match (self.state, self.watch) {
            (State::OutOfService | State::Recovering | State::StandbyReady, _) => RETURN_PROBE,
            // One that owes us an answer to a probe is not given until the next heart beat.
            (_, Watch::Every(interval)) if !self.waiting.contains(PROBE_KEY) => interval,
            (_, Watch::Every(_) | Watch::Closely) => closely,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const R: u64 = 2000;
    const REQUEST: Key = 7;

    fn at(round_trips: u64) -> Instant {
        Instant::from_micros(1_000_000 + round_trips * R)
    }

    /// A detector whose R is 2 ms, of a neighbour that was heard just now.
    fn detector() -> Detector {
        let mut detector =
            Detector::new(Instant::ZERO, Bounds::default(), Watch::Every(Duration::from_secs(9)), 0);
        for _ in 0..64 {
            detector.round_trip.on_sample(Duration::from_micros(50));
        }
        detector.incarnation = Some(Incarnation(1));
        detector.watched = at(0);
        detector
    }

    /// Lets time pass until `end`, each deadline kept to the tick; tells what was done, when in R.
    fn run(detector: &mut Detector, end: Instant) -> Vec<(u64, Act)> {
        let mut done = Vec::new();
        loop {
            while let Some(act) = detector.poll_act() {
                done.push((0, act));
            }
            let Some(next) = detector.poll_timeout().filter(|next| *next <= end) else { return done };
            detector.handle_timeout(next);
            let round_trips =
                u64::try_from(next.saturating_since(at(0)).as_micros()).expect("a short run") / R;
            while let Some(act) = detector.poll_act() {
                done.push((round_trips, act));
            }
        }
    }

    fn answer(nonce: u64) -> Answer {
        Answer { nonce, incarnation: Incarnation(1), is_holder: true }
    }

    #[test]
    fn an_unanswered_request_follows_the_time_line_of_the_paper() {
        let mut detector = detector();
        detector.handle_sent(at(0), REQUEST);
        let done = run(&mut detector, at(40));
        let resends = [5, 10, 15, 20, 25].map(|when| (when, Act::Resend(REQUEST)));
        let probes = [25, 26, 27, 28, 29].map(|when| (when, Act::Probe(when - 25)));
        let mut expected = resends.to_vec();
        expected.push((25, Act::Suspect));
        expected.extend(probes);
        expected.push((30, Act::OutOfService));
        assert_eq!(done, expected);
        assert_eq!(detector.state(), State::OutOfService);
    }

    #[test]
    fn an_answer_a_tick_before_the_verdict_saves_it_and_one_a_tick_later_does_not() {
        for (offset, expected) in [(0, State::InService), (2, State::OutOfService)] {
            let mut detector = detector();
            detector.handle_sent(at(0), REQUEST);
            let moment = Instant::from_micros(at(30).as_micros() - 1 + offset);
            run(&mut detector, moment);
            detector.handle_answer(moment, Answer { is_holder: false, ..answer(4) });
            let state = if expected == State::InService { expected } else { State::Recovering };
            // After the verdict the same answer finds it out of service; without a lease it must become a standby.
            assert_eq!(detector.state(), state);
        }
    }

    #[test]
    fn a_false_suspicion_is_counted_and_the_request_sent_once_more() {
        let mut detector = detector();
        detector.handle_sent(at(0), REQUEST);
        run(&mut detector, at(26));
        detector.handle_answer(at(27), answer(0));
        assert_eq!(detector.poll_act(), Some(Act::FalseSuspicion));
        assert_eq!(detector.poll_act(), Some(Act::Resend(REQUEST)));
        assert_eq!(detector.state(), State::InService);
        // And it is waited for anew, from then.
        let done = run(&mut detector, at(27 + 30));
        assert_eq!(done.last(), Some(&(57, Act::OutOfService)));
    }

    #[test]
    fn a_sign_of_life_that_was_under_way_is_no_proof_for_what_was_asked_after_it() {
        let mut detector = detector();
        detector.handle_sent(at(0), REQUEST);
        // Half an R later: it may have left before we asked.
        detector.handle_sign_of_life(at(0) + Duration::from_micros(R / 2));
        assert_eq!(run(&mut detector, at(5)), [(5, Act::Resend(REQUEST))]);
        detector.handle_sign_of_life(at(6));
        assert_eq!(run(&mut detector, at(40)), []);
    }

    #[test]
    fn a_neighbour_that_owes_nothing_is_found_dead_by_the_watch_alone() {
        let mut detector = detector();
        detector.set_watch(Watch::Closely);
        let done = run(&mut detector, at(36));
        // The first probe leaves at 5 R and is missed at 10 R; 30 R after it left all is clear: 35 R (spec 2.6).
        assert_eq!(done.first(), Some(&(5, Act::Probe(0))));
        assert_eq!(done.last(), Some(&(35, Act::OutOfService)));
        let probes = done.iter().filter(|(_, act)| matches!(act, Act::Probe(_))).count();
        assert_eq!(probes, 5 + 5, "at 5, 10, 15, 20, 25 and then at 30 to 34");
    }

    #[test]
    fn our_own_standstill_is_no_evidence_against_the_neighbour() {
        let mut detector = detector();
        detector.handle_sent(at(0), REQUEST);
        run(&mut detector, at(24));
        // Called at 100 R instead of 25 R: what was to happen at 25 R happens now, and the verdict is five R away.
        detector.handle_timeout(at(100));
        assert_eq!(detector.state(), State::FailureProne);
        let done = run(&mut detector, Instant::from_micros(at(105).as_micros() - 1));
        assert!(!done.contains(&(105, Act::OutOfService)), "{done:?}");
        assert_eq!(run(&mut detector, at(105)).first(), Some(&(105, Act::OutOfService)));
    }

    #[test]
    fn a_hint_starts_the_probes_and_a_death_notice_is_believed_at_once() {
        let mut hinted = detector();
        hinted.handle_hint(at(0));
        assert_eq!(run(&mut hinted, at(5)).last(), Some(&(5, Act::OutOfService)));
        let mut noticed = detector();
        noticed.handle_death_notice(Incarnation(0));
        assert_eq!(noticed.state(), State::InService, "that one had died before");
        noticed.handle_death_notice(Incarnation(1));
        assert_eq!(noticed.poll_act(), Some(Act::OutOfService));
    }

    #[test]
    fn a_restarted_instance_must_become_a_standby_before_it_counts() {
        let mut detector = detector();
        detector.set_watch(Watch::Closely);
        run(&mut detector, at(5));
        detector.handle_answer(at(6), Answer { incarnation: Incarnation(2), ..answer(0) });
        assert_eq!(detector.poll_act(), Some(Act::OutOfService));
        assert_eq!(detector.poll_act(), Some(Act::Recovering));
        detector.handle_in_sync();
        assert_eq!(detector.state(), State::StandbyReady);
        detector.handle_announced(at(7), Incarnation(2));
        assert_eq!(detector.state(), State::InService);
    }

    #[test]
    fn who_was_only_unreachable_comes_back_as_it_was() {
        let mut detector = detector();
        detector.handle_hint(at(0));
        run(&mut detector, at(5));
        assert_eq!(detector.state(), State::OutOfService);
        let done = run(&mut detector, at(205));
        let (_, Act::Probe(nonce)) = done[0] else { panic!("{done:?}") };
        detector.handle_answer(at(206), answer(nonce));
        assert_eq!(detector.poll_act(), Some(Act::BackInService));
    }
}
