//! Server transactions: each timer, just in time and a tick late.

use super::*;
use clock::Duration;

const UDP: bool = false;
const TCP: bool = true;

fn at(seconds: f64) -> Instant {
    Instant::ZERO + Duration::from_secs_f64(seconds)
}

fn received(is_invite: bool, is_reliable: bool) -> ServerTransaction {
    ServerTransaction::new(Instant::ZERO, is_invite, is_reliable, Timers::default())
}

/// One that has answered at second 1.
fn answered(is_invite: bool, is_reliable: bool, status: u16) -> ServerTransaction {
    let mut transaction = received(is_invite, is_reliable);
    assert!(transaction.on_respond(at(1.0), status));
    transaction
}

/// Runs it from deadline to deadline; what it said and when, in seconds.
fn run_to_end(transaction: &mut ServerTransaction) -> Vec<(f64, ServerTimeout)> {
    let mut said = Vec::new();
    while let Some(deadline) = transaction.deadline() {
        let tick_before = Instant::from_micros(deadline.as_micros() - 1);
        assert_eq!(transaction.on_timeout(tick_before), ServerTimeout::Nothing, "a tick before {deadline:?}");
        said.push((deadline.as_micros() as f64 / 1e6, transaction.on_timeout(deadline)));
        assert!(said.len() < 100, "it never ends: {said:?}");
    }
    said
}

#[test]
fn a_refusal_of_an_invite_is_repeated_up_to_t2_until_the_ack_is_given_up_after_32_s() {
    let mut transaction = answered(true, UDP, 486);
    let mut expected: Vec<_> = [1.5, 2.5, 4.5, 8.5, 12.5, 16.5, 20.5, 24.5, 28.5, 32.5]
        .map(|time| (time, ServerTimeout::RepeatLastResponse))
        .into();
    expected.push((33.0, ServerTimeout::AckMissing));
    assert_eq!(run_to_end(&mut transaction), expected);
    assert!(transaction.is_terminated());
}

#[test]
fn over_tcp_a_refusal_is_not_repeated_but_the_ack_is_missed_all_the_same() {
    let mut transaction = answered(true, TCP, 486);
    assert_eq!(run_to_end(&mut transaction), [(33.0, ServerTimeout::AckMissing)]);
}

#[test]
fn the_ack_ends_the_repetition_and_further_copies_are_absorbed_for_t4() {
    let mut transaction = answered(true, UDP, 486);
    assert_eq!(transaction.on_request(at(1.2)), ServerReaction::RepeatLastResponse);
    assert_eq!(transaction.on_ack(at(2.0)), ServerAck::Absorb);
    assert_eq!(transaction.on_request(at(2.1)), ServerReaction::Absorb);
    assert_eq!(transaction.on_ack(at(2.2)), ServerAck::Absorb);
    assert_eq!(run_to_end(&mut transaction), [(7.0, ServerTimeout::Terminated)]);
    let mut over_tcp = answered(true, TCP, 486);
    assert_eq!(over_tcp.on_ack(at(2.0)), ServerAck::Absorb);
    assert!(over_tcp.is_terminated());
}

#[test]
fn an_ack_is_in_time_a_tick_before_timer_h_and_too_late_after_it() {
    let mut in_time = answered(true, TCP, 486);
    assert_eq!(in_time.on_timeout(Instant::from_micros(32_999_999)), ServerTimeout::Nothing);
    in_time.on_ack(Instant::from_micros(32_999_999));
    assert!(in_time.is_terminated());
    let mut late = answered(true, TCP, 486);
    assert_eq!(late.on_timeout(at(33.0)), ServerTimeout::AckMissing);
}

#[test]
fn after_a_2xx_copies_of_the_invite_are_absorbed_and_more_2xx_pass_for_64_t1() {
    for is_reliable in [UDP, TCP] {
        let mut transaction = answered(true, is_reliable, 200);
        assert_eq!(transaction.on_request(at(1.5)), ServerReaction::Absorb);
        assert!(transaction.on_respond(at(1.5), 200));
        assert!(!transaction.on_respond(at(1.6), 180));
        assert!(!transaction.on_respond(at(1.6), 486));
        assert_eq!(transaction.on_ack(at(1.7)), ServerAck::Deliver);
        assert_eq!(run_to_end(&mut transaction), [(33.0, ServerTimeout::Terminated)]);
        assert!(!transaction.on_respond(at(33.0), 200));
    }
}

#[test]
fn a_copy_of_an_invite_gets_the_last_provisional_response_if_there_was_one() {
    let mut transaction = received(true, UDP);
    assert_eq!(transaction.on_request(at(0.1)), ServerReaction::Absorb);
    assert_eq!(transaction.on_ack(at(0.1)), ServerAck::Absorb);
    assert!(transaction.on_respond(at(0.2), 100));
    assert_eq!(transaction.on_request(at(0.5)), ServerReaction::RepeatLastResponse);
    assert!(transaction.on_respond(at(60.0), 180));
    assert_eq!(transaction.deadline(), None, "an INVITE may ring as long as it likes");
}

#[test]
fn a_second_final_response_is_refused_whatever_it_is() {
    for (is_invite, first, second) in
        [(true, 486, 486), (true, 486, 200), (true, 200, 486), (false, 200, 200), (false, 404, 100)]
    {
        let mut transaction = answered(is_invite, UDP, first);
        assert!(!transaction.on_respond(at(1.1), second), "{first} then {second}");
        assert!(transaction.is_completed());
    }
}

#[test]
fn the_final_response_to_another_request_is_repeated_on_demand_for_64_t1() {
    let mut transaction = answered(false, UDP, 200);
    assert_eq!(transaction.on_request(at(1.5)), ServerReaction::RepeatLastResponse);
    assert_eq!(transaction.on_request(Instant::from_micros(32_999_999)), ServerReaction::RepeatLastResponse);
    assert_eq!(run_to_end(&mut transaction), [(33.0, ServerTimeout::Terminated)]);
    assert_eq!(transaction.on_request(at(33.0)), ServerReaction::Absorb);
    assert!(answered(false, TCP, 200).is_terminated());
}

#[test]
fn a_request_that_is_not_an_invite_gets_a_100_once_its_client_has_slowed_down() {
    for is_reliable in [UDP, TCP] {
        let mut transaction = received(false, is_reliable);
        assert_eq!(transaction.on_request(at(0.5)), ServerReaction::Absorb);
        assert_eq!(run_to_end(&mut transaction), [(3.5, ServerTimeout::SendTrying)]);
        assert!(transaction.on_respond(at(3.5), 100));
        assert_eq!(transaction.on_request(at(7.5)), ServerReaction::RepeatLastResponse);
        assert!(transaction.on_respond(at(8.0), 200));
    }
}

#[test]
fn a_request_that_is_not_an_invite_gets_no_provisional_response_but_100() {
    let mut transaction = received(false, UDP);
    assert!(!transaction.on_respond(at(0.1), 183));
    assert_eq!(transaction, received(false, UDP));
}

#[test]
fn a_transport_error_ends_it_unless_the_2xx_is_the_far_ends() {
    let mut proceeding = received(true, UDP);
    assert!(proceeding.on_transport_error(at(0.1)));
    assert!(proceeding.is_terminated());
    let mut refused = answered(true, UDP, 486);
    assert!(!refused.on_transport_error(at(1.1)));
    assert!(refused.is_terminated());
    let mut accepted = answered(true, UDP, 200);
    assert!(!accepted.on_transport_error(at(1.1)));
    assert!(accepted.on_respond(at(1.2), 200));
}

#[test]
fn what_is_written_out_in_any_state_goes_on_as_if_nothing_had_happened() {
    for is_invite in [true, false] {
        for is_reliable in [UDP, TCP] {
            for (statuses, is_acknowledged) in
                [(&[][..], false), (&[100], false), (&[200], false), (&[486], false), (&[486], true)]
            {
                let mut original = received(is_invite, is_reliable);
                for status in statuses {
                    original.on_respond(at(1.0), *status);
                }
                original.on_timeout(at(1.5));
                if is_acknowledged {
                    original.on_ack(at(2.0));
                }
                let text = serde_json::to_string(&original).expect("plain data");
                let mut copy: ServerTransaction = serde_json::from_str(&text).expect("what was written");
                assert_eq!(copy, original);
                assert_eq!(copy.on_request(at(2.5)), original.on_request(at(2.5)));
                assert_eq!(run_to_end(&mut copy), run_to_end(&mut original));
            }
        }
    }
}
