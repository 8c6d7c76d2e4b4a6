//! SIPp registers, calls, is called and sends messages through a core of `evertone up`.
use std::net::SocketAddr;

use anyhow::Result;
use interop::core::Core;
use interop::sipp::Sipp;
use interop::subscribers::{Subscriber, many, to_sipp};
use interop::tools;

#[test]
fn first() -> Result<()> {
    if !tools::has(&["sipp"]) {
        return Ok(());
    }
    let core = Core::start()?;
    let callers = many("caller", 20, Subscriber::aka);
    let callees = many("callee", 20, Subscriber::digest);
    core.import(&callers)?;
    core.import(&callees)?;
    let caller = SocketAddr::from((core.device(0), 5060));
    let callee = SocketAddr::from((core.device(1), 5060));
    Sipp::new("register_aka", core.entry(), caller).with(to_sipp(&callers, &[])).run_all()?;
    Sipp::new("register_digest", core.entry(), callee).with(to_sipp(&callees, &[])).run_all()?;
    let answering = Sipp::new("call_uas", core.entry(), callee).at(20, 20.0).start()?;
    let calling = Sipp::new("call_uac", core.entry(), caller).with(to_sipp(&callers, &callees)).run()?;
    println!("{calling:?}");
    calling.expect_all(20)?;
    answering.wait()?.expect_all(20)?;
    core.finish()
}
