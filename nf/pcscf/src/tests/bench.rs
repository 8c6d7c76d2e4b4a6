//! The test bench: builds a P-CSCF, feeds it, and reads what it decides.

use bytes::Bytes;
use clock::{Duration, Instant, WallOrigin, WallTime};
use node::config::{Config, FunctionConfig, Listen, Pcscf as PcscfConfig, SipTimers};
use node::{
    CommandKey, ConnectionId, Decision, Destination, Event, Flow, Function, Indication, MemoryStore, Origin,
    ServerKey, Setup, Topology, Transport,
};
use sip::message::Name;
use sip::{Draft, Message};

use crate::Pcscf;

pub const ALICE: &str = "198.51.100.7:5060";
pub const SCSCF: &str = "192.0.2.3:6060";

pub fn config() -> Config {
    Config {
        instance: "pcscf-1".into(),
        host_name: "pcscf.ims.example".into(),
        home_domain: "ims.example".into(),
        listen: vec![Listen {
            address: "192.0.2.1:4060".parse().expect("an address"),
            transports: vec![Transport::Udp, Transport::Tcp],
        }],
        hosts: [("scscf.ims.example", SCSCF), ("icscf.ims.example", "192.0.2.2:5060")]
            .map(|(name, address)| (name.to_owned(), address.parse().expect("an address")))
            .into(),
        diameter: None,
        timers: SipTimers::default(),
        datagram_bytes_max: 1300,
        shed_after_milliseconds: 500,
        admin_socket: "/tmp/none".into(),
        state_directory: None,
        pair: None,
        function: FunctionConfig::Pcscf(PcscfConfig {
            icscf_uri: "sip:icscf.ims.example".into(),
            visited_network: "ims.example".into(),
            flow_token_key: "000102030405060708090a0b0c0d0e0f".into(),
            emergency_numbers: vec!["112".into(), "911".into()],
        }),
    }
}

pub fn setup(config: Config, wall: u64) -> Setup {
    let topology = Topology::new(config.hosts.clone());
    Setup { config, topology, wall: WallOrigin(WallTime(wall)), seed: [7; 32] }
}

pub fn udp(remote: &str) -> Flow {
    Flow {
        transport: Transport::Udp,
        local: "192.0.2.1:4060".parse().expect("an address"),
        remote: remote.parse().expect("an address"),
        connection: None,
    }
}

pub fn tcp(remote: &str, connection: u64) -> Flow {
    Flow { transport: Transport::Tcp, connection: Some(ConnectionId(connection)), ..udp(remote) }
}

/// A message of lines that end with a bare line feed.
pub fn message(text: &str) -> Message {
    let text = text.trim_start().replace('\n', "\r\n");
    let text = if text.ends_with("\r\n\r\n") { text } else { format!("{}\r\n\r\n", text.trim_end()) };
    Message::parse(Bytes::from(text)).expect("a well-formed test message")
}

/// A request with the lines every request has, and `more`.
pub fn request(method: &str, uri: &str, from: &str, to: &str, more: &str) -> Message {
    message(&format!(
        "{method} {uri} SIP/2.0\nVia: SIP/2.0/UDP 198.51.100.7:5060;branch=z9hG4bKdevice;rport\nMax-Forwards: 70\n\
         From: <{from}>;tag=from-tag\nTo: {to}\nCall-ID: call-1\nCSeq: 1 {method}\n{more}"
    ))
}

/// What the P-CSCF forwarded.
pub struct Forwarded {
    pub message: Message,
    pub destination: Destination,
    pub patience: Option<Duration>,
}

pub struct Bench {
    pub pcscf: Pcscf<MemoryStore>,
    pub now: Instant,
    pub events: Vec<(&'static str, &'static str)>,
    server_next: u64,
}

impl Bench {
    pub fn new() -> Bench {
        Bench::with(config(), MemoryStore::default(), 1_000_000)
    }

    pub fn with(config: Config, store: MemoryStore, wall: u64) -> Bench {
        let pcscf = Pcscf::new(&setup(config, wall), store).expect("a usable configuration");
        Bench { pcscf, now: Instant::from_micros(1_000), events: Vec::new(), server_next: 0 }
    }

    /// The same P-CSCF after its process was killed and started again, `later` after the first start.
    pub fn restarted(&self, later: Duration) -> Bench {
        let wall = 1_000_000 + u64::try_from(later.as_micros()).expect("a short time");
        Bench::with(config(), self.pcscf.store().after_crash(), wall)
    }

    pub fn feed(&mut self, input: Indication) -> Vec<Decision> {
        self.pcscf.handle_input(self.now, input);
        self.drain()
    }

    fn drain(&mut self) -> Vec<Decision> {
        let mut decisions = Vec::new();
        while let Some(decision) = self.pcscf.poll_output() {
            match decision {
                Decision::Event(Event::Procedure { name, outcome, .. }) => self.events.push((name, outcome)),
                Decision::Event(_) => {}
                Decision::Commit => self.pcscf.store_mut().commit(),
                other => decisions.push(other),
            }
        }
        decisions
    }

    pub fn wait(&mut self, seconds: u64) {
        self.now += Duration::from_secs(seconds);
        if self.pcscf.poll_timeout().is_some_and(|at| at <= self.now) {
            self.pcscf.handle_timeout(self.now);
        }
        self.drain();
    }

    fn offer(&mut self, request: &Message, flow: Flow) -> (ServerKey, Vec<Decision>) {
        self.server_next += 1;
        let server = ServerKey(self.server_next);
        (server, self.feed(Indication::Request { server, request: request.clone(), flow }))
    }

    /// A request that must be forwarded to one place.
    pub fn forward(&mut self, request: &Message, flow: Flow) -> (ServerKey, Forwarded) {
        let (server, mut decisions) = self.offer(request, flow);
        match (decisions.pop(), decisions.is_empty()) {
            (Some(Decision::Forward { server: key, mut branches, patience }), true) => {
                assert_eq!((key, branches.len()), (server, 1));
                let branch = branches.remove(0);
                let message = parsed(&branch.request);
                (server, Forwarded { message, destination: branch.destination, patience })
            }
            (other, _) => panic!("not forwarded: {other:?} {decisions:?}"),
        }
    }

    /// A request that must be answered at once.
    pub fn refuse(&mut self, request: &Message, flow: Flow) -> Message {
        let (server, decisions) = self.offer(request, flow);
        single_response(server, decisions)
    }

    /// A response of the next hop to what was forwarded; gives what is passed on.
    pub fn respond(
        &mut self,
        server: ServerKey,
        forwarded: &Forwarded,
        status: u16,
        more: &[(Name, &str)],
    ) -> Message {
        self.respond_as(server, forwarded, status, more, Origin::Received)
    }

    pub fn respond_as(
        &mut self,
        server: ServerKey,
        forwarded: &Forwarded,
        status: u16,
        more: &[(Name, &str)],
        origin: Origin,
    ) -> Message {
        let mut sent = Draft::of(&forwarded.message);
        sent.push_front(Name::Via, "SIP/2.0/UDP 192.0.2.1:4060;branch=z9hG4bKpcscf");
        let mut response = Draft::response(&parsed(&sent), status, "Reason", "to-tag");
        for (name, value) in more {
            response.push_back(*name, *value);
        }
        let response = parsed(&response);
        let decisions = self.feed(Indication::Response { server, response, origin, branch: 0, flow: None });
        single_response(server, decisions)
    }

    /// Registers a device by AKA, as far as the P-CSCF sees it; gives the URI in its Path.
    pub fn register(&mut self, user: &str, contact: &str, flow: Flow) -> String {
        let request = register(user, &format!("Contact: {contact}"));
        let (server, forwarded) = self.forward(&request, flow);
        let path = uri_of(&forwarded.message, Name::Path);
        let granted = format!("{contact};expires=600");
        self.respond(server, &forwarded, 200, &granted_headers(user, &granted));
        path
    }

    pub fn command(&mut self, name: &str) -> Result<String, String> {
        let decisions =
            self.feed(Indication::Command { key: CommandKey(1), name: name.into(), body: Bytes::new() });
        match decisions.as_slice() {
            [Decision::CommandResult { result, .. }] => {
                result.clone().map(|document| String::from_utf8(document.to_vec()).expect("JSON is UTF-8"))
            }
            other => panic!("no result: {other:?}"),
        }
    }
}

fn single_response(server: ServerKey, decisions: Vec<Decision>) -> Message {
    match decisions.as_slice() {
        [Decision::Respond { server: key, response }] if *key == server => parsed(response),
        other => panic!("not one response: {other:?}"),
    }
}

/// What a 200 to REGISTER carries.
pub fn granted_headers<'a>(user: &'a str, contact: &'a str) -> Vec<(Name, &'a str)> {
    let associated = match user {
        "alice" => "<sip:alice@ims.example>, <tel:+15551001>",
        _ => "<sip:bob@ims.example>",
    };
    vec![
        (Name::Contact, contact),
        (Name::ServiceRoute, "<sip:orig@scscf.ims.example:6060;lr>"),
        (Name::PAssociatedUri, associated),
        (Name::PChargingFunctionAddresses, "ccf=192.0.2.9"),
        (Name::PChargingVector, "icid-value=x;term-ioi=ims.example"),
    ]
}

pub fn register(user: &str, more: &str) -> Message {
    let identity = format!("sip:{user}@ims.example");
    request("REGISTER", "sip:ims.example", &identity, &format!("<{identity}>"), more)
}

pub fn parsed(draft: &Draft) -> Message {
    let message = Message::parse(draft.emit()).expect("what is sent can be read");
    message.validate().expect("what is sent is valid");
    message
}

/// All values of a header field.
pub fn all(message: &Message, name: Name) -> Vec<String> {
    message.values(name).map(str::to_owned).collect()
}

/// The URI in the first value of a header field.
pub fn uri_of(message: &Message, name: Name) -> String {
    let value = message.values(name).next().expect("the header field is there");
    sip::NameAddress::parse(value).expect("a name-addr").uri_text.to_owned()
}

/// None of these is there.
pub fn assert_without(message: &Message, names: &[Name]) {
    for name in names {
        assert_eq!(message.header(*name), None, "{} is there", name.as_str());
    }
}
