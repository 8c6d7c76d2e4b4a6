//! A node and its copy: what the one that serves tells, what the one that follows takes in, and how it takes over.
//!
//! The driver of the serving node calls [`Node::collect`] after each input and holds back the outputs of that input until
//! the copy has what was collected (output commit, S2-E5). So whatever left can be sent again by the copy, with the same
//! bytes: the golden rule of replay (spec 2.9).

use std::net::SocketAddr;

use clock::Instant;

use crate::client::Client;
use crate::function::{Function, Indication, ServerKey};
use crate::mirror::{Change, Collector, Mirror, Unreadable};
use crate::node::{Emission, Node, TimerKey};
use crate::server::Server;
use crate::via::Branches;
use crate::wire::Output;

/// Who serves a neighbour now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Neighbour {
    /// The SIP addresses it serves.
    pub addresses: Vec<SocketAddr>,
    /// The Diameter name it serves, and its own.
    pub diameter: Option<(String, String)>,
}

impl<F: Function> Node<F> {
    /// From now on a copy follows, which has nothing yet; or none does.
    pub fn follow(&mut self, is_followed: bool) {
        self.emissions = is_followed.then(Vec::new);
        self.each(&mut |part| part.follow(is_followed));
    }

    /// Takes out what the copy must be told next, as much as there is room for, and what has left since.
    pub fn collect(&mut self, into: &mut Collector) -> Vec<Emission> {
        self.each(&mut |part| part.collect(into));
        self.emissions.as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// All that a copy has too.
    fn each(&mut self, show: &mut dyn FnMut(&mut dyn Mirror)) {
        show(&mut self.branch_seed);
        show(&mut self.server_numbers);
        show(&mut self.client_numbers);
        show(&mut self.servers);
        show(&mut self.clients);
        show(&mut self.peers.questions);
        show(&mut self.function);
    }

    /// This node follows another from now on: it keeps its Diameter connections, and does nothing else by itself. What it
    /// was about to say is void.
    pub fn stand_by(&mut self) {
        self.is_serving = false;
        self.follow(false);
        for key in self.servers.keys() {
            self.timers.set(TimerKey::Server(*key), None);
        }
        for number in self.clients.keys() {
            self.timers.set(TimerKey::Client(*number), None);
        }
    }

    /// Forgets all that a snapshot brings.
    pub fn clear(&mut self) {
        self.each(&mut |part| part.clear());
        self.server_index.clear();
        self.unanswered = 0;
    }

    /// What reaches a node that follows is not for it. An operator is told so; a Diameter peer asks again as soon as it
    /// hears who serves, and a refusal would only end its request.
    pub(crate) fn decline(&mut self, indication: Indication) {
        match indication {
            Indication::DiameterRequest { key, .. } => self.peers.forget(key),
            Indication::Command { key, .. } => {
                let reason = "this instance follows; ask the one that serves".to_owned();
                self.output(Output::CommandResult { key, result: Err(reason) });
            }
            _ => {}
        }
    }

    /// Does it serve?
    pub fn is_serving(&self) -> bool {
        self.is_serving
    }

    /// Takes in what the serving node has told. The function may have something to commit: drain the outputs.
    pub fn apply(&mut self, now: Instant, change: &Change) -> Result<(), Unreadable> {
        if self.servers.owns(change) {
            // It has an index beside it.
            let (key, server) = change.read::<ServerKey, Server>()?;
            self.put_server(key, server);
        } else {
            let mut result = Ok(false);
            self.each(&mut |part| {
                if result == Ok(false) {
                    result = part.apply(change);
                }
            });
            if !result? {
                let reason = format!("there is no table {}", change.table.0);
                return Err(Unreadable { table: change.table, reason });
            }
        }
        if self.branch_seed.owns(change)
            && let Some(seed) = self.branch_seed.get(&())
        {
            self.branches = Branches::new(*seed);
        }
        self.settle(now);
        Ok(())
    }

    /// Serves from now on. `uncertain` is what the other one was about to send last.
    ///
    /// Requests without a final answer are sent once more: the next hop has absorbed them, or repeats its answer, which
    /// the other one may have taken to its grave; or it has never got them. All others wait for nothing: the neighbours
    /// ask again.
    pub fn take_over(&mut self, now: Instant, uncertain: &[Emission]) {
        self.is_serving = true;
        for emission in uncertain {
            match emission {
                Emission::Request(_) => {} // below
                Emission::Response(key) => self.repeat_response(*key),
                Emission::Stateless { destination, bytes } => self.send(*destination, bytes.clone(), true),
            }
        }
        let keys: Vec<ServerKey> = self.servers.keys().copied().collect();
        for key in keys {
            self.arm_server(key);
        }
        let numbers: Vec<u64> = self.clients.keys().copied().collect();
        for number in numbers {
            self.arm_client(number);
        }
        self.resend(|_| true);
        self.peers.take_over(now);
        self.drain_peers(now);
        self.function.take_over(now);
        self.settle(now);
    }

    /// Another instance serves a neighbour's addresses now: what waits for an answer from there is sent once more.
    pub fn on_neighbour(&mut self, now: Instant, neighbour: &Neighbour) {
        if let Some((host, node)) = &neighbour.diameter {
            self.peers.on_speaker(host, node.clone());
        }
        if self.is_serving {
            self.peers.follow_speakers(now);
            self.drain_peers(now);
            self.resend(|client| neighbour.addresses.contains(&client.destination().remote));
        }
        self.settle(now);
    }

    fn resend(&mut self, is_wanted: impl Fn(&Client) -> bool) {
        let waiting: Vec<_> = self
            .clients
            .values()
            .filter(|client| client.is_waiting() && is_wanted(client))
            .map(|client| (client.destination(), client.sent()))
            .collect();
        for (destination, bytes) in waiting {
            self.send(destination, bytes, true);
        }
    }
}
