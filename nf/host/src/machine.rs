//! What the driver drives: any sans-I/O machine that takes [`wire::Input`] and gives [`pair::Output`].
//!
//! The driver knows a network function by these methods alone, so that its tests can run a dummy. Those with a default are
//! for instances of pairs; a machine that is alone may always read and send.

use clock::Instant;
use node::wire;
use serde::Serialize;

/// A machine without I/O. One call in, then drain [`Machine::poll_output`] until it is empty.
pub trait Machine {
    /// Takes one input in.
    fn handle_input(&mut self, now: Instant, input: wire::Input);
    /// Acts on deadlines that have passed.
    fn handle_timeout(&mut self, now: Instant);
    /// The next output, in the order in which they must happen.
    fn poll_output(&mut self) -> Option<pair::Output>;
    /// When to call [`Machine::handle_timeout`].
    fn poll_timeout(&self) -> Option<Instant>;
    /// Takes in what another party of its pair said.
    fn handle_pair(&mut self, _now: Instant, _input: pair::Input) {}
    /// May it take what has come to the addresses of its pair?
    fn may_read(&self, _now: Instant) -> bool {
        true
    }
    /// May what it said leave now (S2-Q2)?
    fn may_send(&self, _now: Instant) -> bool {
        true
    }
    /// How it stands in its pair.
    fn standing(&self) -> Option<Standing> {
        None
    }
}

/// How an instance stands in its pair, for operators.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Standing {
    /// `joining`, `standby`, `asking`, `serving` or `handingOver`.
    pub role: &'static str,
    /// The newest epoch it knows of.
    pub epoch: u64,
    /// It serves, and the other one can take over.
    pub is_protected: bool,
    /// It has what the other one has told it, or serves itself.
    #[serde(skip)]
    pub has_copy: bool,
}

/// What keeps a function's writes: the driver's end of a [`node::Store`].
pub trait Durable {
    /// Makes every write so far survive. Costs nothing when there was none.
    fn commit(&mut self) -> Result<(), CommitFailure>;
}

/// A commit that did not succeed.
#[derive(Debug, thiserror::Error)]
#[error("{sentence}")]
pub struct CommitFailure {
    /// Nothing uncommitted may be confirmed to anybody any more: the process must end.
    pub is_fatal: bool,
    /// What happened and what to do, for the operator.
    pub sentence: String,
}

/// A machine and the store it writes to.
pub struct Built<M> {
    /// The machine.
    pub machine: M,
    /// Its store, if it has one.
    pub store: Option<Box<dyn Durable>>,
}

impl<M> Built<M> {
    /// A machine that keeps nothing.
    pub fn stateless(machine: M) -> Self {
        Built { machine, store: None }
    }
}

impl<F: node::Function> Machine for node::Node<F> {
    fn handle_input(&mut self, now: Instant, input: wire::Input) {
        node::Node::handle_input(self, now, input);
    }

    fn handle_timeout(&mut self, now: Instant) {
        node::Node::handle_timeout(self, now);
    }

    fn poll_output(&mut self) -> Option<pair::Output> {
        node::Node::poll_output(self).map(pair::Output::Node)
    }

    fn poll_timeout(&self) -> Option<Instant> {
        node::Node::poll_timeout(self)
    }
}
