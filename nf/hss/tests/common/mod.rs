//! An HSS with a store in memory, driven as the driver does: decisions leave in order, a commit makes the store durable.
#![allow(dead_code, reason = "each test binary uses its part")]

use clock::{Instant, WallOrigin, WallTime};
use diameter::cx::*;
use hss::Hss;
use node::config::{self, Config, FunctionConfig};
use node::{
    CommandKey, Decision, DiameterKey, Event, Function, Indication, MemoryStore, QueryKey, Setup, Topology,
    Unanswered,
};
use serde_json::{Value, json};
use sip::aka::{Opc, RandAutn, Secrets, Sqn};
use sip::secret::Secret;

pub const SERVER: &str = "sip:scscf.ims.example:6060";
pub const OTHER: &str = "sip:scscf-2.ims.example:6060";
pub const K: &str = "465b5ce8b199b49faa5f0a2ee238a6bc";
pub const OPC: &str = "cd63cb71954a9f4e48a5994e37a02baf";

pub fn secrets() -> Secrets {
    let secret = |text| Secret::from_hex(text).unwrap();
    Secrets { key: secret(K), opc: Opc(secret(OPC)) }
}

pub fn own() -> config::Hss {
    serde_json::from_value(
        json!({"keyEncryptionKeyFile": "key", "sequenceBlock": 4, "serverNames": [SERVER]}),
    )
    .unwrap()
}

pub fn setup(own: &config::Hss, wall_seconds: u64) -> Setup {
    let config: Config = serde_json::from_value(json!({
        "instance": "hss-1", "hostName": "hss.ims.example", "homeDomain": "ims.example", "adminSocket": "socket",
        "function": FunctionConfig::Hss(own.clone()),
    }))
    .unwrap();
    Setup {
        config,
        topology: Topology::default(),
        wall: WallOrigin(WallTime(wall_seconds * 1_000_000)),
        seed: [7; 32],
    }
}

pub fn build(store: MemoryStore) -> Hss<MemoryStore> {
    build_with(store, own(), 1_800_000_000)
}

pub fn build_with(store: MemoryStore, own: config::Hss, wall_seconds: u64) -> Hss<MemoryStore> {
    Hss::new(&setup(&own, wall_seconds), &own, [1; 32], store).unwrap()
}

pub struct World {
    pub hss: Hss<MemoryStore>,
    pub events: Vec<Event>,
    pub asked: Vec<(QueryKey, Request, Option<String>)>,
    pub results: Vec<Result<Value, String>>,
    pub commits: usize,
}

impl Default for World {
    fn default() -> Self {
        World::new(build(MemoryStore::default()))
    }
}

impl World {
    pub fn new(hss: Hss<MemoryStore>) -> Self {
        let mut world = World { hss, events: vec![], asked: vec![], results: vec![], commits: 0 };
        world.drain();
        world.commits = 0;
        world
    }

    /// With `alice` (AKA, two identities) and `bob` (digest).
    pub fn with_subscribers() -> Self {
        let mut world = World::default();
        world.command("subscriber.put", json!([alice(), bob()])).unwrap();
        world.commits = 0;
        world.events.clear();
        world
    }

    pub fn drain(&mut self) -> Vec<Answer> {
        let mut answers = Vec::new();
        while let Some(decision) = self.hss.poll_output() {
            match decision {
                Decision::Answer { answer, .. } => answers.push(answer),
                Decision::Commit => {
                    self.commits += 1;
                    self.hss.store_mut().commit();
                }
                Decision::Event(event) => self.events.push(event),
                Decision::Ask { query, request, destination_host } => {
                    self.asked.push((query, request, destination_host));
                }
                Decision::CommandResult { result, .. } => {
                    self.results.push(result.map(|document| serde_json::from_slice(&document).unwrap()));
                }
                other => panic!("an HSS does not decide {other:?}"),
            }
        }
        answers
    }

    pub fn request(&mut self, request: Request) -> Answer {
        let origin_host = "scscf.ims.example".into();
        let key = DiameterKey(1);
        self.hss.handle_input(Instant::ZERO, Indication::DiameterRequest { key, request, origin_host });
        let mut answers = self.drain();
        assert_eq!(answers.len(), 1);
        answers.remove(0)
    }

    pub fn answer(&mut self, query: QueryKey, answer: Result<Answer, Unanswered>) {
        self.hss.handle_input(Instant::ZERO, Indication::Answer { query, answer });
        assert!(self.drain().is_empty());
    }

    /// Starts a command; its result may come later.
    pub fn start(&mut self, name: &str, body: Value) {
        let body = serde_json::to_vec(&body).unwrap().into();
        self.hss
            .handle_input(Instant::ZERO, Indication::Command { key: CommandKey(9), name: name.into(), body });
        assert!(self.drain().is_empty());
    }

    pub fn command(&mut self, name: &str, body: Value) -> Result<Value, String> {
        self.start(name, body);
        self.results.pop().expect("the command has its result at once")
    }

    pub fn uar(
        &mut self,
        private: &str,
        public: &str,
        kind: UserAuthorizationType,
    ) -> UserAuthorizationAnswer {
        let request = UserAuthorizationRequest {
            private_identity: private.into(),
            public_identity: public.into(),
            visited_network: "ims.example".into(),
            authorization_type: kind,
        };
        match self.request(Request::UserAuthorization(request)) {
            Answer::UserAuthorization(answer) => answer,
            other => panic!("{other:?}"),
        }
    }

    pub fn mar(
        &mut self,
        private: &str,
        public: &str,
        server: &str,
        scheme: &str,
    ) -> MultimediaAuthenticationAnswer {
        self.mar_with(private, public, server, scheme, None)
    }

    pub fn mar_with(
        &mut self,
        private: &str,
        public: &str,
        server: &str,
        scheme: &str,
        resynchronisation: Option<[u8; 30]>,
    ) -> MultimediaAuthenticationAnswer {
        let request = MultimediaAuthenticationRequest {
            private_identity: private.into(),
            public_identity: public.into(),
            server_name: server.into(),
            authentication: AuthenticationRequest { scheme: scheme.into(), resynchronisation },
        };
        match self.request(Request::MultimediaAuthentication(request)) {
            Answer::MultimediaAuthentication(answer) => answer,
            other => panic!("{other:?}"),
        }
    }

    pub fn sar(&mut self, request: ServerAssignmentRequest) -> ServerAssignmentAnswer {
        match self.request(Request::ServerAssignment(request)) {
            Answer::ServerAssignment(answer) => answer,
            other => panic!("{other:?}"),
        }
    }

    pub fn assign(
        &mut self,
        public: &str,
        server: &str,
        kind: ServerAssignmentType,
    ) -> ServerAssignmentAnswer {
        self.sar(assignment(public, server, kind))
    }

    pub fn lir(&mut self, public: &str, with_capabilities: bool) -> LocationInformationAnswer {
        let request = LocationInformationRequest {
            public_identity: public.into(),
            originating: false,
            with_capabilities,
        };
        match self.request(Request::LocationInformation(request)) {
            Answer::LocationInformation(answer) => answer,
            other => panic!("{other:?}"),
        }
    }

    /// The words of the procedures that have ended, oldest first.
    pub fn outcomes(&self) -> Vec<&'static str> {
        let outcome = |event: &Event| match event {
            Event::Procedure { outcome, .. } => Some(*outcome),
            _ => None,
        };
        self.events.iter().filter_map(outcome).collect()
    }

    pub fn has_alarm(&self, cause: &str) -> bool {
        self.events.iter().any(|event| matches!(event, Event::Alarm { cause: found, .. } if *found == cause))
    }

    pub fn state(&mut self, public: &str) -> String {
        let view = self.command("subscriber.get", json!({"publicIdentity": public})).unwrap();
        let identities = view["publicIdentities"].as_array().unwrap();
        let found = identities.iter().find(|identity| identity["uri"] == public).unwrap();
        found["state"].as_str().unwrap().to_owned()
    }
}

pub fn assignment(public: &str, server: &str, kind: ServerAssignmentType) -> ServerAssignmentRequest {
    ServerAssignmentRequest {
        private_identity: None,
        public_identities: vec![public.into()],
        server_name: server.into(),
        assignment_type: kind,
        user_data_already_available: false,
        restoration: None,
    }
}

pub fn restoration(contact: &str) -> ScscfRestorationInfo {
    ScscfRestorationInfo {
        private_identity: "alice@ims.example".into(),
        contacts: vec![RestorationInfo {
            path: "<sip:p;lr>".into(),
            contact: contact.into(),
            subscription: None,
        }],
    }
}

pub fn alice() -> Value {
    json!({
        "privateIdentity": "alice@ims.example",
        "publicIdentities": [
            {"uri": "sip:alice@ims.example", "barred": true},
            {"uri": "tel:+4930"},
            {"uri": "sip:alice-work@ims.example", "implicitSet": 1},
        ],
        "aka": {"k": K, "opc": OPC},
    })
}

pub fn bob() -> Value {
    json!({
        "privateIdentity": "bob@ims.example",
        "publicIdentities": [{"uri": "sip:bob@ims.example"}],
        "digest": {"password": "secret"},
    })
}

/// The SQN in a vector of the AKA key that all test subscribers have.
pub fn sqn_of(answer: &MultimediaAuthenticationAnswer) -> Sqn {
    match &answer.vector {
        Some(AuthenticationVector::Aka { rand_autn, .. }) => {
            secrets().authenticate(&RandAutn::from_bytes(rand_autn)).expect("the MAC is right")
        }
        other => panic!("{other:?}"),
    }
}
