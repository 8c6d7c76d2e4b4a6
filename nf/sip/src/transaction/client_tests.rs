//! Client transactions: each timer, just in time and a tick late.

use super::*;
use clock::Duration;

const UDP: bool = false;
const TCP: bool = true;

fn at(seconds: f64) -> Instant {
    Instant::ZERO + Duration::from_secs_f64(seconds)
}

fn sent(is_invite: bool, is_reliable: bool) -> ClientTransaction {
    ClientTransaction::new(Instant::ZERO, is_invite, is_reliable, Timers::default())
}

/// Runs it from deadline to deadline; what it said and when, in seconds.
fn run_to_end(transaction: &mut ClientTransaction) -> Vec<(f64, ClientTimeout)> {
    let mut said = Vec::new();
    while let Some(deadline) = transaction.deadline() {
        let tick_before = Instant::from_micros(deadline.as_micros() - 1);
        assert_eq!(transaction.on_timeout(tick_before), ClientTimeout::Nothing, "a tick before {deadline:?}");
        said.push((deadline.as_micros() as f64 / 1e6, transaction.on_timeout(deadline)));
        assert!(said.len() < 100, "it never ends: {said:?}");
    }
    assert!(transaction.is_terminated());
    said
}

fn resends(times: &[f64]) -> Vec<(f64, ClientTimeout)> {
    times.iter().map(|time| (*time, ClientTimeout::Resend)).collect()
}

#[test]
fn an_invite_nobody_answers_is_sent_seven_times_and_times_out_after_32_s() {
    let mut expected = resends(&[0.5, 1.5, 3.5, 7.5, 15.5, 31.5]);
    expected.push((32.0, ClientTimeout::TimedOut));
    assert_eq!(run_to_end(&mut sent(true, UDP)), expected);
}

#[test]
fn another_request_nobody_answers_is_sent_eleven_times_and_times_out_after_32_s() {
    let mut expected = resends(&[0.5, 1.5, 3.5, 7.5, 11.5, 15.5, 19.5, 23.5, 27.5, 31.5]);
    expected.push((32.0, ClientTimeout::TimedOut));
    assert_eq!(run_to_end(&mut sent(false, UDP)), expected);
}

#[test]
fn over_tcp_nothing_is_repeated() {
    for is_invite in [true, false] {
        assert_eq!(run_to_end(&mut sent(is_invite, TCP)), [(32.0, ClientTimeout::TimedOut)]);
    }
}

#[test]
fn towards_devices_the_schedule_starts_at_two_seconds() {
    let timers =
        Timers { t1: Duration::from_secs(2), t2: Duration::from_secs(16), t4: Duration::from_secs(17) };
    let mut transaction = ClientTransaction::new(Instant::ZERO, true, UDP, timers);
    let mut expected = resends(&[2.0, 6.0, 14.0, 30.0, 62.0, 126.0]);
    expected.push((128.0, ClientTimeout::TimedOut));
    assert_eq!(run_to_end(&mut transaction), expected);
}

#[test]
fn a_provisional_response_stops_the_repetition_of_an_invite_for_good() {
    let mut transaction = sent(true, UDP);
    assert!(!transaction.is_proceeding());
    assert_eq!(transaction.on_response(at(0.4), 100), ClientReaction::Deliver);
    assert!(transaction.is_proceeding());
    assert_eq!(transaction.deadline(), None);
    assert_eq!(transaction.on_timeout(at(1000.0)), ClientTimeout::Nothing);
    assert_eq!(transaction.on_response(at(1000.0), 180), ClientReaction::Deliver);
    assert_eq!(transaction.on_response(at(1001.0), 200), ClientReaction::Deliver);
}

#[test]
fn a_provisional_response_slows_the_repetition_of_another_request_down_to_t2() {
    let mut transaction = sent(false, UDP);
    assert_eq!(transaction.on_response(at(0.4), 100), ClientReaction::Deliver);
    let mut expected = resends(&[0.5, 4.5, 8.5, 12.5, 16.5, 20.5, 24.5, 28.5]);
    expected.push((32.0, ClientTimeout::TimedOut));
    assert_eq!(run_to_end(&mut transaction), expected);
}

#[test]
fn repeated_2xx_to_an_invite_are_handed_on_until_64_t1_and_nothing_else_is() {
    for is_reliable in [UDP, TCP] {
        let mut transaction = sent(true, is_reliable);
        assert_eq!(transaction.on_response(at(1.0), 200), ClientReaction::Deliver);
        assert!(transaction.is_completed());
        assert_eq!(transaction.on_response(at(1.5), 200), ClientReaction::Deliver);
        assert_eq!(transaction.on_response(at(2.0), 180), ClientReaction::Absorb);
        assert_eq!(transaction.on_response(at(2.0), 486), ClientReaction::Absorb);
        assert_eq!(run_to_end(&mut transaction), [(33.0, ClientTimeout::Terminated)]);
        assert_eq!(transaction.on_response(at(33.0), 200), ClientReaction::Absorb);
    }
}

#[test]
fn each_repeated_refusal_of_an_invite_gets_an_ack_again_until_timer_d() {
    let mut transaction = sent(true, UDP);
    assert_eq!(transaction.on_response(at(1.0), 486), ClientReaction::DeliverAndAck);
    assert_eq!(transaction.on_response(at(1.5), 486), ClientReaction::AckAgain);
    assert_eq!(transaction.on_response(at(1.6), 180), ClientReaction::Absorb);
    assert_eq!(transaction.on_response(at(1.6), 200), ClientReaction::Absorb);
    assert_eq!(run_to_end(&mut transaction), [(33.0, ClientTimeout::Terminated)]);
    assert_eq!(transaction.on_response(at(33.0), 486), ClientReaction::Absorb);
}

#[test]
fn over_tcp_a_refusal_ends_it_at_once() {
    let mut invite = sent(true, TCP);
    assert_eq!(invite.on_response(at(1.0), 486), ClientReaction::DeliverAndAck);
    assert!(invite.is_terminated() && invite.deadline().is_none());
    let mut other = sent(false, TCP);
    assert_eq!(other.on_response(at(1.0), 200), ClientReaction::Deliver);
    assert!(other.is_terminated() && other.deadline().is_none());
}

#[test]
fn a_repeated_final_response_to_another_request_is_absorbed_for_t4() {
    let mut transaction = sent(false, UDP);
    assert_eq!(transaction.on_response(at(1.0), 403), ClientReaction::Deliver);
    assert_eq!(transaction.on_response(at(1.1), 403), ClientReaction::Absorb);
    assert_eq!(run_to_end(&mut transaction), [(6.0, ClientTimeout::Terminated)]);
}

#[test]
fn a_response_is_in_time_a_tick_before_the_time_out_and_too_late_after_it() {
    for is_invite in [true, false] {
        let mut in_time = sent(is_invite, TCP);
        assert_eq!(in_time.on_timeout(Instant::from_micros(31_999_999)), ClientTimeout::Nothing);
        assert_eq!(in_time.on_response(Instant::from_micros(31_999_999), 200), ClientReaction::Deliver);
        let mut late = sent(is_invite, TCP);
        assert_eq!(late.on_timeout(at(32.0)), ClientTimeout::TimedOut);
        assert_eq!(late.on_response(at(32.0), 200), ClientReaction::Absorb);
    }
}

#[test]
fn a_cancelled_invite_that_gets_no_final_response_ends_64_t1_after_the_first_cancel() {
    let mut transaction = sent(true, UDP);
    transaction.on_cancel(at(0.1));
    assert_eq!(
        transaction.deadline(),
        Some(at(0.5)),
        "before a provisional response there is nothing to cancel"
    );
    transaction.on_response(at(1.0), 180);
    transaction.on_cancel(at(10.0));
    transaction.on_cancel(at(11.0));
    assert_eq!(transaction.clone().on_response(at(12.0), 487), ClientReaction::DeliverAndAck);
    assert_eq!(run_to_end(&mut transaction), [(42.0, ClientTimeout::TimedOut)]);
}

#[test]
fn a_transport_error_matters_to_the_user_only_before_the_final_response() {
    for is_invite in [true, false] {
        let mut waiting = sent(is_invite, UDP);
        assert!(waiting.on_transport_error(at(0.1)));
        assert!(waiting.is_terminated());
        let mut refused = sent(is_invite, UDP);
        refused.on_response(at(1.0), 486);
        assert!(!refused.on_transport_error(at(1.1)));
        assert!(refused.is_terminated());
    }
    let mut accepted = sent(true, UDP);
    accepted.on_response(at(1.0), 200);
    assert!(!accepted.on_transport_error(at(1.1)));
    assert_eq!(accepted.on_response(at(1.2), 200), ClientReaction::Deliver);
}

#[test]
fn a_late_caller_gets_one_copy_and_not_all_that_were_missed() {
    let mut transaction = sent(true, UDP);
    assert_eq!(transaction.on_timeout(at(10.0)), ClientTimeout::Resend);
    assert_eq!(transaction.on_timeout(at(10.0)), ClientTimeout::Nothing);
}

#[test]
fn a_status_that_does_not_exist_changes_nothing() {
    for is_invite in [true, false] {
        let mut transaction = sent(is_invite, UDP);
        assert_eq!(transaction.on_response(at(0.1), 0), ClientReaction::Absorb);
        assert_eq!(transaction, sent(is_invite, UDP));
    }
}

#[test]
fn what_is_written_out_in_any_state_goes_on_as_if_nothing_had_happened() {
    for is_invite in [true, false] {
        for is_reliable in [UDP, TCP] {
            for statuses in [&[][..], &[100], &[180, 200], &[200], &[486], &[100, 486]] {
                let mut original = sent(is_invite, is_reliable);
                original.on_timeout(at(0.5));
                for (status, second) in statuses.iter().zip(1..) {
                    original.on_response(at(f64::from(second)), *status);
                }
                if statuses == [100] {
                    original.on_cancel(at(5.0));
                }
                let text = serde_json::to_string(&original).expect("plain data");
                let mut copy: ClientTransaction = serde_json::from_str(&text).expect("what was written");
                assert_eq!(copy, original);
                assert_eq!(run_to_end(&mut copy), run_to_end(&mut original));
            }
        }
    }
}
