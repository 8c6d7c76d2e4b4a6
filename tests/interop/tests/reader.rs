//! The judge is judged: Wireshark, as these tests run it, does find what is wrong.

use std::io::Write;
use std::net::{SocketAddr, TcpListener, TcpStream};

use anyhow::Result;
use interop::capture::Capture;
use interop::core::Network;
use interop::sockets::Datagrams;

/// A complaint about these bytes: a datagram, or a Diameter stream. A capture that missed them, or did not begin in time, says
/// nothing about the judge and is made again.
fn complaint(is_diameter: bool, bytes: &[u8]) -> Result<Option<String>> {
    let is_telling = |complaint: &String| !complaint.starts_with("nothing was captured");
    let mut complaint = None;
    for _ in 0..5 {
        complaint = one_complaint(is_diameter, bytes)?;
        if complaint.as_ref().is_some_and(is_telling) {
            break;
        }
    }
    Ok(complaint)
}

fn one_complaint(is_diameter: bool, bytes: &[u8]) -> Result<Option<String>> {
    let network = Network::new();
    let directory = tempfile::tempdir()?;
    let Some(capture) = Capture::start(directory.path(), &network.filter())? else { return Ok(None) };
    let here = |index, port| SocketAddr::from((network.address(index), port));
    if is_diameter {
        let listener = TcpListener::bind(here(1, 3868))?;
        TcpStream::connect(here(1, 3868))?.write_all(bytes)?;
        drop(listener.accept()?);
    } else {
        let receiver = Datagrams::open(here(1, 5060), here(2, 5060))?;
        Datagrams::open(here(2, 5060), here(1, 5060))?.send(bytes)?;
        drop(receiver);
    }
    Ok(Some(capture.stop()?.judge().err().map(|error| format!("{error:#}")).unwrap_or_default()))
}

#[test]
fn wireshark_finds_a_header_without_colon_and_an_unknown_avp_and_nothing_wrong_with_what_is_right()
-> Result<()> {
    let right = "OPTIONS sip:a@b SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK1\r\nFrom: <sip:c@d>;tag=1\r\n\
                 To: <sip:a@b>\r\nCall-ID: 1\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n";
    let Some(none) = complaint(false, right.as_bytes())? else { return Ok(()) };
    assert_eq!(none, "");
    let wrong = complaint(false, right.replace("Call-ID:", "Call-ID").as_bytes())?.unwrap_or_default();
    assert!(wrong.contains("no colon"), "{wrong}");
    // A Device-Watchdog-Request with Origin-Host and a mandatory AVP 99999 that nobody knows.
    let mut request = vec![1, 0, 0, 44, 0x80, 0, 1, 24, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1];
    request.extend([0, 0, 1, 8, 0x40, 0, 0, 12]);
    request.extend(b"host");
    request.extend([0, 1, 0x86, 0x9f, 0x40, 0, 0, 12, 1, 2, 3, 4]);
    let unknown = complaint(true, &request)?.unwrap_or_default();
    assert!(unknown.contains("diameter.avp.unknown"), "{unknown}");
    Ok(())
}
