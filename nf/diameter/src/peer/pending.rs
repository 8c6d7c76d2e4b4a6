//! Requests of ours that have no answer yet, by hop-by-hop identifier.
//!
//! An identifier is drawn once for each request and kept over reconnections: it is unique among all that wait, which is
//! more than RFC 6733 §3 asks for, and an answer cannot come from a connection that is gone.

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::codec::{self, Header};
use crate::dictionary::APPLICATION_CX;

/// One that waits.
#[derive(Debug)]
pub(super) struct Pending {
    pub(super) ticket: u64,
    /// Was it ever sent? Then it is sent again with the T bit.
    pub(super) was_sent: bool,
    /// Its place in the order of making; identifiers may wrap around.
    order: u64,
    command_code: u32,
    message: Bytes,
}

#[derive(Debug)]
pub(super) struct PendingTable {
    by_hop_by_hop: BTreeMap<u32, Pending>,
    /// Those of them that this connection has not seen, by their order.
    unsent: BTreeMap<u64, u32>,
    made: u64,
    max: usize,
}

impl PendingTable {
    pub(super) fn new(max: usize) -> Self {
        PendingTable { by_hop_by_hop: BTreeMap::new(), unsent: BTreeMap::new(), made: 0, max }
    }

    pub(super) fn is_full(&self) -> bool {
        self.by_hop_by_hop.len() >= self.max
    }

    pub(super) fn insert(&mut self, hop_by_hop: u32, ticket: u64, command_code: u32, message: Bytes) {
        self.made += 1;
        let pending = Pending { ticket, was_sent: false, order: self.made, command_code, message };
        self.by_hop_by_hop.insert(hop_by_hop, pending);
        self.unsent.insert(self.made, hop_by_hop);
    }

    /// The next one to send, now that there is a connection.
    pub(super) fn next_unsent(&mut self) -> Option<Bytes> {
        let (_, hop_by_hop) = self.unsent.pop_first()?;
        let pending = self.by_hop_by_hop.get_mut(&hop_by_hop).expect("take() removes from both maps");
        Some(match std::mem::replace(&mut pending.was_sent, true) {
            true => codec::retransmission(&pending.message),
            false => pending.message.clone(),
        })
    }

    /// The request that a message with this header answers.
    pub(super) fn take_answered(&mut self, header: &Header) -> Option<Pending> {
        let pending = self.by_hop_by_hop.get(&header.hop_by_hop)?;
        let is_its_answer = !self.unsent.contains_key(&pending.order)
            && (APPLICATION_CX, pending.command_code) == (header.application_id, header.command_code);
        if is_its_answer { self.take(header.hop_by_hop) } else { None }
    }

    pub(super) fn take(&mut self, hop_by_hop: u32) -> Option<Pending> {
        let pending = self.by_hop_by_hop.remove(&hop_by_hop)?;
        self.unsent.remove(&pending.order);
        Some(pending)
    }

    /// The request with this ticket, if it waits.
    pub(super) fn take_ticket(&mut self, ticket: u64) -> Option<u32> {
        let found = self.by_hop_by_hop.iter().find(|(_, pending)| pending.ticket == ticket);
        let hop_by_hop = *found?.0;
        self.take(hop_by_hop);
        Some(hop_by_hop)
    }

    pub(super) fn take_all(&mut self) -> BTreeMap<u32, Pending> {
        self.unsent.clear();
        std::mem::take(&mut self.by_hop_by_hop)
    }

    /// All are to be sent again, in the order of their making.
    pub(super) fn forget_connection(&mut self) {
        self.unsent =
            self.by_hop_by_hop.iter().map(|(&hop_by_hop, pending)| (pending.order, hop_by_hop)).collect();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::MessageBuilder;
    use crate::cx::Envelope;

    #[test]
    fn only_what_this_connection_has_sent_can_be_answered_on_it() {
        let header = Envelope { hop_by_hop: 5, ..Envelope::default() }.header(300, true, false);
        let mut table = PendingTable::new(10);
        table.insert(5, 1, 300, MessageBuilder::new(header).finish());
        assert!(table.take_answered(&header.answer(false)).is_none());
        assert!(table.next_unsent().is_some());
        let other_command = Header { command_code: 301, ..header };
        assert!(table.take_answered(&other_command.answer(false)).is_none());
        table.forget_connection();
        assert!(table.take_answered(&header.answer(false)).is_none());
        assert!(table.next_unsent().is_some());
        assert_eq!(table.take_answered(&header.answer(false)).unwrap().ticket, 1);
    }
}
