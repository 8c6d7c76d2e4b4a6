//! `bench capacity`: the highest load that holds.
use anyhow::Result;
use crate::Place;
/// Find the highest load that holds.
#[derive(Debug, clap::Args)]
pub struct Arguments {}
/// Runs the verb.
pub fn run(_: &Place, _: &Arguments) -> Result<()> { Ok(()) }
