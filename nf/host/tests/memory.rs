//! What a connection costs, in a process of its own: memory is counted by process, and other tests take and give theirs
//! meanwhile.

#[expect(dead_code, reason = "here nobody asks what the machine was told")]
mod world;

use std::net::TcpStream as BlockingStream;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use world::{World, echo, message, read_exactly};

#[tokio::test(flavor = "current_thread")]
async fn thousands_of_idle_connections_cost_a_few_kibibytes_each() {
    // Both ends are in this process. A container that allows fewer files proves as much with fewer.
    let count =
        usize::try_from((host::listen::raise_file_limit() - 200) / 2).unwrap_or(usize::MAX).min(10_000);
    World::new(host::tcp::LIMITS, None, echo())
        .run(async |seen| {
            let before = host::metrics::resident_bytes().unwrap();
            let mut devices = Vec::new();
            for number in 0..count {
                devices.push(BlockingStream::connect(seen.tcp).unwrap());
                if number % 50 == 0 {
                    // The driver accepts meanwhile.
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
            }
            // A message on the newest connection has passed all the others.
            let newest = devices.pop().unwrap();
            newest.set_nonblocking(true).unwrap();
            let mut newest = TcpStream::from_std(newest).unwrap();
            newest.write_all(&message("newest")).await.unwrap();
            read_exactly(&mut newest, &message("newest")).await;
            let each = (host::metrics::resident_bytes().unwrap() - before) / (devices.len() as f64);
            println!("{each:.0} bytes for each of {} idle connections", devices.len());
            assert!(each < 4096.0, "{each} bytes for each connection");
        })
        .await;
}
