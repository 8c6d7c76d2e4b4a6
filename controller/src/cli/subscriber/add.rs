//! `evertone subscriber add`: one subscriber from the command line.

use std::process::ExitCode;

use anyhow::{Result, bail};
use hss::provisioning::{Aka, Digest, PublicIdentity, PutResult, Record, SecretText, default_amf};

use crate::cli::context::Context;
use crate::cli::hss::{command, home_domain};

/// Add a subscriber.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The private identity, user@domain; the home domain is added when there is none.
    identity: String,
    /// A public identity, sip: or tel:; may be repeated. [default: sip:IDENTITY]
    #[arg(long = "public", value_name = "URI")]
    public_identities: Vec<String>,
    /// The SIM's key K, 32 hex digits; `-` reads the next line of standard input, as for all secrets here, so that it is
    /// not seen in the list of processes.
    #[arg(long, value_name = "HEX", requires = "operator")]
    k: Option<String>,
    /// OPc, 32 hex digits.
    #[arg(long, value_name = "HEX", group = "operator", requires = "k")]
    opc: Option<String>,
    /// OP, 32 hex digits; OPc is computed from it.
    #[arg(long, value_name = "HEX", group = "operator", requires = "k")]
    op: Option<String>,
    /// The authentication management field, 4 hex digits. [default: 8000]
    #[arg(long, value_name = "HEX", requires = "k")]
    amf: Option<String>,
    /// The last SQN that another core used for this SIM, in decimal.
    #[arg(long, value_name = "N", requires = "k")]
    sqn: Option<u64>,
    /// A password for digest.
    #[arg(long, value_name = "TEXT")]
    password: Option<String>,
    /// The realm of the password. [default: the home domain]
    #[arg(long, value_name = "TEXT", requires = "password")]
    realm: Option<String>,
}

/// Runs the verb.
pub async fn run(context: &Context, arguments: Arguments) -> Result<ExitCode> {
    let private_identity = match arguments.identity.contains('@') {
        true => arguments.identity.clone(),
        false => format!("{}@{}", arguments.identity, home_domain(context)?),
    };
    if arguments.k.is_none() && arguments.password.is_none() {
        bail!("no credential: give --password, or --k with --opc or --op");
    }
    let public_identities = match arguments.public_identities.is_empty() {
        true => vec![PublicIdentity::from(format!("sip:{private_identity}").as_str())],
        false => arguments.public_identities.iter().map(|uri| PublicIdentity::from(uri.as_str())).collect(),
    };
    let record = Record {
        aka: match arguments.k {
            None => None,
            Some(k) => Some(Aka {
                k: secret(k)?,
                op: arguments.op.map(secret).transpose()?,
                opc: arguments.opc.map(secret).transpose()?,
                amf: arguments.amf.unwrap_or_else(default_amf),
                sqn: arguments.sqn,
            }),
        },
        digest: match arguments.password {
            None => None,
            Some(password) => Some(Digest {
                password: Some(secret(password)?),
                realm: arguments.realm,
                ..Digest::default()
            }),
        },
        private_identity: private_identity.clone(),
        public_identities,
        unregistered_services: false,
        mandatory_capabilities: Vec::new(),
        optional_capabilities: Vec::new(),
    };
    let done: PutResult = command(context, "subscriber.put", &[&record]).await?;
    println!("{private_identity} was {}", if done.added > 0 { "added" } else { "replaced" });
    Ok(ExitCode::SUCCESS)
}

fn secret(text: String) -> Result<SecretText> {
    crate::cli::secret(text).map(SecretText::new)
}
