//! What the driver drives: any sans-I/O machine that takes [`wire::Input`] and gives [`wire::Output`].
//!
//! The driver knows a network function by these four methods alone, so that its tests can run a dummy.

use clock::Instant;
use node::wire;

/// A machine without I/O. One call in, then drain [`Machine::poll_output`] until it is empty.
pub trait Machine {
    /// Takes one input in.
    fn handle_input(&mut self, now: Instant, input: wire::Input);
    /// Acts on deadlines that have passed.
    fn handle_timeout(&mut self, now: Instant);
    /// The next output, in the order in which they must happen.
    fn poll_output(&mut self) -> Option<wire::Output>;
    /// When to call [`Machine::handle_timeout`].
    fn poll_timeout(&self) -> Option<Instant>;
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

    fn poll_output(&mut self) -> Option<wire::Output> {
        node::Node::poll_output(self)
    }

    fn poll_timeout(&self) -> Option<Instant> {
        node::Node::poll_timeout(self)
    }
}
