//! A device's next attempts, straight from the wire: a packet socket on all interfaces, loopback included.

use std::io::Read;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use socket2::{Domain, Protocol, Socket, Type};

use super::{Collector, Link, Register, packet};

/// linux/if_ether.h ETH_P_ALL, in network byte order as packet(7) wants it.
const ALL_PROTOCOLS: i32 = 0x0003_u16.to_be() as i32;
/// After the first attempt: long enough for a resynchronisation and the attempt that follows it.
const AFTER: Duration = Duration::from_secs(2);

/// After a challenge: a device that answers has done so.
const SILENCE: Duration = Duration::from_secs(5);

/// Waits for REGISTERs of `identity` (of anybody when none is given) that answer a challenge or are refused without one.
pub async fn wait(identity: Option<&str>, patience: Duration) -> Result<Vec<Register>> {
    let identity = identity.map(str::to_owned);
    println!("waiting for a REGISTER; let the device register now");
    // Reading blocks: a thread of its own, so that Ctrl-C still ends the program.
    tokio::task::spawn_blocking(move || capture(identity.as_deref(), patience))
        .await
        .context("the capture broke off")?
}

fn capture(identity: Option<&str>, patience: Duration) -> Result<Vec<Register>> {
    let socket = Socket::new(Domain::PACKET, Type::DGRAM, Some(Protocol::from(ALL_PROTOCOLS)));
    let mut socket = match socket {
        Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => {
            bail!(
                "not allowed to capture packets: be root (CAP_NET_RAW), or capture with tcpdump and give --register FILE"
            )
        }
        socket => socket.context("packets cannot be captured")?,
    };
    socket.set_read_timeout(Some(Duration::from_millis(200))).context("packets cannot be captured")?;
    let mut collector = Collector::default();
    let mut buffer = vec![0; 65_536];
    let mut deadline = Instant::now() + patience;
    let (mut has_one, mut has_challenge) = (false, false);
    while Instant::now() < deadline {
        let length = match socket.read(&mut buffer) {
            Ok(length) => length,
            Err(error)
                if matches!(
                    error.kind(),
                    std::io::ErrorKind::WouldBlock | std::io::ErrorKind::Interrupted
                ) =>
            {
                continue;
            }
            Err(error) => return Err(error).context("packets cannot be captured"),
        };
        let Some(segment) = packet::segment(Link::Raw, &buffer[..length]) else { continue };
        collector.take(&segment);
        let found = collector.finish();
        let mut meant =
            found.iter().filter(|register| identity.is_none_or(|identity| register.is_of(identity)));
        if !has_one && meant.clone().any(|register| register.answers_challenge || register.is_refused) {
            (has_one, deadline) = (true, Instant::now() + AFTER);
        }
        if !has_challenge && meant.any(|register| register.unanswered.is_some()) {
            // A device that says nothing to it will not say anything later.
            (has_challenge, deadline) = (true, deadline.min(Instant::now() + SILENCE));
        }
    }
    Ok(collector.finish())
}
