//! Two peers, the wire between them, and a clock that only moves when it is told to.

use std::sync::Arc;

use clock::{Duration, Instant, WallOrigin, WallTime};

use crate::codec::Message;
use crate::cx::{Answer, LocationInformationAnswer, LocationInformationRequest, Request, ResultCode};
use crate::peer::{AnswerCache, Failure, Identity, IncomingTicket, Peer, PeerOutput, Settings};

pub(super) const CLIENT: &str = "scscf.example";
pub(super) const SERVER: &str = "hss.example";

pub(super) fn identity(host: &str, origin_state_id: u32) -> Arc<Identity> {
    Arc::new(Identity {
        node_host: None,
        host: host.to_owned(),
        realm: "example".to_owned(),
        product: "Evertone".to_owned(),
        origin_state_id,
        host_ip: "192.0.2.1".parse().unwrap(),
    })
}

pub(super) fn settings() -> Settings {
    Settings { wall: WallOrigin(WallTime(1_700_000_000_000_000)), ..Settings::default() }
}

pub(super) fn question(user: u64) -> Request {
    let public_identity = format!("sip:{user}@example");
    Request::LocationInformation(LocationInformationRequest { public_identity, ..Default::default() })
}

pub(super) fn reply(text: &str) -> Answer {
    let server_name = Some(text.to_owned());
    Answer::LocationInformation(LocationInformationAnswer {
        result: ResultCode::SUCCESS,
        server_name,
        capabilities: None,
    })
}

pub(super) fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// An initiator that always lives, and a host that comes and goes: each of its connections is a responder of its own,
/// with the memory handed on as the node does it.
pub(super) struct World {
    pub(super) now: Instant,
    pub(super) client: Peer,
    pub(super) server: Option<Peer>,
    pub(super) server_settings: Settings,
    pub(super) memory: Option<AnswerCache>,
    /// Does the server's host accept connections?
    pub(super) is_listening: bool,
    /// Are all bytes lost, with the connection standing?
    pub(super) is_silent: bool,
    /// Does the server answer questions at once?
    pub(super) is_answering: bool,
    pub(super) client_told: Vec<PeerOutput>,
    pub(super) server_told: Vec<PeerOutput>,
    pub(super) attempts: Vec<Instant>,
    /// What the server was sent.
    pub(super) wire: Vec<Message>,
}

impl World {
    pub(super) fn new() -> World {
        World {
            now: Instant::from_micros(1_000_000),
            client: Peer::initiator(identity(CLIENT, 1), SERVER.to_owned(), settings(), 1),
            server: None,
            server_settings: settings(),
            memory: None,
            is_listening: true,
            is_silent: false,
            is_answering: true,
            client_told: Vec::new(),
            server_told: Vec::new(),
            attempts: Vec::new(),
            wire: Vec::new(),
        }
    }

    pub(super) fn open() -> World {
        let mut world = World::new();
        world.settle();
        assert!(world.client.is_open() && world.server.as_ref().unwrap().is_open());
        world
    }

    /// Carries everything over until nobody has anything to say.
    pub(super) fn settle(&mut self) {
        loop {
            let mut is_quiet = true;
            while let Some(output) = self.client.poll_output() {
                is_quiet = false;
                self.on_client(output);
            }
            while let Some(output) = self.server.as_mut().and_then(Peer::poll_output) {
                is_quiet = false;
                self.on_server(output);
            }
            if is_quiet {
                return;
            }
        }
    }

    fn on_client(&mut self, output: PeerOutput) {
        match output {
            PeerOutput::Connect => {
                self.attempts.push(self.now);
                if !self.is_listening {
                    return self.client.handle_connect_failed(self.now);
                }
                let mut server =
                    Peer::responder(identity(SERVER, 1), self.server_settings.clone(), self.now.as_micros());
                server.handle_connected(self.now);
                if let Some(old) = self.server.replace(server) {
                    self.remember(old);
                }
                self.client.handle_connected(self.now);
            }
            PeerOutput::Send(bytes) => {
                if let (false, Some(server)) = (self.is_silent, &mut self.server) {
                    self.wire.push(Message::parse(bytes.clone()).unwrap());
                    server.handle_bytes(self.now, bytes);
                }
            }
            PeerOutput::Close => {
                if let Some(server) = &mut self.server {
                    server.handle_closed(self.now);
                }
            }
            told => self.client_told.push(told),
        }
    }

    fn on_server(&mut self, output: PeerOutput) {
        let server = self.server.as_mut().expect("it has just spoken");
        match output {
            PeerOutput::Send(bytes) if !self.is_silent => self.client.handle_bytes(self.now, bytes),
            PeerOutput::Send(_) => {}
            PeerOutput::Close => self.client.handle_closed(self.now),
            PeerOutput::Up { .. } => {
                if let Some(memory) = self.memory.take() {
                    server.adopt_answers(self.now, memory);
                }
                self.server_told.push(output);
            }
            PeerOutput::Request { ticket, request, origin_host } => {
                if self.is_answering {
                    server.send_answer(self.now, ticket.clone(), &reply("prompt"));
                }
                self.server_told.push(PeerOutput::Request { ticket, request, origin_host });
            }
            told => self.server_told.push(told),
        }
    }

    fn remember(&mut self, mut server: Peer) {
        // One that never came up has adopted nothing: what is remembered is still here.
        if server.host().is_some() {
            self.memory = Some(server.take_answers());
        }
    }

    /// The server's process dies, or the wire is cut with both ends noticing.
    pub(super) fn cut(&mut self) {
        if let Some(mut server) = self.server.take() {
            server.handle_closed(self.now);
            while let Some(output) = server.poll_output() {
                self.server_told.push(output);
            }
            self.remember(server);
        }
        self.client.handle_closed(self.now);
        self.settle();
    }

    pub(super) fn advance(&mut self, by: Duration) {
        let end = self.now + by;
        loop {
            let next = [self.client.poll_timeout(), self.server.as_ref().and_then(Peer::poll_timeout)];
            match next.into_iter().flatten().min() {
                Some(at) if at <= end => {
                    self.now = self.now.max(at);
                    self.client.handle_timeout(self.now);
                    if let Some(server) = &mut self.server {
                        server.handle_timeout(self.now);
                    }
                    self.settle();
                }
                _ => {
                    self.now = end;
                    return;
                }
            }
        }
    }

    pub(super) fn ask(&mut self, ticket: u64) {
        self.client.send_request(self.now, ticket, &question(ticket), None, "example");
        self.settle();
    }

    pub(super) fn answers(&self) -> Vec<(u64, Result<Answer, Failure>)> {
        let answer = |told: &PeerOutput| match told {
            PeerOutput::Answer { ticket, answer } => Some((*ticket, answer.clone())),
            _ => None,
        };
        self.client_told.iter().filter_map(answer).collect()
    }

    pub(super) fn tickets(&self) -> Vec<IncomingTicket> {
        let ticket = |told: &PeerOutput| match told {
            PeerOutput::Request { ticket, .. } => Some(ticket.clone()),
            _ => None,
        };
        self.server_told.iter().filter_map(ticket).collect()
    }

    pub(super) fn downs(&self) -> Vec<String> {
        let reason = |told: &PeerOutput| match told {
            PeerOutput::Down { reason, .. } => Some(reason.clone()),
            _ => None,
        };
        self.client_told.iter().filter_map(reason).collect()
    }
}
