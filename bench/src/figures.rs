//! `bench capacity`: the highest load that holds.
use anyhow::Result;
use crate::Place;
/// x.
#[derive(Debug, clap::Args)]
pub struct Arguments {}
/// Runs the verb.
pub fn run(_: &Place, _: &Arguments) -> Result<()> { Ok(()) }
