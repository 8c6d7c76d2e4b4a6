//! The core under load: one that runs already, or one of our own that ends with us.

use std::io::{Read as _, Write as _};
use std::net::SocketAddrV4;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use crate::meter::Meter;

/// The functions, in the order of a registration.
pub const FUNCTIONS: [&str; 4] = ["pcscf", "icscf", "scscf", "hss"];

/// Where the programs are.
#[derive(Clone, Debug)]
pub struct Programs {
    /// The `evertone` command.
    pub evertone: PathBuf,
    /// The folder of the functions' programs.
    pub functions: PathBuf,
}

/// A running core.
pub struct Core {
    /// Its home domain.
    pub domain: String,
    /// Where phones register.
    pub pcscf_address: SocketAddrV4,
    functions: Vec<Function>,
    own: Option<Own>,
}

/// One function of it.
pub struct Function {
    /// Its name.
    pub name: &'static str,
    /// Its first IPv4 address, for SIP over UDP or for Diameter.
    pub address: SocketAddrV4,
    /// Its admin socket.
    socket: PathBuf,
    /// CPU time and memory.
    pub meter: Meter,
}

/// A core that we started.
struct Own {
    programs: Programs,
    directory: tempfile::TempDir,
    up: Duration,
}

/// The resource of our own core: addresses that no sample uses, so that it runs beside another.
const RESOURCE: &str = "apiVersion: ims.evertone.dev/v1alpha1
kind: IMSCore
metadata:
  name: bench
spec:
  homeDomain: ims.example
  access:
    unprotectedAka: true
  pcscf:
    addresses:
      - 127.20.7.11
  icscf:
    addresses:
      - 127.20.7.12
  scscf:
    addresses:
      - 127.20.7.13
  hss:
    addresses:
      - 127.20.7.14
";

impl Core {
    /// Starts a core of our own in a directory that goes with it.
    pub fn start(programs: &Programs) -> Result<Core> {
        let directory = tempfile::Builder::new().prefix("evertone-bench-").tempdir()?;
        let file = directory.path().join("core.yaml");
        std::fs::write(&file, RESOURCE)?;
        let begun = Instant::now();
        let mut own = Own { programs: programs.clone(), directory, up: Duration::ZERO };
        evertone(programs, own.directory.path(), &["up", "-f", &file.to_string_lossy()])?;
        own.up = begun.elapsed();
        let mut core = Self::find(programs, own.directory.path())?;
        core.own = Some(own);
        Ok(core)
    }

    /// Finds the core that runs in a state directory.
    pub fn find(programs: &Programs, state_directory: &Path) -> Result<Core> {
        let mut core = None;
        let mut functions = Vec::new();
        for name in FUNCTIONS {
            let config = evertone(programs, state_directory, &["config", name])?;
            let line = |key: &str| {
                let found = config.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(": "));
                found.map(|value| value.trim_matches(['"', '\'']).to_owned())
            };
            let socket = PathBuf::from(line("adminSocket").context("a function has no admin socket")?);
            let info = request(&socket, "GET", "/info", b"")?;
            let info: Value = serde_json::from_slice(&info).context("/info is no JSON")?;
            let pid = info["pid"].as_u64().context("/info tells no pid")?;
            let addresses = info["listening"].as_array().into_iter().flatten();
            let address = addresses.filter_map(|text| v4_address(text.as_str()?)).next();
            let address = address.with_context(|| format!("{name} has no IPv4 address"))?;
            if name == "pcscf" {
                core = Some((line("homeDomain").context("the P-CSCF has no home domain")?, address));
            }
            functions.push(Function { name, address, socket, meter: Meter::of(u32::try_from(pid)?) });
        }
        let (domain, pcscf_address) = core.expect("the P-CSCF is one of the functions");
        Ok(Core { domain, pcscf_address, functions, own: None })
    }

    /// Its functions, in the order of a registration.
    pub fn functions(&self) -> &[Function] {
        &self.functions
    }

    /// One of them.
    pub fn function(&self, name: &str) -> &Function {
        self.functions.iter().find(|function| function.name == name).expect("it is one of the four")
    }

    /// The HSS.
    pub fn hss(&self) -> &Function {
        self.function("hss")
    }

    /// How long `evertone up` took, if this core is our own.
    pub fn up(&self) -> Option<Duration> {
        self.own.as_ref().map(|own| own.up)
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        if let Err(error) = evertone(&self.programs, self.directory.path(), &["down"]) {
            eprintln!("bench: the core could not be stopped: {error:#}");
        }
    }
}

impl Function {
    /// Sends a command to its admin socket.
    pub fn command(&self, name: &str, document: &Value) -> Result<Value> {
        let body = serde_json::to_vec(document)?;
        let answer = request(&self.socket, "POST", &format!("/command/{name}"), &body)?;
        serde_json::from_slice(&answer)
            .with_context(|| format!("{name} was answered by something else than JSON"))
    }

    /// Its metrics.
    pub fn metrics(&self) -> Result<String> {
        Ok(String::from_utf8_lossy(&request(&self.socket, "GET", "/metrics", b"")?).into_owned())
    }
}

/// Runs the command and gives what it printed.
fn evertone(programs: &Programs, state_directory: &Path, arguments: &[&str]) -> Result<String> {
    let output = Command::new(&programs.evertone)
        .arg("--state-directory")
        .arg(state_directory)
        .arg("--binaries")
        .arg(&programs.functions)
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("cannot run {}", programs.evertone.display()))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("evertone {} failed: {}", arguments.join(" "), said.trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// `127.0.0.11:4060/udp` or `127.0.0.14:3868/diameter`.
fn v4_address(text: &str) -> Option<SocketAddrV4> {
    let is_wanted = !text.ends_with("/tcp");
    let mut words = text.split(|letter: char| letter.is_whitespace() || letter == '/');
    words.find_map(|word| word.parse().ok()).filter(|_| is_wanted)
}

/// One HTTP exchange on a unix socket.
fn request(socket: &Path, method: &str, path: &str, body: &[u8]) -> Result<Vec<u8>> {
    let mut stream =
        UnixStream::connect(socket).with_context(|| format!("cannot connect to {}", socket.display()))?;
    stream.set_read_timeout(Some(Duration::from_secs(60)))?;
    let length = body.len();
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n"
    )?;
    stream.write_all(body)?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).with_context(|| format!("no answer to {method} {path}"))?;
    let split =
        answer.windows(4).position(|window| window == b"\r\n\r\n").context("the answer is not HTTP")?;
    let content = answer.split_off(split + 4);
    let head = String::from_utf8_lossy(&answer);
    let status = head.split(' ').nth(1).unwrap_or("");
    if status != "200" {
        bail!("{method} {path}: {status} {}", String::from_utf8_lossy(&content).trim());
    }
    Ok(content)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_found_in_what_a_function_tells_of_itself() {
        assert_eq!(v4_address("127.0.0.11:4060/udp"), Some("127.0.0.11:4060".parse().unwrap()));
        assert_eq!(v4_address("127.0.0.14:3868/diameter"), Some("127.0.0.14:3868".parse().unwrap()));
        assert_eq!(v4_address("127.0.0.11:4060/tcp"), None);
        assert_eq!(v4_address("[::1]:4060/udp"), None);
    }
}
