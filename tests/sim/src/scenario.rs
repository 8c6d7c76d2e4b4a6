//! One run: devices of both kinds, mixed traffic, perhaps a bad network, perhaps functions that die; then what must hold.

use std::collections::BTreeMap;

use clock::{Duration, Instant};
use node::config::FunctionKind;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use resilience::permission::Rules;
use sip::Method;
use sip::aka::{Key, Opc, Secrets};
use sip::transaction::Timers;
use ue::{AnswerBehaviour, Callee, Credentials, Device, Failure, Profile};

use crate::adversary::Adversary;
use crate::checkers::End;
use crate::core::{HOME_DOMAIN, PCSCF, PCSCF_IPV6};
use crate::network::Link;
use crate::sabotage::Sabotage;
use crate::trace::Trace;
use crate::world::{Fault, World};

/// How long orders are given, and how long the core then has to come to rest: longer than every transaction timer.
const BUSY: Duration = Duration::from_secs(120);
const REST: Duration = Duration::from_secs(400);

/// Nothing else may happen to the parties of a call or message this long before and after it, or its end is nobody's promise.
const UNDISTURBED: Duration = Duration::from_secs(35);

/// The functions that are pairs, if any is.
const PAIRED: [FunctionKind; 4] = FunctionKind::ALL;

/// What a run is made of.
#[derive(Clone, Copy, Debug)]
pub struct Scenario {
    /// Decides everything else.
    pub seed: u64,
    /// Functions die now and then.
    pub with_kills: bool,
    /// All functions are pairs, and whoever serves dies or stands still now and then: nobody is to notice.
    pub with_pairs: bool,
    /// What holds between the instances of a pair.
    pub rules: Rules,
    /// Somebody sends garbage from anywhere.
    pub with_adversary: bool,
    /// Half of the devices speak TCP, over connections that break.
    pub with_streams: bool,
    /// Half of the devices speak IPv6.
    pub with_ipv6: bool,
    /// A broken rule, to see that it is found.
    pub sabotage: Option<Sabotage>,
}

/// What came out.
pub struct Outcome {
    /// What was broken; empty when all is well.
    pub violations: Vec<String>,
    /// What happened.
    pub trace: Trace,
    /// Calls and messages that had to succeed, and did or did not.
    pub promised: u64,
    /// Registrations that succeeded at least once.
    pub registered: u64,
    /// Calls released.
    pub released: u64,
    /// Instances of pairs that failed, and that took over.
    pub failures: (u64, u64),
}

/// A call or message, to be judged at the end.
struct Attempt {
    at: Instant,
    call: String,
    from: usize,
    to: Option<usize>,
    /// What is promised when nothing disturbs it.
    promise: Promise,
}

enum Promise {
    Success,
    Refusal(&'static [u16]),
    Nothing,
}

/// One instant at which something about a party changed.
struct Disturbance {
    at: Instant,
    /// `None`: a function died, which disturbs all.
    device: Option<usize>,
}

impl Scenario {
    /// The scenario of a seed: a third each has an adversary, streams, IPv6.
    pub fn drawn(seed: u64, with_kills: bool, sabotage: Option<Sabotage>) -> Scenario {
        let mut random = StdRng::seed_from_u64(seed ^ 0x6861_7264_7368_6970);
        let mut is_drawn = || random.random_ratio(1, 3);
        Scenario {
            seed,
            with_kills,
            with_pairs: false,
            rules: Rules::all(),
            with_adversary: is_drawn(),
            with_streams: is_drawn(),
            with_ipv6: is_drawn(),
            sabotage,
        }
    }

    /// Runs it.
    pub fn run(self) -> Outcome {
        let mut run = Run::new(self);
        run.give_orders();
        run.world.run_for(REST);
        run.judge();
        let World { checkers, trace, failures, takeovers, .. } = run.world;
        Outcome {
            violations: checkers.violations().to_vec(),
            trace,
            promised: run.promised,
            registered: checkers.registrations.values().filter(|end| **end == End::Success).count() as u64,
            released: checkers.released.len() as u64,
            failures: (failures, takeovers),
        }
    }
}

struct Run {
    scenario: Scenario,
    world: World,
    random: StdRng,
    adversary: Option<Adversary>,
    /// How many devices are honest: those of the adversary come after them.
    honest: usize,
    attempts: Vec<Attempt>,
    disturbances: Vec<Disturbance>,
    /// Devices that an operator de-registered, which they need not know, with how often they had registered before.
    terminated: BTreeMap<usize, u64>,
    promised: u64,
}

impl Run {
    fn new(scenario: Scenario) -> Run {
        let mut random = StdRng::seed_from_u64(scenario.seed ^ 0x7363_656e_6172_696f);
        let is_bad_network = random.random_bool(0.5);
        let access = Link {
            delay_min: Duration::from_millis(random.random_range(1..10)),
            delay_max: Duration::from_millis(if is_bad_network { random.random_range(10..60) } else { 10 }),
            loss: if is_bad_network { random.random_range(0.0..0.05) } else { 0.0 },
            duplication: if is_bad_network { random.random_range(0.0..0.05) } else { 0.0 },
        };
        let paired = if scenario.with_pairs { &PAIRED[..] } else { &[] };
        let mut world = World::new(scenario.seed, access, scenario.sabotage, paired, scenario.rules);
        world.checkers.has_adversary = scenario.with_adversary;
        world.checkers.has_standstills = scenario.with_pairs;
        let count = random.random_range(3..8);
        let mut records = Vec::new();
        for number in 0..count {
            let (device, record) = subscriber(number, &format!("ue{number}"), scenario, &mut random);
            records.push(record);
            world.add_device(device);
        }
        let adversary = scenario.with_adversary.then(|| {
            let mut own = Vec::new();
            for (number, name) in ["mallory", "trent"].into_iter().enumerate() {
                let unadorned = Scenario { with_streams: false, with_ipv6: false, ..scenario };
                let (device, record) = subscriber(count + number, name, unadorned, &mut random);
                own.push(device.profile().address);
                records.push(record);
                let number = world.add_device(device);
                world.adversaries.insert(number);
            }
            Adversary::new(StdRng::seed_from_u64(scenario.seed ^ 0x6164_7665_7273_6172), own)
        });
        let put = world.command(FunctionKind::Hss, "subscriber.put", format!("[{}]", records.join(",")));
        if let Err(reason) = put {
            world.checkers.violate(format!("the HSS refused the subscribers: {reason}"));
        }
        Run {
            scenario,
            world,
            random,
            adversary,
            honest: count,
            attempts: Vec::new(),
            disturbances: Vec::new(),
            terminated: BTreeMap::new(),
            promised: 0,
        }
    }

    fn give_orders(&mut self) {
        let end = self.world.now + BUSY;
        // Most devices are on from the beginning.
        for number in 0..self.world.devices.len() {
            if self.random.random_bool(0.8) || number >= self.honest {
                self.register(number);
            }
            self.pause(Duration::from_millis(200));
        }
        self.world.run_for(Duration::from_secs(4));
        while self.world.now < end {
            self.fail();
            self.order();
            self.provoke();
            self.pause(Duration::from_secs(6));
        }
        // From here on registrations only end: the short ones within the rest.
        self.world.devices.iter_mut().for_each(Device::stop_refreshing);
    }

    fn pause(&mut self, most: Duration) {
        let micros = self.random.random_range(0..most.as_micros() as u64);
        self.world.run_for(Duration::from_micros(micros));
    }

    fn disturb(&mut self, device: Option<usize>) {
        self.disturbances.push(Disturbance { at: self.world.now, device });
    }

    fn registration_count(&self, number: usize) -> u64 {
        self.world.checkers.registration_counts.get(&number).copied().unwrap_or_default()
    }

    /// Has an operator de-registered the device, and has it not registered since?
    fn is_terminated(&self, number: usize) -> bool {
        self.terminated.get(&number) == Some(&self.registration_count(number))
    }

    /// Is the device registered, at both ends?
    fn is_known(&self, number: usize) -> bool {
        self.world.devices[number].is_registered(self.world.now) && !self.is_terminated(number)
    }

    fn register(&mut self, number: usize) {
        self.disturb(Some(number));
        self.world.order(number, Device::register);
    }

    /// One thing somebody does.
    fn order(&mut self) {
        let number = self.random.random_range(0..self.honest);
        match self.random.random_range(0..100) {
            0..8 => self.register(number),
            8..11 if self.is_known(number) => {
                self.disturb(Some(number));
                self.world.order(number, Device::deregister);
            }
            11..14 => {
                self.disturb(Some(number));
                self.world.order(number, |device, now| {
                    device.restart();
                    device.register(now);
                });
            }
            14..45 => self.message(number),
            45..85 => self.call(number),
            85..88 => self.terminate(number),
            88..93 => self.subscribe(number),
            _ if self.scenario.with_kills => {
                let kinds = FunctionKind::ALL;
                let kind = kinds[self.random.random_range(0..kinds.len())];
                self.disturb(None);
                self.world.kill(kind);
            }
            _ => {}
        }
    }

    /// Whoever serves fails in the middle of what is ordered next.
    fn fail(&mut self) {
        if !self.scenario.with_pairs || self.random.random_bool(0.5) {
            return;
        }
        let kind = PAIRED[self.random.random_range(0..PAIRED.len())];
        if kind == FunctionKind::Pcscf && self.scenario.with_streams {
            // A TCP connection ends with the process that holds it, and its device notices.
            return;
        }
        let fault = match self.random.random_range(0..5) {
            0 => Fault::Killed { is_noticed: true },
            1 => Fault::Killed { is_noticed: false },
            2 => Fault::WitnessKilled,
            // Shorter than the time after which it would have the other one taken out of the set.
            3 => Fault::CutOffAndKilled(Duration::from_millis(self.random.random_range(5..45))),
            _ => Fault::Frozen(Duration::from_millis(self.random.random_range(10..3000))),
        };
        // Most stages of a procedure lie in its first moments.
        let delay = match self.random.random_bool(0.7) {
            true => self.random.random_range(0..100_000),
            false => self.random.random_range(0..3_000_000),
        };
        let delay = Duration::from_micros(delay);
        self.world.fail_after(delay, kind, fault);
        // A host with the serving instances of several pairs (S2-M1), at once or with a moment in between (S2-M2).
        if self.random.random_bool(0.25) {
            let with_streams = self.scenario.with_streams;
            let may_fail = |other: &FunctionKind| *other != FunctionKind::Pcscf || !with_streams;
            for other in PAIRED.into_iter().filter(|other| *other != kind).filter(may_fail) {
                if self.random.random_bool(0.6) {
                    let later = Duration::from_micros(match self.random.random_bool(0.5) {
                        true => 0,
                        false => self.random.random_range(0..300_000),
                    });
                    self.world.fail_after(delay + later, other, fault);
                }
            }
        }
    }

    fn subscribe(&mut self, number: usize) {
        if self.world.devices[number].is_registered(self.world.now) {
            self.world.order(number, |device, now| device.subscribe(now, 600));
        }
    }

    /// The adversary does something, and its devices give it something to damage.
    fn provoke(&mut self) {
        let Some(mut adversary) = self.adversary.take() else { return };
        let (mallory, trent) = (self.honest, format!("sip:trent@{HOME_DOMAIN}"));
        match self.random.random_range(0..6) {
            0 => self.world.order(mallory, Device::register),
            1 => self.world.order(mallory + 1, Device::register),
            2 => self.world.order(mallory, |device, now| drop(device.message(now, &trent, "hello"))),
            3 => self.world.order(mallory, |device, now| drop(device.call(now, &trent))),
            4 => {
                let calls: Vec<_> = self.world.devices[mallory].calls().cloned().collect();
                for call in calls {
                    self.world.order(mallory, |device, now| device.hang_up(now, &call));
                }
            }
            _ => self.world.order(mallory, |device, now| device.subscribe(now, 600)),
        }
        for _ in 0..self.random.random_range(0..4) {
            self.pause(Duration::from_millis(100));
            adversary.act(&mut self.world);
        }
        self.adversary = Some(adversary);
    }

    /// The connection of a device is cut, between two requests of its own.
    fn cut(&mut self, number: usize) {
        if self.world.devices[number].profile().is_reliable && !self.world.devices[number].is_waiting() {
            self.disturb(Some(number));
            self.world.cut(number);
        }
    }

    /// The operator de-registers a subscriber (RTR).
    fn terminate(&mut self, number: usize) {
        // With a registration under way the two race: either may come last, and both are right.
        if !self.world.devices[number].is_quiet() {
            return;
        }
        self.disturb(Some(number));
        let count = self.registration_count(number);
        let selector =
            format!("{{\"privateIdentity\":\"{}\"}}", self.world.devices[number].profile().private_identity);
        let result = self.world.command(FunctionKind::Hss, "subscriber.deregister", selector);
        let said =
            result.as_ref().map_or_else(Clone::clone, |text| String::from_utf8_lossy(text).into_owned());
        self.world.trace.note(
            self.world.now,
            "operator",
            format!("has ended the registration of ue{number}: {said}"),
        );
        match result {
            Ok(_) => {
                self.terminated.insert(number, count);
            }
            // The HSS was dead, or died over it.
            Err(_) if self.scenario.with_kills => {}
            Err(reason) => self.world.checkers.violate(format!("subscriber.deregister: {reason}")),
        }
    }

    /// Whom to address: mostly another device, sometimes nobody.
    fn target(&mut self, from: usize) -> (Option<usize>, String) {
        if self.random.random_bool(0.05) {
            return (None, format!("sip:nobody@{HOME_DOMAIN}"));
        }
        let to = self.random.random_range(0..self.honest);
        if to == from {
            return (None, format!("sip:nobody@{HOME_DOMAIN}"));
        }
        let uri = match self.random.random_bool(0.2) {
            true => format!("tel:+1555000{to:04}"),
            false => self.world.devices[to].profile().public_identity.clone(),
        };
        (Some(to), uri)
    }

    fn message(&mut self, from: usize) {
        let (to, uri) = self.target(from);
        let promise = self.promise(from, to);
        let body = format!("hello from {from}");
        let call = self.world.order(from, |device, now| device.message(now, &uri, &body));
        self.attempts.push(Attempt { at: self.world.now, call, from, to, promise });
    }

    fn call(&mut self, from: usize) {
        let (to, uri) = self.target(from);
        if self.world.devices[from].calls().next().is_some() {
            return;
        }
        let mut promise = self.promise(from, to);
        if let (Some(to), Promise::Success) = (to, &promise) {
            match self.world.devices[to].profile().callee.answer {
                AnswerBehaviour::Busy => promise = Promise::Refusal(&[486]),
                AnswerBehaviour::Never => promise = Promise::Refusal(&[487]),
                AnswerBehaviour::Accept => {}
            }
        }
        let call = self.world.order(from, |device, now| device.call(now, &uri));
        let at = self.world.now;
        self.world.run_for(Duration::from_secs(5));
        let is_up = self.world.checkers.ends.get(&call) == Some(&End::Success);
        if is_up && self.random.random_bool(0.4) {
            let method = if self.random.random_bool(0.5) { Method::Update } else { Method::Invite };
            self.world.order(from, |device, now| device.send_in_call(now, &call, method));
            self.world.run_for(Duration::from_secs(3));
        }
        if is_up && self.scenario.with_streams && self.random.random_bool(0.2) {
            // The call goes on over the next connection.
            self.cut(from);
            self.world.run_for(Duration::from_millis(500));
        }
        // A call that is not answered within these 5 s is given up by its caller (CANCEL).
        let ender = match to.filter(|_| is_up && self.random.random_bool(0.5)) {
            Some(to) => to,
            None => from,
        };
        if !is_up && matches!(promise, Promise::Success) {
            // Lossy access may make it slow; a CANCEL then decides.
            promise = Promise::Nothing;
        }
        self.world.order(ender, |device, now| device.hang_up(now, &call));
        self.attempts.push(Attempt { at, call, from, to, promise });
    }

    /// What is promised to a request between these two as they are now.
    fn promise(&self, from: usize, to: Option<usize>) -> Promise {
        let now = self.world.now;
        let is_registered = |number: usize| self.world.devices[number].is_registered(now);
        match to {
            _ if self.is_terminated(from) => Promise::Nothing,
            Some(to) if is_registered(from) && self.is_terminated(to) => Promise::Refusal(&[480]),
            _ if !is_registered(from) => Promise::Refusal(&[403]),
            None => Promise::Refusal(&[404]),
            Some(to) if !is_registered(to) => Promise::Refusal(&[480]),
            Some(_) => Promise::Success,
        }
    }

    fn judge(&mut self) {
        self.judge_attempts();
        self.judge_leaks();
        self.judge_registrations();
    }

    fn judge_attempts(&mut self) {
        for attempt in std::mem::take(&mut self.attempts) {
            let parties = [Some(attempt.from), attempt.to];
            let is_disturbed = self.disturbances.iter().any(|disturbance| {
                let is_near =
                    disturbance.at + UNDISTURBED > attempt.at && attempt.at + UNDISTURBED > disturbance.at;
                is_near && (disturbance.device.is_none() || parties.contains(&disturbance.device))
            });
            let end = self.world.checkers.ends.get(&attempt.call).cloned();
            let call = &attempt.call;
            if !self.scenario.with_kills {
                // A proxy that was killed with a request under way takes its repetition for a new one: without a standby
                // that keeps the branch, the user may see it twice.
                for number in 0..self.honest {
                    if self.world.checkers.delivered_twice.contains(&(number, call.clone())) {
                        self.world.checkers.violate(format!("{call} was delivered to ue{number} twice"));
                    }
                }
            }
            let Some(end) = end else {
                // A device that was switched off forgets what it had begun.
                if is_disturbed {
                    continue;
                }
                self.world.checkers.violate(format!("{call} of ue{} never came to an end", attempt.from));
                continue;
            };
            if is_disturbed {
                continue;
            }
            self.promised += 1;
            let is_kept = match (&attempt.promise, &end) {
                (Promise::Nothing, _) | (Promise::Success, End::Success) => true,
                (Promise::Refusal(statuses), End::Failure(Failure::Refused(status))) => {
                    statuses.contains(status)
                }
                _ => false,
            };
            if !is_kept {
                let wanted = match attempt.promise {
                    Promise::Success => "success".to_owned(),
                    Promise::Refusal(statuses) => format!("{statuses:?}"),
                    Promise::Nothing => "anything".to_owned(),
                };
                let at = attempt.at.as_micros() / 1000;
                self.world
                    .checkers
                    .violate(format!("{call} of ue{} at {at} ms: {end:?}, promised: {wanted}", attempt.from));
            }
        }
        let checkers = &self.world.checkers;
        let past: Vec<_> = checkers.released.difference(&checkers.byes_at_scscf).cloned().collect();
        for call in past {
            self.world.checkers.violate(format!("the BYE of {call} did not come by the S-CSCF"));
        }
        if !self.scenario.with_kills {
            for (call, failure) in self.world.checkers.release_failures.clone() {
                self.world.checkers.violate(format!("BYE of {call} failed: {failure:?}"));
            }
        }
    }

    /// Nothing is left of what has ended.
    fn judge_leaks(&mut self) {
        for (kind, (servers, clients)) in self.world.transactions() {
            if servers + clients > 0 {
                let text = format!(
                    "{} still holds {servers} server and {clients} client transactions",
                    kind.as_str()
                );
                self.world.checkers.violate(text);
            }
        }
        for (kind, open) in self.world.open_procedures() {
            if open > 0 {
                self.world
                    .checkers
                    .violate(format!("{} still has {open} procedures under way", kind.as_str()));
            }
        }
        for kind in self.world.unprotected() {
            self.world
                .checkers
                .violate(format!("{} has nobody to take over, long after the last failure", kind.as_str()));
        }
        for unequal in self.world.unequal_copies() {
            self.world.checkers.violate(unequal);
        }
        for number in 0..self.honest {
            let calls: Vec<_> = self.world.devices[number].calls().cloned().collect();
            if !calls.is_empty() && !self.scenario.with_kills {
                self.world.checkers.violate(format!("ue{number} is still in calls {calls:?}"));
            }
        }
    }

    /// Device, P-CSCF, S-CSCF and HSS agree on who is registered.
    fn judge_registrations(&mut self) {
        if self.scenario.with_kills {
            return;
        }
        for number in 0..self.honest {
            if matches!(self.world.checkers.registrations.get(&number), Some(End::Failure(_))) {
                self.world.checkers.violate(format!("the last registration of ue{number} failed"));
                continue;
            }
            let believes = self.is_known(number);
            let profile = self.world.devices[number].profile();
            let (private, public) = (profile.private_identity.clone(), profile.public_identity.clone());
            let contact = format!("{}@{}", private.split('@').next().unwrap_or(""), profile.address);
            let mut says = |kind, command: &str, question: String, sign: &str| {
                let answer = self.world.command(kind, command, question);
                answer.map(|document| String::from_utf8_lossy(&document).contains(sign))
            };
            let hss = says(
                FunctionKind::Hss,
                "subscriber.get",
                format!("{{\"privateIdentity\":\"{private}\"}}"),
                "\"state\":\"registered\"",
            );
            let scscf = says(
                FunctionKind::Scscf,
                "registration.list",
                format!("{{\"publicIdentity\":\"{public}\"}}"),
                &contact,
            );
            let pcscf = says(FunctionKind::Pcscf, "registration.list", String::new(), &contact);
            // Nobody tells a P-CSCF (nor, without a subscription, a device) that the operator has ended a registration.
            let is_told = !self.terminated.contains_key(&number);
            for (who, says) in
                [("HSS", Some(hss)), ("S-CSCF", Some(scscf)), ("P-CSCF", is_told.then_some(pcscf))]
            {
                match says {
                    Some(Ok(says)) if says != believes => {
                        let text =
                            format!("ue{number} believes registered={believes}, the {who} says {says}");
                        self.world.checkers.violate(text);
                    }
                    Some(Err(reason)) => self.world.checkers.violate(format!("{who}: {reason}")),
                    _ => {}
                }
            }
        }
    }
}

/// A device and its record for the HSS.
fn subscriber(number: usize, user: &str, scenario: Scenario, random: &mut StdRng) -> (Device, String) {
    let is_sim = random.random_bool(0.6);
    let mut bytes = || -> [u8; 16] { random.random() };
    let (key, opc) = (bytes(), bytes());
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let (credentials, record) = if is_sim {
        let secrets = Secrets { key: Key::new(key), opc: Opc(Key::new(opc)) };
        (
            Credentials::sim(secrets),
            format!("\"aka\":{{\"k\":\"{}\",\"opc\":\"{}\",\"amf\":\"8000\"}}", hex(&key), hex(&opc)),
        )
    } else {
        let password = format!("secret-{number}");
        (
            Credentials::Digest { password: password.clone() },
            format!("\"digest\":{{\"password\":\"{password}\"}}"),
        )
    };
    let answer = match random.random_range(0..10) {
        0 => AnswerBehaviour::Busy,
        1 => AnswerBehaviour::Never,
        _ => AnswerBehaviour::Accept,
    };
    let callee = Callee {
        ring: Duration::from_millis(random.random_range(0..1500)),
        answer,
        is_ringing_reliable: random.random_bool(0.3),
    };
    let is_ipv6 = scenario.with_ipv6 && random.random_bool(0.5);
    let (address, pcscf) = match is_ipv6 {
        true => (format!("[2001:db8::1:{:x}]:5060", number + 1), PCSCF_IPV6),
        false => (format!("10.1.0.{}:5060", number + 1), PCSCF),
    };
    let profile = Profile {
        private_identity: format!("{user}@{HOME_DOMAIN}"),
        public_identity: format!("sip:{user}@{HOME_DOMAIN}"),
        home_domain: HOME_DOMAIN.into(),
        credentials,
        address: address.parse().expect("an address written here"),
        pcscf: pcscf.parse().expect("an address"),
        is_reliable: scenario.with_streams && random.random_bool(0.5),
        timers: Timers::default(),
        registration_seconds: if random.random_bool(0.3) { random.random_range(60..300) } else { 3600 },
        callee,
    };
    let record = format!(
        "{{\"privateIdentity\":\"{}\",\"publicIdentities\":[{{\"uri\":\"{}\"}},{{\"uri\":\"tel:+1555000{number:04}\"}}],{record}}}",
        profile.private_identity, profile.public_identity
    );
    (Device::new(profile, random.random()), record)
}
