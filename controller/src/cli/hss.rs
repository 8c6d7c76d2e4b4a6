//! Commands to the HSS over its admin socket.

use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use node::config::FunctionKind;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::context::Context;
use super::instances;
use crate::http::{self, HttpError};

/// A batch of a thousand subscribers, or the removal of one whose S-CSCF is slow.
const PATIENCE: Duration = Duration::from_secs(60);

/// Runs the command `name`; a refusal becomes the error's sentence.
pub async fn command<T: DeserializeOwned>(
    context: &Context,
    name: &str,
    document: &impl Serialize,
) -> Result<T> {
    let socket = context.places.socket(instances::serving(context, FunctionKind::Hss).await);
    let body = serde_json::to_vec(document).context("the command cannot be written")?;
    match http::post(&socket, &format!("/command/{name}"), body, PATIENCE).await {
        Ok(answer) if answer.is_success() => Ok(answer.json()?),
        Ok(answer) => bail!("{}", answer.text()),
        Err(HttpError::NobodyThere(_)) => {
            bail!(
                "the HSS does not run: `{} up` starts the core, `status` shows how it is",
                context.command()
            )
        }
        Err(error) => Err(anyhow::Error::from(error).context("the HSS does not answer")),
    }
}

/// The home domain of the resource in force.
pub fn home_domain(context: &Context) -> Result<String> {
    let text = crate::watch::accepted_text(&context.places)
        .with_context(|| format!("no core has been brought up: `{} up` does it", context.command()))?;
    let read = crds::yaml::read_ims_core("core.yaml", &text)?;
    Ok(read.object.spec.home_domain.to_ascii_lowercase())
}
