//! The devices of `bench/ue` on real sockets, UDP or TCP: one socket for each, one thread for all.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use bytes::Bytes;
use clock::{Duration, Instant};
use sip::aka::RandAutn;
use sip::digest::{Algorithm, challenge_for};
use sip::framing::{Frame, StreamFramer};
use sip::transaction::Timers;
use sip::{Message, Name};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UdpSocket;
use tokio::runtime::Runtime;
use tokio::sync::mpsc;
use ue::{Callee, Device, Failure, Output, Profile, Report};

use crate::{Core, Pcap, Subscriber};

/// What a phone saw on the wire, beyond what its device reports.
#[derive(Clone, Debug, Default)]
pub struct Heard {
    /// The AKA challenges, each once, in order.
    pub challenges: Vec<RandAutn>,
    /// Retry-After of the last 503.
    pub retry_after_seconds: Option<u32>,
    /// How many 503 came.
    pub shed: u32,
    /// Every message of it, in order, while [`Phones::record`] is on.
    pub wire: Vec<Wire>,
}

/// A message that a phone sent or received.
#[derive(Clone, Debug)]
pub struct Wire {
    /// When.
    pub at: Instant,
    /// Did the phone send it?
    pub is_sent: bool,
    /// The message.
    pub bytes: Bytes,
}

struct Phone {
    device: Device,
    link: Link,
    deadline: Option<Instant>,
    heard: Heard,
    reports: Vec<(Instant, Report)>,
}

/// How a phone reaches the core.
enum Link {
    Udp(Arc<UdpSocket>),
    /// Towards the task that writes to the connection.
    Tcp(mpsc::UnboundedSender<Bytes>),
}

/// Telephones.
pub struct Phones {
    runtime: Runtime,
    begun: std::time::Instant,
    entry: SocketAddr,
    address: Ipv4Addr,
    timers: Timers,
    phones: Vec<Phone>,
    deadlines: BTreeSet<(Instant, usize)>,
    arrived: mpsc::UnboundedReceiver<(usize, Bytes)>,
    arrive: mpsc::UnboundedSender<(usize, Bytes)>,
    /// Keep every message?
    pub record: bool,
}

impl Phones {
    /// Phones that use `core`.
    pub fn new(core: &Core) -> Phones {
        use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
        let limit = getrlimit(Resource::Nofile);
        // A socket for each phone; with fewer the test that needs them says so.
        let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
        let (arrive, arrived) = mpsc::unbounded_channel();
        Phones {
            runtime: tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime"),
            begun: std::time::Instant::now(),
            entry: core.entry(),
            address: core.phone_address(),
            timers: Timers::default(),
            phones: Vec::new(),
            deadlines: BTreeSet::new(),
            arrived,
            arrive,
            record: false,
        }
    }

    /// T1, T2 and T4 of the phones added from now on.
    pub fn set_timers(&mut self, timers: Timers) {
        self.timers = timers;
    }

    /// Adds a phone; tells its number.
    pub fn add(&mut self, subscriber: &Subscriber) -> usize {
        self.add_with(subscriber, |_| {})
    }

    /// Adds a phone with something about it changed.
    pub fn add_with(&mut self, subscriber: &Subscriber, change: impl FnOnce(&mut Profile)) -> usize {
        let number = self.phones.len();
        let socket = self.runtime.block_on(UdpSocket::bind((self.address, 0))).expect("a phone finds a port");
        let mut profile = Profile {
            private_identity: subscriber.private_identity.clone(),
            public_identity: subscriber.public_identity.clone(),
            home_domain: crate::core::HOME_DOMAIN.into(),
            credentials: subscriber.credentials(),
            address: socket.local_addr().expect("it is bound"),
            pcscf: self.entry,
            is_reliable: false,
            timers: self.timers,
            registration_seconds: 3600,
            callee: Callee::default(),
        };
        change(&mut profile);
        let link = match profile.is_reliable {
            true => self.connect(number, &mut profile.address),
            false => self.listen(number, socket),
        };
        // A seed that no other test program has used: Call-IDs of an earlier run may still be known to nobody.
        let seed = (u64::from(std::process::id()) << 32) + number as u64;
        let device = Device::new(profile, seed);
        self.phones.push(Phone {
            device,
            link,
            deadline: None,
            heard: Heard::default(),
            reports: Vec::new(),
        });
        number
    }

    fn listen(&self, number: usize, socket: UdpSocket) -> Link {
        let socket = Arc::new(socket);
        let (ear, arrive) = (Arc::clone(&socket), self.arrive.clone());
        self.runtime.spawn(async move {
            let mut buffer = vec![0; 65_536];
            while let Ok((length, _)) = ear.recv_from(&mut buffer).await {
                if arrive.send((number, Bytes::copy_from_slice(&buffer[..length]))).is_err() {
                    return;
                }
            }
        });
        Link::Udp(socket)
    }

    /// Opens a connection; puts its local address into `address`.
    fn connect(&self, number: usize, address: &mut SocketAddr) -> Link {
        let stream = self.runtime.block_on(async {
            let socket = tokio::net::TcpSocket::new_v4()?;
            socket.bind((self.address, 0).into())?;
            socket.connect(self.entry).await
        });
        let stream = stream.unwrap_or_else(|error| panic!("{} cannot be reached: {error}", self.entry));
        *address = stream.local_addr().expect("it is connected");
        let (mut ear, mut mouth) = stream.into_split();
        let arrive = self.arrive.clone();
        self.runtime.spawn(async move {
            let mut framer = StreamFramer::new();
            let mut buffer = vec![0; 65_536];
            while let Ok(length @ 1..) = ear.read(&mut buffer).await {
                framer.push(&buffer[..length]);
                for frame in framer.by_ref() {
                    let Ok(frame) = frame else { return };
                    if let Frame::Message(bytes) = frame
                        && arrive.send((number, bytes)).is_err()
                    {
                        return;
                    }
                }
            }
        });
        let (say, mut said) = mpsc::unbounded_channel::<Bytes>();
        self.runtime.spawn(async move {
            while let Some(bytes) = said.recv().await {
                if mouth.write_all(&bytes).await.is_err() {
                    return;
                }
            }
        });
        Link::Tcp(say)
    }

    /// A phone whose connection was lost opens another one.
    pub fn reconnect(&mut self, number: usize) {
        // Its Contact keeps the old port: what counts is the connection it registers over.
        let mut address = self.phones[number].device.profile().address;
        self.phones[number].link = self.connect(number, &mut address);
    }

    /// Adds a phone for each subscriber.
    pub fn add_all(&mut self, subscribers: &[Subscriber]) -> Vec<usize> {
        subscribers.iter().map(|subscriber| self.add(subscriber)).collect()
    }

    /// Now, as the devices count time.
    pub fn now(&self) -> Instant {
        Instant::from_micros(u64::try_from(self.begun.elapsed().as_micros()).unwrap_or(u64::MAX))
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.phones.len()
    }

    /// Are there none?
    pub fn is_empty(&self) -> bool {
        self.phones.is_empty()
    }

    /// The device of a phone.
    pub fn device(&self, number: usize) -> &Device {
        &self.phones[number].device
    }

    /// What a phone saw on the wire.
    pub fn heard(&self, number: usize) -> &Heard {
        &self.phones[number].heard
    }

    /// What a phone reported.
    pub fn reports(&self, number: usize) -> impl Iterator<Item = &Report> {
        self.phones[number].reports.iter().map(|(_, report)| report)
    }

    /// What a phone reported, and when.
    pub fn timed_reports(&self, number: usize) -> &[(Instant, Report)] {
        &self.phones[number].reports
    }

    /// Forgets what was reported so far.
    pub fn forget_reports(&mut self) {
        self.phones.iter_mut().for_each(|phone| phone.reports.clear());
    }

    /// Lets a phone do something.
    pub fn order<T>(&mut self, number: usize, act: impl FnOnce(&mut Device, Instant) -> T) -> T {
        let now = self.now();
        let result = act(&mut self.phones[number].device, now);
        self.drain(number);
        result
    }

    /// Lets time and messages pass until `is_done`; `false` when that took longer than `patience`.
    pub fn run_until(&mut self, patience: Duration, mut is_done: impl FnMut(&Phones) -> bool) -> bool {
        let end = self.now() + patience;
        loop {
            if is_done(self) {
                return true;
            }
            let now = self.now();
            if now >= end {
                return false;
            }
            let next = self.deadlines.first().map_or(end, |(at, _)| *at).min(end);
            // A look at the condition at least so often: it may be about something else than phones.
            let wait = next.saturating_since(now).min(Duration::from_millis(20));
            let arrived = &mut self.arrived;
            let first = self.runtime.block_on(async {
                tokio::select! {
                    biased;
                    arrived = arrived.recv() => arrived,
                    () = tokio::time::sleep(wait) => None,
                }
            });
            let mut arrived: Vec<(usize, Bytes)> = first.into_iter().collect();
            while let Ok(another) = self.arrived.try_recv() {
                arrived.push(another);
            }
            for (number, bytes) in arrived {
                self.take(number, bytes);
            }
            self.pass_deadlines();
        }
    }

    /// Lets time and messages pass.
    pub fn run_for(&mut self, time: Duration) {
        self.run_until(time, |_| false);
    }

    /// Registers phones, all at once; says how many were in the end.
    pub fn register(&mut self, numbers: &[usize], patience: Duration) -> usize {
        for number in numbers {
            self.order(*number, |device, now| device.register(now));
        }
        self.run_until(patience, |phones| {
            numbers.iter().all(|number| phones.has_ended_registration(*number))
        });
        let now = self.now();
        numbers.iter().filter(|number| self.phones[**number].device.is_registered(now)).count()
    }

    /// Was the last order to register answered for good?
    pub fn has_ended_registration(&self, number: usize) -> bool {
        self.phones[number].device.is_quiet()
    }

    /// One phone calls another, which answers; then the caller hangs up. Says what went wrong, if anything.
    pub fn call(&mut self, from: usize, to: usize, patience: Duration) -> Result<(), String> {
        let target = self.phones[to].device.profile().public_identity.clone();
        let call = self.order(from, |device, now| device.call(now, &target));
        let is_answered =
            |report: &Report| matches!(report, Report::Answered { call: of, .. } if *of == call);
        let has_failed =
            |report: &Report| matches!(report, Report::CallFailed { call: of, .. } if *of == call);
        self.run_until(patience, |phones| {
            phones.reports(from).any(|report| is_answered(report) || has_failed(report))
        });
        if !self.reports(from).any(is_answered) {
            return Err(format!("no answer: {:?}", self.reports(from).collect::<Vec<_>>()));
        }
        let is_acknowledged =
            |report: &Report| matches!(report, Report::Acknowledged { call: of, .. } if *of == call);
        if !self.run_until(patience, |phones| phones.reports(to).any(is_acknowledged)) {
            return Err("the called phone has no ACK".into());
        }
        self.order(from, |device, now| device.hang_up(now, &call));
        let is_released =
            |report: &Report| matches!(report, Report::Released { call: of, .. } if *of == call);
        match self.run_until(patience, |phones| phones.reports(from).any(is_released)) {
            true => Ok(()),
            false => Err(format!("no release: {:?}", self.reports(from).collect::<Vec<_>>())),
        }
    }

    /// Why the last registration of a phone failed, if it did.
    pub fn registration_failure(&self, number: usize) -> Option<Failure> {
        self.reports(number)
            .filter_map(|report| match report {
                Report::RegistrationFailed(failure) => Some(failure.clone()),
                _ => None,
            })
            .last()
    }

    /// How often a phone was told that it is registered.
    pub fn times_registered(&self, number: usize) -> usize {
        self.reports(number).filter(|report| matches!(report, Report::Registered { .. })).count()
    }

    /// What a capture on the phone's link would hold.
    pub fn capture(&self, number: usize) -> Pcap {
        let mut pcap = Pcap::default();
        let (SocketAddr::V4(phone), SocketAddr::V4(core)) =
            (self.phones[number].device.profile().address, self.entry)
        else {
            unreachable!("tests use IPv4");
        };
        for message in &self.phones[number].heard.wire {
            let (from, to) = if message.is_sent { (phone, core) } else { (core, phone) };
            pcap.add(message.at.as_micros(), from, to, &message.bytes);
        }
        pcap
    }

    /// The same as text, as somebody would paste it.
    pub fn transcript(&self, number: usize) -> String {
        let texts =
            self.phones[number].heard.wire.iter().map(|message| String::from_utf8_lossy(&message.bytes));
        texts.map(|text| format!("{}\n\n", text.replace("\r\n", "\n").trim_end())).collect()
    }

    fn take(&mut self, number: usize, bytes: Bytes) {
        let now = self.now();
        let phone = &mut self.phones[number];
        phone.heard.take(&bytes, matches!(phone.device.profile().credentials, ue::Credentials::Aka { .. }));
        if self.record {
            phone.heard.wire.push(Wire { at: now, is_sent: false, bytes: bytes.clone() });
        }
        phone.device.handle_message(now, bytes);
        self.drain(number);
    }

    fn pass_deadlines(&mut self) {
        let now = self.now();
        while let Some((at, number)) = self.deadlines.first().copied() {
            if at > now {
                return;
            }
            self.phones[number].device.handle_timeout(now);
            self.drain(number);
        }
    }

    fn drain(&mut self, number: usize) {
        let now = self.now();
        let phone = &mut self.phones[number];
        while let Some(output) = phone.device.poll_output() {
            match output {
                Output::Send(bytes) => {
                    if self.record {
                        phone.heard.wire.push(Wire { at: now, is_sent: true, bytes: bytes.clone() });
                    }
                    // What cannot be sent is lost like on any network: timers repeat it, or give up.
                    match &phone.link {
                        Link::Udp(socket) => {
                            let _ = self.runtime.block_on(socket.send_to(&bytes, self.entry));
                        }
                        Link::Tcp(say) => {
                            let _ = say.send(bytes);
                        }
                    }
                }
                Output::Report(report) => phone.reports.push((now, report)),
            }
        }
        let deadline = phone.device.poll_timeout();
        if let Some(old) = std::mem::replace(&mut phone.deadline, deadline) {
            self.deadlines.remove(&(old, number));
        }
        if let Some(at) = deadline {
            self.deadlines.insert((at, number));
        }
    }
}

impl Heard {
    fn take(&mut self, bytes: &Bytes, is_sim: bool) {
        if bytes.starts_with(b"SIP/2.0 503") {
            self.shed += 1;
            self.retry_after_seconds =
                Message::parse(bytes.clone()).ok().and_then(|message| message.number(Name::RetryAfter));
        }
        if !is_sim || !bytes.starts_with(b"SIP/2.0 401") {
            return;
        }
        let Ok(message) = Message::parse(bytes.clone()) else { return };
        let value = message.header(Name::WwwAuthenticate).unwrap_or_default();
        let challenge = challenge_for([value], |algorithm| algorithm == Algorithm::AkaV1Md5);
        if let Some(challenge) = challenge.and_then(|challenge| RandAutn::from_nonce(challenge.nonce))
            && !self.challenges.contains(&challenge)
        {
            self.challenges.push(challenge);
        }
    }
}

/// Traffic in the background of a test: phones that register again, one after another, at an even rate.
#[derive(Debug)]
pub struct Load {
    phones: Vec<usize>,
    every: Duration,
    next_at: Instant,
    next: usize,
    /// How many registrations were begun.
    pub begun: usize,
}

impl Load {
    /// The load of `phones`, one registration `every` so often.
    pub fn new(phones: Vec<usize>, every: Duration) -> Load {
        Load { phones, every, next_at: Instant::ZERO, next: 0, begun: 0 }
    }

    /// Lets time and messages pass until `is_done`, under this load.
    pub fn run_until(
        &mut self,
        phones: &mut Phones,
        patience: Duration,
        mut is_done: impl FnMut(&Phones) -> bool,
    ) -> bool {
        let end = phones.now() + patience;
        loop {
            let now = phones.now();
            if is_done(phones) {
                return true;
            }
            if now >= end {
                return false;
            }
            if now >= self.next_at {
                self.next_at = now + self.every;
                let number = self.phones[self.next % self.phones.len()];
                self.next += 1;
                // One that still waits for an answer is left alone.
                if phones.has_ended_registration(number) {
                    self.begun += 1;
                    phones.order(number, |device, now| device.register(now));
                }
            }
            let wait = self.next_at.min(end).saturating_since(phones.now());
            phones.run_until(wait, &mut is_done);
        }
    }
}
