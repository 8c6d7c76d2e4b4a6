//! What makes a process one of a pair: the control link, the host agent, the sockets that both instances hold.

use std::io;
use std::path::PathBuf;
use std::task::{Context, Poll};

use clock::{Duration, Instant};
use node::config::{self, Config};
use node::{Function, Neighbour};
use pair::{Address, Input, NeighbourPair, Output, Twin};
use resilience::link::Limits;
use resilience::permission::{
    Durable, InstanceId, Member, Membership, PairId, Role as Permission, Rules, Start, Timing,
};
use resilience::supervisor::Word;

use crate::config::{hex_key, read_key};
use crate::control::{Between, Control};
use crate::durable;
use crate::listen::{self, Bound, Sockets};
use crate::machine::{Machine, Standing};
use crate::main_for::Failure;
use crate::supervised::{Joined, Obtained, Supervised, Who};

/// The witness that is configured: none was ever replaced.
const MEMBERSHIP_FIRST: Membership = Membership(0);
/// R of the other instance, before it was measured: that of a busy machine's loopback interface.
const ROUND_TRIP: Duration = Duration::from_millis(1);

/// About the longest record. Shorter, and a snapshot takes many; longer, and a batch waits behind one for long.
const RECORD_BYTES: usize = 64 * 1024;
/// Spec 2.6. More seldom, and who was started meanwhile learns late who serves; more often, and it is load without use.
const IDLE_PROBE: Duration = Duration::from_millis(200);

/// Whom a control datagram comes from or goes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Other,
    Witness,
    Neighbour(Address),
}

/// The ends of the loop that only an instance of a pair has.
pub struct PairWires {
    control: Control<Role>,
    agent: Supervised,
    sockets: Sockets,
    pair: PairId,
    membership_file: PathBuf,
}

/// Which of the two, from its number in a configuration.
pub fn instance_id(number: u8) -> Option<InstanceId> {
    match number {
        1 => Some(InstanceId::One),
        2 => Some(InstanceId::Two),
        _ => None,
    }
}

/// Joins the host agent and obtains the sockets of the pair: from the agent, or by binding them. Blocks until the agent
/// answers. Needs a tokio runtime.
pub fn join(config: &Config, pair: &config::Pair) -> Result<(PairWires, pair::Start), Failure> {
    let own = (PairId(pair.id), instance_id(pair.instance).expect("checked when read"));
    let who = Who { path: pair.agent_socket.clone(), name: config.instance.clone(), place: Some(own) };
    let mut joined = Joined::join(who).map_err(Failure::system)?;
    let taken = match std::mem::replace(&mut joined.obtained, Obtained::ToMake) {
        Obtained::Taken(descriptors) => Sockets::take(config, descriptors),
        Obtained::ToMake => None,
    };
    let sockets = match taken {
        Some(sockets) => sockets,
        None => {
            let sockets = Sockets::bind(config).map_err(Failure::address)?;
            joined.offer(&sockets.descriptors()).map_err(Failure::system)?;
            sockets
        }
    };
    let incarnation = joined.incarnation;
    let membership_file = config.admin_socket.with_extension("membership");
    let start = pair::Start {
        permission: Start {
            pair: own.0,
            member: Member { instance: own.1, incarnation },
            membership: read_membership(&membership_file),
            timing: Timing::of(Duration::from_millis(u64::from(pair.lease_milliseconds)))
                .expect("checked when read"),
            rules: Rules::all(),
        },
        limits: Limits::default(),
        record_bytes: RECORD_BYTES,
        round_trip: ROUND_TRIP,
        idle_probe: IDLE_PROBE,
        neighbours: pair.neighbours.iter().map(neighbour).collect(),
    };
    let (_, socket) = listen::udp(pair.control_address).map_err(Failure::address)?;
    let key = read_key(&pair.private_key_file).map_err(Failure::config)?;
    let mut control = Control::new(socket, key, incarnation);
    let mut add = |role, between, address, key: &str| {
        let key = hex_key(key).expect("checked when read");
        control.add(role, between, address, key).map_err(Failure::random)
    };
    let (other, witness) = (&pair.other, &pair.witness);
    add(Role::Other, Between::Instances(own.0), other.control_address, &other.public_key)?;
    let between = Between::Witness(own.0, own.1);
    add(Role::Witness, between, witness.control_address, &witness.public_key)?;
    for neighbour in &pair.neighbours {
        for (party, instance) in neighbour.instances.iter().zip(InstanceId::BOTH) {
            let address = Address { pair: PairId(neighbour.id), instance };
            let between = Between::Neighbours(own, (address.pair, address.instance));
            add(Role::Neighbour(address), between, party.control_address, &party.public_key)?;
        }
    }
    let agent = joined.into_supervised().map_err(Failure::system)?;
    Ok((PairWires { control, agent, sockets, pair: own.0, membership_file }, start))
}

fn neighbour(pair: &config::NeighbourPair) -> NeighbourPair {
    let serving = |index: usize| Neighbour {
        addresses: pair.addresses.clone(),
        diameter: pair.instances[index].node_host.clone().map(|node| (pair.host_name.clone(), node)),
    };
    NeighbourPair { pair: PairId(pair.id), serving: [serving(0), serving(1)] }
}

impl PairWires {
    /// Is there anything to read?
    pub fn poll_ready(&self, cx: &mut Context<'_>) -> Poll<()> {
        let is_ready = self.control.poll_ready(cx).is_ready() | self.agent.poll_ready(cx).is_ready();
        if is_ready { Poll::Ready(()) } else { Poll::Pending }
    }

    /// What the other parties have said.
    pub fn receive(&mut self, now: Instant) -> Vec<Input> {
        let said = self.control.receive(now).into_iter();
        let mut inputs: Vec<Input> = said
            .map(|(role, content)| match role {
                Role::Other => Input::FromOther(content),
                Role::Witness => Input::FromWitness(MEMBERSHIP_FIRST, content),
                Role::Neighbour(address) => Input::FromNeighbour(address, content),
            })
            .collect();
        for word in self.agent.receive() {
            match word {
                Word::Died(pair, member) if pair == self.pair => inputs.push(Input::Died(member)),
                _ => {}
            }
        }
        inputs
    }

    /// Says something to another party, or keeps what must be durable.
    ///
    /// # Errors
    /// When it cannot be kept: nothing that follows may leave.
    pub fn act(&mut self, now: Instant, output: &Output) -> io::Result<()> {
        match output {
            Output::ToOther(content) => self.control.send(now, Role::Other, content),
            Output::ToWitness(_, content) => self.control.send(now, Role::Witness, content),
            Output::ToNeighbour(to, content) => self.control.send(now, Role::Neighbour(*to), content),
            Output::Persist(Durable::Membership(membership)) => {
                durable::write(&self.membership_file, membership.0.to_string().as_bytes())?;
            }
            _ => {}
        }
        Ok(())
    }

    /// The sockets of the pair, to be read while this instance serves.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn open(&self) -> io::Result<Bound> {
        self.sockets.open()
    }

    /// Where the pair listens, with transport.
    pub fn addresses(&self) -> impl Iterator<Item = String> {
        self.sockets.addresses()
    }

    /// Looks for a host agent that was lost. To be called once a second.
    pub fn tick(&mut self) {
        self.agent.rejoin(&self.sockets.descriptors());
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.control.handle_timeout(now);
    }

    /// When to call [`PairWires::handle_timeout`].
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.control.poll_timeout()
    }
}

/// What the life before had persisted. What cannot be read was never written: then nobody replaced a witness.
fn read_membership(path: &std::path::Path) -> Membership {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    text.trim().parse().map_or(MEMBERSHIP_FIRST, Membership)
}

impl<F: Function> Machine for Twin<F> {
    fn handle_input(&mut self, now: Instant, input: node::wire::Input) {
        Twin::handle_input(self, now, Input::Node(input));
    }

    fn handle_pair(&mut self, now: Instant, input: Input) {
        Twin::handle_input(self, now, input);
    }

    fn handle_timeout(&mut self, now: Instant) {
        Twin::handle_timeout(self, now);
    }

    fn poll_output(&mut self) -> Option<Output> {
        Twin::poll_output(self)
    }

    fn poll_timeout(&self) -> Option<Instant> {
        Twin::poll_timeout(self)
    }

    fn may_read(&self, now: Instant) -> bool {
        let permission = self.permission();
        matches!(permission.role(), Permission::Holder(_)) && permission.may_emit(now)
    }

    fn may_send(&self, now: Instant) -> bool {
        !self.node().is_serving() || self.permission().may_emit(now)
    }

    fn standing(&self) -> Option<Standing> {
        let permission = self.permission();
        let role = match permission.role() {
            Permission::Joining { .. } => "joining",
            Permission::Standby { .. } => "standby",
            Permission::Asking(_) => "asking",
            Permission::Holder(_) => "serving",
            Permission::HandingOver(_) => "handingOver",
        };
        let (epoch, is_protected) = (permission.epoch().0, permission.is_protected());
        Some(Standing { role, epoch, is_protected, has_copy: permission.held().is_some() })
    }
}
