//! Links over datagrams that get lost, come twice, late and in another order.

use super::*;

const R: Duration = Duration::from_micros(500);

fn at(micros: u64) -> Instant {
    Instant::from_micros(micros)
}

/// A small generator of its own: the same seed, the same run.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        // Marsaglia's xorshift64.
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}

fn events(link: &mut Link) -> Vec<LinkEvent> {
    std::iter::from_fn(|| link.poll_event()).collect()
}

/// Lets both talk over a perfect way until nobody has anything to say.
fn settle(now: Instant, one: &mut Link, two: &mut Link) {
    loop {
        let (there, back) = (one.poll_datagram(now), two.poll_datagram(now));
        if there.is_none() && back.is_none() {
            return;
        }
        there.into_iter().for_each(|datagram| two.handle_datagram(now, datagram).expect("it is one"));
        back.into_iter().for_each(|datagram| one.handle_datagram(now, datagram).expect("it is one"));
    }
}

fn pair() -> (Link, Link) {
    let (mut one, mut two) =
        (Link::new(Incarnation(1), Limits::default(), R), Link::new(Incarnation(7), Limits::default(), R));
    settle(at(0), &mut one, &mut two);
    assert_eq!(events(&mut one), [LinkEvent::Begun(Incarnation(7))]);
    assert_eq!(events(&mut two), [LinkEvent::Begun(Incarnation(1))]);
    (one, two)
}

#[test]
fn records_arrive_in_order_and_are_acknowledged_at_once() {
    let (mut one, mut two) = pair();
    one.push(Bytes::from_static(b"first")).expect("room");
    let number = one.push(Bytes::from_static(b"")).expect("room");
    let datagram = one.poll_datagram(at(10)).expect("both share one");
    assert_eq!(one.poll_datagram(at(10)), None);
    two.handle_datagram(at(20), datagram).expect("it is one");
    let record = |text: &'static str| LinkEvent::Record(Bytes::from_static(text.as_bytes()));
    assert_eq!(events(&mut two), [record("first"), record("")]);
    let back = two.poll_datagram(at(20)).expect("an acknowledgement");
    one.handle_datagram(at(30), back).expect("it is one");
    assert_eq!(events(&mut one), [LinkEvent::Acknowledged(number)]);
    assert_eq!((one.poll_timeout(), one.poll_datagram(at(30))), (None, None));
}

#[test]
fn a_record_longer_than_a_datagram_arrives_whole() {
    let (mut one, mut two) = pair();
    let long: Bytes = (0..50_000u32).map(|number| number as u8).collect();
    one.push(long.clone()).expect("room");
    settle(at(1), &mut one, &mut two);
    assert_eq!(events(&mut two), [LinkEvent::Record(long)]);
}

#[test]
fn what_is_not_acknowledged_is_sent_again_after_two_round_trips_and_not_a_tick_earlier() {
    let (mut one, _) = pair();
    one.push(Bytes::from_static(b"lost")).expect("room");
    assert!(one.poll_datagram(at(0)).is_some());
    let again = one.poll_timeout().expect("it waits");
    assert_eq!(again, at(1000));
    one.handle_timeout(at(999));
    assert_eq!(one.poll_datagram(at(999)), None);
    one.handle_timeout(at(1000));
    assert!(one.poll_datagram(at(1000)).is_some());
    assert_eq!(one.poll_timeout(), Some(at(3000)), "twice as patient");
}

#[test]
fn a_gap_is_reported_and_filled_without_waiting_for_a_timer() {
    let (mut one, mut two) = pair();
    let mut send = |text: &'static str, now| {
        one.push(Bytes::from_static(text.as_bytes())).expect("room");
        one.poll_datagram(now).expect("a datagram")
    };
    let _lost = send("lost", at(0));
    let early = send("early", at(10));
    two.handle_datagram(at(600), early).expect("it is one");
    assert_eq!(events(&mut two), []);
    let report = two.poll_datagram(at(600)).expect("a report");
    one.handle_datagram(at(700), report).expect("it is one");
    let again = one.poll_datagram(at(700)).expect("the lost one, at once");
    two.handle_datagram(at(800), again).expect("it is one");
    assert_eq!(events(&mut two).len(), 2);
}

#[test]
fn a_restarted_end_begins_a_new_session_and_nothing_of_the_old_one_is_delivered() {
    let (mut one, mut two) = pair();
    one.push(Bytes::from_static(b"old")).expect("room");
    let old = one.poll_datagram(at(1)).expect("a datagram");
    let mut three = Link::new(Incarnation(8), Limits::default(), R);
    three.handle_datagram(at(2), old.clone()).expect("it is one");
    assert_eq!(
        events(&mut three),
        [LinkEvent::Begun(Incarnation(1))],
        "and no record, which was for another"
    );
    settle(at(3), &mut one, &mut three);
    assert_eq!(events(&mut one), [LinkEvent::Begun(Incarnation(8))]);
    one.push(Bytes::from_static(b"new")).expect("room");
    settle(at(4), &mut one, &mut three);
    assert_eq!(events(&mut three), [LinkEvent::Record(Bytes::from_static(b"new"))]);
    // The former incarnation, thawed, is not listened to any more.
    two.push(Bytes::from_static(b"ghost")).expect("room");
    let ghost = two.poll_datagram(at(5)).expect("a datagram");
    one.handle_datagram(at(5), ghost).expect("it is one");
    assert_eq!(events(&mut one), [LinkEvent::Acknowledged(1)]);
}

#[test]
fn the_bound_refuses_a_record_and_changes_nothing() {
    let limits = Limits { unacknowledged_bytes_max: 10, ..Limits::default() };
    let mut link = Link::new(Incarnation(1), limits, R);
    link.push(Bytes::from_static(b"0123456789")).expect("room");
    assert_eq!(link.push(Bytes::from_static(b"x")), Err(PushError::Full { waiting_bytes: 11 }));
    assert_eq!(link.push(Bytes::new()), Ok(2), "a record without bytes has room");
    let long = Bytes::from(vec![0; RECORD_BYTES_MAX + 1]);
    assert!(matches!(link.push(long), Err(PushError::TooLong { .. })));
}

#[test]
fn a_record_that_never_ends_is_refused_and_takes_no_more_memory() {
    let mut link = Link::new(Incarnation(1), Limits::default(), R);
    let part = |sequence| {
        let pieces = vec![Piece { sequence, is_last: false, bytes: vec![0; 60_000].into() }];
        Frame { from: 7, to: 1, pieces, ..Frame::default() }.encode()
    };
    let last = (0..100).find(|sequence| link.handle_datagram(at(*sequence), part(*sequence)).is_err());
    assert_eq!(last, Some(17), "the piece that would make it longer than 1 MiB");
    assert_eq!(link.handle_datagram(at(200), part(18)), Err(FrameError::RecordTooLong));
    assert!(link.partial.len() <= RECORD_BYTES_MAX);
}

/// Both ends push records while a quarter of the datagrams is lost, a tenth doubled and all delayed by up to 2 ms.
fn check_hard_way(seed: u64) {
    let mut random = Random(seed * 2 + 1);
    let limits = Limits { pieces_under_way_max: 16, datagram_bytes_max: 300, ..Limits::default() };
    let mut ends = [Link::new(Incarnation(1), limits, R), Link::new(Incarnation(2), limits, R)];
    let mut under_way: BTreeMap<(Instant, u64), (usize, Bytes)> = BTreeMap::new();
    let (mut pushed, mut arrived) = ([0u64; 2], [0u64; 2]);
    let mut number = 0;
    let mut now = at(0);
    const EACH: u64 = 40;
    while arrived != [EACH; 2] || ends.iter().any(|end| end.poll_timeout().is_some()) {
        now += Duration::from_micros(50);
        assert!(now < at(60_000_000), "seed {seed}: {pushed:?} pushed, {arrived:?} arrived");
        for side in 0..2 {
            if pushed[side] < EACH && random.below(4) == 0 {
                let mut record = pushed[side].to_be_bytes().to_vec();
                record.resize(8 + random.below(900) as usize, side as u8);
                ends[side].push(record.into()).expect("room");
                pushed[side] += 1;
            }
            ends[side].handle_timeout(now);
            while let Some(datagram) = ends[side].poll_datagram(now) {
                assert!(datagram.len() <= limits.datagram_bytes_max, "seed {seed}");
                let copies = match random.below(20) {
                    0..5 => 0,
                    5..7 => 2,
                    _ => 1,
                };
                for _ in 0..copies {
                    number += 1;
                    let arrival = now + Duration::from_micros(random.below(2000));
                    under_way.insert((arrival, number), (1 - side, datagram.clone()));
                }
            }
        }
        while let Some(first) = under_way.first_entry().filter(|first| first.key().0 <= now) {
            let (side, datagram) = first.remove();
            ends[side].handle_datagram(now, datagram).expect("it is one");
            for event in events(&mut ends[side]) {
                if let LinkEvent::Record(record) = event {
                    let expected = arrived[side].to_be_bytes();
                    assert_eq!(record[..8], expected, "seed {seed}: in order, each once");
                    assert!(
                        record[8..].iter().all(|byte| usize::from(*byte) == 1 - side),
                        "seed {seed}: whole"
                    );
                    arrived[side] += 1;
                }
            }
        }
    }
    assert_eq!(ends.each_ref().map(|end| end.unacknowledged_bytes), [0; 2], "seed {seed}");
}

#[test]
fn every_record_arrives_once_and_in_order_over_a_way_that_loses_doubles_and_reorders() {
    (0..60).for_each(check_hard_way);
}
