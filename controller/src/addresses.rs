//! Can the addresses that a changed resource asks for be listened on? Asked before anything is stopped.

use std::collections::BTreeSet;
use std::io;
use std::net::{SocketAddr, TcpListener, UdpSocket};

use plan::Desired;

/// The first address that `after` asks for, `before` has not, and this machine does not give.
pub fn unavailable(before: &Desired, after: &Desired) -> Option<String> {
    let all = |desired: &Desired| -> BTreeSet<SocketAddr> {
        desired.processes.values().flat_map(|process| process.addresses.clone()).collect()
    };
    let held = all(before);
    all(after).into_iter().filter(|address| !held.contains(address)).find_map(|address| {
        let reason = match try_to_listen(address).err()?.kind() {
            io::ErrorKind::AddrInUse => "the address is in use by another process",
            io::ErrorKind::AddrNotAvailable => "no interface of this machine has the address",
            io::ErrorKind::PermissionDenied => "not allowed (ports below 1024 need CAP_NET_BIND_SERVICE)",
            // What is odd is for the function itself to tell.
            _ => return None,
        };
        Some(format!("cannot listen on {address}: {reason}"))
    })
}

fn try_to_listen(address: SocketAddr) -> io::Result<()> {
    UdpSocket::bind(address)?;
    TcpListener::bind(address)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn listening_on(address: SocketAddr) -> Desired {
        let mut sample = plan::Desired::default();
        let spec = crds::yaml::read_ims_core("sample", crds::SAMPLE).expect("the sample is good").object.spec;
        let inputs = plan::Inputs {
            places: plan::names::Places { state_directory: "/s".into(), run_directory: "/r".into() },
            flow_token_key: "00".repeat(16),
            has_ipv6_loopback: false,
            link_keys: BTreeMap::new(),
        };
        let (name, mut process) =
            Desired::from_spec(&spec, &inputs).expect("it is").processes.pop_first().expect("some");
        process.addresses = vec![address];
        sample.processes.insert(name, process);
        sample
    }

    #[test]
    fn what_another_process_holds_or_nobody_has_is_named_and_what_the_core_holds_itself_is_not() {
        let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = taken.local_addr().expect("it is bound");
        let nothing = Desired::default();
        let reason = unavailable(&nothing, &listening_on(address)).expect("it is taken");
        assert!(reason.contains(&address.to_string()) && reason.contains("in use"), "{reason}");
        assert_eq!(unavailable(&listening_on(address), &listening_on(address)), None);
        // TEST-NET-1 (RFC 5737) is on no interface.
        let nowhere = unavailable(&nothing, &listening_on("192.0.2.1:5060".parse().expect("written here")));
        assert!(nowhere.is_some_and(|reason| reason.contains("no interface")));
    }
}
