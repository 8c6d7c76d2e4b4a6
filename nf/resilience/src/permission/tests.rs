//! The boundaries of each time, by hand. What may come in between is the business of `tests/model`.

use clock::{Duration, Instant};

use super::*;

const LEASE: Duration = Duration::from_millis(40);
const PAIR: PairId = PairId(7);

fn at(millis: u64) -> Instant {
    Instant::from_micros(millis * 1000)
}

fn timing() -> Timing {
    Timing::of(LEASE).expect("forty milliseconds are enough")
}

fn member(instance: InstanceId) -> Member {
    Member { instance, incarnation: Incarnation(1) }
}

/// X1, X2 and W, joined by a wire that loses nothing and takes no time.
struct Pair {
    instances: [Instance; 2],
    witness: Witness,
    now: Instant,
    /// What is said to or by this one is lost.
    cut_off: Option<InstanceId>,
    became: Vec<Became>,
}

impl Pair {
    fn new() -> Pair {
        let start = |instance| Start {
            pair: PAIR,
            member: member(instance),
            membership: Membership(0),
            timing: timing(),
            rules: Rules::all(),
        };
        let record = Record::blank(Membership(0), LEASE);
        let lossy_start = LossyStart::LastHolder;
        let mut pair = Pair {
            instances: InstanceId::BOTH.map(|instance| Instance::start(at(0), start(instance))),
            witness: Witness::start(at(0), PAIR, timing(), Rules::all(), lossy_start, record),
            now: at(0),
            cut_off: None,
            became: Vec::new(),
        };
        pair.run_to(1);
        pair.declare(Epoch(0), InstanceId::One);
        pair.run_to(200);
        pair
    }

    fn declare(&mut self, epoch: Epoch, instance: InstanceId) {
        let body = Body::DeclareLossy { epoch, member: member(instance) };
        let membership = Membership(0);
        let message = Message { version: VERSION, pair: PAIR, membership, from: None, to: None, body };
        self.witness.handle_message(self.now, Party::Supervisor, message);
    }

    fn one(&self) -> &Instance {
        &self.instances[0]
    }

    fn two(&self) -> &Instance {
        &self.instances[1]
    }

    fn run_to(&mut self, millis: u64) {
        while self.now < at(millis) {
            self.now += Duration::from_millis(1);
            let now = self.now;
            for instance in &mut self.instances {
                if instance.poll_timeout().is_some_and(|due| due <= now) {
                    instance.handle_timeout(now);
                }
            }
            while self.exchange() {}
        }
    }

    fn exchange(&mut self) -> bool {
        let mut said = Vec::new();
        for instance in &mut self.instances {
            let party = Party::Instance(instance.member().instance);
            said.extend(std::iter::from_fn(|| instance.poll_output()).map(|output| (party, output)));
        }
        let party = Party::Witness(Membership(0));
        said.extend(std::iter::from_fn(|| self.witness.poll_output()).map(|output| (party, output)));
        let is_something = !said.is_empty();
        for (from, output) in said {
            match output {
                Output::Send { to, message } => self.deliver(from, to, message),
                Output::Became(became) => self.became.push(became),
                Output::Persist(_) => {}
            }
        }
        is_something
    }

    fn deliver(&mut self, from: Party, to: Party, message: Message) {
        let is_cut = |party| self.cut_off.is_some_and(|instance| party == Party::Instance(instance));
        if is_cut(from) || is_cut(to) {
            return;
        }
        match to {
            Party::Instance(InstanceId::One) => self.instances[0].handle_message(self.now, from, message),
            Party::Instance(InstanceId::Two) => self.instances[1].handle_message(self.now, from, message),
            _ => self.witness.handle_message(self.now, from, message),
        }
    }
}

#[test]
fn a_pair_comes_up_with_x1_holding_and_x2_in_sync() {
    let pair = Pair::new();
    assert!(pair.one().may_emit(pair.now) && pair.one().is_protected());
    assert_eq!(pair.one().epoch(), Epoch(1));
    assert!(!pair.two().may_emit(pair.now));
}

#[test]
fn a_holder_that_is_cut_off_may_emit_until_its_lease_ends_and_not_a_tick_longer() {
    let mut pair = Pair::new();
    pair.cut_off = Some(InstanceId::One);
    let Role::Holder(holder) = pair.one().role() else { panic!("X1 holds") };
    let end = holder.lease_end;
    assert!(pair.one().may_emit(Instant::from_micros(end.as_micros() - 1)));
    assert!(!pair.one().may_emit(end));
    assert!(end <= pair.now + LEASE, "no lease is longer than a lease");
}

#[test]
fn x2_asks_when_its_last_acknowledgement_is_a_lease_and_a_quarter_old_and_not_a_tick_before() {
    let mut pair = Pair::new();
    let Role::Standby { ask_from } = *pair.two().role() else { panic!("X2 stands by") };
    pair.cut_off = Some(InstanceId::One);
    assert!(ask_from <= pair.now + timing().wait());
    let millis = ask_from.as_micros() / 1000;
    pair.run_to(millis - 1);
    assert!(matches!(pair.two().role(), Role::Standby { .. }));
    pair.run_to(millis);
    assert!(!matches!(pair.two().role(), Role::Standby { .. }));
}

#[test]
fn never_two_may_emit_while_x2_takes_over_from_an_x1_that_is_cut_off() {
    let mut pair = Pair::new();
    pair.cut_off = Some(InstanceId::One);
    for millis in 201..400 {
        pair.run_to(millis);
        assert!(!(pair.one().may_emit(pair.now) && pair.two().may_emit(pair.now)), "at {millis} ms");
    }
    assert!(pair.two().may_emit(pair.now));
    assert_eq!(pair.two().epoch(), Epoch(2));
}

#[test]
fn a_record_is_committed_when_the_standby_has_it_or_is_out_of_the_set() {
    let mut pair = Pair::new();
    let before = pair.one().committed();
    let position = pair.instances[0].commit(pair.now).expect("the holder may");
    assert_eq!(pair.one().committed(), before, "nobody has acknowledged it");
    pair.run_to(201);
    assert_eq!(pair.one().committed(), position);
    pair.cut_off = Some(InstanceId::Two);
    let position = pair.instances[0].commit(pair.now).expect("the holder may");
    pair.run_to(230);
    assert_eq!(pair.one().committed(), position, "the witness took X2 out");
    assert!(!pair.one().is_protected());
}

#[test]
fn a_hand_over_needs_no_time_to_run_out() {
    let mut pair = Pair::new();
    assert!(pair.instances[0].hand_over(pair.now));
    assert!(!pair.one().may_emit(pair.now), "a release is final");
    while pair.exchange() {}
    assert!(pair.two().may_emit(pair.now));
}

#[test]
fn a_pair_that_keeps_what_nobody_else_has_never_starts_empty_a_second_time() {
    let mut pair = Pair::new();
    let before = *pair.witness.record().expect("it counts");
    pair.declare(Epoch(1), InstanceId::Two);
    assert_eq!(pair.witness.record(), Some(&before));
}

#[test]
fn state_is_data_that_is_written_out_and_read_back() {
    let rules = Rules::all().without(Rule::Echo).without(Rule::Hello);
    assert_eq!(Rules::from(u32::from(rules)), rules);
    assert!(!rules.echo && !rules.hello && rules.lease);
}
