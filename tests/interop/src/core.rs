//! A running core: `evertone up` with a state directory and loopback addresses of its own; `evertone down` at the end.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::{Command, Output};
use std::sync::atomic::{AtomicU16, Ordering};

use anyhow::{Context, Result, bail};
use tempfile::TempDir;

use crate::capture::Capture;
use crate::sockets::states;
use crate::subscribers::Subscriber;
use crate::tools::Binaries;

/// The home domain of every core.
pub const DOMAIN: &str = "ims.example";

/// A core of a test. Ends when dropped.
pub struct Core {
    binaries: Binaries,
    directory: TempDir,
    network: Network,
    capture: Option<Capture>,
}

/// Sixteen IPv4 loopback addresses that no other core of this machine's tests has, and a port for IPv6, where there is only
/// one loopback address.
#[derive(Clone, Copy, Debug)]
pub struct Network {
    first: u32,
    port: u16,
}

impl Network {
    /// A new one: by process number and a count within the process.
    pub fn new() -> Network {
        static COUNT: AtomicU16 = AtomicU16::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed) % 16;
        let process = std::process::id() % 0x4000;
        // 127.128.0.0/10, 14 bits for the process, 4 for the core.
        let first = u32::from(Ipv4Addr::new(127, 128, 0, 0)) + (process << 8) + u32::from(count) * 16;
        let port = 10_000 + (process % 1400) as u16 * 16 + count;
        Network { first, port }
    }

    /// Address number `index`, below 16.
    pub fn address(&self, index: u8) -> Ipv4Addr {
        assert!(index < 16, "a core has sixteen addresses");
        Ipv4Addr::from(self.first + u32::from(index))
    }

    /// A capture filter for all of it.
    pub fn filter(&self) -> String {
        format!("net {}/28 or (ip6 and port {})", self.address(0), self.port)
    }
}

impl Default for Network {
    fn default() -> Self {
        Network::new()
    }
}

impl Core {
    /// Brings a core up, with every packet of it captured when the tools are there.
    pub fn start() -> Result<Core> {
        Core::start_with("")
    }

    /// Like [`Core::start`], with more lines for `spec` of its resource.
    pub fn start_with(spec: &str) -> Result<Core> {
        let network = Network::new();
        let directory = tempfile::Builder::new().prefix("evertone-interop-").tempdir()?;
        let capture = Capture::start(directory.path(), &network.filter())?;
        let mut core = Core { binaries: Binaries::find()?, directory, network, capture };
        let resource = core.directory.path().join("core.yaml");
        std::fs::write(&resource, core.resource(spec))?;
        let result = core.evertone(&["up", "-f", resource.to_str().expect("a UTF-8 path")]);
        if let Err(error) = result {
            let logs = core.logs();
            core.capture = None;
            bail!("{error:#}\n{logs}");
        }
        Ok(core)
    }

    fn resource(&self, more: &str) -> String {
        let address = |index| self.network.address(index);
        format!(
            "apiVersion: ims.evertone.dev/v1alpha1\nkind: IMSCore\nmetadata:\n  name: interop\nspec:\n  homeDomain: {DOMAIN}\n  \
             access:\n    unprotectedAka: true\n  pcscf:\n    addresses: [\"{}\", \"::1\"]\n    port: {}\n  \
             icscf:\n    addresses: [\"{}\"]\n  scscf:\n    addresses: [\"{}\"]\n  hss:\n    addresses: [\"{}\"]\n{more}",
            address(1),
            self.network.port,
            address(2),
            address(3),
            address(4),
        )
    }

    /// Runs a verb of the command; its output, or its complaint.
    pub fn evertone(&self, arguments: &[&str]) -> Result<String> {
        let output = self.try_evertone(arguments)?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        if !output.status.success() {
            bail!("evertone {arguments:?}: {}{}", text(&output.stdout), text(&output.stderr));
        }
        Ok(text(&output.stdout))
    }

    /// Runs a verb of the command, whatever comes of it.
    pub fn try_evertone(&self, arguments: &[&str]) -> Result<Output> {
        Command::new(&self.binaries.evertone)
            .arg("--state-directory")
            .arg(self.directory.path().join("state"))
            .arg("--binaries")
            .arg(&self.binaries.functions)
            .args(arguments)
            .output()
            .context("the evertone command cannot be started")
    }

    /// Gives the HSS subscribers.
    pub fn import(&self, subscribers: &[Subscriber]) -> Result<()> {
        let file = self.directory.path().join("subscribers.csv");
        std::fs::write(&file, crate::subscribers::to_import(subscribers))?;
        self.evertone(&["subscriber", "import", file.to_str().expect("a UTF-8 path")]).map(drop)
    }

    /// Where phones register: by IPv4.
    pub fn entry(&self) -> SocketAddr {
        SocketAddr::from((self.network.address(1), self.network.port))
    }

    /// Where phones register: by IPv6.
    pub fn entry_ipv6(&self) -> SocketAddr {
        SocketAddr::new(std::net::Ipv6Addr::LOCALHOST.into(), self.network.port)
    }

    /// The HSS.
    pub fn hss(&self) -> SocketAddr {
        SocketAddr::from((self.network.address(4), 3868))
    }

    /// How many Diameter connections the HSS has, as the kernel counts them.
    pub fn diameter_connections(&self) -> usize {
        states("tcp", self.hss()).iter().filter(|state| *state == "01").count()
    }

    /// An address for the device or peer number `index`, below 11.
    pub fn device(&self, index: u8) -> Ipv4Addr {
        self.network.address(5 + index)
    }

    /// A folder that goes with the core.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// The process number of a function, as `evertone status` tells it; also when not all is well.
    pub fn pid(&self, function: &str) -> Result<i32> {
        let output = self.try_evertone(&["status", "-o", "json"])?;
        let status: serde_json::Value = serde_json::from_slice(&output.stdout)?;
        find_pid(&status, function).with_context(|| format!("{function} has no process in {status}"))
    }

    /// The last lines of each function's log.
    pub fn logs(&self) -> String {
        let folder = self.directory.path().join("state/logs");
        let mut names: Vec<_> = std::fs::read_dir(folder).into_iter().flatten().flatten().collect();
        names.sort_by_key(|entry| entry.file_name());
        let mut text = String::new();
        for entry in names {
            let log = std::fs::read_to_string(entry.path()).unwrap_or_default();
            let lines: Vec<_> = log.lines().collect();
            text += &format!(
                "--- {}\n{}\n",
                entry.path().display(),
                lines[lines.len().saturating_sub(15)..].join("\n")
            );
        }
        text
    }

    /// Stops the core and lets Wireshark judge every packet of it.
    pub fn finish(mut self) -> Result<()> {
        let Some(capture) = self.capture.take() else { return Ok(()) };
        self.evertone(&["down"])?;
        capture.stop()?.judge()
    }

    /// Like [`Core::finish`], for a core that was sent garbage: nothing is judged.
    pub fn discard(mut self) -> Result<()> {
        self.capture = None;
        self.evertone(&["down"]).map(drop)
    }
}

/// The `pid` in the object whose `name` is `function`, wherever it stands.
fn find_pid(value: &serde_json::Value, function: &str) -> Option<i32> {
    match value {
        serde_json::Value::Object(map) => {
            let is_it = map.get("name").and_then(|name| name.as_str()) == Some(function);
            let pid = map.get("pid").and_then(serde_json::Value::as_i64);
            pid.filter(|_| is_it)
                .and_then(|pid| i32::try_from(pid).ok())
                .or_else(|| map.values().find_map(|value| find_pid(value, function)))
        }
        serde_json::Value::Array(list) => list.iter().find_map(|value| find_pid(value, function)),
        _ => None,
    }
}

impl Drop for Core {
    fn drop(&mut self) {
        if std::env::var_os("EVERTONE_INTEROP_KEEP").is_some() {
            println!("kept: {}", self.directory.path().display());
            self.directory.disable_cleanup(true);
        }
        let _ = self.try_evertone(&["down"]);
    }
}
