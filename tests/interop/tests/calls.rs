//! SIPp registers, calls, is called, sends messages and goes, through a core of `evertone up`: by AKA and by digest, over
//! UDP and TCP, IPv4 and IPv6, and at the rates that the specification promises.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use anyhow::Result;
use interop::core::Core;
use interop::sipp::Sipp;
use interop::subscribers::{Subscriber, many, to_sipp};
use interop::tools;

/// SIPp's socket for all users, by transport.
fn phones(core: &Core, index: u8, is_ipv6: bool) -> (SocketAddr, SocketAddr) {
    match is_ipv6 {
        false => (core.entry(), SocketAddr::from((core.device(index), 5060))),
        true => {
            let port = core.entry_ipv6().port() + 20_000 + u16::from(index);
            (core.entry_ipv6(), SocketAddr::new(IpAddr::from(Ipv6Addr::LOCALHOST), port))
        }
    }
}

/// Everything a phone does, with callers by AKA and callees by digest.
fn check_life(transport: &'static str, is_ipv6: bool) -> Result<()> {
    if !tools::has(&["sipp"]) {
        return Ok(());
    }
    let core = Core::start()?;
    let callers = many("caller", 20, Subscriber::aka);
    let callees = many("callee", 20, Subscriber::digest);
    core.import(&[callers.clone(), callees.clone()].concat())?;
    let (entry, caller) = phones(&core, 0, is_ipv6);
    let (_, callee) = phones(&core, 1, is_ipv6);
    let sipp = |scenario: &str, local: SocketAddr| Sipp::new(scenario, entry, local).over(transport);
    sipp("register_aka", caller).with(to_sipp(&callers, &[])).run_all()?;
    sipp("register_digest", callee).with(to_sipp(&callees, &[])).run_all()?;
    let pairs = [("call", 20), ("hangup", 20), ("message", 20)];
    for (procedure, count) in pairs {
        let answering = sipp(&format!("{procedure}_uas"), callee).at(count, 50.0).start()?;
        let asking = sipp(&format!("{procedure}_uac"), caller);
        let asked = asking.with(to_sipp(&callers, &callees)).at(count, 20.0).run_all();
        let answered = answering.wait()?;
        asked?;
        answered.expect_all(count)?;
    }
    // The other way: whoever was called calls.
    let answering = sipp("call_uas", caller).at(20, 50.0).start()?;
    sipp("call_uac", callee).with(to_sipp(&callees, &callers)).at(20, 20.0).run_all()?;
    answering.wait()?.expect_all(20)?;
    sipp("deregister", callee).with(to_sipp(&callees, &[])).run_all()?;
    let refused = sipp("message_uac", caller).with(to_sipp(&callers, &callees)).run()?;
    assert_eq!((refused.successful, refused.failed), (0, 20), "nobody is there any more");
    core.finish()
}

#[test]
fn phones_live_on_udp() -> Result<()> {
    check_life("u1", false)
}

#[test]
fn phones_live_on_tcp() -> Result<()> {
    check_life("t1", false)
}

#[test]
fn phones_live_on_udp_and_ipv6() -> Result<()> {
    check_life("u1", true)
}

#[test]
fn phones_live_on_tcp_and_ipv6() -> Result<()> {
    check_life("t1", true)
}

#[test]
fn a_thousand_register_by_aka_and_a_thousand_by_digest_at_fifty_a_second() -> Result<()> {
    if !tools::has(&["sipp"]) {
        return Ok(());
    }
    let core = Core::start()?;
    // A third have a private identity of which their first REGISTER, which names none, says nothing.
    let renamed = |people: Vec<Subscriber>| -> Vec<Subscriber> {
        let rename = |(number, person): (usize, Subscriber)| {
            if number % 3 == 0 { person.under_another_name() } else { person }
        };
        people.into_iter().enumerate().map(rename).collect()
    };
    let by_aka = renamed(many("aka", 1000, Subscriber::aka));
    let by_digest = renamed(many("digest", 1000, Subscriber::digest));
    core.import(&[by_aka.clone(), by_digest.clone()].concat())?;
    let (entry, one) = phones(&core, 0, false);
    let (_, other) = phones(&core, 1, false);
    // The one in front is started again when it stumbles over the keys of its own scenario.
    let running = Sipp::new("register_digest", entry, one).with(to_sipp(&by_digest, &[])).start()?;
    Sipp::new("register_aka", entry, other).with(to_sipp(&by_aka, &[])).run_all()?;
    running.wait()?.expect_all(1000)?;
    core.finish()
}

#[test]
fn twenty_calls_and_twenty_messages_a_second_all_succeed() -> Result<()> {
    if !tools::has(&["sipp"]) {
        return Ok(());
    }
    let seconds = if std::env::var("EVERTONE_INTEROP_LONG").is_ok_and(|long| long == "1") { 60 } else { 10 };
    let count = seconds * 20;
    let core = Core::start()?;
    let callers = many("caller", 100, Subscriber::aka);
    let callees = many("callee", 100, Subscriber::digest);
    core.import(&[callers.clone(), callees.clone()].concat())?;
    let (entry, caller) = phones(&core, 0, false);
    let (_, callee) = phones(&core, 1, false);
    Sipp::new("register_aka", entry, caller).with(to_sipp(&callers, &[])).run_all()?;
    Sipp::new("register_digest", entry, callee).with(to_sipp(&callees, &[])).run_all()?;
    for procedure in ["call", "message"] {
        let answering = Sipp::new(&format!("{procedure}_uas"), entry, callee).at(count, 20.0).start()?;
        let asking = Sipp::new(&format!("{procedure}_uac"), entry, caller);
        asking.with(to_sipp(&callers, &callees)).at(count, 20.0).run_all()?;
        answering.wait()?.expect_all(count)?;
    }
    core.finish()
}

#[test]
fn phones_with_a_socket_each_register() -> Result<()> {
    if !tools::has(&["sipp"]) {
        return Ok(());
    }
    let core = Core::start()?;
    let phones_many = many("phone", 100, Subscriber::aka);
    core.import(&phones_many)?;
    for (index, transport) in [(0, "un"), (1, "tn")] {
        let (entry, local) = phones(&core, index, false);
        let register =
            Sipp::new("register_aka", entry, local).over(transport).option(&["-max_socket", "1000"]);
        register.with(to_sipp(&phones_many, &[])).run_all()?;
    }
    core.finish()
}
