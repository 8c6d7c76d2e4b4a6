//! The driver with a scripted machine, bound to free ports of the loopback interface.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use host::admin::{Info, Peers, Shared};
use host::diameter::DiameterStreams;
use host::metrics::Metrics;
use host::run::{Driver, Wires};
use host::stream::Limits;
use host::tcp::SipStreams;
use host::udp::Udp;
use host::{Built, Durable, Machine};
use node::wire::{Input, Output};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

/// What the machine of a test was told.
pub type Told = Rc<RefCell<Vec<Input>>>;
pub type Answers = Box<dyn FnMut(&Input) -> Vec<Output>>;

pub struct Scripted {
    told: Told,
    answers: Answers,
    outputs: VecDeque<Output>,
}

impl Machine for Scripted {
    fn handle_input(&mut self, _now: clock::Instant, input: Input) {
        self.outputs.extend((self.answers)(&input));
        self.told.borrow_mut().push(input);
    }

    fn handle_timeout(&mut self, _now: clock::Instant) {}

    fn poll_output(&mut self) -> Option<pair::Output> {
        self.outputs.pop_front().map(pair::Output::Node)
    }

    fn poll_timeout(&self) -> Option<clock::Instant> {
        None
    }
}

/// A driver with everything bound to free ports.
pub struct World {
    pub driver: Driver<Scripted>,
    told: Told,
    pub udp: Vec<SocketAddr>,
    tcp: SocketAddr,
}

impl World {
    pub fn new(limits: Limits, store: Option<Box<dyn Durable>>, answers: Answers) -> World {
        let any = "127.0.0.1:0".parse().unwrap();
        let udp: Vec<_> = (0..2).map(|_| host::listen::udp(any).unwrap()).collect();
        let listener = host::listen::tcp(any).unwrap();
        let (addresses, tcp) = (udp.iter().map(|(address, _)| *address).collect(), listener.0);
        let (_, commands) = tokio::sync::mpsc::channel(1);
        let wires = Wires {
            udp: Udp::new(udp),
            tcp: SipStreams::new(limits, vec![listener], 0),
            diameter: DiameterStreams::new(host::diameter::LIMITS, Vec::new(), Vec::new(), 1),
            commands,
            pair: None,
        };
        let told = Told::default();
        let machine = Scripted { told: told.clone(), answers, outputs: VecDeque::new() };
        let driver = Driver::new(Built { machine, store }, wires, shared(), host::clock::wall_origin());
        World { driver, told, udp: addresses, tcp }
    }

    /// Runs the driver beside a test.
    pub async fn run<T>(self, test: impl AsyncFnOnce(Seen) -> T) -> T {
        let seen = Seen { told: self.told, udp: self.udp, tcp: self.tcp };
        tokio::select! {
            end = self.driver.run() => panic!("the driver ended: {end:?}"),
            result = within(test(seen)) => result,
        }
    }
}

pub struct Seen {
    pub told: Told,
    pub udp: Vec<SocketAddr>,
    pub tcp: SocketAddr,
}

impl Seen {
    /// Waits until the machine was told something.
    pub async fn wait_for(&self, is_it: impl Fn(&Input) -> bool) {
        while !self.told.borrow().iter().any(&is_it) {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
}

pub async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(20), future).await.expect("done within 20 s")
}

pub fn shared() -> Arc<Shared> {
    Arc::new(Shared {
        metrics: Metrics::new("test", "test-1"),
        recorder: Mutex::default(),
        info: Info {
            instance: "test-1".into(),
            function: "test",
            version: "0",
            pid: 0,
            start_micros: 0,
            listening: Vec::new(),
            config_hash: String::new(),
        },
        heartbeat_micros: AtomicU64::new(0),
        is_stopping: AtomicBool::new(false),
        peers: Mutex::new(Peers::default()),
        standing: Mutex::default(),
    })
}

pub fn echo() -> Answers {
    Box::new(|input| match input {
        Input::Sip { flow, bytes, .. } => {
            vec![Output::Sip { destination: flow.to_destination(), bytes: bytes.clone() }]
        }
        _ => Vec::new(),
    })
}

pub fn message(body: &str) -> Vec<u8> {
    format!("MESSAGE sip:a@b SIP/2.0\r\nContent-Length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

pub async fn read_exactly(stream: &mut TcpStream, expected: &[u8]) {
    let mut read = vec![0; expected.len()];
    stream.read_exact(&mut read).await.unwrap();
    assert_eq!(String::from_utf8_lossy(&read), String::from_utf8_lossy(expected));
}
