//! The test bench: builds an I-CSCF, feeds it, and reads what it decides.

use bytes::Bytes;
use clock::{Duration, Instant, WallOrigin, WallTime};
use diameter::cx::{
    self, LocationInformationAnswer, ResultCode, ServerCapabilities, UserAuthorizationAnswer,
};
use node::config::{Config, FunctionConfig, Icscf as IcscfConfig, Listen, ServerCandidate, SipTimers};
use node::{
    Decision, Destination, Event, Flow, Function, Indication, Origin, QueryKey, ServerKey, Setup, Topology,
    Transport, Unanswered,
};
use sip::message::Name;
use sip::{Draft, Message};

use crate::Icscf;

pub const FIRST: &str = "sip:scscf-1.ims.example:6060";
pub const SECOND: &str = "sip:scscf-2.ims.example:6060";

pub fn setup(servers: &[&str]) -> Setup {
    let hosts = [("scscf-1.ims.example", "192.0.2.3:6060"), ("scscf-2.ims.example", "192.0.2.4:6060")]
        .map(|(name, address)| (name.to_owned(), address.parse().expect("an address")));
    let config = Config {
        instance: "icscf-1".into(),
        host_name: "icscf.ims.example".into(),
        home_domain: "ims.example".into(),
        listen: vec![Listen {
            address: "192.0.2.2:5060".parse().expect("an address"),
            transports: vec![Transport::Udp, Transport::Tcp],
        }],
        hosts: hosts.clone().into(),
        diameter: None,
        timers: SipTimers::default(),
        datagram_bytes_max: 1300,
        shed_after_milliseconds: 500,
        admin_socket: "/tmp/none".into(),
        state_directory: None,
        pair: None,
        function: FunctionConfig::Icscf(IcscfConfig {
            servers: servers
                .iter()
                .map(|uri| ServerCandidate { uri: (*uri).into(), capabilities: Vec::new() })
                .collect(),
            server_patience_milliseconds: 4000,
        }),
    };
    Setup { config, topology: Topology::new(hosts), wall: WallOrigin(WallTime(0)), seed: [7; 32] }
}

pub fn message(text: &str) -> Message {
    let text = format!("{}\r\n\r\n", text.trim().replace('\n', "\r\n"));
    Message::parse(Bytes::from(text)).expect("a well-formed test message")
}

/// A request with the lines every request has, and `more`.
pub fn request(method: &str, uri: &str, to: &str, more: &str) -> Message {
    message(&format!(
        "{method} {uri} SIP/2.0\nVia: SIP/2.0/UDP 192.0.2.1:4060;branch=z9hG4bKpcscf\nMax-Forwards: 69\n\
         From: <sip:alice@ims.example>;tag=from-tag\nTo: {to}\nCall-ID: call-1\nCSeq: 1 {method}\n{more}"
    ))
}

pub fn register(more: &str) -> Message {
    let contact = if more.contains("Contact:") { "" } else { "Contact: <sip:alice@198.51.100.7>\n" };
    let more = format!("{contact}P-Visited-Network-ID: ims.example\n{more}");
    request("REGISTER", "sip:ims.example", "<sip:alice@ims.example>", &more)
}

/// What the I-CSCF does next.
#[derive(Debug)]
pub enum Step {
    Asks(QueryKey, cx::Request),
    Forwards(Message, Destination, Option<Duration>),
    Responds(Message),
}

pub struct Bench {
    icscf: Icscf,
    pub events: Vec<(&'static str, &'static str)>,
    server: ServerKey,
}

impl Bench {
    pub fn new() -> Bench {
        Bench::with(&[FIRST, SECOND])
    }

    pub fn with(servers: &[&str]) -> Bench {
        let icscf = Icscf::new(&setup(servers)).expect("a usable configuration");
        Bench { icscf, events: Vec::new(), server: ServerKey(0) }
    }

    pub fn feed(&mut self, input: Indication) -> Vec<Decision> {
        self.icscf.handle_input(Instant::ZERO, input);
        let mut decisions = Vec::new();
        while let Some(decision) = self.icscf.poll_output() {
            match decision {
                Decision::Event(Event::Procedure { name, outcome, .. }) => self.events.push((name, outcome)),
                Decision::Event(_) => {}
                other => decisions.push(other),
            }
        }
        decisions
    }

    fn step(&mut self, input: Indication) -> Step {
        let mut decisions = self.feed(input);
        assert_eq!(decisions.len(), 1, "{decisions:?}");
        match decisions.remove(0) {
            Decision::Ask { query, request, destination_host: None } => Step::Asks(query, request),
            Decision::Forward { server, mut branches, patience } => {
                assert_eq!((server, branches.len()), (self.server, 1));
                let branch = branches.remove(0);
                Step::Forwards(parsed(&branch.request), branch.destination, patience)
            }
            Decision::Respond { server, response } => {
                assert_eq!(server, self.server);
                Step::Responds(parsed(&response))
            }
            other => panic!("unexpected {other:?}"),
        }
    }

    pub fn offer(&mut self, request: &Message) -> Step {
        self.server.0 += 1;
        let flow = Flow {
            transport: Transport::Udp,
            local: "192.0.2.2:5060".parse().expect("an address"),
            remote: "192.0.2.1:4060".parse().expect("an address"),
            connection: None,
        };
        self.step(Indication::Request { server: self.server, request: request.clone(), flow })
    }

    /// A request about which the HSS must be asked.
    pub fn ask(&mut self, request: &Message) -> (QueryKey, cx::Request) {
        asked(self.offer(request))
    }

    pub fn answer(&mut self, query: QueryKey, answer: Result<cx::Answer, Unanswered>) -> Step {
        self.step(Indication::Answer { query, answer })
    }

    pub fn respond(&mut self, forwarded: &Message, status: u16, origin: Origin) -> Step {
        let mut sent = Draft::of(forwarded);
        sent.push_front(Name::Via, "SIP/2.0/UDP 192.0.2.2:5060;branch=z9hG4bKicscf");
        let response = parsed(&Draft::response(&parsed(&sent), status, "Reason", "to-tag"));
        self.step(Indication::Response { server: self.server, response, origin, branch: 0, flow: None })
    }

    pub fn cancel(&mut self) -> Vec<Decision> {
        self.feed(Indication::Cancelled { server: self.server })
    }
}

pub fn asked(step: Step) -> (QueryKey, cx::Request) {
    match step {
        Step::Asks(query, request) => (query, request),
        other => panic!("the HSS is not asked: {other:?}"),
    }
}

pub fn forwarded(step: Step) -> (Message, Destination, Option<Duration>) {
    match step {
        Step::Forwards(message, destination, patience) => (message, destination, patience),
        other => panic!("not forwarded: {other:?}"),
    }
}

pub fn responded(step: Step) -> Message {
    match step {
        Step::Responds(response) => response,
        other => panic!("not answered: {other:?}"),
    }
}

pub fn parsed(draft: &Draft) -> Message {
    let message = Message::parse(draft.emit()).expect("what is sent can be read");
    message.validate().expect("what is sent is valid");
    message
}

pub fn all(message: &Message, name: Name) -> Vec<String> {
    message.values(name).map(str::to_owned).collect()
}

/// A UAA.
pub fn authorized(
    result: ResultCode,
    name: Option<&str>,
    proposed: &[&str],
) -> Result<cx::Answer, Unanswered> {
    Ok(cx::Answer::UserAuthorization(UserAuthorizationAnswer {
        result,
        server_name: name.map(str::to_owned),
        capabilities: capabilities(proposed),
    }))
}

/// An LIA.
pub fn located(result: ResultCode, name: Option<&str>, proposed: &[&str]) -> Result<cx::Answer, Unanswered> {
    Ok(cx::Answer::LocationInformation(LocationInformationAnswer {
        result,
        server_name: name.map(str::to_owned),
        capabilities: capabilities(proposed),
    }))
}

fn capabilities(proposed: &[&str]) -> Option<ServerCapabilities> {
    let server_names: Vec<_> = proposed.iter().map(|name| (*name).to_owned()).collect();
    (!server_names.is_empty()).then(|| ServerCapabilities { server_names, ..ServerCapabilities::default() })
}
