//! What is true only of a holder: its lease, what the standby acknowledged, the change of the set it waits for;
//! and what it does: renew, feed the standby, have it added or removed, release.

use clock::Instant;
use serde::{Deserialize, Serialize};

use super::instance::{Instance, Role};
use super::message::Body;
use super::types::{Epoch, Held, Incarnation, Position, SetVersion};

/// A change of the in-sync set that the holder asks the witness for (S2-Q5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Change {
    /// This incarnation of the standby has acknowledged everything.
    Add(Incarnation),
    /// Whoever the standby is does not acknowledge.
    Remove,
}

/// What the standby acknowledged in this epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Mirrored {
    /// Which life of it.
    pub incarnation: Incarnation,
    /// Up to where; `None` before the snapshot.
    pub position: Option<Position>,
}

/// An instance that was granted the epoch.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Holder {
    /// It may emit before this instant (S2-Q2).
    pub lease_end: Instant,
    /// When the next renewals leave.
    pub renew_at: Instant,
    /// The newest stamps, to be echoed (S2-Q9).
    pub witness_stamp: Option<Instant>,
    /// That of the standby.
    pub standby_stamp: Option<Instant>,
    /// How many records the log has.
    pub position: Position,
    /// What the standby acknowledged.
    pub mirrored: Option<Mirrored>,
    /// The change that is asked for, with the set version it is based on.
    pub change: Option<(Change, SetVersion)>,
    /// A record waits for the standby since then.
    pub waits_since: Option<Instant>,
}

impl Holder {
    /// A holder at its first moment.
    pub(super) fn granted(now: Instant, lease_end: Instant, position: Position) -> Holder {
        Holder {
            lease_end,
            renew_at: now,
            witness_stamp: None,
            standby_stamp: None,
            position,
            mirrored: None,
            change: None,
            waits_since: None,
        }
    }

    /// What this life of the standby acknowledged.
    pub(super) fn mirrored_by(&self, incarnation: Incarnation) -> Option<Position> {
        self.mirrored.filter(|mirrored| mirrored.incarnation == incarnation)?.position
    }
}

impl Instance {
    /// S2-Q2: the lease counts from when the renewal was sent.
    pub(super) fn on_acknowledged(&mut self, now: Instant, sent: Option<Instant>) {
        let counts_from = sent.map(|sent| if self.rules.lease_from_send { sent } else { now });
        let lease = self.timing.lease();
        if let (Role::Holder(holder) | Role::HandingOver(holder), Some(from)) = (&mut self.role, counts_from)
        {
            holder.lease_end = holder.lease_end.max(from + lease);
        }
    }

    pub(super) fn on_mirrored(&mut self, incarnation: Incarnation, held: Option<Held>) {
        let epoch = self.view.epoch;
        let (Role::Holder(holder) | Role::HandingOver(holder)) = &mut self.role else { return };
        let before = holder.mirrored_by(incarnation);
        let position = held.filter(|held| held.epoch == epoch).map(|held| held.position);
        holder.mirrored = Some(Mirrored { incarnation, position: before.max(position) });
    }

    /// Sends the standby what it lacks: a snapshot first, then record by record.
    pub(super) fn feed(&mut self, incarnation: Incarnation) {
        let (Role::Holder(holder) | Role::HandingOver(holder)) = &self.role else { return };
        let (epoch, position) = (self.view.epoch, holder.position);
        let body = match holder.mirrored_by(incarnation) {
            None => Body::Mirror { held: Held { epoch, position }, is_whole: true },
            Some(has) if has < position => {
                Body::Mirror { held: Held { epoch, position: has.next() }, is_whole: false }
            }
            Some(_) => return,
        };
        self.tell_other(Some(incarnation), body);
    }

    pub(super) fn renew(&mut self, now: Instant) {
        let epoch = self.view.epoch;
        let (Role::Holder(holder) | Role::HandingOver(holder)) = &self.role else { return };
        let (to_standby, to_witness, change) = (holder.standby_stamp, holder.witness_stamp, holder.change);
        self.tell_other(None, Body::Renewal { epoch, sent: now, echo: to_standby });
        self.tell_witness(Body::Renewal { epoch, sent: now, echo: to_witness });
        self.ask_for(change);
    }

    /// Keeps the time since when a record waits, and asks to have a silent standby removed (S2-Q5, S2-E5).
    pub(super) fn settle_waiting(&mut self, now: Instant) {
        let wait = self.timing.commit_wait_max();
        let committed = self.committed();
        let set_version = self.view.set_version;
        let mut removes = None;
        if let Role::Holder(holder) | Role::HandingOver(holder) = &mut self.role {
            if committed >= holder.position {
                holder.waits_since = None;
            } else {
                let since = *holder.waits_since.get_or_insert(now);
                let is_asked =
                    matches!(holder.change, Some((Change::Remove, based_on)) if based_on == set_version);
                if now.saturating_since(since) >= wait && !is_asked {
                    holder.change = Some((Change::Remove, set_version));
                    removes = holder.change;
                }
            }
        }
        self.ask_for(removes);
    }

    /// Asks to have the standby added once it acknowledged everything (S2-Q5).
    pub(super) fn settle_set(&mut self) {
        let Role::Holder(holder) = &self.role else { return };
        let in_set = *self.view.in_sync.of(self.member.instance.other());
        let (None, Some(mirrored)) = (holder.change, holder.mirrored) else { return };
        let has_everything =
            mirrored.position == Some(holder.position) || !self.rules.acknowledged_before_add;
        if in_set.is_some() || !has_everything || Some(mirrored.incarnation) != self.other {
            return;
        }
        let change = Some((Change::Add(mirrored.incarnation), self.view.set_version));
        if let Role::Holder(holder) = &mut self.role {
            holder.change = change;
        }
        self.ask_for(change);
    }

    /// The life of the standby whose acknowledgements the holder waits for: it is in the set, or may be by now.
    pub(super) fn counted(&self, holder: &Holder) -> Option<Incarnation> {
        let in_set = *self.view.in_sync.of(self.member.instance.other());
        match holder.change {
            Some((Change::Add(incarnation), _)) if self.rules.commit_from_asking => Some(incarnation),
            // The addition may have come before the removal, or comes still.
            Some((Change::Remove, _)) if self.rules.remove_first => in_set.or(self.other),
            Some((Change::Remove, _)) => None,
            _ => in_set,
        }
    }

    /// S2-Q11: final for this epoch.
    pub(super) fn release(&mut self, now: Instant) {
        let epoch = self.view.epoch;
        self.tell_witness(Body::Released(epoch));
        self.tell_other(self.other, Body::Released(epoch));
        if let (Role::HandingOver(holder), false) = (&self.role, self.rules.release_final) {
            self.role = Role::Holder(holder.clone());
            return;
        }
        self.view.is_released = true;
        self.become_standby(now);
    }

    pub(super) fn ask_for(&mut self, change: Option<(Change, SetVersion)>) {
        if let Some((change, set_version)) = change {
            self.tell_witness(Body::Change { epoch: self.view.epoch, set_version, change });
        }
    }

    pub(super) fn holder_of(&mut self, epoch: Epoch) -> Option<&mut Holder> {
        let is_ours = epoch == self.view.epoch || !self.rules.epoch_order;
        match &mut self.role {
            Role::Holder(holder) | Role::HandingOver(holder) if is_ours => Some(holder),
            _ => None,
        }
    }
}
