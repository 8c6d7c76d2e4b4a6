//! `evertone systemd-unit`: a unit that brings the core back after a reboot.

use std::process::ExitCode;

use anyhow::{Context as _, Result};

use super::context::Context;

/// Print a systemd unit.
#[derive(Debug, clap::Args)]
pub struct Arguments {}

/// Runs the verb.
pub fn run(context: &Context, _: &Arguments) -> Result<ExitCode> {
    let own = std::env::current_exe().context("this program does not know where it lies")?;
    let state = context.chosen.as_ref().map(|chosen| format!(" --state-directory {}", chosen.display()));
    let command =
        format!("{}{} --binaries {}", own.display(), state.unwrap_or_default(), context.binaries.display());
    print!("{}", UNIT.replace("@COMMAND@", &command));
    eprintln!("# install it: {} systemd-unit > /etc/systemd/system/evertone.service &&", context.command());
    eprintln!("#   systemctl daemon-reload && systemctl enable --now evertone");
    Ok(ExitCode::SUCCESS)
}

// KillMode=process: when the controller dies alone, systemd starts it again and it adopts the functions.
const UNIT: &str = "[Unit]
Description=Evertone IMS core
After=network-online.target
Wants=network-online.target

[Service]
ExecStart=@COMMAND@ controller run
ExecStop=@COMMAND@ down
Restart=always
RestartSec=1
KillMode=process
LimitNOFILE=65536

[Install]
WantedBy=multi-user.target
";
