//! What must harm nobody else: half a message, thousands of idle connections, a byte a second, the longest datagram, garbage
//! as Diameter. Phones register all the while, and the P-CSCF's memory stays bounded.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use interop::core::{Core, DOMAIN};
use interop::process::wait_until;
use interop::sipp::Sipp;
use interop::sockets::Datagrams;
use interop::subscribers::{Subscriber, many, to_sipp};
use interop::tools;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// An answer takes milliseconds; a machine that stands still for a moment adds that moment.
const PATIENCE: Duration = Duration::from_secs(10);
const IDLE_CONNECTIONS: usize = 10_000;
/// An idle connection may cost 4 KiB of the P-CSCF's own memory (SER's figure for TCP was 4.5 kB), plus noise.
const IDLE_MEMORY_MIB_MAX: u64 = 64;

struct World {
    core: Core,
    phones: Vec<Subscriber>,
}

impl World {
    fn new() -> Result<Option<World>> {
        if !tools::has(&["sipp"]) {
            return Ok(None);
        }
        let core = Core::start()?;
        let phones = many("phone", 20, Subscriber::digest);
        core.import(&phones)?;
        Ok(Some(World { core, phones }))
    }

    /// Others are unharmed: phones register over UDP and over TCP.
    fn expect_service(&self, when: &str) -> Result<()> {
        for (index, transport) in [(0, "u1"), (1, "t1")] {
            let local = SocketAddr::from((self.core.device(index), 5060));
            Sipp::new("register_digest", self.core.entry(), local)
                .over(transport)
                .with(to_sipp(&self.phones, &[]))
                .run_all()
                .with_context(|| format!("{when}, over {transport}"))?;
        }
        Ok(())
    }

    fn pids(&self) -> Result<Vec<i32>> {
        ["pcscf", "icscf", "scscf", "hss"].iter().map(|function| self.core.pid(function)).collect()
    }
}

fn register_text(local: &str, name: &str) -> String {
    format!(
        "REGISTER sip:{DOMAIN} SIP/2.0\r\nVia: SIP/2.0/TCP {local};branch=z9hG4bK{name};rport\r\nMax-Forwards: 70\r\n\
         From: <sip:phone0000@{DOMAIN}>;tag=p\r\nTo: <sip:phone0000@{DOMAIN}>\r\nCall-ID: {name}\r\nCSeq: 1 REGISTER\r\n\
         Contact: <sip:phone0000@{local};transport=tcp>\r\nContent-Length: 0\r\n\r\n"
    )
}

fn first_line(stream: &mut TcpStream, patience: Duration) -> Result<String> {
    stream.set_read_timeout(Some(patience))?;
    let mut buffer = [0; 4096];
    let length = stream.read(&mut buffer).context("an answer")?;
    Ok(String::from_utf8_lossy(&buffer[..length]).lines().next().unwrap_or_default().to_owned())
}

#[test]
fn half_a_message_and_a_byte_a_second_harm_nobody_and_are_answered_when_whole() -> Result<()> {
    let Some(world) = World::new()? else { return Ok(()) };
    let entry = world.core.entry();
    let text = register_text("198.51.100.1:5060", "half");
    let mut half = TcpStream::connect(entry)?;
    half.write_all(&text.as_bytes()[..text.len() / 2])?;
    let slow_text = register_text("198.51.100.1:5060", "slow");
    let mut slow = TcpStream::connect(entry)?;
    // The last seconds of a message that comes byte by byte.
    let (most, rest) = slow_text.as_bytes().split_at(slow_text.len() - 5);
    slow.write_all(most)?;
    for byte in rest {
        slow.write_all(&[*byte])?;
        world.expect_service("while a message comes a byte at a time")?;
    }
    ensure!(first_line(&mut slow, PATIENCE)?.contains("401"), "the slow one is answered");
    half.write_all(&text.as_bytes()[text.len() / 2..])?;
    ensure!(first_line(&mut half, PATIENCE)?.contains("401"), "the half one is answered once whole");
    world.core.discard()
}

#[test]
fn ten_thousand_idle_connections_cost_little_and_harm_nobody() -> Result<()> {
    // The functions raise theirs to the most that is allowed, as we do here.
    let maximum = getrlimit(Resource::Nofile).maximum;
    let wanted = IDLE_CONNECTIONS as u64 + 500;
    let is_raised = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).is_ok();
    if !is_raised || maximum.is_some_and(|maximum| maximum < wanted) {
        println!("skipped: only {maximum:?} open files are allowed (`ulimit -Hn`), {wanted} are needed");
        return Ok(());
    }
    let Some(world) = World::new()? else { return Ok(()) };
    let pid = world.core.pid("pcscf")?;
    let before = resident_kib(pid)?;
    let mut connections = Vec::with_capacity(IDLE_CONNECTIONS);
    for number in 0..IDLE_CONNECTIONS {
        let mut stream =
            TcpStream::connect(world.core.entry()).with_context(|| format!("connection {number}"))?;
        // Some say a little.
        if number % 4 == 0 {
            stream.write_all(b"REGISTER sip:")?;
        }
        connections.push(stream);
    }
    world.expect_service("beside ten thousand idle connections")?;
    let grown = resident_kib(pid)?.saturating_sub(before);
    println!("{IDLE_CONNECTIONS} idle connections: {grown} KiB");
    ensure!(grown <= IDLE_MEMORY_MIB_MAX * 1024, "idle connections cost {grown} KiB");
    drop(connections);
    world.expect_service("after they are gone")?;
    ensure!(world.core.pid("pcscf")? == pid, "the P-CSCF is the same process");
    world.core.discard()
}

fn resident_kib(pid: i32) -> Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).context("VmRSS")?;
    Ok(line.split_whitespace().nth(1).context("a number")?.parse()?)
}

#[test]
fn the_longest_datagram_and_noise_are_survived() -> Result<()> {
    let Some(world) = World::new()? else { return Ok(()) };
    let pids = world.pids()?;
    let local = SocketAddr::from((world.core.device(3), 5060));
    let socket = Datagrams::open(local, world.core.entry())?;
    // The most that UDP over IPv4 carries, as a message with a long header and with a long body.
    let head = |more: usize| {
        let text = register_text(&local.to_string(), "long").replace("SIP/2.0/TCP", "SIP/2.0/UDP");
        text.replace("Max-Forwards", &format!("X-Long: {}\r\nMax-Forwards", "x".repeat(more)))
    };
    let room = 65_507 - head(0).len();
    socket.send(head(room).as_bytes())?;
    let status = socket.final_status(Some("long"), PATIENCE);
    ensure!(status.is_some(), "a whole message of 64 KiB is answered");
    let body = head(0).replace("Content-Length: 0", &format!("Content-Length: {}", room - 20));
    socket.send(format!("{body}{}", "y".repeat(room - 20)).as_bytes())?;
    socket.send(&vec![b'\0'; 65_507])?;
    socket.send(&vec![b'\r'; 65_507])?;
    let mut state = 1_u64;
    for _ in 0..2000 {
        let noise: Vec<u8> = (0..200)
            .map(|_| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                (state >> 56) as u8
            })
            .collect();
        socket.send(&noise)?;
    }
    world.expect_service("after noise")?;
    ensure!(world.pids()? == pids, "nobody died");
    world.core.discard()
}

#[test]
fn diameter_garbage_closes_that_connection_only() -> Result<()> {
    let Some(world) = World::new()? else { return Ok(()) };
    let pids = world.pids()?;
    let ours = world.core.diameter_connections();
    let garbage: [&[u8]; 5] = [
        b"GET / HTTP/1.1\r\nHost: hss\r\n\r\n",
        &[0xff; 4096],
        // A length below the header's.
        &[1, 0, 0, 4, 0x80, 0, 1, 1, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1],
        // A Capabilities-Exchange-Request whose AVP is longer than the message.
        &[1, 0, 0, 28, 0x80, 0, 1, 1, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 1, 8, 0x40, 0, 0xff, 0xff],
        // A User-Authorization-Request before any capabilities were exchanged.
        &[1, 0, 0, 20, 0xc0, 0, 1, 44, 1, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1],
    ];
    for bytes in garbage {
        let mut stream = TcpStream::connect(world.core.hss())?;
        stream.write_all(bytes)?;
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        let begun = Instant::now();
        let mut sink = Vec::new();
        // An answer may come before the end; a reset is an end as well.
        let _ = stream.read_to_end(&mut sink);
        ensure!(begun.elapsed() < Duration::from_secs(9), "closed after {bytes:02x?}");
        world.expect_service("after Diameter garbage")?;
    }
    let again = || world.core.diameter_connections() == ours;
    wait_until("only our own peers are connected", PATIENCE, again)?;
    ensure!(world.pids()? == pids, "nobody died");
    world.core.discard()
}
