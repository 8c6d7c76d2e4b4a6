//! The shell with a function that does as it is told.

use std::collections::VecDeque;

use bytes::Bytes;
use clock::{Duration, Instant, WallOrigin};
use sip::{Draft, Message, Name};

use crate::config::{Config, FunctionConfig, Icscf, Listen};
use crate::mirror::{Composite, Mirror};
use crate::wire::{Destination, Flow, Input, Output, Transport};
use crate::{Branch, Decision, Function, Indication, Node, Origin, Setup, Topology, forward};

/// Forwards every request to `targets`, relays every response.
#[derive(Default)]
struct Relay {
    targets: Vec<&'static str>,
    seen: Vec<Indication>,
    decisions: VecDeque<Decision>,
    /// Keep requests instead of forwarding them.
    is_waiting: bool,
}

impl Function for Relay {
    fn handle_input(&mut self, _now: Instant, input: Indication) {
        match &input {
            Indication::Request { server, request, .. } if !self.is_waiting => {
                let branches = self.targets.iter().map(|target| Branch {
                    request: forward::prepare(request),
                    destination: Destination {
                        remote: target.parse().expect("an address"),
                        local: None,
                        ..flow().to_destination()
                    },
                });
                let branches = branches.collect();
                self.decisions.push_back(Decision::Forward { server: *server, branches, patience: None });
            }
            Indication::Response { server, response, .. } => {
                let response = Draft::relay(response);
                self.decisions.push_back(Decision::Respond { server: *server, response });
            }
            _ => {}
        }
        self.seen.push(input);
    }

    fn handle_timeout(&mut self, _now: Instant) {}

    fn poll_output(&mut self) -> Option<Decision> {
        self.decisions.pop_front()
    }

    fn poll_timeout(&self) -> Option<Instant> {
        None
    }

    fn take_over(&mut self, _now: Instant) {}
}

/// It remembers nothing.
impl Composite for Relay {
    fn each(&mut self, _show: &mut dyn FnMut(&mut dyn Mirror)) {}
}

fn flow() -> Flow {
    Flow {
        transport: Transport::Udp,
        local: "127.0.0.12:5060".parse().expect("an address"),
        remote: "127.0.0.99:5060".parse().expect("an address"),
        connection: None,
    }
}

fn node(targets: &[&'static str]) -> Node<Relay> {
    let config = Config {
        instance: "relay-1".into(),
        host_name: "relay.example".into(),
        home_domain: "example".into(),
        listen: vec![Listen { address: flow().local, transports: vec![Transport::Udp, Transport::Tcp] }],
        hosts: Default::default(),
        diameter: None,
        timers: Default::default(),
        datagram_bytes_max: 1300,
        shed_after_milliseconds: 250,
        admin_socket: "/nowhere".into(),
        state_directory: None,
        pair: None,
        function: FunctionConfig::Icscf(Icscf { servers: vec![], server_patience_milliseconds: 4000 }),
    };
    let setup = Setup { config, topology: Topology::default(), wall: WallOrigin::default(), seed: [7; 32] };
    Node::new(setup, Relay { targets: targets.to_vec(), ..Relay::default() })
}

fn request(method: &str, branch: &str, more: &str) -> Bytes {
    format!(
        "{method} sip:bob@example SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.99:5060;branch={branch}\r\nMax-Forwards: 70\r\n\
         From: <sip:alice@example>;tag=a\r\nTo: <sip:bob@example>\r\nCall-ID: c1\r\nCSeq: 1 {method}\r\n{more}\
         Content-Length: 0\r\n\r\n"
    )
    .into()
}

/// Feeds bytes in; what leaves, as messages with their destination's port.
fn feed(node: &mut Node<Relay>, now: Instant, remote: &str, bytes: Bytes) -> Vec<(String, Message)> {
    let flow = Flow { remote: remote.parse().expect("an address"), ..flow() };
    node.handle_input(now, Input::Sip { flow, bytes, waited: Duration::ZERO });
    sent(node)
}

fn sent(node: &mut Node<Relay>) -> Vec<(String, Message)> {
    let mut all = Vec::new();
    while let Some(output) = node.poll_output() {
        if let Output::Sip { destination, bytes } = output {
            all.push((destination.remote.to_string(), Message::parse(bytes).expect("we send SIP")));
        }
    }
    all
}

fn answer(to: &Message, status: u16, tag: &str) -> Bytes {
    Draft::response(to, status, "X", tag).emit()
}

/// `(where, start of what)` in short: `INVITE` or `180`.
fn short(sent: &[(String, Message)]) -> Vec<(&str, String)> {
    let what = |message: &Message| match message.is_request() {
        true => message.method().as_str().to_owned(),
        false => message.status().to_string(),
    };
    sent.iter().map(|(to, message)| (to.as_str(), what(message))).collect()
}

const CALLER: &str = "127.0.0.99:5060";
const ONE: &str = "127.0.0.21:5060";
const TWO: &str = "127.0.0.22:5060";

fn at(milliseconds: u64) -> Instant {
    Instant::from_micros(milliseconds * 1000)
}

#[test]
fn a_request_is_forwarded_with_our_via_and_its_answer_comes_back_without() {
    let mut node = node(&[ONE]);
    let out = feed(&mut node, at(0), CALLER, request("MESSAGE", "z9hG4bKm", ""));
    assert_eq!(short(&out), [(ONE, "MESSAGE".to_owned())]);
    assert_eq!(out[0].1.values(Name::Via).count(), 2);
    assert_eq!(out[0].1.header(Name::MaxForwards), Some("69"));
    let out = feed(&mut node, at(1), ONE, answer(&out[0].1, 200, "b"));
    assert_eq!(short(&out), [(CALLER, "200".to_owned())]);
    assert_eq!(out[0].1.values(Name::Via).count(), 1);
}

#[test]
fn a_repeated_request_is_absorbed_and_answered_from_memory() {
    let mut node = node(&[ONE]);
    let out = feed(&mut node, at(0), CALLER, request("MESSAGE", "z9hG4bKm", ""));
    assert!(feed(&mut node, at(1), CALLER, request("MESSAGE", "z9hG4bKm", "")).is_empty());
    feed(&mut node, at(2), ONE, answer(&out[0].1, 200, "b"));
    let again = feed(&mut node, at(3), CALLER, request("MESSAGE", "z9hG4bKm", ""));
    assert_eq!(short(&again), [(CALLER, "200".to_owned())]);
    assert_eq!(node.function().seen.len(), 2, "one request and one response, each once");
}

#[test]
fn a_fork_passes_one_success_on_and_cancels_the_other_branch() {
    let mut node = node(&[ONE, TWO]);
    let out = feed(&mut node, at(0), CALLER, request("INVITE", "z9hG4bKi", ""));
    assert_eq!(
        short(&out),
        [(CALLER, "100".to_owned()), (ONE, "INVITE".to_owned()), (TWO, "INVITE".to_owned())]
    );
    let (one, two) = (out[1].1.clone(), out[2].1.clone());
    assert_eq!(short(&feed(&mut node, at(1), TWO, answer(&two, 180, "2"))), [(CALLER, "180".to_owned())]);
    let out = feed(&mut node, at(2), ONE, answer(&one, 200, "1"));
    assert_eq!(short(&out), [(CALLER, "200".to_owned()), (TWO, "CANCEL".to_owned())]);
    let out = feed(&mut node, at(3), TWO, answer(&two, 487, "2"));
    assert_eq!(short(&out), [(TWO, "ACK".to_owned())], "the loser is acknowledged, its answer stays here");
    let out = feed(&mut node, at(500), ONE, answer(&one, 200, "1"));
    assert_eq!(short(&out), [(CALLER, "200".to_owned())], "a copy of the 200 follows it");
}

#[test]
fn the_best_of_several_refusals_is_passed_on_once_all_are_there() {
    let mut node = node(&[ONE, TWO]);
    let out = feed(&mut node, at(0), CALLER, request("INVITE", "z9hG4bKi", ""));
    let (one, two) = (out[1].1.clone(), out[2].1.clone());
    assert_eq!(short(&feed(&mut node, at(1), ONE, answer(&one, 404, "1"))), [(ONE, "ACK".to_owned())]);
    let out = feed(&mut node, at(2), TWO, answer(&two, 302, "2"));
    assert_eq!(short(&out), [(TWO, "ACK".to_owned()), (CALLER, "302".to_owned())]);
}

/// RFC 3261 §16.7 step 3.
#[test]
fn an_answer_with_no_via_but_ours_is_not_passed_on_and_whoever_waits_is_told() {
    let mut node = node(&[ONE]);
    let out = feed(&mut node, at(0), CALLER, request("INVITE", "z9hG4bKi", ""));
    let one = out[1].1.clone();
    let bare = |status| {
        let answer = Message::parse(answer(&one, status, "1")).expect("it is a response");
        let mut draft = Draft::of(&answer);
        let ours = answer.values(Name::Via).next().expect("it has one").to_owned();
        draft.replace(Name::Via, ours);
        draft.emit()
    };
    assert_eq!(short(&feed(&mut node, at(1), ONE, bare(180))), []);
    let out = feed(&mut node, at(2), ONE, bare(487));
    assert_eq!(short(&out), [(ONE, "ACK".to_owned()), (CALLER, "502".to_owned())]);
}

#[test]
fn a_cancel_reaches_a_branch_only_after_its_first_provisional_answer() {
    let mut node = node(&[ONE]);
    let out = feed(&mut node, at(0), CALLER, request("INVITE", "z9hG4bKi", ""));
    let one = out[1].1.clone();
    let out = feed(&mut node, at(1), CALLER, request("CANCEL", "z9hG4bKi", ""));
    assert_eq!(short(&out), [(CALLER, "200".to_owned())]);
    let out = feed(&mut node, at(2), ONE, answer(&one, 180, "1"));
    assert_eq!(short(&out)[0], (ONE, "CANCEL".to_owned()));
    let out = feed(&mut node, at(3), ONE, answer(&one, 487, "1"));
    assert_eq!(short(&out), [(ONE, "ACK".to_owned()), (CALLER, "487".to_owned())]);
}

#[test]
fn a_cancel_before_the_decision_is_told_to_the_function() {
    let mut node = node(&[ONE]);
    node.function_mut().is_waiting = true;
    feed(&mut node, at(0), CALLER, request("INVITE", "z9hG4bKi", ""));
    feed(&mut node, at(1), CALLER, request("CANCEL", "z9hG4bKi", ""));
    assert!(matches!(node.function().seen[..], [Indication::Request { .. }, Indication::Cancelled { .. }]));
}

#[test]
fn a_cancel_for_nothing_is_told_so() {
    let mut node = node(&[ONE]);
    let out = feed(&mut node, at(0), CALLER, request("CANCEL", "z9hG4bKnone", ""));
    assert_eq!(short(&out), [(CALLER, "481".to_owned())]);
}

#[test]
fn silence_becomes_a_408_of_our_own_after_timer_f_and_is_never_sent_for_a_non_invite() {
    let mut node = node(&[ONE]);
    feed(&mut node, at(0), CALLER, request("MESSAGE", "z9hG4bKm", ""));
    let mut copies = 0;
    let mut now = at(0);
    while let Some(next) = node.poll_timeout().filter(|next| *next <= at(32_000)) {
        now = next;
        node.handle_timeout(now);
        copies += sent(&mut node).iter().filter(|(to, _)| to == ONE).count();
    }
    assert_eq!(copies, 10, "RFC 3261 §17.1.2.2: eleven copies with the first");
    assert_eq!(now, at(32_000));
    let timed_out = node.function().seen.iter().any(|seen| {
        matches!(seen, Indication::Response { origin: Origin::TimedOut, response, .. } if response.status() == 408)
    });
    assert!(timed_out);
    assert_eq!(node.transaction_counts(), (0, 0), "RFC 4320: no 408, and nothing is left");
}

#[test]
fn a_request_that_comes_back_unchanged_is_a_loop_and_one_with_another_uri_a_spiral() {
    let mut node = node(&[ONE]);
    let out = feed(&mut node, at(0), CALLER, request("INVITE", "z9hG4bKi", ""));
    let forwarded = out[1].1.clone();
    let come_back = |uri: Option<&str>| {
        let mut draft = Draft::of(&forwarded);
        draft.push_front(Name::Via, "SIP/2.0/UDP 127.0.0.21:5060;branch=z9hG4bKother");
        if let Some(uri) = uri {
            draft.set_request_uri(uri);
        }
        draft.emit()
    };
    let spiral = feed(&mut node, at(1), ONE, come_back(Some("sip:carol@example")));
    assert_eq!(short(&spiral)[1].1, "INVITE");
    let mut other = self::node(&[ONE]);
    let out = feed(&mut other, at(0), CALLER, request("INVITE", "z9hG4bKi", ""));
    assert_eq!(out.len(), 2);
    let looped = feed(&mut other, at(1), ONE, come_back(None));
    assert_eq!(short(&looped), [(ONE, "482".to_owned())]);
}

#[test]
fn max_forwards_zero_is_refused() {
    let mut node = node(&[ONE]);
    let text = String::from_utf8(request("OPTIONS", "z9hG4bKo", "").to_vec()).expect("text");
    let out = feed(&mut node, at(0), CALLER, text.replace("Max-Forwards: 70", "Max-Forwards: 0").into());
    assert_eq!(short(&out), [(CALLER, "483".to_owned())]);
}

#[test]
fn a_request_that_waited_too_long_is_shed_with_a_time_to_come_back_and_a_dialog_is_not() {
    let mut node = node(&[ONE]);
    let waited = make_queue_stand(&mut node);
    node.handle_input(
        at(100),
        Input::Sip { flow: flow(), bytes: request("REGISTER", "z9hG4bKr", ""), waited },
    );
    let out = sent(&mut node);
    assert_eq!(short(&out), [(CALLER, "503".to_owned())]);
    assert!(out[0].1.number(Name::RetryAfter).is_some_and(|seconds| (2..10).contains(&seconds)));
    let bye = String::from_utf8(request("BYE", "z9hG4bKb", "").to_vec()).expect("text");
    let bye = bye.replace("To: <sip:bob@example>", "To: <sip:bob@example>;tag=b");
    node.handle_input(at(100), Input::Sip { flow: flow(), bytes: bye.into(), waited });
    assert_eq!(short(&sent(&mut node)), [(ONE, "BYE".to_owned())]);
}

/// One request that waited too long, at 0 ms; returns the wait that is now too long.
fn make_queue_stand(node: &mut Node<Relay>) -> Duration {
    let waited = Duration::from_millis(251);
    node.handle_input(at(0), Input::Sip { flow: flow(), bytes: request("OPTIONS", "z9hG4bKq", ""), waited });
    assert_eq!(short(&sent(node)), [(ONE, "OPTIONS".to_owned())], "the first one is served");
    waited
}

#[test]
fn a_long_request_goes_over_tcp_and_says_so_in_its_via() {
    let mut node = node(&[ONE]);
    let padding = format!("X-Padding: {}\r\n", "x".repeat(1300));
    feed(&mut node, at(0), CALLER, request("MESSAGE", "z9hG4bKm", ""));
    node.handle_input(
        at(0),
        Input::Sip {
            flow: flow(),
            bytes: request("MESSAGE", "z9hG4bKlong", &padding),
            waited: Duration::ZERO,
        },
    );
    let mut transports = Vec::new();
    while let Some(output) = node.poll_output() {
        if let Output::Sip { destination, bytes } = output {
            let message = Message::parse(bytes).expect("we send SIP");
            transports.push((destination.transport, message.via().expect("a Via").transport.to_owned()));
        }
    }
    assert_eq!(transports, [(Transport::Tcp, "TCP".to_owned())]);
}

#[test]
fn an_unreadable_request_is_answered_400_and_garbage_is_dropped() {
    let mut node = node(&[ONE]);
    let text = String::from_utf8(request("MESSAGE", "z9hG4bKm", "").to_vec()).expect("text");
    let out = feed(&mut node, at(0), CALLER, text.replace("CSeq: 1 MESSAGE", "CSeq: 1 INVITE").into());
    assert_eq!(short(&out), [(CALLER, "400".to_owned())]);
    assert!(feed(&mut node, at(0), CALLER, Bytes::from_static(b"\x00\xff nonsense")).is_empty());
    assert!(node.function().seen.is_empty());
}

#[test]
fn a_stopping_node_answers_what_is_open_and_then_says_so() {
    let mut node = node(&[ONE]);
    let out = feed(&mut node, at(0), CALLER, request("MESSAGE", "z9hG4bKm", ""));
    node.handle_input(at(1), Input::Stop);
    assert!(!std::iter::from_fn(|| node.poll_output()).any(|output| matches!(output, Output::Stopped)));
    let refused = feed(&mut node, at(2), CALLER, request("MESSAGE", "z9hG4bKnew", ""));
    assert_eq!(short(&refused), [(CALLER, "503".to_owned())]);
    let flow = Flow { remote: ONE.parse().expect("an address"), ..flow() };
    let bytes = answer(&out[0].1, 200, "b");
    node.handle_input(at(3), Input::Sip { flow, bytes, waited: Duration::ZERO });
    assert!(std::iter::from_fn(|| node.poll_output()).any(|output| matches!(output, Output::Stopped)));
}

#[test]
fn an_icmp_error_about_a_datagram_proves_nothing() {
    let mut node = node(&[ONE]);
    feed(&mut node, at(0), CALLER, request("MESSAGE", "z9hG4bKm", ""));
    let destination = Flow { remote: ONE.parse().expect("an address"), ..flow() }.to_destination();
    node.handle_input(at(1), Input::SipUnreachable { destination });
    assert_eq!(node.function().seen.len(), 1);
}

#[test]
fn a_branch_that_cannot_be_sent_does_not_end_the_others() {
    let mut node = node(&["[2001:db8::1]:5060", ONE]);
    let out = feed(&mut node, at(0), CALLER, request("INVITE", "z9hG4bKi", ""));
    assert_eq!(short(&out), [(CALLER, "100".to_owned()), (ONE, "INVITE".to_owned())]);
    let out = feed(&mut node, at(1), ONE, answer(&out[1].1.clone(), 200, "1"));
    assert_eq!(short(&out), [(CALLER, "200".to_owned())]);
}

#[test]
fn the_ack_for_an_answer_without_memory_ends_here() {
    let mut node = node(&[ONE]);
    let waited = make_queue_stand(&mut node);
    node.handle_input(at(100), Input::Sip { flow: flow(), bytes: request("INVITE", "z9hG4bKi", ""), waited });
    let refused = sent(&mut node);
    assert_eq!(short(&refused), [(CALLER, "503".to_owned())]);
    let to = refused[0].1.header(Name::To).expect("a To").to_owned();
    let ack = String::from_utf8(request("ACK", "z9hG4bKi", "").to_vec()).expect("text");
    let ack = ack.replace("To: <sip:bob@example>", &format!("To: {to}"));
    assert!(feed(&mut node, at(100), CALLER, ack.into()).is_empty());
    assert_eq!(node.function().seen.len(), 1, "the OPTIONS alone");
}

#[test]
fn a_request_without_room_for_what_is_added_is_refused_and_never_left_open() {
    let mut node = node(&[ONE]);
    for (lines, status) in [(900, "INVITE"), (1010, "513")] {
        let padding = "X-A:\r\n".repeat(lines);
        let out = feed(&mut node, at(0), CALLER, request("INVITE", &format!("z9hG4bK{lines}"), &padding));
        assert_eq!(
            out.last().map(|last| short(std::slice::from_ref(last))[0].1.clone()),
            Some(status.into())
        );
    }
    // Nobody answers.
    while let Some(next) = node.poll_timeout().filter(|next| *next <= at(200_000)) {
        node.handle_timeout(next);
        sent(&mut node);
    }
    assert_eq!(node.transaction_counts(), (0, 0));
}

#[test]
fn made_up_successes_for_one_invite_end_at_a_bound() {
    let mut node = node(&[ONE]);
    let out = feed(&mut node, at(0), CALLER, request("INVITE", "z9hG4bKi", ""));
    let one = out[1].1.clone();
    let passed = (0..200).map(|tag| feed(&mut node, at(1), ONE, answer(&one, 200, &format!("t{tag}"))).len());
    assert_eq!(passed.sum::<usize>(), 60);
}

/// A long request has gone over TCP, and nobody accepts the connection: what leaves then.
fn refused_connection(node: &mut Node<Relay>) -> Vec<(Transport, Message)> {
    let padding = format!("X-Padding: {}\r\n", "x".repeat(1300));
    feed(node, at(0), CALLER, request("MESSAGE", "z9hG4bKlong", &padding));
    let destination = Destination {
        transport: Transport::Tcp,
        remote: ONE.parse().expect("an address"),
        local: None,
        connection: None,
    };
    node.handle_input(at(1), Input::SipUnreachable { destination });
    let outputs = std::iter::from_fn(|| node.poll_output());
    let sip = outputs.filter_map(|output| match output {
        Output::Sip { destination, bytes } => Some((destination.transport, bytes)),
        _ => None,
    });
    sip.map(|(transport, bytes)| (transport, Message::parse(bytes).expect("we send SIP"))).collect()
}

#[test]
fn a_long_request_for_a_device_that_accepts_no_connection_goes_by_udp_after_all() {
    let mut node = node(&[ONE]);
    let sent = refused_connection(&mut node);
    let [(Transport::Udp, message)] = &sent[..] else { panic!("{sent:?}") };
    assert_eq!(message.via().map(|via| via.transport.to_owned()), Some("UDP".to_owned()));
    let answered = feed(&mut node, at(2), ONE, answer(message, 200, "b"));
    assert_eq!(short(&answered), [(CALLER, "200".to_owned())]);
}

#[test]
fn a_function_that_accepts_no_connection_gets_time_to_come_back() {
    let mut node = node(&[ONE]);
    node.setup.topology = Topology::new([("one.example".to_owned(), ONE.parse().expect("an address"))]);
    assert!(refused_connection(&mut node).is_empty());
    node.handle_timeout(at(501));
    let again = std::iter::from_fn(|| node.poll_output()).filter(
        |output| matches!(output, Output::Sip { destination, .. } if destination.transport == Transport::Tcp),
    );
    assert_eq!(again.count(), 1);
}
