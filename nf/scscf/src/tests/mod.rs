//! A home network around one S-CSCF: an HSS that answers at once, devices that answer challenges, and a record of
//! what left.

mod attacks;
mod calls;
mod operator;
mod registration;
mod restoration;
mod subscriptions;
mod torture;

use std::collections::BTreeMap;
use std::net::SocketAddr;

use bytes::Bytes;
use clock::{Duration, Instant, WallOrigin, WallTime};
use diameter::cx::{self, AuthenticationVector, ResultCode, ScscfRestorationInfo, ServerAssignmentType};
use node::config::{Config, FunctionConfig, SipTimers};
use node::{
    ClientKey, Decision, DiameterKey, Event, Flow, Function, Indication, Origin, QueryKey, ServerKey, Setup,
    Topology, Transport, Unanswered,
};
use sip::aka::Auts;
use sip::digest::{Algorithm, Answer, Challenge, Ha1};
use sip::{Message, Method, Name};

use crate::Scscf;

pub(crate) const HOME: &str = "ims.example";
pub(crate) const PATH: &str = "<sip:term@pcscf.ims.example:4060;lr>";
pub(crate) const XRES: [u8; 8] = [1, 0, 3, 0, 0, 6, 7, 0];

/// A subscriber of the HSS below.
pub(crate) struct Subscriber {
    pub identities: Vec<(&'static str, bool)>,
    /// `None`: AKA.
    pub password: Option<&'static str>,
    pub algorithm: Algorithm,
}

/// An HSS that answers at once.
pub(crate) struct FakeHss {
    pub subscribers: BTreeMap<&'static str, Subscriber>,
    pub restoration: BTreeMap<String, ScscfRestorationInfo>,
    pub requests: Vec<cx::Request>,
    pub is_silent: bool,
    pub failure: Option<ResultCode>,
    pub charging: Option<cx::ChargingInformation>,
    /// Private identities that are no subscriber's, and whose they stand for.
    pub real_names: BTreeMap<&'static str, &'static str>,
    /// Are unknown users given a vector like everybody else?
    pub accepts_anybody: bool,
    /// Requests that are not answered before [`Home::release`].
    pub held: Option<Vec<(QueryKey, cx::Request)>>,
}

impl FakeHss {
    fn answer(&mut self, request: cx::Request) -> Result<cx::Answer, Unanswered> {
        self.requests.push(request.clone());
        if self.is_silent {
            return Err(Unanswered::TimedOut);
        }
        Ok(match request {
            cx::Request::MultimediaAuthentication(request) => {
                let anybody = self.subscribers.get("bob@ims.example").filter(|_| self.accepts_anybody);
                let real_name = self.real_names.get(&*request.private_identity).copied();
                let private_identity = real_name.unwrap_or(&request.private_identity);
                let found = self.subscribers.get(private_identity).or(anybody);
                let vector = found.map(|user| match user.password {
                    None => AuthenticationVector::Aka {
                        rand_autn: [self.requests.len() as u8; 32],
                        xres: XRES.to_vec(),
                        confidentiality_key: [0xc; 16],
                        integrity_key: [0x1; 16],
                    },
                    Some(password) => AuthenticationVector::Digest {
                        realm: HOME.into(),
                        algorithm: user.algorithm.as_str().into(),
                        qop: "auth".into(),
                        ha1: Ha1::compute(user.algorithm, private_identity, HOME, password.as_bytes())
                            .reveal()
                            .into(),
                    },
                });
                let result = if vector.is_some() { ResultCode::SUCCESS } else { ResultCode::USER_UNKNOWN };
                let private_identity = real_name.map(str::to_owned);
                cx::Answer::MultimediaAuthentication(cx::MultimediaAuthenticationAnswer {
                    result,
                    private_identity,
                    vector,
                })
            }
            cx::Request::ServerAssignment(request) => cx::Answer::ServerAssignment(self.assign(request)),
            other => panic!("an S-CSCF does not send {other:?}"),
        })
    }

    fn assign(&mut self, request: cx::ServerAssignmentRequest) -> cx::ServerAssignmentAnswer {
        let mut answer = cx::ServerAssignmentAnswer {
            result: self.failure.unwrap_or(ResultCode::SUCCESS),
            private_identity: request.private_identity.clone(),
            user_data: None,
            charging: self.charging.clone(),
            associated_identities: Vec::new(),
            restoration: Vec::new(),
        };
        let public = request.public_identities.first().expect("a SAR names a public identity");
        let Some((private, user)) =
            self.subscribers.iter().find(|(_, user)| user.identities.iter().any(|(each, _)| each == public))
        else {
            answer.result = ResultCode::USER_UNKNOWN;
            return answer;
        };
        if !answer.result.is_success() {
            return answer;
        }
        answer.restoration = self.restoration.get(*private).cloned().into_iter().collect();
        match request.assignment_type {
            ServerAssignmentType::UserDeregistration | ServerAssignmentType::TimeoutDeregistration => {
                self.restoration.remove(*private);
            }
            ServerAssignmentType::NoAssignment if answer.restoration.is_empty() => {
                answer.result = ResultCode::IN_ASSIGNMENT_TYPE;
                return answer;
            }
            _ => {}
        }
        if let Some(info) = request.restoration {
            self.restoration.insert(info.private_identity.clone(), info);
        }
        if !request.user_data_already_available {
            answer.user_data = Some(profile(private, &user.identities).into());
        }
        answer
    }

    pub(crate) fn assignments(&self) -> Vec<ServerAssignmentType> {
        self.requests
            .iter()
            .filter_map(|request| match request {
                cx::Request::ServerAssignment(request) => Some(request.assignment_type),
                _ => None,
            })
            .collect()
    }
}

pub(crate) fn profile(private: &str, identities: &[(&str, bool)]) -> String {
    let identities: String = identities
        .iter()
        .map(|(uri, is_barred)| {
            let barring = u8::from(*is_barred);
            format!("<PublicIdentity><BarringIndication>{barring}</BarringIndication><Identity>{uri}</Identity></PublicIdentity>")
        })
        .collect();
    format!(
        "<IMSSubscription><PrivateID>{private}</PrivateID><ServiceProfile>{identities}</ServiceProfile></IMSSubscription>"
    )
}

/// One S-CSCF and its surroundings.
pub(crate) struct Home {
    pub scscf: Scscf,
    pub hss: FakeHss,
    pub now: Instant,
    pub events: Vec<(&'static str, &'static str)>,
    setup: Setup,
    settings: node::config::Scscf,
    next_key: u64,
}

impl Home {
    pub(crate) fn new() -> Home {
        Home::with(|_| {})
    }

    pub(crate) fn with(change: impl FnOnce(&mut node::config::Scscf)) -> Home {
        let mut settings = node::config::Scscf {
            server_name: "sip:scscf.ims.example:6060".into(),
            icscf_uri: "sip:icscf.ims.example".into(),
            registration_seconds_max: 3600,
            registration_seconds_min: 60,
            unprotected_aka: true,
            default_scheme: "Unknown".into(),
            contacts_max: 3,
        };
        change(&mut settings);
        let address = |text: &str| text.parse::<SocketAddr>().expect("an address");
        let hosts = [
            ("icscf.ims.example".to_string(), address("127.0.0.2:5060")),
            ("pcscf.ims.example".to_string(), address("127.0.0.3:4060")),
            ("scscf.ims.example".to_string(), address("127.0.0.1:6060")),
            ("other.example".to_string(), address("127.0.0.9:5060")),
        ];
        let config = Config {
            instance: "scscf-1".into(),
            host_name: "scscf.ims.example".into(),
            home_domain: HOME.into(),
            listen: vec![node::config::Listen {
                address: address("127.0.0.1:6060"),
                transports: vec![Transport::Udp, Transport::Tcp],
            }],
            hosts: hosts.iter().cloned().collect(),
            diameter: None,
            timers: SipTimers::default(),
            datagram_bytes_max: 1300,
            shed_after_milliseconds: 500,
            admin_socket: "admin".into(),
            state_directory: None,
            pair: None,
            function: FunctionConfig::Scscf(settings.clone()),
        };
        let setup = Setup {
            config,
            topology: Topology::new(hosts),
            wall: WallOrigin(WallTime(1_800_000_000_000_000)),
            seed: [7; 32],
        };
        let alice = Subscriber {
            identities: vec![
                ("sip:hidden@ims.example", true),
                ("sip:alice@ims.example", false),
                ("tel:+4930111", false),
            ],
            password: None,
            algorithm: Algorithm::Md5,
        };
        let bob = Subscriber {
            identities: vec![("sip:bob@ims.example", false)],
            password: Some("secret"),
            algorithm: Algorithm::Md5,
        };
        let carol = Subscriber {
            identities: vec![("sip:carol@ims.example", false)],
            password: Some("word"),
            algorithm: Algorithm::Sha256,
        };
        Home {
            scscf: Scscf::new(&setup, &settings),
            hss: FakeHss {
                subscribers: [
                    ("alice@ims.example", alice),
                    ("bob@ims.example", bob),
                    ("carol@ims.example", carol),
                ]
                .into(),
                restoration: BTreeMap::new(),
                requests: Vec::new(),
                is_silent: false,
                failure: None,
                charging: None,
                accepts_anybody: false,
                real_names: BTreeMap::new(),
                held: None,
            },
            now: Instant::from_micros(1_000_000),
            events: Vec::new(),
            setup,
            settings,
            next_key: 0,
        }
    }

    /// Kills the S-CSCF and starts another: same configuration, nothing remembered, its own epoch.
    pub(crate) fn restart(&mut self) {
        self.setup.wall = WallOrigin(self.setup.wall.at(self.now));
        self.setup.seed[0] += 1;
        self.now = Instant::from_micros(1_000_000);
        self.scscf = Scscf::new(&self.setup, &self.settings);
    }

    pub(crate) fn key(&mut self) -> u64 {
        self.next_key += 1;
        self.next_key
    }

    fn flow(&self) -> Flow {
        let (local, remote) = ("127.0.0.1:6060", "127.0.0.2:5060");
        Flow {
            transport: Transport::Udp,
            local: local.parse().expect("an address"),
            remote: remote.parse().expect("an address"),
            connection: None,
        }
    }

    /// Feeds one indication, lets the HSS answer, and gives what else was decided.
    pub(crate) fn feed(&mut self, input: Indication) -> Vec<Decision> {
        self.scscf.handle_input(self.now, input);
        self.drain()
    }

    fn drain(&mut self) -> Vec<Decision> {
        let mut decisions = Vec::new();
        while let Some(decision) = self.scscf.poll_output() {
            match decision {
                Decision::Ask { query, request, .. } if self.hss.held.is_some() => {
                    self.hss.held.get_or_insert_default().push((query, request));
                }
                Decision::Ask { query, request, .. } => {
                    let answer = self.hss.answer(request);
                    self.scscf.handle_input(self.now, Indication::Answer { query, answer });
                }
                Decision::Event(Event::Procedure { name, outcome, .. }) => self.events.push((name, outcome)),
                Decision::Event(Event::Alarm { cause, .. }) => self.events.push(("alarm", cause)),
                other => decisions.push(other),
            }
        }
        decisions
    }

    /// Lets the HSS answer what it held back, and everything from now on.
    pub(crate) fn release(&mut self) -> Vec<Decision> {
        let held = self.hss.held.take().unwrap_or_default();
        let mut decisions = Vec::new();
        for (query, request) in held {
            let answer = self.hss.answer(request);
            decisions.extend(self.feed(Indication::Answer { query, answer }));
        }
        decisions
    }

    pub(crate) fn send(&mut self, request: &Message) -> Vec<Decision> {
        let server = ServerKey(self.key());
        let flow = self.flow();
        self.feed(Indication::Request { server, request: request.clone(), flow })
    }

    /// Sends a request and gives its immediate final response.
    pub(crate) fn response_to(&mut self, request: &Message) -> Message {
        let decisions = self.send(request);
        match decisions.iter().find(|decision| matches!(decision, Decision::Respond { .. })) {
            Some(Decision::Respond { response, .. }) => Message::parse(response.emit()).expect("a response"),
            _ => panic!("no response to {} but {decisions:?}", request.method().as_str()),
        }
    }

    /// Lets time pass, timer by timer.
    pub(crate) fn wait(&mut self, seconds: u64) -> Vec<Decision> {
        let end = self.now + Duration::from_secs(seconds);
        let mut decisions = Vec::new();
        while let Some(next) = self.scscf.poll_timeout().filter(|next| *next <= end) {
            self.now = self.now.max(next);
            self.scscf.handle_timeout(self.now);
            decisions.extend(self.drain());
        }
        self.now = end;
        decisions
    }

    /// A whole registration; the 200.
    pub(crate) fn register(&mut self, device: &mut Device) -> Message {
        let challenge = {
            let register = device.register(None);
            self.response_to(&register)
        };
        assert_eq!(challenge.status(), 401, "{:?}", challenge.reason());
        let register = device.register(challenge.header(Name::WwwAuthenticate));
        self.response_to(&register)
    }
}

/// A device behind the P-CSCF.
#[derive(Clone)]
pub(crate) struct Device {
    pub private: &'static str,
    pub public: &'static str,
    pub contact: String,
    pub expires: u32,
    pub password: Vec<u8>,
    pub call_id: &'static str,
    pub cseq: u32,
    pub nonce_count: u32,
    pub auts: Option<Auts>,
    pub path: &'static str,
}

impl Device {
    pub(crate) fn alice() -> Device {
        Device {
            private: "alice@ims.example",
            public: "sip:alice@ims.example",
            contact: "<sip:alice@192.0.2.1:5060>".into(),
            expires: 600_000,
            password: XRES.to_vec(),
            call_id: "reg-alice",
            cseq: 0,
            nonce_count: 0,
            auts: None,
            path: PATH,
        }
    }

    pub(crate) fn bob() -> Device {
        Device {
            private: "bob@ims.example",
            public: "sip:bob@ims.example",
            contact: "<sip:bob@192.0.2.2:5060>".into(),
            password: b"secret".to_vec(),
            call_id: "reg-bob",
            ..Device::alice()
        }
    }

    /// The next REGISTER, answering `challenge` if there is one.
    pub(crate) fn register(&mut self, challenge: Option<&str>) -> Message {
        self.cseq += 1;
        let authorization = match challenge {
            None => format!(
                "Digest username=\"{}\", realm=\"{HOME}\", nonce=\"\", uri=\"sip:{HOME}\", response=\"\"",
                self.private
            ),
            Some(challenge) => {
                self.nonce_count += 1;
                let challenge = Challenge::parse(challenge).expect("a challenge");
                let password = if self.auts.is_some() { b"" } else { &self.password[..] };
                let answer = Answer {
                    username: self.private,
                    password,
                    method: Method::Register,
                    uri: "sip:ims.example",
                    body: b"",
                    cnonce: "abc",
                    nonce_count: self.nonce_count,
                    auts: self.auts,
                };
                challenge.answer(&answer).expect("an answer")
            }
        };
        let (public, contact, path) = (self.public, &self.contact, self.path);
        let contact = if contact.is_empty() { String::new() } else { format!("Contact: {contact}\r\n") };
        let path = if path.is_empty() { String::new() } else { format!("Path: {path}\r\n") };
        message(&format!(
            "REGISTER sip:scscf.ims.example:6060 SIP/2.0\r\n\
             Via: SIP/2.0/UDP 127.0.0.2:5060;branch=z9hG4bKr{}\r\n\
             {path}Require: path\r\nSupported: path\r\n\
             From: <{public}>;tag=f\r\nTo: <{public}>\r\nCall-ID: {}\r\nCSeq: {} REGISTER\r\n\
             Max-Forwards: 68\r\nP-Charging-Vector: icid-value=\"i1\";orig-ioi=visited\r\n\
             Authorization: {authorization}\r\nExpires: {}\r\n{contact}Content-Length: 0\r\n\r\n",
            self.cseq, self.call_id, self.cseq, self.expires
        ))
    }
}

pub(crate) fn message(text: &str) -> Message {
    let message = Message::parse(Bytes::from(text.to_string())).expect("the test's own message parses");
    message.validate().expect("the test's own message is valid");
    message
}

/// A request of a user from its P-CSCF, or for a user from the I-CSCF; `extra` are further header lines.
pub(crate) fn request(method: &str, uri: &str, extra: &str) -> Message {
    message(&format!(
        "{method} {uri} SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.3:4060;branch=z9hG4bKq\r\n\
         Max-Forwards: 69\r\nFrom: <sip:alice@ims.example>;tag=a\r\nTo: <sip:bob@ims.example>\r\n\
         Call-ID: c1\r\nCSeq: 1 {method}\r\nContact: <sip:alice@192.0.2.1:5060>\r\n{extra}Content-Length: 0\r\n\r\n"
    ))
}

/// The forwarded requests in `decisions`, as they leave, and where to.
pub(crate) fn forwarded(decisions: &[Decision]) -> Vec<(Message, String)> {
    decisions
        .iter()
        .filter_map(|decision| match decision {
            Decision::Forward { branches, .. } => Some(branches),
            _ => None,
        })
        .flatten()
        .map(|branch| {
            let message = Message::parse(branch.request.emit()).expect("a request");
            (message, branch.destination.remote.to_string())
        })
        .collect()
}

/// The NOTIFYs in `decisions`.
pub(crate) fn notifies(decisions: &[Decision]) -> Vec<(ClientKey, Message)> {
    decisions
        .iter()
        .filter_map(|decision| match decision {
            Decision::Send { client, request, .. } => {
                Some((*client, Message::parse(request.emit()).expect("a request")))
            }
            _ => None,
        })
        .collect()
}

pub(crate) fn values(message: &Message, name: Name) -> Vec<&str> {
    message.values(name).collect()
}
