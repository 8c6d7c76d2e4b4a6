//! Kamailio as I-CSCF and S-CSCF on our HSS, to compare with: the configuration of tests/interop, processes that end with
//! us. It finds the HSS in a hosts file of its own, in a mount namespace; that needs the superuser.

use std::fs::File;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use crate::core::Core;
use crate::meter::Meter;

/// Both, running.
pub struct Kamailio {
    icscf: Child,
    scscf: Child,
    directory: tempfile::TempDir,
}

/// Where its I-CSCF listens.
pub const ENTRY: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(127, 20, 7, 22), 5060);
const SCSCF: Ipv4Addr = Ipv4Addr::new(127, 20, 7, 23);
const TABLES: &str = "/usr/share/kamailio/dbtext/kamailio";
const ICSCF_CONFIG: &str = include_str!("../../tests/interop/kamailio/icscf.cfg");
const SCSCF_CONFIG: &str = include_str!("../../tests/interop/kamailio/scscf.cfg");
const DIAMETER: &str = include_str!("../../tests/interop/kamailio/diameter.xml");
/// Its processes make and lose pipes in /tmp: killed with their namespaces, none is left. 1 GiB of shared memory holds
/// 10,000 registrations.
const SCRIPT: &str = "mount --bind \"$1/hosts\" /etc/hosts && mount --bind \"$1\" /mnt && mount -t tmpfs none /tmp && \
                      exec kamailio -DD -E -m 1024 -M 16 -f \"/mnt/$2.cfg\" -Y \"/mnt/$2-run\"";

/// Can it run here?
pub fn is_possible() -> bool {
    let runs = |program: &str, argument: &str| {
        let status = Command::new(program).arg(argument).stdout(Stdio::null()).stderr(Stdio::null()).status();
        status.is_ok_and(|status| status.signal().is_none() && status.code().is_some_and(|code| code < 126))
    };
    Path::new(TABLES).is_dir() && runs("kamailio", "-v") && runs("unshare", "--version")
}

impl Kamailio {
    /// Starts both and waits until the HSS knows them.
    pub fn start(core: &Core) -> Result<Kamailio> {
        let directory = tempfile::Builder::new().prefix("evertone-kamailio-").tempdir()?;
        write_tables(&directory.path().join("tables"))?;
        let hosts = format!(
            "127.0.0.1 localhost\n{} hss.ims.example\n{SCSCF} scscf.ims.example kamailio-scscf.ims.example\n{} \
             kamailio-icscf.ims.example\n",
            core.hss().address.ip(),
            ENTRY.ip(),
        );
        std::fs::write(directory.path().join("hosts"), hosts)?;
        let before = connections(core.hss().address);
        let icscf = start("icscf", ICSCF_CONFIG, *ENTRY.ip(), directory.path())?;
        let scscf = start("scscf", SCSCF_CONFIG, SCSCF, directory.path());
        let mut both = match scscf {
            Ok(scscf) => Kamailio { icscf, scscf, directory },
            Err(error) => {
                end(icscf);
                return Err(error);
            }
        };
        for _ in 0..150 {
            std::thread::sleep(Duration::from_millis(200));
            if both.icscf.try_wait()?.is_some() || both.scscf.try_wait()?.is_some() {
                break;
            }
            if connections(core.hss().address) >= before + 2 {
                // Capabilities are exchanged in milliseconds.
                std::thread::sleep(Duration::from_secs(1));
                return Ok(both);
            }
        }
        bail!("Kamailio did not connect to the HSS: {}", both.last_words())
    }

    /// CPU time of all its processes.
    pub fn cpu(&self) -> Result<Duration> {
        Ok(Meter::tree(self.icscf.id())? + Meter::tree(self.scscf.id())?)
    }

    fn last_words(&self) -> String {
        let read = |name: &str| std::fs::read_to_string(self.directory.path().join(name)).unwrap_or_default();
        let text = format!("{}\n{}", read("icscf.log"), read("scscf.log"));
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }
}

impl Drop for Kamailio {
    fn drop(&mut self) {
        for child in [&mut self.icscf, &mut self.scscf] {
            // `--kill-child` takes the whole process namespace along.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn end(mut child: Child) {
    let _ = child.kill();
    let _ = child.wait();
}

fn start(function: &str, template: &str, address: Ipv4Addr, folder: &Path) -> Result<Child> {
    let fill = |text: &str| {
        text.replace("@ADDRESS@", &address.to_string())
            .replace("@DIRECTORY@", "/mnt")
            .replace("@SCHEMA@", "")
            .replace("@NAME@", &format!("kamailio-{function}"))
    };
    std::fs::write(folder.join(format!("{function}.cfg")), fill(template))?;
    std::fs::write(folder.join(format!("{function}.xml")), fill(DIAMETER))?;
    std::fs::create_dir(folder.join(format!("{function}-run")))?;
    let log = File::create(folder.join(format!("{function}.log")))?;
    Command::new("unshare")
        .args([
            "--mount",
            "--propagation",
            "private",
            "--pid",
            "--fork",
            "--kill-child",
            "sh",
            "-c",
            SCRIPT,
            "kamailio",
        ])
        .arg(folder)
        .arg(function)
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .spawn()
        .context("cannot start Kamailio")
}

/// The tables Kamailio wants: those of its package, and the S-CSCF its I-CSCF knows.
fn write_tables(folder: &Path) -> Result<()> {
    std::fs::create_dir(folder)?;
    for entry in std::fs::read_dir(TABLES).context("Kamailio's tables are not installed")? {
        let entry = entry?;
        std::fs::copy(entry.path(), folder.join(entry.file_name()))?;
    }
    let trusted = "id(int,auto) trusted_domain(string) \n1:ims.example\n";
    std::fs::write(folder.join("nds_trusted_domains"), trusted)?;
    let servers =
        "id(int,auto) name(string) s_cscf_uri(string) \n1:Kamailio:sip\\:scscf.ims.example\\:6060\n";
    std::fs::write(folder.join("s_cscf"), servers)?;
    let capabilities = "id(int,auto) id_s_cscf(int) capability(int) \n1:1:0\n";
    Ok(std::fs::write(folder.join("s_cscf_capabilities"), capabilities)?)
}

/// Connections that are established to an address here.
fn connections(address: SocketAddrV4) -> usize {
    let hex = format!("{:08X}:{:04X}", u32::from_ne_bytes(address.ip().octets()), address.port());
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap_or_default();
    let fields = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    fields.filter(|fields| fields.get(1) == Some(&hex.as_str()) && fields.get(3) == Some(&"01")).count()
}
