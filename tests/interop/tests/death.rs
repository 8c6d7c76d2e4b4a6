//! Each function is killed (SIGKILL) while phones call and register. It serves again within a second, new procedures
//! succeed, phones that registered before can be called without registering again, and `evertone status` tells of it.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use interop::core::{Core, DOMAIN};
use interop::process::wait_until;
use interop::sipp::Sipp;
use interop::sockets::{Datagrams, call_id, status_of};
use interop::subscribers::{Subscriber, many, to_sipp};
use interop::tools;
use rustix::process::{Pid, Signal, kill_process};

/// The promise.
const SERVING_AGAIN: Duration = Duration::from_secs(1);
/// Kills of one function until it keeps the promise: a moment in which the machine stands still is none of the core's, and
/// seldom comes twice. One more, and its supervisor would make a pause.
const KILLS_MAX: usize = 3;
const BETWEEN_KILLS: Duration = Duration::from_millis(2500);

/// A probe that needs all four functions: a REGISTER, which is to be challenged. Tells how long after `killed` the first one
/// that was sent after it was answered. `name` is of this death alone.
fn time_to_serve(core: &Core, probe: &Datagrams, name: &str, killed: Instant) -> Result<Duration> {
    let begin = format!("probe-{name}-");
    let is_challenge = |message: &str| {
        status_of(message) == Some(401) && call_id(message).is_some_and(|id| id.starts_with(&begin))
    };
    for number in 0..200 {
        let local = probe.local()?;
        let call_id = format!("{begin}{number}");
        probe.send(
            format!(
                "REGISTER sip:{DOMAIN} SIP/2.0\r\nVia: SIP/2.0/UDP {local};branch=z9hG4bK{call_id};rport\r\nMax-Forwards: 70\r\n\
                 From: <sip:caller0000@{DOMAIN}>;tag=p\r\nTo: <sip:caller0000@{DOMAIN}>\r\nCall-ID: {call_id}\r\n\
                 CSeq: 1 REGISTER\r\nContact: <sip:probe@{local}>\r\nContent-Length: 0\r\n\r\n"
            )
            .as_bytes(),
        )
        // The kernel reports the last datagram's fate here while nobody listens.
        .or_else(|_| Ok::<_, anyhow::Error>(()))?;
        // The answer to an earlier one is as good.
        let next = Instant::now() + Duration::from_millis(50);
        while let Some(message) = probe.receive(next.saturating_duration_since(Instant::now())) {
            if is_challenge(&message) {
                return Ok(killed.elapsed());
            }
        }
    }
    bail!("{name} is not back after 10 s\n{}", core.logs());
}

fn kill(core: &Core, function: &str) -> Result<i32> {
    let number = core.pid(function)?;
    let pid = Pid::from_raw(number).context("a process has a number")?;
    kill_process(pid, Signal::KILL)?;
    Ok(number)
}

/// Kills `function`, and again when that took long; tells how soon it served at best.
fn best_time_to_serve(core: &Core, probe: &Datagrams, function: &str) -> Result<Duration> {
    let mut best = Duration::MAX;
    for attempt in 1..=KILLS_MAX {
        let before = kill(core, function)?;
        let away = time_to_serve(core, probe, &format!("{function}-{attempt}"), Instant::now())?;
        println!("{function}: serves again after {} ms", away.as_millis());
        let is_another = || core.pid(function).is_ok_and(|pid| pid != before);
        wait_until("status tells the new process", Duration::from_secs(10), is_another)?;
        best = best.min(away);
        if best <= SERVING_AGAIN {
            break;
        }
        std::thread::sleep(BETWEEN_KILLS);
    }
    Ok(best)
}

fn check_deaths(transport: &'static str) -> Result<()> {
    if !tools::has(&["sipp"]) {
        return Ok(());
    }
    let core = Core::start()?;
    let callers = many("caller", 20, Subscriber::digest);
    let callees = many("callee", 20, Subscriber::aka);
    let newcomers = many("newcomer", 20, Subscriber::aka);
    let busy = many("busy", 40, Subscriber::digest);
    core.import(&[callers.clone(), callees.clone(), newcomers.clone(), busy.clone()].concat())?;
    let local = |index| SocketAddr::from((core.device(index), 5060));
    let sipp = |scenario: &str, index| Sipp::new(scenario, core.entry(), local(index)).over(transport);
    sipp("register_digest", 0).with(to_sipp(&callers, &[])).run_all()?;
    sipp("register_aka", 1).with(to_sipp(&callees, &[])).run_all()?;
    // Load: calls and registrations that go on all the time. Those that a death interrupts may fail. It ends by itself when this
    // test is killed.
    let load = |scenario: &str, local| Sipp::new(scenario, core.entry(), local).option(&["-timeout", "300s"]);
    let others = SocketAddr::from((core.device(2), 5060));
    Sipp::new("register_digest", core.entry(), others).with(to_sipp(&busy[..20], &[])).run_all()?;
    let answering = SocketAddr::from((core.device(3), 5060));
    Sipp::new("register_digest", core.entry(), answering).with(to_sipp(&busy[20..], &[])).run_all()?;
    let _answering = load("call_uas", answering).at(100_000, 20.0).start()?;
    let calling = load("call_uac", others).with(to_sipp(&busy[..20], &busy[20..]));
    let mut calling = calling.at(100_000, 20.0).start()?;
    let registering = load("register_digest", local(4));
    let mut registering = registering.with(to_sipp(&busy, &[])).at(100_000, 20.0).start()?;
    let probe = Datagrams::open(SocketAddr::from((core.device(5), 5060)), core.entry())?;

    for (index, function) in ["pcscf", "icscf", "scscf", "hss"].into_iter().enumerate() {
        std::thread::sleep(Duration::from_millis(500));
        let away = best_time_to_serve(&core, &probe, function)?;
        ensure!(away <= SERVING_AGAIN, "{function} serves again after {} ms only", away.as_millis());
        // Phones that registered before the death are called, and by such.
        let called = sipp("call_uas", 1).at(20, 50.0).start()?;
        sipp("call_uac", 0)
            .with(to_sipp(&callers, &callees))
            .at(20, 20.0)
            .run_all()
            .with_context(|| format!("calls after the death of {function}\n{}", core.logs()))?;
        called.wait()?.expect_all(20)?;
        let newcomers = &newcomers[index * 5..][..5];
        sipp("register_aka", 6)
            .with(to_sipp(newcomers, &[]))
            .run_all()
            .with_context(|| format!("registrations after the death of {function}"))?;
    }
    ensure!(
        !calling.process().has_ended() && !registering.process().has_ended(),
        "there was load all the time"
    );
    let outcome = calling.outcome()?;
    println!("calls under load: {} succeeded, {} failed", outcome.successful, outcome.failed);
    ensure!(outcome.successful > 20, "most calls of the load succeeded");
    let status = core.evertone(&["status"])?;
    let deaths =
        status.lines().filter(|line| line.contains("killed by SIGKILL") && line.contains("ago")).count();
    ensure!(deaths == 4, "status tells of four deaths, and when:\n{status}");
    core.finish()
}

#[test]
fn phones_on_udp_survive_the_death_of_each_function() -> Result<()> {
    check_deaths("u1")
}

#[test]
fn phones_on_tcp_survive_the_death_of_each_function() -> Result<()> {
    check_deaths("t1")
}
