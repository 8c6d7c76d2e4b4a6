//! The driver over real sockets of the loopback interface, with a machine that answers each message with itself.

mod world;

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use host::run::End;
use host::stream::Limits;
use host::{CommitFailure, Durable};
use node::wire::{Destination, Flow, Input, Output, Transport};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};

use world::{Answers, World, echo, message, read_exactly, within};

async fn is_closed(stream: &mut TcpStream) -> bool {
    let mut rest = Vec::new();
    // A reset is a close as well.
    stream.read_to_end(&mut rest).await.is_err() || rest.is_empty()
}

#[tokio::test(flavor = "current_thread")]
async fn an_answer_leaves_from_the_address_that_was_asked_also_when_it_is_as_long_as_udp_allows() {
    World::new(host::tcp::LIMITS, None, echo())
        .run(async |seen| {
            let device = UdpSocket::bind("127.0.0.1:0").await.unwrap();
            let mut buffer = vec![0; 70_000];
            for (address, length) in [(seen.udp[1], 300), (seen.udp[0], 65_507)] {
                let sent = vec![b'x'; length];
                device.send_to(b"\r\n\r\n", address).await.unwrap();
                device.send_to(&sent, address).await.unwrap();
                let (count, from) = device.recv_from(&mut buffer).await.unwrap();
                assert_eq!((count, from), (length, address), "a keep-alive is not answered, the message is");
            }
        })
        .await;
}

#[tokio::test(flavor = "current_thread")]
async fn a_stream_is_cut_into_messages_and_its_keep_alives_are_answered() {
    World::new(host::tcp::LIMITS, None, echo())
        .run(async |seen| {
            let mut device = TcpStream::connect(seen.tcp).await.unwrap();
            device.write_all(b"\r\n\r\n").await.unwrap();
            read_exactly(&mut device, b"\r\n").await;
            let both = [message("one"), message("two")].concat();
            device.write_all(&both).await.unwrap();
            read_exactly(&mut device, &both).await;
            let (head, rest) = both.split_at(30);
            device.write_all(head).await.unwrap();
            tokio::time::sleep(Duration::from_millis(20)).await;
            device.write_all(rest).await.unwrap();
            read_exactly(&mut device, &both).await;
            drop(device);
            seen.wait_for(|input| matches!(input, Input::SipClosed { .. })).await;
        })
        .await;
}

#[tokio::test(flavor = "current_thread")]
async fn a_message_that_is_not_finished_in_time_ends_its_connection_and_no_other() {
    let limits = Limits { message_patience: Duration::from_millis(300), ..host::tcp::LIMITS };
    World::new(limits, None, echo())
        .run(async |seen| {
            let mut idle = TcpStream::connect(seen.tcp).await.unwrap();
            let mut slow = TcpStream::connect(seen.tcp).await.unwrap();
            let begin = tokio::time::Instant::now();
            let whole = message("never finished");
            let mut sent = 0;
            // A byte every 20 ms: each one comes in time, the message does not.
            while sent < whole.len() - 1 && slow.write_all(&whole[sent..=sent]).await.is_ok() {
                sent += 1;
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            assert!(is_closed(&mut slow).await);
            assert!(begin.elapsed() >= Duration::from_millis(300), "cut off too early");
            idle.write_all(&message("still here")).await.unwrap();
            read_exactly(&mut idle, &message("still here")).await;
        })
        .await;
}

#[tokio::test(flavor = "current_thread")]
async fn garbage_ends_its_connection_and_no_other() {
    World::new(host::tcp::LIMITS, None, echo())
        .run(async |seen| {
            let mut good = TcpStream::connect(seen.tcp).await.unwrap();
            let mut endless = TcpStream::connect(seen.tcp).await.unwrap();
            // A header section that never ends is cut off, and what follows is not even read.
            let mut written = 0;
            while written < 64 * 1024 * 1024 && endless.write_all(&[b'x'; 16_384]).await.is_ok() {
                written += 16_384;
            }
            assert!(written < 64 * 1024 * 1024 && is_closed(&mut endless).await);
            good.write_all(&message("hello")).await.unwrap();
            read_exactly(&mut good, &message("hello")).await;
        })
        .await;
}

#[tokio::test(flavor = "current_thread")]
async fn connections_beyond_the_bound_are_closed_and_those_before_it_served() {
    let limits = Limits { connections_max: 2, ..host::tcp::LIMITS };
    World::new(limits, None, echo())
        .run(async |seen| {
            let mut first = TcpStream::connect(seen.tcp).await.unwrap();
            first.write_all(&message("first")).await.unwrap();
            read_exactly(&mut first, &message("first")).await;
            let mut second = TcpStream::connect(seen.tcp).await.unwrap();
            let mut third = TcpStream::connect(seen.tcp).await.unwrap();
            assert!(is_closed(&mut third).await);
            second.write_all(&message("second")).await.unwrap();
            read_exactly(&mut second, &message("second")).await;
        })
        .await;
}

#[tokio::test(flavor = "current_thread")]
async fn a_device_whose_connection_is_gone_is_unreachable_and_not_connected_to() {
    let flow: Rc<RefCell<Option<Flow>>> = Rc::default();
    let known = flow.clone();
    // A datagram makes the machine send to the device of the stream.
    let answers: Answers = Box::new(move |input| match input {
        Input::Sip { flow, .. } if flow.transport == Transport::Tcp => {
            *known.borrow_mut() = Some(*flow);
            Vec::new()
        }
        Input::Sip { bytes, .. } => {
            let destination = known.borrow().expect("the stream spoke first").to_destination();
            vec![Output::Sip { destination, bytes: bytes.clone() }]
        }
        _ => Vec::new(),
    });
    World::new(host::tcp::LIMITS, None, answers)
        .run(async |seen| {
            let other = UdpSocket::bind("127.0.0.1:0").await.unwrap();
            let mut device = TcpStream::connect(seen.tcp).await.unwrap();
            let address = device.local_addr().unwrap();
            device.write_all(&message("I am here")).await.unwrap();
            seen.wait_for(|input| matches!(input, Input::Sip { .. })).await;
            other.send_to(b"for the device", seen.udp[0]).await.unwrap();
            read_exactly(&mut device, b"for the device").await;
            drop(device);
            seen.wait_for(|input| matches!(input, Input::SipClosed { .. })).await;
            // Somebody else may listen where the device's connection came from.
            let listener = TcpListener::bind(address).await.ok();
            other.send_to(b"for the device", seen.udp[0]).await.unwrap();
            seen.wait_for(|input| matches!(input, Input::SipUnreachable { destination } if destination.remote == address))
                .await;
            if let Some(listener) = listener {
                let accepted = tokio::time::timeout(Duration::from_millis(50), listener.accept()).await;
                assert!(accepted.is_err(), "a device's address was connected to");
            }
        })
        .await;
}

#[tokio::test(flavor = "current_thread")]
async fn a_neighbour_is_connected_to_once_and_one_that_refuses_is_unreachable() {
    let neighbour = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let vacant = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let address = neighbour.local_addr().unwrap();
    let to = |remote| Destination { transport: Transport::Tcp, remote, local: None, connection: None };
    let answers: Answers = Box::new(move |input| match input {
        Input::Sip { bytes, .. } => [address, vacant]
            .map(|remote| Output::Sip { destination: to(remote), bytes: bytes.clone() })
            .into(),
        _ => Vec::new(),
    });
    World::new(host::tcp::LIMITS, None, answers)
        .run(async |seen| {
            let other = UdpSocket::bind("127.0.0.1:0").await.unwrap();
            other.send_to(b"one", seen.udp[0]).await.unwrap();
            other.send_to(b"two", seen.udp[0]).await.unwrap();
            let (mut stream, from) = neighbour.accept().await.unwrap();
            assert_eq!(from.ip(), seen.tcp.ip(), "from an address of our own");
            read_exactly(&mut stream, b"onetwo").await;
            seen.wait_for(|input| matches!(input, Input::SipUnreachable { destination } if destination.remote == vacant))
                .await;
        })
        .await;
}

#[tokio::test(flavor = "current_thread")]
async fn a_device_that_reads_nothing_is_unreachable_once_its_queue_is_full() {
    let limits = Limits { outbox_bytes_max: 100_000, ..host::tcp::LIMITS };
    // Each message is answered with a hundred times as much.
    let answers: Answers = Box::new(|input| match input {
        Input::Sip { flow, bytes, .. } => {
            vec![Output::Sip { destination: flow.to_destination(), bytes: bytes.repeat(100).into() }]
        }
        _ => Vec::new(),
    });
    World::new(limits, None, answers)
        .run(async |seen| {
            let mut deaf = TcpStream::connect(seen.tcp).await.unwrap();
            for _ in 0..500 {
                deaf.write_all(&message(&"x".repeat(800))).await.unwrap();
            }
            seen.wait_for(|input| matches!(input, Input::SipUnreachable { .. })).await;
        })
        .await;
}

/// A store that counts, and fails when it is told to.
#[derive(Clone, Default)]
struct Counting {
    commits: Rc<RefCell<u32>>,
    is_broken: bool,
}

impl Durable for Counting {
    fn commit(&mut self) -> Result<(), CommitFailure> {
        *self.commits.borrow_mut() += 1;
        if self.is_broken {
            return Err(CommitFailure { is_fatal: true, sentence: "the disk is full".into() });
        }
        Ok(())
    }
}

/// Says something at once, then commits, then answers.
fn committing() -> Answers {
    Box::new(|input| match input {
        Input::Sip { flow, bytes, .. } => {
            let answer = |bytes| Output::Sip { destination: flow.to_destination(), bytes };
            vec![answer(Bytes::from_static(b"trying")), Output::Commit, answer(bytes.clone())]
        }
        _ => Vec::new(),
    })
}

#[tokio::test(flavor = "current_thread")]
async fn answers_that_wait_for_the_disk_share_its_syncs() {
    let store = Counting::default();
    let commits = store.commits.clone();
    let world = World::new(host::tcp::LIMITS, Some(Box::new(store)), committing());
    let device = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    for number in 0..40_u8 {
        device.send_to(&[b'a', number], world.udp[0]).await.unwrap();
    }
    world
        .run(async |_| {
            let mut buffer = [0; 16];
            let mut answers = 0;
            while answers < 40 {
                let count = device.recv(&mut buffer).await.unwrap();
                answers += u32::from(buffer[..count].starts_with(b"a"));
            }
        })
        .await;
    assert!((1..=3).contains(&*commits.borrow()), "{} commits for 40 answers", commits.borrow());
}

#[tokio::test(flavor = "current_thread")]
async fn nothing_that_waits_for_the_disk_leaves_when_the_disk_fails() {
    let store = Counting { is_broken: true, ..Counting::default() };
    let world = World::new(host::tcp::LIMITS, Some(Box::new(store)), committing());
    let device = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    device.send_to(b"asked", world.udp[0]).await.unwrap();
    let end = within(world.driver.run()).await.unwrap();
    assert_eq!(end, End::StoreFailed);
    let mut buffer = [0; 16];
    let count = device.recv(&mut buffer).await.unwrap();
    assert_eq!(&buffer[..count], b"trying", "what was said before the commit has left");
    assert!(device.try_recv(&mut buffer).is_err(), "what was said after it has not");
}
