//! One run: starts attempts when the load wants them, follows each through the reports of its devices, and counts.
//!
//! ```text
//!   arrival ─▶ choose scenario and idle devices ─▶ order ─▶ reports ─▶ success or failure ─▶ devices idle again
//! ```

use std::collections::HashMap;

use anyhow::{Result, bail};
use clock::{Duration, Instant, TimerTable};
use ue::{CallId, Device, Failure, Report};

use crate::core::{Core, FUNCTIONS};
use crate::fleet::Fleet;
use crate::load::{Load, Mix, Pace, Part, Scenario};
use crate::meter::Meter;
use crate::random::Random;
use crate::tally::{Delay, Tally};

/// What a run found.
pub struct Outcome {
    /// Delays and ends.
    pub tally: Tally,
    /// How long was counted.
    pub elapsed: Duration,
    /// CPU time of each function while it was counted.
    pub cpu: Vec<(&'static str, Duration)>,
    /// CPU time of this program meanwhile.
    pub cpu_generator: Duration,
    /// The most that an attempt started late: much more than a few milliseconds, and the generator is the limit.
    pub lateness_max: Duration,
    /// Attempts that found no idle device.
    pub without_device: u64,
    /// Datagrams that the kernel did not take from us.
    pub dropped: u64,
}

impl Outcome {
    /// Started per second.
    pub fn rate(&self) -> f64 {
        self.tally.attempts() as f64 / self.elapsed.as_secs_f64()
    }

    /// CPU milliseconds per attempt, of one function.
    pub fn cpu_per_attempt(&self, name: &str) -> f64 {
        let spent = self
            .cpu
            .iter()
            .find(|(function, _)| *function == name)
            .map_or(Duration::ZERO, |(_, spent)| *spent);
        spent.as_secs_f64() * 1000.0 / self.tally.attempts().max(1) as f64
    }

    /// The same of all functions.
    pub fn cpu_per_attempt_total(&self) -> f64 {
        FUNCTIONS.iter().map(|name| self.cpu_per_attempt(name)).sum()
    }
}

/// An attempt under way.
#[derive(Debug)]
struct Attempt {
    scenario: Scenario,
    caller: usize,
    callee: Option<usize>,
    is_counted: bool,
    /// What was measured; it counts when the attempt succeeds (spec 1.5 c).
    samples: Vec<(Delay, Duration)>,
    sent: Instant,
    arrived: Option<Instant>,
    answer_sent: Option<Instant>,
    is_acknowledged: bool,
    is_answered: bool,
}

/// The devices with the attempts they are in.
pub struct Traffic<'a> {
    fleet: &'a mut Fleet,
    core: &'a Core,
    load: Load,
    is_busy: Vec<bool>,
    /// Calls and messages by Call-ID.
    dialogs: HashMap<CallId, Attempt>,
    /// Registrations by device.
    registrations: HashMap<usize, Attempt>,
    hang_ups: TimerTable<CallId>,
    choices: Random,
    holds: Random,
    next_device: usize,
    is_counting: bool,
    tally: Tally,
    without_device: u64,
}

/// Draws for an idle device before an attempt is given up.
const DRAWS_MAX: usize = 200;
/// How long the last attempts may take: timer B or F, and the hold time.
const DRAIN_MAX: Duration = Duration::from_secs(60);
/// How long an abandoned call rings.
const ABANDON_AFTER: Duration = Duration::from_millis(200);

impl<'a> Traffic<'a> {
    /// A run that has not begun.
    pub fn new(fleet: &'a mut Fleet, core: &'a Core, load: Load) -> Traffic<'a> {
        Traffic {
            is_busy: vec![false; fleet.len()],
            fleet,
            core,
            dialogs: HashMap::new(),
            registrations: HashMap::new(),
            hang_ups: TimerTable::default(),
            choices: Random::new(load.seed, "choices"),
            holds: Random::new(load.seed, "holds"),
            load,
            next_device: 0,
            is_counting: false,
            tally: Tally::default(),
            without_device: 0,
        }
    }

    /// Runs it to its end.
    pub fn run(mut self) -> Result<Outcome> {
        let begin = self.fleet.now();
        let count_from = begin + self.load.transient;
        let stop = count_from + self.load.duration;
        let mut arrivals = Random::new(self.load.seed, "arrivals");
        let mut next_arrival = begin;
        let mut started = 0_u64;
        let mut lateness_max = Duration::ZERO;
        let mut meters = None;
        let mut now = begin;
        while now < stop && started < self.load.attempts_max {
            if !self.is_counting && now >= count_from {
                self.is_counting = true;
                meters = Some((now, self.cpu()?));
            }
            match self.load.pace {
                Pace::Rate(rate) => {
                    while next_arrival <= now && started < self.load.attempts_max {
                        if self.is_counting {
                            lateness_max = lateness_max.max(now - next_arrival);
                        }
                        self.start()?;
                        started += 1;
                        next_arrival += arrivals.exponential(Duration::from_secs_f64(1.0 / rate));
                    }
                }
                Pace::Window(window) => {
                    while self.under_way() < window && started < self.load.attempts_max && self.start()? {
                        started += 1;
                    }
                    next_arrival = stop;
                }
            }
            let until = if self.is_counting { stop } else { count_from };
            self.turn(next_arrival.min(until))?;
            now = self.fleet.now();
        }
        // In a closed run the last attempts belong to it; in an open one those of the transient have paid for them.
        let is_closed = matches!(self.load.pace, Pace::Window(_));
        if is_closed {
            self.drain()?;
        }
        let Some((counted_from, before)) = meters else { bail!("the run was over before its transient was") };
        let (elapsed, after) = (self.fleet.now() - counted_from, self.cpu()?);
        self.is_counting = false;
        self.drain()?;
        let spent = before.iter().zip(&after).map(|((name, before), (_, after))| (*name, *after - *before));
        let mut cpu: Vec<_> = spent.collect();
        let (_, cpu_generator) = cpu.pop().expect("the generator is the last");
        Ok(Outcome {
            tally: self.tally,
            elapsed,
            cpu,
            cpu_generator,
            lateness_max,
            without_device: self.without_device,
            dropped: self.fleet.dropped(),
        })
    }

    /// CPU time of the functions and, last, of this program.
    fn cpu(&self) -> Result<Vec<(&'static str, Duration)>> {
        let functions =
            self.core.functions().iter().map(|function| Ok((function.name, function.meter.cpu()?)));
        functions.chain([Meter::own().cpu().map(|cpu| ("generator", cpu))]).collect()
    }

    fn under_way(&self) -> usize {
        self.dialogs.len() + self.registrations.len()
    }

    fn drain(&mut self) -> Result<()> {
        let give_up = self.fleet.now() + DRAIN_MAX;
        while self.under_way() > 0 && self.fleet.now() < give_up {
            self.turn(give_up)?;
        }
        let (dialogs, registrations) =
            (std::mem::take(&mut self.dialogs), std::mem::take(&mut self.registrations));
        for attempt in dialogs.into_values().chain(registrations.into_values()) {
            self.end(&attempt, Some("no end".into()));
        }
        Ok(())
    }

    fn turn(&mut self, until: Instant) -> Result<()> {
        let until = self.hang_ups.next().unwrap_or(Instant::FAR_FUTURE).min(until);
        self.fleet.turn(until)?;
        while let Some((index, report)) = self.fleet.report() {
            self.on_report(index, report);
        }
        let now = self.fleet.now();
        while let Some(call) = self.hang_ups.pop_due(now) {
            if let Some(attempt) = self.dialogs.get(&call) {
                self.fleet.order(attempt.caller, |device, now| device.hang_up(now, &call))?;
            }
        }
        Ok(())
    }

    /// Starts an attempt. `false`: no device is idle.
    fn start(&mut self) -> Result<bool> {
        let scenario = self.load.mix.draw(&mut self.choices);
        let Some((caller, callee)) = self.choose(scenario) else {
            self.without_device += 1;
            return Ok(false);
        };
        let mut attempt = Attempt {
            scenario,
            caller,
            callee,
            is_counted: self.is_counting,
            samples: Vec::new(),
            sent: self.fleet.now(),
            arrived: None,
            answer_sent: None,
            is_acknowledged: false,
            is_answered: false,
        };
        if attempt.is_counted {
            self.tally.ends.entry(scenario.name()).or_default().attempts += 1;
        }
        for index in [Some(caller), callee].into_iter().flatten() {
            self.is_busy[index] = true;
        }
        let to = callee
            .map(|callee| self.fleet.device(callee).profile().public_identity.clone())
            .unwrap_or_default();
        match scenario {
            Scenario::Registration | Scenario::Reregistration => {
                self.registrations.insert(caller, attempt);
                self.fleet.order(caller, Device::register)?;
            }
            Scenario::Deregistration => {
                self.registrations.insert(caller, attempt);
                self.fleet.order(caller, Device::deregister)?;
            }
            Scenario::Message | Scenario::MessageToNobody => {
                let call = self.fleet.order(caller, |device, now| device.message(now, &to, MESSAGE))?;
                self.dialogs.insert(call, attempt);
            }
            _ => {
                let call = self.fleet.order(caller, |device, now| {
                    attempt.sent = now;
                    device.call(now, &to)
                })?;
                if scenario == Scenario::CallAbandoned {
                    self.hang_ups.set(call.clone(), Some(attempt.sent + ABANDON_AFTER));
                }
                self.dialogs.insert(call, attempt);
            }
        }
        Ok(true)
    }

    /// Idle devices for a scenario.
    fn choose(&mut self, scenario: Scenario) -> Option<(usize, Option<usize>)> {
        if self.load.mix == Mix::Registration {
            // In turn: as long as there are devices that are not registered, registrations are initial ones.
            return (0..self.fleet.len()).find_map(|_| {
                let index = self.next_device % self.fleet.len();
                self.next_device += 1;
                (!self.is_busy[index]).then_some((index, None))
            });
        }
        let (caller_part, callee_part) = scenario.parts();
        let is_coming_registered = match scenario {
            Scenario::Registration => Some(false),
            Scenario::Deregistration => Some(true),
            _ => None,
        };
        let caller = self.draw(caller_part, None, is_coming_registered)?;
        let callee = match callee_part {
            Some(part) => Some(self.draw(part, Some(caller), None)?),
            None => None,
        };
        Some((caller, callee))
    }

    fn draw(&mut self, part: Part, other: Option<usize>, is_registered: Option<bool>) -> Option<usize> {
        let now = self.fleet.now();
        (0..DRAWS_MAX).find_map(|_| {
            let index = self.choices.below(self.fleet.len());
            let is_fit = !self.is_busy[index]
                && self.load.mix.part(index) == part
                && Some(index) != other
                && is_registered.is_none_or(|wanted| self.fleet.device(index).is_registered(now) == wanted);
            is_fit.then_some(index)
        })
    }

    fn on_report(&mut self, index: usize, report: Report) {
        match report {
            Report::Challenged { after, is_second } => {
                self.tally.second_challenges += u64::from(is_second && self.is_counting);
                self.sample_registration(index, Delay::FirstRegistration, after);
            }
            Report::Registered { after, .. } => {
                self.sample_registration(index, Delay::SecondRegistration, after);
                self.end_registration(index, None);
            }
            Report::Deregistered => self.end_registration(index, None),
            Report::RegistrationFailed(failure) => self.end_registration(index, Some(reason(&failure))),
            Report::InviteSent { .. } => {}
            Report::InviteArrived { call, at } => self.on_call(&call, |attempt| attempt.arrived = Some(at)),
            Report::AnswerSent { call, at } => self.on_call(&call, |attempt| attempt.answer_sent = Some(at)),
            Report::Answered { call, at } => {
                let hold = self.holds.exponential(self.load.hold_mean);
                self.on_call(&call, |attempt| attempt.is_answered = true);
                self.hang_ups.set(call, Some(at + hold));
            }
            Report::Acknowledged { call, at } => self.on_acknowledged(&call, at),
            Report::Released { call, after } => self.on_released(&call, after),
            Report::ReleaseFailed { call, failure } => {
                self.end_dialog(&call, Some(format!("BYE {}", reason(&failure))));
            }
            Report::CallFailed { call, failure } => self.on_call_failed(index, &call, &failure),
            Report::MessageDelivered { call, after } => {
                self.on_call(&call, |attempt| attempt.sample(Delay::Message, after));
                self.on_call(&call, |attempt| attempt.is_answered = true);
                self.end_dialog(&call, None);
            }
            Report::MessageFailed { call, failure } => self.on_call_failed(index, &call, &failure),
            Report::Retransmitted { method } => {
                *self.tally.retransmissions.entry(method).or_default() += u64::from(self.is_counting);
            }
            Report::SecondFinalAnswer { method, statuses: (first, second) } => {
                let what = format!("{method} answered {first} and then {second}");
                *self.tally.violations.entry(what).or_default() += 1;
            }
            Report::Malformed { reason } => {
                *self.tally.violations.entry(format!("unreadable: {reason}")).or_default() += 1;
            }
            Report::HungUp { .. }
            | Report::MessageArrived { .. }
            | Report::Notified { .. }
            | Report::RequestDone { .. } => {}
        }
    }

    fn on_call(&mut self, call: &CallId, change: impl FnOnce(&mut Attempt)) {
        if let Some(attempt) = self.dialogs.get_mut(call) {
            change(attempt);
        }
    }

    /// The call is set up. Its delay leaves out the time that the callee rang (spec 1.5 b).
    fn on_acknowledged(&mut self, call: &CallId, at: Instant) {
        let Some(attempt) = self.dialogs.get_mut(call) else { return };
        attempt.is_acknowledged = true;
        if let (Some(arrived), Some(answer_sent)) = (attempt.arrived, attempt.answer_sent) {
            let arrival = arrived - attempt.sent;
            let setup = arrival + (at - answer_sent);
            attempt.sample(Delay::Arrival, arrival);
            attempt.sample(Delay::Setup, setup);
        }
    }

    fn on_released(&mut self, call: &CallId, after: Duration) {
        let Some(attempt) = self.dialogs.get_mut(call) else { return };
        let failure = (!attempt.is_acknowledged).then(|| "no ACK".to_owned());
        attempt.sample(Delay::Release, after);
        self.end_dialog(call, failure);
    }

    fn on_call_failed(&mut self, index: usize, call: &CallId, failure: &Failure) {
        let Some(attempt) = self.dialogs.get(call) else { return };
        if attempt.caller != index {
            // The callee's view: its caller will tell.
            return;
        }
        let is_wanted =
            matches!(failure, Failure::Refused(status) if attempt.scenario.refusals().contains(status));
        self.end_dialog(call, (!is_wanted).then(|| reason(failure)));
    }

    fn sample_registration(&mut self, index: usize, delay: Delay, after: Duration) {
        if let Some(attempt) = self.registrations.get_mut(&index) {
            attempt.sample(delay, after);
        }
    }

    fn end_registration(&mut self, index: usize, failure: Option<String>) {
        if let Some(attempt) = self.registrations.remove(&index) {
            self.end(&attempt, failure);
        }
    }

    fn end_dialog(&mut self, call: &CallId, failure: Option<String>) {
        self.hang_ups.set(call.clone(), None);
        if let Some(attempt) = self.dialogs.remove(call) {
            let is_unwanted =
                failure.is_none() && attempt.is_answered && !attempt.scenario.refusals().is_empty();
            self.end(&attempt, if is_unwanted { Some("200".into()) } else { failure });
        }
    }

    fn end(&mut self, attempt: &Attempt, failure: Option<String>) {
        for index in [Some(attempt.caller), attempt.callee].into_iter().flatten() {
            self.is_busy[index] = false;
        }
        if !attempt.is_counted {
            return;
        }
        let ends = self.tally.ends.entry(attempt.scenario.name()).or_default();
        match failure {
            None => {
                ends.successes += 1;
                let is_inadequate = attempt.samples.iter().any(|(delay, after)| *after > delay.threshold());
                ends.inadequate += u64::from(is_inadequate);
                for (delay, after) in &attempt.samples {
                    self.tally.samples.entry(*delay).or_default().push(*after);
                }
            }
            Some(reason) => *ends.failures.entry(reason).or_default() += 1,
        }
    }
}

/// The body of a message: 140 bytes, the mean of spec 3.4.
const MESSAGE: &str = "0123456789012345678901234567890123456789012345678901234567890123456789\
                       0123456789012345678901234567890123456789012345678901234567890123456789";

impl Attempt {
    fn sample(&mut self, delay: Delay, after: Duration) {
        self.samples.push((delay, after));
    }
}

fn reason(failure: &Failure) -> String {
    match failure {
        Failure::Refused(status) => status.to_string(),
        Failure::TimedOut => "no answer".into(),
        Failure::Challenge(reason) => format!("challenge: {reason}"),
    }
}
