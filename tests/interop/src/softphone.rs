//! baresip as a softphone without a sound card: it plays a tone, and records what it hears in a file.

use std::fs::File;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tempfile::TempDir;

use crate::core::DOMAIN;
use crate::process::{Process, wait_until};
use crate::subscribers::{Secret, Subscriber};

/// RTP ports of every softphone.
pub const RTP_PORTS: std::ops::RangeInclusive<u16> = 20_000..=20_100;

const MODULES: &str = "/usr/lib/baresip/modules";

/// A running softphone. Dropped, it ends.
#[derive(Debug)]
pub struct Softphone {
    process: Process,
    directory: TempDir,
    control: SocketAddr,
}

impl Softphone {
    /// Switches one on. It registers by itself, and answers every call.
    pub fn start(
        subscriber: &Subscriber,
        address: Ipv4Addr,
        pcscf: SocketAddr,
        transport: &str,
    ) -> Result<Softphone> {
        let Secret::Digest(password) = &subscriber.secret else { bail!("baresip knows digest only") };
        let directory = tempfile::Builder::new().prefix("evertone-baresip-").tempdir()?;
        let place = |name: &str| directory.path().join(name);
        let control = SocketAddr::from((address, 4444));
        // `sndfile` writes what is received before a player would play it; `aubridge` is a player that plays nowhere.
        let config = format!(
            "poll_method epoll\nsip_listen {address}:5060\nnet_interface {address}\naudio_path /nonexistent\n\
             audio_source ausine,440\naudio_player aubridge,nowhere\naudio_alert aubridge,nowhere\nausrc_channels 2\n\
             ausrc_srate 48000\nauplay_channels 1\nauplay_srate 8000\nsnd_path {}\nrtp_ports {}-{}\n\
             ctrl_tcp_listen {control}\nmodule_path {MODULES}\nmodule g711.so\nmodule ausine.so\nmodule aubridge.so\n\
             module sndfile.so\nmodule uuid.so\nmodule_tmp account.so\nmodule_app menu.so\nmodule ctrl_tcp.so\n",
            directory.path().display(),
            RTP_PORTS.start(),
            RTP_PORTS.end(),
        );
        std::fs::write(place("config"), config)?;
        let name = &subscriber.name;
        let account = format!(
            "<sip:{name}@{DOMAIN};transport={transport}>;auth_user={name}@{DOMAIN};auth_pass={password};\
             outbound=\"sip:{pcscf};transport={transport}\";regint=600;answermode=auto;audio_codecs=PCMA/8000/1\n"
        );
        std::fs::write(place("accounts"), account)?;
        std::fs::write(place("contacts"), "")?;
        let mut command = Command::new("baresip");
        command.arg("-f").arg(directory.path()).args(["-v", "-s"]).env("HOME", directory.path());
        command
            .stdout(File::create(place("output"))?)
            .stderr(File::options().append(true).open(place("output"))?);
        let process = Process::start("baresip", &mut command)?;
        Ok(Softphone { process, directory, control })
    }

    /// Waits until it says `words`.
    pub fn wait_for(&mut self, words: &str, patience: Duration) -> Result<()> {
        let output = self.output_file();
        let says = || std::fs::read(&output).is_ok_and(|text| String::from_utf8_lossy(&text).contains(words));
        wait_until(&format!("baresip says {words:?}"), patience, says)
            .map(drop)
            .with_context(|| self.last_words())
    }

    /// How often it has said `words`.
    pub fn count(&self, words: &str) -> usize {
        let text = std::fs::read(self.output_file()).unwrap_or_default();
        String::from_utf8_lossy(&text).matches(words).count()
    }

    /// Gives it a command of its menu.
    pub fn command(&self, command: &str, parameters: &str) -> Result<()> {
        let text = format!("{{\"command\":\"{command}\",\"params\":\"{parameters}\",\"token\":\"t\"}}");
        let mut stream = TcpStream::connect(self.control).context("baresip's control port")?;
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        stream.write_all(format!("{}:{text},", text.len()).as_bytes())?;
        let (mut answer, mut part) = (String::new(), [0; 2048]);
        // Events come on the same connection, before the response and after it.
        while !answer.contains("\"response\":true") {
            match stream.read(&mut part).context("baresip answers on its control port")? {
                0 => bail!("baresip {command}: {answer}"),
                length => answer += &String::from_utf8_lossy(&part[..length]),
            }
        }
        anyhow::ensure!(answer.contains("\"ok\":true"), "baresip {command}: {answer}");
        Ok(())
    }

    /// What it has heard: samples of 16 bits.
    pub fn heard(&self) -> Vec<i16> {
        let entries = std::fs::read_dir(self.directory.path()).into_iter().flatten().flatten();
        let recorded =
            entries.map(|entry| entry.path()).find(|path| path.to_string_lossy().ends_with("-dec.wav"));
        let bytes = recorded.and_then(|path| std::fs::read(path).ok()).unwrap_or_default();
        // Behind the header of a WAV file.
        let samples = bytes.get(44..).unwrap_or_default();
        samples.chunks_exact(2).map(|pair| i16::from_le_bytes([pair[0], pair[1]])).collect()
    }

    /// Switches it off: it de-registers.
    pub fn end(&mut self) {
        self.process.end(rustix::process::Signal::TERM);
    }

    fn output_file(&self) -> PathBuf {
        self.directory.path().join("output")
    }

    /// The end of its output.
    pub fn last_words(&self) -> String {
        let text = std::fs::read(self.output_file()).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<_> = text.lines().collect();
        lines[lines.len().saturating_sub(60)..].join("\n")
    }
}
