//! What every command needs: a connected client and the output format.

use std::time::Duration;

use flymq_client::{Client, ClientConfig, ClientError};

use crate::cli::{Format, Global};

/// The client and how to write.
#[derive(Debug)]
pub struct Context {
    pub client: Client,
    pub format: Format,
}

impl Context {
    /// Connects as the global options say.
    pub async fn connect(global: &Global) -> Result<Self, ClientError> {
        Ok(Self { client: Client::with_config(config(global)?).await?, format: global.output })
    }

    pub fn json(&self) -> bool {
        self.format == Format::Json
    }
}

/// The client settings that the global options ask for.
pub fn config(global: &Global) -> Result<ClientConfig, ClientError> {
    let mut config = ClientConfig::parse(&global.server)?;
    config.client_id = "flymq-cli".to_owned();
    config.request_timeout = Duration::from_secs(global.timeout);
    // A person waits: say soon that nothing answers.
    config.connect_timeout = Duration::from_secs(5);
    config.username.clone_from(&global.username);
    config.password.clone_from(&global.password);
    Ok(config)
}
