//! Two softphones (baresip) register, one calls the other, each hears the other's tone, and one hangs up.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use interop::core::{Core, DOMAIN};
use interop::softphone::Softphone;
use interop::subscribers::Subscriber;
use interop::tools;

const PATIENCE: Duration = Duration::from_secs(10);

/// A tone was heard: a second of samples of which most are loud.
fn expect_tone(phone: &Softphone, who: &str) -> Result<()> {
    let samples = phone.heard();
    let loud = samples.iter().filter(|sample| sample.unsigned_abs() > 1000).count();
    ensure!(loud > 4000, "{who} heard {loud} loud samples of {}\n{}", samples.len(), phone.last_words());
    Ok(())
}

fn check_call(transport: &str) -> Result<()> {
    if !tools::has(&["baresip"]) {
        return Ok(());
    }
    let core = Core::start()?;
    let (alice, bob) = (Subscriber::digest("alice"), Subscriber::digest("bob"));
    core.import(&[alice.clone(), bob.clone()])?;
    let mut alice = Softphone::start(&alice, core.device(0), core.entry(), transport)?;
    let mut bob = Softphone::start(&bob, core.device(1), core.entry(), transport)?;
    alice.wait_for("200 OK", PATIENCE)?;
    bob.wait_for("200 OK", PATIENCE)?;
    alice.command("dial", &format!("sip:bob@{DOMAIN}"))?;
    alice.wait_for("Call established", PATIENCE).with_context(|| bob.last_words())?;
    bob.wait_for("Call established", PATIENCE)?;
    std::thread::sleep(Duration::from_secs(3));
    alice.command("hangup", "")?;
    bob.wait_for("terminated", PATIENCE)?;
    alice.end();
    bob.end();
    expect_tone(&alice, "the caller")?;
    expect_tone(&bob, "the callee")?;
    core.finish()
}

#[test]
fn two_softphones_talk_over_udp() -> Result<()> {
    check_call("udp")
}

#[test]
fn two_softphones_talk_over_tcp() -> Result<()> {
    check_call("tcp")
}
