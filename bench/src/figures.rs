//! `bench capacity`: the highest load that holds.
use crate::Place;
use anyhow::Result;
/// x.
#[derive(Debug, clap::Args)]
pub struct Arguments {}
/// Runs the verb.
pub fn run(_: &Place, _: &Arguments) -> Result<()> {
    Ok(())
}
