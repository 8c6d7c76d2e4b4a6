//! Wireshark as an impartial reader: every packet is captured, and `tshark` says whether one of them is wrong.

use std::collections::BTreeSet;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use rustix::process::Signal;

use crate::process::{Process, wait_until};
use crate::tools::find;

/// A capture on the loopback interface. Dropped, it ends.
#[derive(Debug)]
pub struct Capture {
    process: Process,
    file: PathBuf,
}

/// A capture that has ended.
#[derive(Debug)]
pub struct Captured {
    file: PathBuf,
}

impl Capture {
    /// Begins to capture what `filter` describes; `None` without `dumpcap` or without the right to capture.
    pub fn start(directory: &Path, filter: &str) -> Result<Option<Capture>> {
        if find("dumpcap").is_none() || find("tshark").is_none() {
            println!("no capture: tshark is not installed");
            return Ok(None);
        }
        let file = directory.join("packets.pcapng");
        let words = directory.join("dumpcap.log");
        let mut command = Command::new("dumpcap");
        command.args(["-q", "-i", "lo", "-B", "64", "-f", filter, "-w"]).arg(&file);
        command.stdout(File::create(&words)?).stderr(File::options().append(true).open(&words)?);
        let mut process = Process::start("dumpcap", &mut command)?;
        let is_writing = || std::fs::metadata(&file).is_ok_and(|metadata| metadata.len() > 0);
        let begun =
            wait_until("dumpcap begins", Duration::from_secs(20), || is_writing() || process.has_ended());
        if begun.is_err() || process.has_ended() {
            println!("no capture: {}", std::fs::read_to_string(&words).unwrap_or_default());
            return Ok(None);
        }
        Ok(Some(Capture { process, file }))
    }

    /// Ends it.
    pub fn stop(mut self) -> Result<Captured> {
        // What the kernel has still in its buffer.
        std::thread::sleep(Duration::from_millis(600));
        self.process.end(Signal::INT);
        Ok(Captured { file: self.file.clone() })
    }
}

impl Captured {
    /// Demands that no SIP or Diameter packet is malformed, that none has an error of the expert system, and that every AVP
    /// is known.
    pub fn judge(&self) -> Result<()> {
        // ICMP quotes the beginning of what nobody wanted: of course that is no whole message.
        let ours = "(sip or diameter) and not icmp and not icmpv6";
        let seen = self.fields(ours, &["frame.number"])?.len();
        ensure!(seen > 0, "nothing was captured in {}", self.file.display());
        self.expect_none(&format!("{ours} and (_ws.malformed or _ws.expert.severity == \"Error\")"))?;
        // Stricter than needed: no unknown AVP at all, mandatory or not. Kamailio sends a private one in SAR, not mandatory.
        self.expect_none("diameter.avp.unknown and not diameter.Origin-Host contains \"kamailio\"")?;
        println!("Wireshark has no complaint about {seen} packets");
        Ok(())
    }

    /// The values of `fields` of all packets that `filter` lets through.
    pub fn fields(&self, filter: &str, fields: &[&str]) -> Result<Vec<Vec<String>>> {
        let mut command = self.tshark(filter);
        command.args(["-T", "fields"]);
        for field in fields {
            command.args(["-e", field]);
        }
        let output = command.output().context("tshark cannot be started")?;
        ensure!(output.status.success(), "tshark {filter:?}: {}", String::from_utf8_lossy(&output.stderr));
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        Ok(text.lines().map(|line| line.split('\t').map(str::to_owned).collect()).collect())
    }

    fn expect_none(&self, filter: &str) -> Result<()> {
        let bad = self.fields(filter, &["frame.number", "_ws.expert.message"])?;
        if bad.is_empty() {
            return Ok(());
        }
        let kinds: BTreeSet<_> = bad.iter().filter_map(|line| line.get(1)).collect();
        let first = bad[0].first().map_or("", String::as_str);
        let detail = self.tshark(&format!("frame.number == {first}")).arg("-V").output()?;
        bail!(
            "Wireshark complains about {} packets ({filter}): {kinds:?}; the first:\n{}",
            bad.len(),
            String::from_utf8_lossy(&detail.stdout)
        );
    }

    /// SIP is found by its looks, on any port.
    fn tshark(&self, filter: &str) -> Command {
        let mut command = Command::new("tshark");
        command.args(["-n", "-r"]).arg(&self.file).args(["-Y", filter]);
        command
    }
}
