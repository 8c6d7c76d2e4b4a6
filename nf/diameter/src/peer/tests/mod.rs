//! What two neighbours see of each other, in virtual time.

mod world;

use std::collections::{BTreeMap, BTreeSet};

use super::base::{self, DisconnectCause};
use super::*;
use crate::codec::{Message, MessageBuilder};
use crate::cx::{Request, ResultCode, UserAuthorizationRequest};
use crate::dictionary as avp;
use world::*;

/// A responder with a connection, and what it has said so far.
fn accepted(settings: Settings) -> Peer {
    let mut peer = Peer::responder(identity(SERVER, 1), settings, 1);
    peer.handle_connected(Instant::ZERO);
    peer
}

fn drain(peer: &mut Peer) -> Vec<PeerOutput> {
    std::iter::from_fn(|| peer.poll_output()).collect()
}

/// What a peer sent first, after `bytes`.
fn first_sent(outputs: &[PeerOutput]) -> Message {
    let sent = outputs.iter().find_map(|output| match output {
        PeerOutput::Send(bytes) => Some(bytes.clone()),
        _ => None,
    });
    Message::parse(sent.expect("something was sent")).unwrap()
}

fn result_of(message: &Message) -> u32 {
    message.find(avp::RESULT_CODE).unwrap().unsigned32().unwrap()
}

fn cer(host: &str, origin_state_id: u32) -> Bytes {
    base::capabilities_exchange_request(&identity(host, origin_state_id), 1, 1)
}

#[test]
fn two_peers_are_up_once_they_know_each_others_capabilities() {
    let world = World::open();
    assert_eq!(world.client_told, [PeerOutput::Up { host: SERVER.to_owned() }]);
    assert_eq!(world.server_told, [PeerOutput::Up { host: CLIENT.to_owned() }]);
    assert_eq!(world.server.unwrap().host(), Some(CLIENT));
}

#[test]
fn a_request_is_delivered_and_its_answer_comes_back() {
    let mut world = World::open();
    world.ask(7);
    assert_eq!(world.answers(), [(7, Ok(reply("prompt")))]);
    let watchdog_at = world.now + millis(28_000);
    assert!(world.client.poll_timeout().unwrap() >= watchdog_at, "nothing waits for an answered request");
    let PeerOutput::Request { request, origin_host, .. } = &world.server_told[1] else { panic!() };
    assert_eq!((request, origin_host.as_str()), (&question(7), CLIENT));
}

#[test]
fn a_server_may_ask_its_client() {
    let mut world = World::open();
    let server = world.server.as_mut().unwrap();
    server.send_request(world.now, 3, &question(3), Some(CLIENT), "example");
    world.settle();
    let Some(PeerOutput::Request { ticket, .. }) = world.client_told.pop() else { panic!() };
    world.client.send_answer(world.now, ticket, &reply("from the client"));
    world.settle();
    assert!(
        world.server_told.contains(&PeerOutput::Answer { ticket: 3, answer: Ok(reply("from the client")) })
    );
}

#[test]
fn a_request_made_before_there_is_a_connection_waits_for_it() {
    let mut world = World::new();
    world.is_listening = false;
    world.ask(1);
    world.advance(millis(100));
    assert_eq!(world.answers(), []);
    world.is_listening = true;
    world.advance(millis(1000));
    assert_eq!(world.answers(), [(1, Ok(reply("prompt")))]);
    assert!(!world.wire.last().unwrap().header.is_retransmitted, "it is sent for the first time");
}

#[test]
fn a_request_without_a_connection_fails_at_its_time_out_and_not_a_tick_before() {
    let mut world = World::new();
    world.is_listening = false;
    world.ask(1);
    world.advance(millis(3000) - Duration::from_micros(1));
    assert_eq!(world.answers(), []);
    world.advance(Duration::from_micros(1));
    assert_eq!(world.answers(), [(1, Err(Failure::NoPeer))]);
}

#[test]
fn a_request_that_is_not_answered_times_out_and_a_late_answer_is_counted_as_bad_input() {
    let mut world = World::open();
    world.is_answering = false;
    world.ask(1);
    world.advance(millis(3000));
    assert_eq!(world.answers(), [(1, Err(Failure::TimedOut))]);
    let ticket = world.tickets().remove(0);
    world.server.as_mut().unwrap().send_answer(world.now, ticket, &reply("late"));
    world.settle();
    assert_eq!(world.answers().len(), 1);
    assert!(matches!(world.client_told.last(), Some(PeerOutput::Rejected { .. })));
}

#[test]
fn an_unanswered_request_is_repeated_after_a_reconnection_and_has_one_effect() {
    let mut world = World::open();
    world.is_answering = false;
    world.ask(1);
    let ticket = world.tickets().remove(0);
    world.cut();
    world.advance(millis(60));
    let (first, again) = (&world.wire[1].header, &world.wire[3].header);
    assert!(!first.is_retransmitted && again.is_retransmitted);
    assert_eq!(first.end_to_end, again.end_to_end);
    assert_eq!(world.tickets(), std::slice::from_ref(&ticket), "the repetition is absorbed");
    world.server.as_mut().unwrap().send_answer(world.now, ticket, &reply("to the repetition"));
    world.settle();
    assert_eq!(world.answers(), [(1, Ok(reply("to the repetition")))]);
}

#[test]
fn an_answer_that_got_lost_with_its_connection_is_given_again() {
    let mut world = World::open();
    world.is_answering = false;
    world.ask(1);
    let ticket = world.tickets().remove(0);
    world.is_silent = true;
    world.server.as_mut().unwrap().send_answer(world.now, ticket, &reply("lost at first"));
    world.settle();
    world.is_silent = false;
    world.cut();
    world.advance(millis(60));
    assert_eq!(world.tickets().len(), 1);
    assert_eq!(world.answers(), [(1, Ok(reply("lost at first")))]);
}

/// The connection has gone when the function answers; `is_known` whether the node still has its peer machine.
fn answered_in_between(is_known: bool) {
    let mut world = World::open();
    world.is_answering = false;
    world.is_listening = false;
    world.ask(1);
    let ticket = world.tickets().remove(0);
    let mut old = world.server.take().unwrap();
    old.handle_closed(world.now);
    let mut memory = if is_known {
        old.send_answer(world.now, ticket.clone(), &reply("in between"));
        old.take_answers()
    } else {
        let mut memory = old.take_answers();
        memory.answer_later(&ticket, &identity(SERVER, 1), &reply("in between"));
        memory
    };
    assert!(!drain(&mut old).iter().any(|output| matches!(output, PeerOutput::Send(_))));
    memory.answer_later(&ticket, &identity(SERVER, 1), &reply("a second answer changes nothing"));
    world.memory = Some(memory);
    world.cut();
    world.is_listening = true;
    world.advance(millis(1000));
    assert_eq!(world.tickets().len(), 1);
    assert_eq!(world.answers(), [(1, Ok(reply("in between")))]);
}

#[test]
fn an_answer_made_between_two_connections_waits_for_the_repetition() {
    answered_in_between(true);
    answered_in_between(false);
}

#[test]
fn an_answer_is_not_sent_on_a_connection_that_has_not_seen_its_request() {
    let mut world = World::open();
    let server = world.server.as_mut().unwrap();
    server.send_request(world.now, 3, &question(3), None, "example");
    world.settle();
    let Some(PeerOutput::Request { ticket, .. }) = world.client_told.pop() else { panic!() };
    world.cut();
    world.advance(millis(50));
    world.wire.clear();
    world.client.send_answer(world.now, ticket, &reply("to nobody"));
    world.settle();
    assert!(world.client.is_open() && world.wire.is_empty());
}

#[test]
fn a_repetition_is_answered_under_its_own_hop_by_hop_identifier() {
    let mut server = World::open().server.unwrap();
    let envelope =
        |hop_by_hop| cx::Envelope { hop_by_hop, origin_host: CLIENT.to_owned(), ..Default::default() };
    server.handle_bytes(Instant::ZERO, question(1).encode(&envelope(5)));
    server.handle_bytes(Instant::ZERO, question(1).encode(&envelope(6)));
    let outputs = drain(&mut server);
    let [PeerOutput::Request { ticket, .. }] = &outputs[..] else { panic!("{outputs:?}") };
    server.send_answer(Instant::ZERO, ticket.clone(), &reply("once"));
    assert_eq!(first_sent(&drain(&mut server)).header.hop_by_hop, 6);
    server.handle_bytes(Instant::ZERO, question(1).encode(&envelope(7)));
    assert_eq!(first_sent(&drain(&mut server)).header.hop_by_hop, 7);
}

#[test]
fn answers_are_forgotten_after_ten_seconds() {
    let mut world = World::open();
    world.ask(1);
    let repetition = world.wire.last().unwrap().as_bytes().clone();
    let server = |world: &mut World| {
        let server = world.server.as_mut().unwrap();
        server.handle_bytes(world.now, repetition.clone());
        drain(server)
    };
    world.advance(millis(10_000) - Duration::from_micros(1));
    assert!(matches!(server(&mut world)[..], [PeerOutput::Send(_)]));
    world.advance(Duration::from_micros(1));
    assert!(matches!(server(&mut world)[..], [PeerOutput::Request { .. }]));
}

#[test]
fn a_new_session_under_an_old_identifier_is_a_new_request() {
    let mut server = World::open().server.unwrap();
    let mut envelope = cx::Envelope {
        session_id: "a;1;1".to_owned(),
        origin_host: CLIENT.to_owned(),
        origin_realm: "example".to_owned(),
        ..Default::default()
    };
    server.handle_bytes(Instant::ZERO, question(1).encode(&envelope));
    envelope.session_id = "a;1;2".to_owned();
    server.handle_bytes(Instant::ZERO, question(2).encode(&envelope));
    let outputs = drain(&mut server);
    assert!(matches!(outputs[..], [PeerOutput::Request { .. }, PeerOutput::Request { .. }]), "{outputs:?}");
}

#[test]
fn with_too_many_unanswered_requests_the_next_one_is_told_3004() {
    let mut world = World::new();
    world.server_settings.answers_max = 2;
    world.is_answering = false;
    world.settle();
    for ticket in 1..=3 {
        world.ask(ticket);
    }
    assert_eq!(world.tickets().len(), 2);
    let [(3, Ok(answer))] = &world.answers()[..] else { panic!("{:?}", world.answers()) };
    assert_eq!(answer.result(), ResultCode::TOO_BUSY);
    let first = world.tickets().remove(0);
    world.server.as_mut().unwrap().send_answer(world.now, first, &reply("room again"));
    world.settle();
    world.ask(4);
    assert_eq!(world.tickets().len(), 3);
}

#[test]
fn no_more_requests_are_kept_waiting_than_allowed() {
    let mut peer =
        Peer::initiator(identity(CLIENT, 1), SERVER.into(), Settings { pending_max: 2, ..settings() }, 1);
    for ticket in 1..=3 {
        peer.send_request(Instant::ZERO, ticket, &question(ticket), None, "example");
    }
    let refused = PeerOutput::Answer { ticket: 3, answer: Err(Failure::Protocol(result::TOO_BUSY)) };
    assert_eq!(drain(&mut peer), [PeerOutput::Connect, refused]);
}

#[test]
fn attempts_to_connect_come_after_50_ms_doubling_to_2_s() {
    let mut world = World::new();
    world.is_listening = false;
    world.settle();
    world.advance(millis(10_000));
    let waits: Vec<_> =
        world.attempts.windows(2).map(|pair| pair[1].saturating_since(pair[0]).as_millis()).collect();
    assert_eq!(waits, [50, 100, 200, 400, 800, 1600, 2000, 2000, 2000]);
}

#[test]
fn a_connection_that_lasted_is_dialled_again_at_once_and_one_that_did_not_is_not() {
    let mut world = World::open();
    let mut gaps = Vec::new();
    for lasted in [0, 0, 0, 1999, 2000, 5000] {
        world.advance(millis(lasted));
        let lost = world.now;
        world.cut();
        world.advance(millis(2000 - 1).min(world.client.poll_timeout().unwrap().saturating_since(world.now)));
        gaps.push(world.attempts.last().unwrap().saturating_since(lost).as_millis());
    }
    assert_eq!(gaps, [50, 100, 200, 400, 50, 50]);
}

#[test]
fn a_silent_peer_is_suspected_after_two_watchdogs_closed_after_three_and_trusted_after_three_answers() {
    let mut world = World::open();
    world.is_silent = true;
    world.advance(millis(56_000));
    assert_eq!(world.downs().len(), 0);
    world.advance(millis(8_000));
    assert_eq!(world.downs(), ["the watchdog is not answered"]);
    assert!(!world.client.is_open());
    assert_eq!(world.attempts.len(), 1, "a suspect keeps its connection");
    world.is_listening = false;
    world.advance(millis(34_000));
    assert_eq!(world.downs().len(), 1, "it was down before");
    assert!(world.attempts.len() > 1);

    world.wire.clear();
    (world.is_silent, world.is_listening) = (false, true);
    world.ask(1);
    world.advance(millis(2000));
    assert!(world.client.is_open());
    let sent: Vec<_> = world.wire.iter().map(|message| message.header.command_code).collect();
    assert_eq!(sent, [base::CER, base::DWR, base::DWR, base::DWR, cx::command::LOCATION_INFORMATION]);
}

#[test]
fn nothing_is_asked_of_a_peer_on_probation() {
    let mut client = Peer::initiator(identity(CLIENT, 1), SERVER.into(), settings(), 1);
    let mut now = Instant::ZERO;
    let connect = |client: &mut Peer, now| {
        client.handle_connected(now);
        let cer = first_sent(&drain(client));
        client.handle_bytes(now, base::capabilities_exchange_answer(&identity(SERVER, 1), &cer));
    };
    connect(&mut client, now);
    while !drain(&mut client).contains(&PeerOutput::Close) {
        now = client.poll_timeout().unwrap();
        client.handle_timeout(now);
    }
    now = client.poll_timeout().unwrap();
    client.handle_timeout(now);
    connect(&mut client, now);
    client.send_request(now, 1, &question(1), None, "example");
    let sent = drain(&mut client);
    assert_eq!(first_sent(&sent).header.command_code, base::DWR);
    assert_eq!(sent.len(), 1, "{sent:?}");
}

#[test]
fn probation_is_over_once_passed() {
    let mut world = World::open();
    world.is_silent = true;
    world.advance(millis(97_000));
    world.is_silent = false;
    world.advance(millis(20_000));
    assert!(world.client.is_open());
    world.cut();
    world.wire.clear();
    world.advance(millis(50));
    assert!(world.client.is_open());
    assert_eq!(world.wire.len(), 1, "a CER and no watchdog");
}

#[test]
fn a_suspect_that_speaks_again_is_up_again() {
    let mut world = World::open();
    world.is_silent = true;
    world.advance(millis(64_000));
    world.is_silent = false;
    world.ask(1);
    assert!(world.client.is_open());
    assert_eq!(world.client_told.iter().filter(|told| matches!(told, PeerOutput::Up { .. })).count(), 2);
}

#[test]
fn a_quiet_connection_is_kept_alive_for_a_day() {
    let mut world = World::open();
    world.advance(Duration::from_secs(86_400));
    assert!(world.client.is_open() && world.server.as_ref().unwrap().is_open());
    assert_eq!(world.attempts.len(), 1);
}

#[test]
fn garbage_closes_the_connection_and_is_counted() {
    let mut peer = World::open().server.unwrap();
    peer.handle_bytes(Instant::ZERO, Bytes::from_static(b"GET / HTTP/1.1\r\n"));
    let outputs = drain(&mut peer);
    assert!(
        matches!(outputs[..], [PeerOutput::Rejected { .. }, PeerOutput::Close, PeerOutput::Down { .. }]),
        "{outputs:?}"
    );
    assert!(peer.is_closed());
    assert_eq!(peer.poll_timeout(), None, "nothing is left behind");
}

#[test]
fn a_connection_without_a_cer_is_closed_after_five_seconds() {
    let mut peer = accepted(settings());
    let deadline = peer.poll_timeout().unwrap();
    assert_eq!(deadline, Instant::from_micros(5_000_000));
    peer.handle_bytes(Instant::ZERO, cer(CLIENT, 1).slice(..30));
    peer.handle_timeout(deadline);
    assert!(matches!(drain(&mut peer)[..], [PeerOutput::Rejected { .. }, PeerOutput::Close]));
}

#[test]
fn nothing_may_precede_the_cer() {
    let mut peer = accepted(settings());
    peer.handle_bytes(Instant::ZERO, base::watchdog_request(&identity(CLIENT, 1), 1, 1));
    assert!(matches!(drain(&mut peer)[..], [PeerOutput::Rejected { .. }, PeerOutput::Close]));
}

fn refused_with(settings: Settings, cer: Bytes) -> u32 {
    let mut peer = accepted(settings);
    peer.handle_bytes(Instant::ZERO, cer);
    let outputs = drain(&mut peer);
    assert_eq!(outputs.last(), Some(&PeerOutput::Close));
    assert!(!outputs.iter().any(|output| matches!(output, PeerOutput::Up { .. })));
    result_of(&first_sent(&outputs))
}

#[test]
fn a_peer_that_is_not_on_the_list_is_told_3010() {
    let only = |host: &str| Settings { allowed_peers: Some(BTreeSet::from([host.to_owned()])), ..settings() };
    assert_eq!(refused_with(only("icscf.example"), cer(CLIENT, 1)), result::UNKNOWN_PEER);
    assert_eq!(refused_with(settings(), cer(SERVER, 1)), result::UNKNOWN_PEER, "nobody is called like us");
    let mut peer = accepted(only("SCSCF.example"));
    peer.handle_bytes(Instant::ZERO, cer(CLIENT, 1));
    assert!(peer.is_open());
}

fn cer_with(fill: impl FnOnce(&mut crate::avp::AvpBuilder)) -> Bytes {
    let header = Message::parse(cer(CLIENT, 1)).unwrap().header;
    let mut builder = MessageBuilder::new(header);
    fill(builder.avps());
    builder.finish()
}

#[test]
fn a_peer_without_cx_is_told_5010_and_one_without_a_name_5005() {
    let other_application = cer_with(|avps| {
        avps.text(avp::ORIGIN_HOST, CLIENT);
        avps.unsigned32(avp::AUTH_APPLICATION_ID, 16_777_217);
    });
    assert_eq!(refused_with(settings(), other_application), result::NO_COMMON_APPLICATION);
    assert_eq!(refused_with(settings(), cer_with(|_| {})), result::MISSING_AVP);
    let only_tls = cer_with(|avps| {
        avps.text(avp::ORIGIN_HOST, CLIENT);
        avps.unsigned32(avp::AUTH_APPLICATION_ID, avp::APPLICATION_RELAY);
        avps.unsigned32(avp::INBAND_SECURITY_ID, 1);
    });
    assert_eq!(refused_with(settings(), only_tls), result::NO_COMMON_SECURITY);
}

#[test]
fn a_host_that_is_not_the_one_we_dialled_is_left() {
    let mut client = Peer::initiator(identity(CLIENT, 1), "other-hss.example".into(), settings(), 1);
    client.handle_connected(Instant::ZERO);
    let cer = first_sent(&drain(&mut client));
    client.handle_bytes(Instant::ZERO, base::capabilities_exchange_answer(&identity(SERVER, 1), &cer));
    assert!(matches!(drain(&mut client)[..], [PeerOutput::Rejected { .. }, PeerOutput::Close]));
    assert!(client.poll_timeout().is_some(), "it tries again");
}

#[test]
fn a_stopping_peer_says_goodbye_and_closes_when_that_is_confirmed() {
    let mut world = World::open();
    world.is_answering = false;
    world.ask(1);
    world.client.handle_stop(world.now);
    world.settle();
    assert!(world.client.is_closed());
    assert_eq!(world.downs(), ["we are stopping"]);
    assert_eq!(world.answers(), [(1, Err(Failure::NoPeer))]);
    assert!(world.server.as_ref().unwrap().is_closed());
    world.ask(2);
    assert_eq!(world.answers().last(), Some(&(2, Err(Failure::NoPeer))));
    assert_eq!(world.client.poll_timeout(), None);
}

#[test]
fn a_goodbye_that_is_not_confirmed_is_enough_after_a_second() {
    let mut world = World::open();
    world.is_silent = true;
    world.client.handle_stop(world.now);
    world.settle();
    assert!(!world.client.is_closed());
    world.advance(millis(1000));
    assert!(world.client.is_closed());
}

#[test]
fn a_peer_stopped_while_it_connects_closes_the_connection_it_gets() {
    let mut client = Peer::initiator(identity(CLIENT, 1), SERVER.into(), settings(), 1);
    client.handle_stop(Instant::ZERO);
    client.handle_connected(Instant::ZERO);
    assert_eq!(drain(&mut client), [PeerOutput::Connect, PeerOutput::Close]);
    assert!(client.is_closed());
}

#[test]
fn a_server_that_says_goodbye_is_dialled_again() {
    let mut world = World::open();
    world.advance(millis(5000));
    world.server.as_mut().unwrap().handle_stop(world.now);
    world.settle();
    assert_eq!(world.downs(), ["the peer said goodbye"]);
    world.advance(millis(50));
    assert!(world.client.is_open());
}

#[test]
fn a_server_that_does_not_want_to_talk_is_left_alone_for_the_longest_wait() {
    let mut world = World::open();
    let dpr = base::disconnect_peer_request(&identity(SERVER, 1), DisconnectCause::DoNotWantToTalk, 9, 9);
    world.client.handle_bytes(world.now, dpr);
    world.settle();
    world.cut();
    assert_eq!(world.client.poll_timeout(), Some(world.now + millis(2000)));
}

fn sent_by_server(fill: impl FnOnce(&mut MessageBuilder), header: crate::codec::Header) -> Message {
    let mut server = World::open().server.unwrap();
    let mut builder = MessageBuilder::new(header);
    fill(&mut builder);
    server.handle_bytes(Instant::ZERO, builder.finish());
    let outputs = drain(&mut server);
    assert!(matches!(outputs.last(), Some(PeerOutput::Rejected { .. })), "{outputs:?}");
    assert!(server.is_open(), "one bad request does not end a connection");
    first_sent(&outputs)
}

#[test]
fn bad_requests_are_answered_with_what_is_wrong_and_the_connection_goes_on() {
    let uar = Message::parse(
        Request::UserAuthorization(UserAuthorizationRequest::default()).encode(&cx::Envelope::default()),
    );
    let header = uar.unwrap().header;
    let origin = |builder: &mut MessageBuilder| {
        builder.avps().text(avp::SESSION_ID, "s;1;1");
        builder.avps().text(avp::ORIGIN_HOST, CLIENT);
        builder.avps().text(avp::ORIGIN_REALM, "example");
    };
    let missing = sent_by_server(origin, header);
    assert_eq!(result_of(&missing), result::MISSING_AVP);
    assert!(missing.find(avp::FAILED_AVP).unwrap().members().next().unwrap().unwrap().is(avp::USER_NAME));
    let other_host = |builder: &mut MessageBuilder| {
        origin(builder);
        builder.avps().text(avp::DESTINATION_HOST, "other-hss.example");
        builder.avps().text(avp::PUBLIC_IDENTITY, "sip:a@example");
    };
    let lir = crate::codec::Header { command_code: cx::command::LOCATION_INFORMATION, ..header };
    assert_eq!(result_of(&sent_by_server(other_host, lir)), result::UNABLE_TO_DELIVER);
    let unknown_command = crate::codec::Header { command_code: 999, ..header };
    assert_eq!(result_of(&sent_by_server(origin, unknown_command)), result::COMMAND_UNSUPPORTED);
    let unknown_base_command = crate::codec::Header { application_id: 0, command_code: 999, ..header };
    assert_eq!(result_of(&sent_by_server(origin, unknown_base_command)), result::COMMAND_UNSUPPORTED);
    let sh = crate::codec::Header { application_id: 16_777_217, ..header };
    assert_eq!(result_of(&sent_by_server(origin, sh)), result::APPLICATION_UNSUPPORTED);
}

#[test]
fn an_answer_that_cannot_be_read_is_an_outcome() {
    let mut world = World::open();
    world.is_silent = true;
    world.ask(1);
    world.is_silent = false;
    let mut client = world.client;
    let asked = client.pending.take_all().keys().copied().next().unwrap();
    client.pending.insert(asked, 1, cx::command::LOCATION_INFORMATION, Bytes::from_static(&[0; 20]));
    client.pending.next_unsent();
    let header = cx::Envelope { hop_by_hop: asked, ..Default::default() }.header(
        cx::command::LOCATION_INFORMATION,
        false,
        false,
    );
    client.handle_bytes(world.now, MessageBuilder::new(header).finish());
    let outputs = drain(&mut client);
    assert!(
        outputs.contains(&PeerOutput::Answer { ticket: 1, answer: Err(Failure::Malformed) }),
        "{outputs:?}"
    );
}

#[test]
fn of_two_connections_of_one_host_the_new_one_wins_when_the_old_one_is_silent_or_the_peer_has_restarted() {
    let opened = |origin_state_id, at: Instant| {
        let mut peer = accepted(settings());
        peer.handle_bytes(at, cer(CLIENT, origin_state_id));
        drain(&mut peer);
        peer
    };
    let second = Instant::from_micros(1_000_000);
    let tick_before = Instant::from_micros(999_999);
    let mut old = opened(5, Instant::ZERO);
    assert!(!opened(5, tick_before).supersedes(tick_before, &old), "the old one has just spoken");
    assert!(opened(5, second).supersedes(second, &old), "the old one has been silent for a second");
    assert!(opened(6, Instant::ZERO).supersedes(Instant::ZERO, &old), "the peer has started anew");
    assert!(!opened(4, Instant::ZERO).supersedes(Instant::ZERO, &old), "an older start");
    old.handle_superseded(second);
    assert!(matches!(drain(&mut old)[..], [PeerOutput::Close, PeerOutput::Down { .. }]));
    assert!(opened(5, Instant::ZERO).supersedes(Instant::ZERO, &old), "the old one is closed");
}

#[test]
fn every_request_has_one_outcome_whatever_happens_to_the_connection() {
    for seed in 0..300 {
        let mut random = identifiers::Random(seed);
        let mut world = World::new();
        world.settle();
        let mut asked = 0;
        for _ in 0..60 {
            match random.next() % 10 {
                0 => world.cut(),
                1 => world.is_listening = !world.is_listening,
                2 => world.is_silent = !world.is_silent,
                3 => world.is_answering = !world.is_answering,
                4 => world.advance(millis(random.next() % 40_000)),
                5 | 6 => world.advance(millis(random.next() % 500)),
                _ => {
                    asked += 1;
                    world.ask(asked);
                }
            }
        }
        world.client.handle_stop(world.now);
        world.settle();
        world.advance(millis(10_000));
        let mut outcomes = BTreeMap::new();
        for (ticket, _) in world.answers() {
            *outcomes.entry(ticket).or_insert(0) += 1;
        }
        let expected: BTreeMap<u64, i32> = (1..=asked).map(|ticket| (ticket, 1)).collect();
        assert_eq!(outcomes, expected, "seed {seed}");
        assert!(world.client.is_closed() && world.client.poll_timeout().is_none(), "seed {seed}");
        let tickets = world.tickets();
        let distinct: BTreeSet<_> = tickets.iter().collect();
        assert_eq!(distinct.len(), tickets.len(), "seed {seed}: a repetition had a second effect");
    }
}

proptest::proptest! {
    #[test]
    fn random_bytes_never_panic_a_peer_and_leave_it_open_or_cleanly_closed(
        is_open: bool,
        pieces in proptest::collection::vec(
            (proptest::prelude::any::<bool>(), 0u32..320, proptest::collection::vec(0u8.., 0..80)),
            0..8,
        ),
    ) {
        let mut peer = accepted(settings());
        if is_open {
            peer.handle_bytes(Instant::ZERO, cer(CLIENT, 1));
        }
        for (is_framed, command_code, mut bytes) in pieces {
            if is_framed {
                bytes.resize(bytes.len().next_multiple_of(4).max(16), 0);
                let length = (bytes.len() + 4) as u32;
                let mut framed = (1u32 << 24 | length).to_be_bytes().to_vec();
                framed.extend(bytes);
                framed[5..8].copy_from_slice(&command_code.to_be_bytes()[1..]);
                bytes = framed;
            }
            peer.handle_bytes(Instant::ZERO, bytes.into());
        }
        peer.handle_timeout(Instant::from_micros(10_000_000));
        let has_closed = drain(&mut peer).contains(&PeerOutput::Close);
        proptest::prop_assert_eq!(has_closed, peer.is_closed());
        proptest::prop_assert!(peer.is_closed() || peer.is_open());
    }
}
