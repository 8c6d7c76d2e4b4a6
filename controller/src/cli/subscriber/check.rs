//! `evertone subscriber check`: which value is wrong? Takes a captured REGISTER, or waits for a device's next attempt,
//! and has the HSS compare it with what is provisioned. Never prints a secret.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};
use hss::provisioning::{CheckRequest, CheckResult, SecretText, Selector, SimValues, View};

use crate::capture::{self, Register, live};
use crate::cli::context::Context;
use crate::cli::hss::command;

/// Check a subscriber.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// A capture with the device's REGISTER: pcap, pcapng or text; `-` reads standard input.
    #[arg(long, value_name = "FILE", required_unless_present = "live")]
    register: Option<PathBuf>,
    /// Wait for the next attempts on this machine; needs the right to capture packets.
    #[arg(long, conflicts_with = "register")]
    live: bool,
    /// The subscriber to compare with, and in a capture the one to look for. [default: whom the REGISTER names]
    #[arg(value_name = "IDENTITY")]
    identity: Option<String>,
    /// What the SIM's data sheet says K is, 32 hex digits; `-` reads it from standard input, as for all secrets here.
    #[arg(long, value_name = "HEX")]
    sim_k: Option<String>,
    /// What it says OPc is.
    #[arg(long, value_name = "HEX")]
    sim_opc: Option<String>,
    /// What it says OP is.
    #[arg(long, value_name = "HEX", conflicts_with = "sim_opc")]
    sim_op: Option<String>,
    /// What the device's password is thought to be.
    #[arg(long, value_name = "TEXT")]
    password: Option<String>,
    /// How long to wait for an attempt.
    #[arg(long, value_name = "N", default_value_t = 60)]
    timeout_seconds: u64,
}

/// Runs the verb. Exit code 0: nothing is wrong with what was seen; 2: something is.
pub async fn run(context: &Context, arguments: Arguments) -> Result<ExitCode> {
    let secret = |text: &Option<String>| -> Result<Option<SecretText>> {
        text.clone().map(|text| Ok(SecretText::new(crate::cli::secret(text)?))).transpose()
    };
    let sim = SimValues {
        k: secret(&arguments.sim_k)?,
        op: secret(&arguments.sim_op)?,
        opc: secret(&arguments.sim_opc)?,
    };
    let request = CheckRequest {
        private_identity: arguments.identity.clone().filter(|identity| !identity.contains(':')),
        sim: (sim != SimValues::default()).then_some(sim),
        password: secret(&arguments.password)?,
        ..CheckRequest::default()
    };
    let registers = registers(&arguments).await?;
    let mut has_fault = false;
    let mut attempts: Vec<Attempt<'_>> = Vec::new();
    for register in &registers {
        let text = match &register.unanswered {
            None => register.text.clone(),
            Some(challenge) => register.as_refusal(challenge, &user(context, &request, register).await?),
        };
        let request = CheckRequest { register: Some(text), ..request.clone() };
        let result: CheckResult = command(context, "subscriber.check", &request).await?;
        has_fault |= result.findings.iter().any(|finding| finding.is_fault);
        match attempts.iter_mut().find(|attempt| attempt.is_same(register, &result)) {
            // A device that fails tries again and again: told once is enough.
            Some(attempt) => attempt.others += 1,
            None => attempts.push(Attempt { register, result, others: 0 }),
        }
    }
    attempts.iter().for_each(Attempt::print);
    Ok(if has_fault { ExitCode::from(2) } else { ExitCode::SUCCESS })
}

/// What was found in one REGISTER, or in several alike.
struct Attempt<'a> {
    register: &'a Register,
    result: CheckResult,
    others: usize,
}

impl Attempt<'_> {
    fn is_same(&self, register: &Register, result: &CheckResult) -> bool {
        self.register.unanswered.is_some() == register.unanswered.is_some() && self.result == *result
    }

    fn print(&self) {
        match self.others {
            0 => println!("{}:", self.register.title),
            1 => println!("{}, and another with the same result:", self.register.title),
            others => println!("{}, and {others} others with the same result:", self.register.title),
        }
        if self.register.unanswered.is_some() {
            println!("  the device did not answer the challenge; judged as if it had refused it");
        }
        if let Some(identity) = &self.result.private_identity {
            println!("  compared with {identity}");
        }
        for finding in &self.result.findings {
            println!("  {} {}: {}", if finding.is_fault { "✗" } else { "·" }, finding.code, finding.text);
        }
    }
}

/// The private identity behind a REGISTER that carries no credentials.
async fn user(context: &Context, request: &CheckRequest, register: &Register) -> Result<String> {
    if let Some(identity) = &request.private_identity {
        return Ok(identity.clone());
    }
    let owner = Selector { public_identity: Some(register.public_identity()), private_identity: None };
    let view: View = command(context, "subscriber.get", &owner).await?;
    Ok(view.private_identity)
}

/// The REGISTERs to check: those that answer a challenge, leave one unanswered or are refused without one, each once;
/// without any, the last.
async fn registers(arguments: &Arguments) -> Result<Vec<Register>> {
    let wanted = arguments.identity.as_deref();
    let found = match &arguments.register {
        None => live::wait(wanted, std::time::Duration::from_secs(arguments.timeout_seconds)).await?,
        Some(file) => {
            let bytes = match file.as_os_str() == "-" {
                true => {
                    let mut bytes = Vec::new();
                    std::io::Read::read_to_end(&mut std::io::stdin(), &mut bytes)
                        .context("cannot read standard input")?;
                    bytes
                }
                false => std::fs::read(file).with_context(|| format!("cannot read {}", file.display()))?,
            };
            capture::registers(&bytes).with_context(|| format!("{}", file.display()))?
        }
    };
    let (found, others): (Vec<Register>, Vec<Register>) =
        found.into_iter().partition(|register| wanted.is_none_or(|wanted| register.is_of(wanted)));
    if found.is_empty() {
        let wanted = wanted.map(|wanted| format!(" of {wanted}")).unwrap_or_default();
        // A device with a wrong user or domain is among them.
        match others.last().map(Register::public_identity) {
            None => bail!("no REGISTER was found{wanted}"),
            Some(other) => {
                bail!("no REGISTER was found{wanted}; the last of {} others is of {other}", others.len())
            }
        }
    }
    let answering: Vec<Register> = found
        .iter()
        .filter(|register| register.answers_challenge || register.unanswered.is_some() || register.is_refused)
        .cloned()
        .collect();
    Ok(if answering.is_empty() { found.into_iter().last().into_iter().collect() } else { answering })
}
