//! Subscribers who are always in the middle of something: each lane is two phones that register, call, hang up and send messages
//! one after the other, with a short pause in between.

use clock::{Duration, Instant};
use e2e::Phones;
use rand::rngs::StdRng;
use rand::{Rng, RngExt};
use ue::Report;

/// What a phone does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// REGISTER with a challenge, until the 200.
    Registration,
    /// INVITE, until the callee has the ACK.
    SetUp,
    /// BYE, until the 200.
    Release,
    /// MESSAGE, until the 200.
    Message,
}

/// One procedure, as its phone saw it.
#[derive(Clone, Debug)]
pub struct Procedure {
    /// Of which phone.
    pub phone: usize,
    /// Which.
    pub kind: Kind,
    /// When the phone began.
    pub begun: Instant,
    /// When it had what it wanted, or was refused.
    pub ended: Instant,
    /// Why it failed, if it did.
    pub failure: Option<String>,
}

impl Procedure {
    /// How long the subscriber waited.
    pub fn took(&self) -> Duration {
        self.ended.saturating_since(self.begun)
    }
}

enum Stage {
    Pause(Instant),
    Registering,
    Calling(String),
    InCall(String, Instant),
    Releasing(String),
    Messaging(String),
}

struct Lane {
    caller: usize,
    callee: usize,
    stage: Stage,
    begun: Instant,
    /// How many reports of each were looked at.
    seen: [usize; 2],
}

/// See the module.
pub struct Traffic {
    lanes: Vec<Lane>,
    random: StdRng,
    /// What has ended since [`Traffic::forget`].
    pub procedures: Vec<Procedure>,
    is_stopping: bool,
}

/// The longest pause between two procedures of a lane. Longer, and a failure hits nobody; shorter, and the load is one that a
/// small machine does not hold.
const PAUSE_MICROS_MAX: u64 = 20_000;

impl Traffic {
    /// Lanes of two phones each.
    pub fn new(pairs: impl IntoIterator<Item = (usize, usize)>, random: StdRng) -> Traffic {
        let lane = |(caller, callee)| Lane {
            caller,
            callee,
            stage: Stage::Pause(Instant::ZERO),
            begun: Instant::ZERO,
            seen: [0; 2],
        };
        let lanes = pairs.into_iter().map(lane).collect();
        Traffic { lanes, random, procedures: Vec::new(), is_stopping: false }
    }

    /// Lets it go on for a time.
    pub fn run_for(&mut self, phones: &mut Phones, time: Duration) {
        let end = phones.now() + time;
        self.is_stopping = false;
        while phones.now() < end {
            self.step(phones);
            phones.run_for(Duration::from_millis(1));
        }
    }

    /// Begins nothing new and waits until all that was begun has ended. `false`: something never did.
    pub fn finish(&mut self, phones: &mut Phones, patience: Duration) -> bool {
        let end = phones.now() + patience;
        self.is_stopping = true;
        loop {
            self.step(phones);
            let is_over = self.lanes.iter().all(|lane| matches!(lane.stage, Stage::Pause(_)));
            if is_over || phones.now() >= end {
                return is_over;
            }
            phones.run_for(Duration::from_millis(1));
        }
    }

    /// Forgets what has ended.
    pub fn forget(&mut self, phones: &mut Phones) {
        self.procedures.clear();
        phones.forget_reports();
        self.lanes.iter_mut().for_each(|lane| lane.seen = [0; 2]);
    }

    fn step(&mut self, phones: &mut Phones) {
        for index in 0..self.lanes.len() {
            self.step_lane(index, phones);
        }
    }

    fn step_lane(&mut self, index: usize, phones: &mut Phones) {
        let now = phones.now();
        let lane = &mut self.lanes[index];
        let fresh = |number: usize, seen: &mut usize| -> Vec<(Instant, Report)> {
            let reports = phones.timed_reports(number);
            let fresh = reports[(*seen).min(reports.len())..].to_vec();
            *seen = reports.len();
            fresh
        };
        let mut reports = fresh(lane.caller, &mut lane.seen[0]);
        reports.extend(fresh(lane.callee, &mut lane.seen[1]));
        let end = reports.iter().find_map(|(at, report)| Some((*at, lane.stage.ends_with(report)?)));
        if let Some((ended, (kind, failure))) = end {
            let is_set_up = kind == Kind::SetUp && failure.is_none();
            self.procedures.push(Procedure { phone: lane.caller, kind, begun: lane.begun, ended, failure });
            let pause = Duration::from_micros(self.random.random_range(0..PAUSE_MICROS_MAX));
            let next = match std::mem::replace(&mut lane.stage, Stage::Pause(now + pause)) {
                Stage::Calling(call) if is_set_up => Some(Stage::InCall(call, now + pause)),
                _ => None,
            };
            if let Some(next) = next {
                lane.stage = next;
            }
            return;
        }
        match &lane.stage {
            Stage::InCall(call, until) if now >= *until => {
                let call = call.clone();
                phones.order(lane.caller, |device, now| device.hang_up(now, &call));
                (lane.begun, lane.stage) = (now, Stage::Releasing(call));
            }
            Stage::Pause(until) if now >= *until && !self.is_stopping => {
                let target = phones.device(lane.callee).profile().public_identity.clone();
                lane.begun = now;
                lane.stage = match self.random.next_u32() % 4 {
                    0 => Stage::Calling(phones.order(lane.caller, |device, now| device.call(now, &target))),
                    1 => Stage::Messaging(
                        phones.order(lane.caller, |device, now| device.message(now, &target, "hello")),
                    ),
                    _ => {
                        phones.order(lane.caller, |device, now| device.register(now));
                        Stage::Registering
                    }
                };
            }
            _ => {}
        }
    }
}

impl Stage {
    /// Is this the end of what is under way? What ended, and why it failed.
    fn ends_with(&self, report: &Report) -> Option<(Kind, Option<String>)> {
        let failed = |failure: &ue::Failure| Some(format!("{failure:?}"));
        match (self, report) {
            (Stage::Registering, Report::Registered { .. }) => Some((Kind::Registration, None)),
            (Stage::Registering, Report::RegistrationFailed(failure)) => {
                Some((Kind::Registration, failed(failure)))
            }
            (Stage::Calling(call), Report::Acknowledged { call: of, .. }) if call == of => {
                Some((Kind::SetUp, None))
            }
            (Stage::Calling(call), Report::CallFailed { call: of, failure }) if call == of => {
                Some((Kind::SetUp, failed(failure)))
            }
            (Stage::Releasing(call), Report::Released { call: of, .. }) if call == of => {
                Some((Kind::Release, None))
            }
            (Stage::Releasing(call), Report::ReleaseFailed { call: of, failure }) if call == of => {
                Some((Kind::Release, failed(failure)))
            }
            (Stage::Messaging(call), Report::MessageDelivered { call: of, .. }) if call == of => {
                Some((Kind::Message, None))
            }
            (Stage::Messaging(call), Report::MessageFailed { call: of, failure }) if call == of => {
                Some((Kind::Message, failed(failure)))
            }
            _ => None,
        }
    }
}
